"""Keys and certificates are made as Entra takes them, and a proof of possession is what Graph asks for."""

from __future__ import annotations

import base64
import logging
import traceback
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from rotator.provers.decoy import decoy
from rotator.provers.request import ClientAuth
from rotator.providers.entra_keys import (
    PROOF_AUDIENCE,
    Pair,
    certified,
    holder_of,
    listed_key,
    make_pair,
    new_key,
    tag_in,
)
from rotator.secret import Fields

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAG = f"rotator/{'a' * 32}/{'n' * 63}/{'b' * 32}/12"
STRANGE = {
    "a version to come": ("a003020102", "a003020105"),
    "an unknown kind of key": ("2a864886f70d010101", "2a864886f70d010177"),
}
"""What is put in the place of what, in the DER of a certificate."""
GUID = "7f3c0c52-0000-4000-8000-000000000011"


@pytest.fixture(scope="module")
def pair() -> Pair:
    return make_pair("n" * 63, TAG, NOW, NOW + timedelta(days=90))


def parsed(pair: Pair) -> x509.Certificate:
    return x509.load_der_x509_certificate(base64.b64decode(pair.certificate))


def test_a_certificate_is_signed_by_itself_ends_when_asked_and_is_no_ca(pair: Pair) -> None:
    certificate = parsed(pair)
    certificate.verify_directly_issued_by(certificate)
    assert (certificate.not_valid_before_utc, certificate.not_valid_after_utc) == (NOW, NOW + timedelta(days=90))
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "n" * 63
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    text = pair.values.secret("certificate")
    assert text is not None and x509.load_pem_x509_certificate(text.reveal().encode()) == certificate


def test_the_label_is_found_in_the_certificate_and_nowhere_else(pair: Pair) -> None:
    assert tag_in(pair.certificate) == TAG
    assert [tag_in(other) for other in (None, "", "no base64!", base64.b64encode(b"no certificate").decode(), 7)] == [
        None
    ] * 5
    item = {"keyId": GUID.upper(), "displayName": "renamed", "key": pair.certificate}
    listed = listed_key(item)
    assert listed is not None and (listed.key_id, listed.tag) == (GUID, TAG)
    foreign = listed_key({"keyId": GUID, "displayName": "theirs", "key": None})
    assert foreign is not None and foreign.tag == "theirs"
    assert listed_key({"displayName": "no id"}) is None


def test_a_proof_of_possession_names_the_application_and_lasts_ten_minutes(pair: Pair) -> None:
    holder = holder_of(pair.values)
    assert holder is not None
    proof = holder.proof(GUID, NOW)
    unchecked = {"verify_exp": False, "verify_nbf": False, "verify_aud": False}
    claims = jwt.decode(proof, parsed(pair).public_key(), algorithms=["RS256"], options=unchecked)  # type: ignore[arg-type]
    since = int(NOW.timestamp())
    assert claims == {"aud": PROOF_AUDIENCE, "iss": GUID, "nbf": since, "exp": since + 600}
    print_ = parsed(pair).fingerprint(hashes.SHA1())
    assert jwt.get_unverified_header(proof)["x5t"] == base64.urlsafe_b64encode(print_).rstrip(b"=").decode()


def test_graphs_entry_is_known_by_its_bytes_and_by_its_thumbprint_in_either_form(pair: Pair) -> None:
    holder, print_ = holder_of(pair.values), parsed(pair).fingerprint(hashes.SHA1())
    assert holder is not None
    assert holder.is_of({"key": pair.certificate})
    assert holder.is_of({"key": None, "customKeyIdentifier": base64.b64encode(print_).decode()})
    assert holder.is_of({"customKeyIdentifier": print_.hex().upper()})
    assert not holder.is_of({"key": None, "customKeyIdentifier": None})


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE)
def test_what_the_library_does_not_know_stops_nothing(pair: Pair, change: tuple[str, str]) -> None:
    der = base64.b64decode(pair.certificate)
    strange = der.replace(bytes.fromhex(change[0]), bytes.fromhex(change[1]), 1)
    assert strange != der
    assert listed_key({"keyId": GUID, "key": base64.b64encode(strange).decode()}) is not None
    lines = base64.encodebytes(strange).decode()
    armoured = f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n"
    assert holder_of(pair.values.merged({"certificate": armoured})) is None


@pytest.mark.parametrize("lacks", ["certificate", "private_key", "both", "garbage"])
def test_what_is_no_pair_signs_nothing(pair: Pair, lacks: str) -> None:
    values = {
        "certificate": pair.values.without("certificate"),
        "private_key": pair.values.without("private_key"),
        "both": None,
        "garbage": Fields({"certificate": "x", "private_key": "y"}),
    }[lacks]
    assert holder_of(values) is None


def test_no_repr_log_or_traceback_shows_the_key(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    key = pair.values.secret("private_key")
    assert key is not None
    canary = key.reveal().splitlines()[2]
    holder = holder_of(pair.values)
    logging.getLogger("test").warning("%s %r %s %r", pair, holder, key, pair.values)
    try:
        raise ValueError(pair, holder, key)
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    canary_of_locals = shown.replace(f"canary = {canary!r}", "")
    assert canary not in caplog.text + canary_of_locals and "PRIVATE KEY" not in caplog.text + canary_of_locals


def test_a_decoy_is_of_the_kind_that_the_endpoint_takes_and_always_another_one() -> None:
    first, second = (decoy(ClientAuth.PRIVATE_KEY_JWT, NOW) for _ in range(2))
    assert set(first) == {"certificate", "private_key"} and first != second and holder_of(first) is not None
    assert set(decoy(ClientAuth.CLIENT_SECRET_POST, NOW)) == {"client_secret"}


def test_a_chain_is_kept_upwards_however_it_is_printed_and_whatever_key_signs_it() -> None:
    key, signers, end = new_key(), [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)], NOW + timedelta(days=9)

    def certificate(name: str, public: Any, issuer: str, signer: Any) -> x509.Certificate:
        named = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer)]
        begun = x509.CertificateBuilder().subject_name(named[0]).issuer_name(named[1]).public_key(public)
        dated = begun.serial_number(x509.random_serial_number()).not_valid_before(NOW).not_valid_after(end)
        return dated.sign(signer, hashes.SHA256())

    root = certificate("root", signers[0].public_key(), "root", signers[0])
    middle = certificate("middle", signers[1].public_key(), "root", signers[0])
    ours = certificate("ours", key.public_key(), "middle", signers[1])
    for printed in permutations((ours, middle, root, root)):
        text = b"".join(one.public_bytes(Encoding.PEM) for one in printed)
        pair = certified(key, text, NOW)
        held = pair.values.secret("certificate")
        assert held is not None and x509.load_pem_x509_certificates(held.reveal().encode()) == [ours, middle, root]
        assert parsed(pair) == ours and holder_of(pair.values) is not None
