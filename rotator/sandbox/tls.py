"""A CA of the sandbox's own and a certificate for 127.0.0.1; it is trusted by nobody who was not given the file."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_YEAR = timedelta(days=365)
_SPARE = timedelta(days=7)  # a certificate this near its end is made anew

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM: the CA's certificate for clients, the server's certificate and key."""

    ca_file: Path
    certificate_file: Path
    key_file: Path


def prepare_tls(folder: Path, now: datetime) -> Tls:
    """Return the TLS files in `folder`, made when they are missing or soon to expire. Keys are mode 0600."""
    files = Tls(folder / "ca.pem", folder / "server.pem", folder / "server-key.pem")
    if all(path.exists() for path in (files.ca_file, files.certificate_file, files.key_file)) and _usable(files, now):
        return files
    # The CA's key is used once and forgotten: nobody can make a second certificate with it.
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("rotator sandbox CA")
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    certificate = (
        _builder(_name("rotator sandbox"), ca_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    write_private(files.key_file, _key_pem(key))
    write_private(files.certificate_file, _certificate_pem(certificate))
    write_private(files.ca_file, _certificate_pem(ca))
    return files


def prepare_client_certificate(path: Path, now: datetime) -> x509.Certificate:
    """Return the certificate in the PEM file `path` (key and certificate), made when missing or soon to expire."""
    if path.exists():
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        if certificate.not_valid_after_utc > now + _SPARE:
            return certificate
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # azure-identity takes RSA keys only
    name = _name("rotator in the sandbox")
    certificate = _builder(name, name, key.public_key(), now).sign(key, hashes.SHA256())
    write_private(path, _key_pem(key) + _certificate_pem(certificate))
    return certificate


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by a file that only its owner may read."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


def _usable(files: Tls, now: datetime) -> bool:
    try:
        ca = x509.load_pem_x509_certificate(files.ca_file.read_bytes())
        certificate = x509.load_pem_x509_certificate(files.certificate_file.read_bytes())
        key = serialization.load_pem_private_key(files.key_file.read_bytes(), password=None)
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return (
        certificate.not_valid_before_utc <= now
        and min(ca.not_valid_after_utc, certificate.not_valid_after_utc) > now + _SPARE
        and key.public_key() == certificate.public_key()
    )


def _builder(subject: x509.Name, issuer: x509.Name, public: PublicKey, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(days=1))
        .not_valid_after(now.astimezone(UTC) + _YEAR)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
