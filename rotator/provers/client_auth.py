"""Puts the client's proof of itself into a token request; the only place of a prover where a secret's bytes go out.

Three ways (OpenID Connect Core 1.0 section 9): in the form, in a Basic header, or as a signed assertion.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote_plus, urlencode

from rotator.errors import Misconfigured
from rotator.provers.request import ClientAuth
from rotator.secret import Fields, Secret

ASSERTION_LIFETIME = timedelta(minutes=10)  # the most that Entra asks for; clocks may differ by half of it
_CLOCKS_DIFFER = timedelta(minutes=5)
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Unusable(Misconfigured):
    """The value is there, and is none that any endpoint could take: as good as refused."""


@dataclass(frozen=True, slots=True)
class Presented:
    """A request body with the client's proof in it. sensitive: everything in it that no message may repeat."""

    form: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    sensitive: tuple[Secret, ...]


def present(
    client_auth: ClientAuth, client_id: str, values: Fields, grant: Mapping[str, str], token_url: str, now: datetime
) -> Presented:
    """Return the request that asks for `grant` as this client.

    Raises Misconfigured when the document lacks the value, and Unusable when it is empty or a key that cannot sign.
    """
    if not client_id:
        raise Misconfigured(
            "There is no client id to ask with.",
            hint="The document in the store lacks client_id; name it as verify.client_id, or restore the document.",
            code="missing_value",
        )
    if client_auth is ClientAuth.PRIVATE_KEY_JWT:
        key = _needed(values, "private_key")
        assertion = Secret(_assertion(key, values.secret("certificate"), client_id, token_url, now))
        form = {
            **grant,
            "client_id": client_id,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": assertion.reveal(),
        }
        return Presented(urlencode(form).encode(), {}, (key, assertion))
    secret = _needed(values, "client_secret")
    if client_auth is ClientAuth.CLIENT_SECRET_POST:
        form = {**grant, "client_id": client_id, "client_secret": secret.reveal()}
        return Presented(urlencode(form).encode(), {}, (secret,))
    # Both halves are form-encoded first (RFC 6749 section 2.3.1); unencoded, a secret with + or % is refused by
    # servers that keep to it.
    pair = f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}"
    header = base64.b64encode(pair.encode()).decode()
    return Presented(urlencode(grant).encode(), {"Authorization": f"Basic {header}"}, (secret, Secret(header)))


def _needed(values: Fields, name: str) -> Secret:
    secret = values.secret(name)
    # An empty secret is not sent: Keycloak takes it for a client that has none, and gives a token.
    if secret is None or not secret.reveal().strip():
        raise (Misconfigured if secret is None else Unusable)(
            f"The document holds {'no' if secret is None else 'an empty'} {name}, so no token can be asked for.",
            hint="Look at what the store has under the credential's path, and at store.fields.",
            code="missing_value",
        )
    return secret


def _assertion(key: Secret, certificate: Secret | None, client_id: str, token_url: str, now: datetime) -> str:
    """Return a signed client assertion (RFC 7523 section 3).

    With a certificate: PS256 and `x5t#S256`, the form Entra documents for certificate credentials. Without one: RS256,
    or ES256 for a P-256 key, which is what other servers can be expected to know.
    """
    import jwt
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    headers = {}
    try:
        private = load_pem_private_key(key.reveal().encode(), password=None)
        if certificate is not None:
            parsed = x509.load_pem_x509_certificate(certificate.reveal().encode())
            digest = hashlib.sha256(parsed.public_bytes(Encoding.DER)).digest()
            headers["x5t#S256"] = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise _unusable("The document's certificate or private key cannot be read as PEM.") from None
    if isinstance(private, rsa.RSAPrivateKey):
        algorithm = "RS256" if certificate is None else "PS256"
    elif isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name == "secp256r1":
        algorithm = "ES256"
    else:
        raise _unusable("The document's private key is neither RSA nor P-256, so it cannot sign an assertion.")
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": token_url,
        "jti": str(uuid.uuid4()),
        "nbf": now - _CLOCKS_DIFFER,
        "exp": now - _CLOCKS_DIFFER + ASSERTION_LIFETIME,
    }
    return jwt.encode(claims, private, algorithm=algorithm, headers=headers)


def _unusable(message: str) -> Unusable:
    return Unusable(
        message, hint="Put back a certificate and its RSA key, both in PEM, or rotate again.", code="unusable_key"
    )
