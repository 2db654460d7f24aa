"""How the client proves itself: the bytes of form, Basic header and assertion."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote_plus

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from rotator.clock import SystemClock
from rotator.errors import Misconfigured
from rotator.provers.client_auth import Presented, present
from rotator.provers.request import ClientAuth
from rotator.secret import Fields

NOW = SystemClock().now().replace(microsecond=0)
URL = "https://login.example/token"
GRANT = {"grant_type": "client_credentials", "scope": "api://a/.default"}
AWKWARD = "a+b%c:d e/ä=&~\"'"


def presented(auth: ClientAuth, client_id: str = "client-1", **values: str) -> Presented:
    return present(auth, client_id, Fields(values), GRANT, URL, NOW)


def form(of: Presented) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(of.form.decode(), strict_parsing=True).items()}


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def unknown(text: str) -> str:
    """Return the PEM of an RSA key, of a kind or a version of which nobody has heard."""
    first, *lines, last = text.splitlines()
    der = base64.b64decode("".join(lines))
    for known in ("2a864886f70d010101", "a003020102"):
        der = der.replace(bytes.fromhex(known), bytes.fromhex(f"{known[:-2]}77"), 1)
    return f"{first}\n{base64.encodebytes(der).decode()}{last}\n"


def certificate_for(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return RSA


def test_post_puts_id_and_secret_into_the_form_whatever_characters_they_have() -> None:
    sent = presented(ClientAuth.CLIENT_SECRET_POST, client_secret=AWKWARD)
    assert form(sent) == {**GRANT, "client_id": "client-1", "client_secret": AWKWARD}
    assert sent.headers == {}


def test_basic_form_encodes_both_halves_and_keeps_them_out_of_the_form() -> None:
    sent = presented(ClientAuth.CLIENT_SECRET_BASIC, client_id="a:b c", client_secret=AWKWARD)
    assert form(sent) == GRANT
    scheme, _, payload = sent.headers["Authorization"].partition(" ")
    user, _, password = base64.b64decode(payload).decode("ascii").partition(":")
    assert (scheme, unquote_plus(user), unquote_plus(password)) == ("Basic", "a:b c", AWKWARD)
    assert password == "a%2Bb%25c%3Ad+e%2F%C3%A4%3D%26~%22%27"


def test_an_assertion_with_a_certificate_names_it_by_its_sha256_and_is_signed_with_pss(key: rsa.RSAPrivateKey) -> None:
    certificate = certificate_for(key)
    text = certificate.public_bytes(Encoding.PEM).decode()
    sent = presented(ClientAuth.PRIVATE_KEY_JWT, private_key=pem(key), certificate=text)
    assertion = form(sent)["client_assertion"]
    header = jwt.get_unverified_header(assertion)
    thumbprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    assert header["alg"] == "PS256"
    assert base64.urlsafe_b64decode(header["x5t#S256"] + "=") == thumbprint
    # It was made for the moment at which this file was read, which may be long ago.
    claims = jwt.decode(assertion, key.public_key(), algorithms=["PS256"], audience=URL, options={"verify_exp": False})
    assert (claims["iss"], claims["sub"]) == ("client-1", "client-1")
    assert timedelta(minutes=4) < datetime.fromtimestamp(claims["exp"], UTC) - NOW <= timedelta(minutes=10)
    assert form(sent)["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in form(sent)


def test_no_two_assertions_are_alike(key: rsa.RSAPrivateKey) -> None:
    one, two = (form(presented(ClientAuth.PRIVATE_KEY_JWT, private_key=pem(key))) for _ in range(2))
    ids = {jwt.decode(sent["client_assertion"], options={"verify_signature": False})["jti"] for sent in (one, two)}
    assert len(ids) == 2


def test_without_a_certificate_the_key_decides_how_it_is_signed(key: rsa.RSAPrivateKey) -> None:
    for private, algorithm in ((key, "RS256"), (ec.generate_private_key(ec.SECP256R1()), "ES256")):
        sent = presented(ClientAuth.PRIVATE_KEY_JWT, private_key=pem(private))
        assert jwt.get_unverified_header(form(sent)["client_assertion"])["alg"] == algorithm


@pytest.mark.parametrize(
    "values",
    [
        {"private_key": "no key"},
        {"private_key": pem(ed25519.Ed25519PrivateKey.generate())},
        {"private_key": pem(ec.generate_private_key(ec.SECP384R1()))},
        {"private_key": pem(ec.generate_private_key(ec.SECP256R1())), "certificate": "no certificate"},
        {"private_key": unknown(pem(RSA))},
        {
            "private_key": pem(RSA),
            "certificate": unknown(certificate_for(RSA).public_bytes(Encoding.PEM).decode()),
        },
    ],
)
def test_a_key_that_cannot_sign_is_named_without_being_shown(values: dict[str, str]) -> None:
    with pytest.raises(Misconfigured) as wrong:
        presented(ClientAuth.PRIVATE_KEY_JWT, **values)
    assert wrong.value.code == "unusable_key"
    assert wrong.value.__cause__ is None
    assert wrong.value.__context__ is None or wrong.value.__suppress_context__


@pytest.mark.parametrize("values", [{}, {"client_secret": ""}, {"client_secret": "  \n"}, {"private_key": "x"}])
def test_an_empty_secret_is_never_sent(values: dict[str, str]) -> None:
    with pytest.raises(Misconfigured) as wrong:
        presented(ClientAuth.CLIENT_SECRET_POST, **values)
    assert wrong.value.code == "missing_value"


def test_a_request_without_a_client_id_is_not_made() -> None:
    with pytest.raises(Misconfigured, match="no client id"):
        presented(ClientAuth.CLIENT_SECRET_POST, client_id="", client_secret="x")


def test_what_is_presented_does_not_show_itself() -> None:
    for auth in (ClientAuth.CLIENT_SECRET_POST, ClientAuth.CLIENT_SECRET_BASIC):
        assert "canary-4711" not in repr(presented(auth, client_secret="canary-4711"))
