"""Signs tokens and checks assertions for the sandbox; every token says in a claim that it is not a real one."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import uuid
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from rotator.sandbox.directory import Directory
from rotator.sandbox.keys import KeyRing, names, parsed
from rotator.sandbox.records import HeldKey
from rotator.sandbox.world import GRAPH_APP_ID, GRAPH_URI, App, Resource

MARKER = "issued by the rotator sandbox; opens nothing"
FEDERATION_AUDIENCE = "api://AzureADTokenExchange"
_SKEW = timedelta(minutes=5)


class BadAssertion(Exception):
    """A client assertion or bearer token does not hold. number: the AADSTS number."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number
        self.message = message


class Identity:
    """The signing keys of one sandbox, and the certificates it knows its applications by."""

    def __init__(self, directory: Directory, ring: KeyRing, base_url: str) -> None:
        self._directory = directory
        self._ring = ring
        self._keys = list(_process_keys())
        self._own = secrets.token_bytes(32)
        self._certificates: dict[str, list[x509.Certificate]] = defaultdict(list)
        self.base_url = base_url

    # Tokens

    def access_token(self, app: App, resource: Resource, *, method: str, audience: str) -> str:
        """Return a token for `app` to `resource`. method: "1" for a secret, "2" for an assertion (azpacr).

        Claims after learn.microsoft.com "access-token-claims-reference". `roles` is absent where nothing was granted.
        """
        now = int(self._directory.now().timestamp())
        tenant = self._directory.world.tenant
        claims: dict[str, Any] = {
            "aud": resource.app_id if resource.token_version == 2 else audience,
            "iat": now - 300,
            "nbf": now - 300,
            "exp": now + int(app.token_lifetime.total_seconds()),
            "oid": app.principal_id,
            "sub": app.principal_id,
            "tid": tenant,
            "uti": uuid.uuid4().hex,
            "sandbox": MARKER,
        }
        if resource.token_version == 2:
            claims |= {"iss": self.issuer, "azp": app.app_id, "azpacr": method, "ver": "2.0"}
        else:
            issuer = f"https://sts.windows.net/{tenant}/"
            claims |= {"iss": issuer, "appid": app.app_id, "appidacr": method, "ver": "1.0"}
        roles = list(app.roles.get(resource.uri, ()))
        if roles:
            claims["roles"] = roles
        return self.sign(claims)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a JWT over `claims` by the key in use."""
        return _sign(claims, self._keys[0])

    def seal(self, claims: Mapping[str, Any]) -> str:
        """Return a JWT over `claims` by a key that never leaves (HS256, RFC 7518 section 3.2)."""
        return jwt.encode(dict(claims), self._own, algorithm="HS256")

    def federated_token(self, app_id: str, lifetime: timedelta = timedelta(hours=1)) -> str:
        """Return what a workload's token file holds: proof of being `app_id`, by the sandbox's own cluster."""
        now = self._directory.now()
        return self.sign(
            {
                "iss": f"{self.base_url}/federation",
                "sub": f"workload:{app_id}",
                "aud": FEDERATION_AUDIENCE,
                "iat": int(now.timestamp()),
                "exp": int((now + lifetime).timestamp()),
                "sandbox": MARKER,
            }
        )

    def roll_keys(self) -> None:
        """Sign with the other key from now on; both stay published."""
        self._keys.reverse()

    @property
    def issuer(self) -> str:
        """The issuer named by the v2.0 metadata and by v2 tokens."""
        return f"{self.base_url}/{self._directory.world.tenant}/v2.0"

    def jwks(self) -> dict[str, Any]:
        """Return the published keys: two for signing, and one for encryption that a careless client would pick."""
        keys = [_jwk(key, "sig", _kid(key)) for key in self._keys]
        return {"keys": [_jwk(self._keys[1], "enc", "for-encryption"), *sorted(keys, key=lambda item: item["kid"])]}

    def bearer(self, authorization: str) -> dict[str, Any]:
        """Return the claims of a token for Graph; BadAssertion when it is none of ours, expired, or for another API."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise BadAssertion(0, "Access token is empty.")
        claims = self._verified(token)
        if claims.get("aud") not in (GRAPH_URI, GRAPH_APP_ID, self.base_url):
            raise BadAssertion(0, "Access token validation failure. Invalid audience.")
        if claims["exp"] <= self._directory.now().timestamp():
            raise BadAssertion(0, "Lifetime validation failed, the token is expired.")
        return claims

    # Assertions

    def trust(self, app_id: str, certificate: x509.Certificate) -> None:
        """Accept assertions of `app_id` that are signed with this certificate's key."""
        self._certificates[app_id].append(certificate)

    def check_assertion(self, client_id: str, assertion: str, token_url: str) -> HeldKey | None:
        """Check a client assertion (RFC 7523), signed by a trusted certificate or by the sandbox's own cluster.

        Return the certificate of the application that it was signed with; None for any other.
        """
        try:
            header = jwt.get_unverified_header(assertion)
            claims = jwt.decode(assertion, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            raise BadAssertion(50027, "JWT token is invalid or malformed.") from None
        if claims.get("iss") == f"{self.base_url}/federation":
            self._check_federated(client_id, assertion)
            return None
        held = self._ring.recognise(client_id, header)
        certificate = self._certificate(client_id, header) if held is None else parsed(held.der)
        public = certificate.public_key()
        if not isinstance(public, rsa.RSAPublicKey):
            raise BadAssertion(700027, "The certificate's key cannot be used to verify the assertion.")
        try:
            jwt.decode(assertion, public, algorithms=["PS256", "RS256"], options=_SIGNATURE_ONLY)
        except jwt.InvalidTokenError:
            raise BadAssertion(700027, "Client assertion failed signature validation.") from None
        if claims.get("iss") != client_id or claims.get("sub") != client_id:
            raise BadAssertion(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
        if claims.get("aud") not in (token_url, self.issuer):
            raise BadAssertion(700023, "Client assertion audience claim does not match Realm issuer.")
        now = self._directory.now()
        until, since = float(claims.get("exp", 0)), float(claims.get("nbf", 0))
        if until <= (now - _SKEW).timestamp() or since > (now + _SKEW).timestamp():
            raise BadAssertion(700024, "Client assertion is not within its valid time range.")
        return held

    def _check_federated(self, client_id: str, assertion: str) -> None:
        claims = self._verified(assertion)
        wanted = (f"workload:{client_id}", FEDERATION_AUDIENCE)
        if (claims.get("sub"), claims.get("aud")) != wanted:
            raise BadAssertion(70021, "No matching federated identity record found for presented assertion.")
        if claims["exp"] <= self._directory.now().timestamp():
            raise BadAssertion(700024, "Client assertion is not within its valid time range.")

    def _certificate(self, client_id: str, header: Mapping[str, Any]) -> x509.Certificate:
        for certificate in self._certificates[client_id]:
            if names(header, certificate):
                return certificate
        raise BadAssertion(
            700027, "Client assertion failed signature validation. The key was not found by its thumbprint."
        )

    def _verified(self, token: str) -> dict[str, Any]:
        for key in self._keys:
            try:
                return dict(jwt.decode(token, key.public_key(), algorithms=["RS256"], options=_SIGNATURE_ONLY))
            except jwt.InvalidTokenError:
                continue
        raise BadAssertion(0, "Access token validation failure. Signature is not valid.")


# Validity is compared with the issuer's clock, which a test may move; PyJWT reads the machine's.
_SIGNATURE_ONLY: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


@cache
def _process_keys() -> tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey]:
    """Make the two signing keys once a process: a test suite starts many sandboxes, and each key costs 50 ms."""
    first, second = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    return first, second


def _sign(claims: Mapping[str, Any], key: rsa.RSAPrivateKey) -> str:
    return jwt.encode(dict(claims), key, algorithm="RS256", headers={"kid": _kid(key)})


@cache
def _kid(key: rsa.RSAPrivateKey) -> str:
    numbers = key.public_key().public_numbers()
    return _base64url(hashlib.sha256(f"{numbers.e}:{numbers.n}".encode()).digest())[:27]


def _jwk(key: rsa.RSAPrivateKey, use: str, kid: str) -> dict[str, Any]:
    public = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    return {"kty": "RSA", "use": use, "kid": kid, "n": public["n"], "e": public["e"]}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
