"""Makes RSA keys, signs certificates or asks for them, reads them, and signs proofs of possession; contacts nobody.

A private key leaves this file only sealed, in PEM, for the store. Entra takes RSA keys of 2048 bits and more
(learn.microsoft.com/entra/identity-platform/certificate-credentials).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rotator.ports import Listed
from rotator.providers.entra_answers import listed
from rotator.secret import Fields, Secret

BITS = 2048
PROOF_AUDIENCE = "00000002-0000-0000-c000-000000000000"  # learn.microsoft.com/graph/application-rollkey-prooftoken
PROOF_LIFETIME = timedelta(minutes=10)
_DATED_BACK = timedelta(hours=1)
_URN = "urn:"
# What the library raises for what it cannot read; of its own kinds, for what it does not know yet.
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)


@dataclass(frozen=True, slots=True)
class Pair:
    """A key and its certificate. certificate: DER in base64, for Graph. values: both in PEM, for the store.

    In the store those of the authority follow, where there is one.
    """

    certificate: str
    values: Fields


class NotThisKey(ValueError):
    """What should certify a key does not; the text says what it is instead."""


def new_key() -> rsa.RSAPrivateKey:
    """Return a new key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=BITS)


def make_pair(name: str, tag: str, start: datetime, end: datetime) -> Pair:
    """Return a new key with a self-signed certificate, valid from `start` to `end`.

    name: what people read in the portal. tag: our label, which is found again in the certificate when Graph keeps none.
    """
    key, subject = new_key(), _named(name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(_labelled(tag), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(key, [certificate])


def request_for(key: rsa.RSAPrivateKey, name: str, tag: str) -> bytes:
    """Return a request for a certificate (PKCS#10, RFC 2986) in PEM, with what `make_pair` would put into it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_named(name))
    asked = builder.add_extension(_labelled(tag), critical=False).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
    )
    return asked.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def certified(key: rsa.RSAPrivateKey, pem: bytes, now: datetime) -> Pair:
    """Return a key with the certificate that an authority gave for it, and those above it, as far as they came along.

    Raises NotThisKey for anything else, and for one that has ended.
    """
    try:
        found = x509.load_pem_x509_certificates(pem)
        of_key = [one for one in found if one.public_key() == key.public_key()]
    except _UNREADABLE:
        raise NotThisKey("is no certificate in PEM") from None
    if not of_key:
        raise NotThisKey("certifies another key than that of the request")
    ours = of_key[0]
    if ours.not_valid_after_utc <= now:
        raise NotThisKey("is a certificate that has ended")
    return _pair(key, _upwards(ours, found))


def _upwards(ours: x509.Certificate, found: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Return each once, ours first and each after the one that it certifies, as TLS sends them; then what is left."""
    left, chain = [one for one in dict.fromkeys(found) if one != ours], [ours]
    while (above := next((one for one in left if one.subject == chain[-1].issuer), None)) is not None:
        left.remove(above)
        chain.append(above)
    return chain + left


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _labelled(tag: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(_URN + tag)])


def _pair(key: rsa.RSAPrivateKey, chain: Sequence[x509.Certificate]) -> Pair:
    """Return a key with its certificate, the first of `chain`."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    whole = "".join(one.public_bytes(Encoding.PEM).decode() for one in chain)
    der = base64.b64encode(chain[0].public_bytes(Encoding.DER)).decode()
    return Pair(der, Fields({"certificate": whole, "private_key": Secret(pem)}))


def tag_in(der: object) -> str | None:
    """Return the label in a certificate of ours, given as base64 DER; None in any other."""
    try:
        parsed = x509.load_der_x509_certificate(base64.b64decode(der if isinstance(der, str) else "", validate=True))
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (*_UNREADABLE, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None
    return next((one.removeprefix(_URN) for one in found if one.startswith(f"{_URN}rotator/")), None)


def listed_key(item: object) -> Listed | None:
    """Return one of Graph's keyCredentials; None when it has no key id, or is no such thing.

    Our label is its name, or, where Graph has kept another, what stands in the certificate itself.
    """
    found = listed(item)
    if found is None or not isinstance(item, dict):
        return None
    der = item.get("key")
    tag = found.tag if (found.tag or "").startswith("rotator/") else tag_in(der) or found.tag
    return replace(found, tag=tag, certificate=der if isinstance(der, str) else None)


class Holder:
    """Who has the key of a certificate. since: when it may have been made, at the latest.

    That is the beginning of its validity where we signed it. An authority dates it back, often by an hour.
    """

    def __init__(self, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> None:
        self._certificate, self._key = certificate, key
        by_us = certificate.issuer == certificate.subject
        self.since = certificate.not_valid_before_utc + (timedelta(0) if by_us else _DATED_BACK)
        # SHA-1 is how Entra names a certificate (RFC 7515 section 4.1.7); it protects nothing here.
        self._print = certificate.fingerprint(hashes.SHA1())  # noqa: S303
        self.thumbprint = self._print.hex().upper()

    def is_of(self, item: Mapping[str, Any]) -> bool:
        """Say whether this is Graph's entry of the certificate: by its bytes, or by its SHA-1 in base64 or in hex."""
        der = base64.b64encode(self._certificate.public_bytes(Encoding.DER)).decode()
        named = (base64.b64encode(self._print).decode(), self.thumbprint)
        return item.get("key") == der or item.get("customKeyIdentifier") in named

    def proof(self, object_id: str, now: datetime) -> str:
        """Return a proof of possession for one application, by its object id."""
        header: dict[str, Any] = {
            "kid": self.thumbprint,
            "x5t": base64.urlsafe_b64encode(self._print).rstrip(b"=").decode(),
        }
        since = int(now.timestamp())
        claims = {
            "aud": PROOF_AUDIENCE,
            "iss": object_id,
            "nbf": since,
            "exp": since + int(PROOF_LIFETIME.total_seconds()),
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers=header)


def holder_of(values: Fields | None) -> Holder | None:
    """Return who can sign with what the store holds; None when it holds no certificate with its RSA key."""
    key, certificate = (None, None) if values is None else (values.secret("private_key"), values.secret("certificate"))
    if key is None or certificate is None:
        return None
    try:
        private = load_pem_private_key(key.reveal().encode(), password=None)
        parsed = x509.load_pem_x509_certificate(certificate.reveal().encode())
        public = parsed.public_key()
    except _UNREADABLE:
        return None
    if not isinstance(private, rsa.RSAPrivateKey) or private.public_key() != public:
        return None
    return Holder(parsed, private)
