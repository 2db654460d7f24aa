"""Says whether a token is a JWT that its issuer signed, and reads its claims; it believes no token about its own key.

Accepted are RS256, PS256 and ES256 only: never `none`, and never an HMAC, whose key a published key set could be
mistaken for (CVE-2022-29217 and its kin). A key is chosen by its id, for signatures only, and of the kind that the
algorithm needs.
Key sets are kept for some minutes and fetched once more when a token names a key that is not in them.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from rotator.clock import Clock, Instant, elapsed
from rotator.expect import Fault, FaultCode, show
from rotator.provers.request import Signature
from rotator.secret import Secret
from rotator.wire.exchange import Reply, Unanswered
from rotator.wire.strictly import NotJson, read_object
from rotator.wire.urls import host_of, url_fault

KEPT = timedelta(minutes=10)
NOT_AGAIN_BEFORE = timedelta(seconds=30)  # an unknown key id is no reason to ask more often than this
MAX_KEYS = 100
LEAST_RSA_BITS = 2048

_KEY_TYPES = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC"}
_HOLDS = "a signature by one of the issuer's keys"

Fetch = Callable[[str], Reply]


@dataclass(frozen=True, slots=True)
class Jwt:
    """A token that could be read. header: for the choice of the key only."""

    header: Mapping[str, Any] = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)


def parse(token: Secret) -> Jwt | Fault | None:
    """Return header and claims of a JWT (RFC 7519), None for an opaque token, a fault for what only looks like one."""
    parts = token.reveal().split(".")
    if len(parts) not in (3, 5):
        return None
    try:
        header = read_object(_decoded(parts[0]))
    except NotJson:
        return None  # two dots do not make a JWT
    if len(parts) == 5:
        return Fault(FaultCode.NOT_A_JWT, "access_token", "a signed JWT", "it is encrypted (JWE)")
    try:
        return Jwt(header, read_object(_decoded(parts[1])))
    except NotJson:
        return Fault(FaultCode.NOT_A_JWT, "access_token", "a signed JWT", "its payload is no JSON object")


class Keys:
    """The published keys of one issuer. Safe for use from several threads."""

    def __init__(self, signature: Signature, url: str, clock: Clock, *, plain_http: bool) -> None:
        self._signature = signature
        self._url = url
        self._plain_http = plain_http
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: list[Mapping[str, Any]] = []
        self._fetched: Instant | None = None

    def fault(self, token: Secret, parsed: Jwt, fetch: Fetch) -> Fault | None:
        """Return why the signature does not hold, None when it does.

        Raises Unanswered (`keys_unreachable`, or `tls_failed`) when the keys cannot be had, which says nothing of it.
        """
        algorithm = parsed.header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in _KEY_TYPES:
            expected = ", ".join(_KEY_TYPES)
            return Fault(FaultCode.SIGNATURE_INVALID, "alg", expected, f"the algorithm is {show(algorithm)}")
        candidates = self._candidates(parsed.header, algorithm, fetch)
        if not candidates:
            named = parsed.header.get("kid")
            found = "the token names no key" if named is None else f"no key {show(named)} for {algorithm} is published"
            return Fault(FaultCode.SIGNATURE_INVALID, "kid", _HOLDS, found)
        if any(_holds(token, candidate, algorithm) for candidate in candidates):
            return None
        return Fault(
            FaultCode.SIGNATURE_INVALID, "signature", _HOLDS, "it was not made with the key that the token names"
        )

    def usable(self, fetch: Fetch) -> int:
        """Fetch the keys anew and return how many can check a signature. Raises Unanswered."""
        with self._lock:
            self._load(fetch)
            return len([key for key in self._keys if any(_fits(key, name, None) for name in _KEY_TYPES)])

    def _candidates(self, header: Mapping[str, Any], algorithm: str, fetch: Fetch) -> list[Mapping[str, Any]]:
        with self._lock:
            if self._older_than(KEPT):
                self._load(fetch)
            found = [key for key in self._keys if _fits(key, algorithm, header.get("kid"))]
            if not found and self._older_than(NOT_AGAIN_BEFORE):
                self._load(fetch)
                found = [key for key in self._keys if _fits(key, algorithm, header.get("kid"))]
            return found

    def _older_than(self, age: timedelta) -> bool:
        if self._fetched is None:
            return True
        kept = elapsed(self._fetched, self._clock.instant())
        return kept is None or kept >= age

    def _load(self, fetch: Fetch) -> None:
        url = self._url
        if self._signature is Signature.JWKS:
            named = self._document(url, fetch).get("jwks_uri")
            if not isinstance(named, str) or url_fault(named, plain_http=self._plain_http):
                raise Unanswered("keys_unreachable", f"The metadata at {host_of(url)} names no https address of keys.")
            url = named
        keys = self._document(url, fetch).get("keys")
        if not isinstance(keys, list):
            raise Unanswered("keys_unreachable", f"What {host_of(url)} answered is no key set.")
        self._keys = [key for key in keys[:MAX_KEYS] if isinstance(key, dict)]
        self._fetched = self._clock.instant()

    @staticmethod
    def _document(url: str, fetch: Fetch) -> dict[str, Any]:
        code = "keys_unreachable"
        try:
            reply = fetch(url)
            if reply.status == 200:
                return read_object(reply.body)
            problem = f"it answered {reply.status}"
        except Unanswered as failure:
            problem = failure.message
            code = failure.code if failure.code == "tls_failed" else code  # nobody needs to wait for that to pass
        except NotJson:
            problem = "it did not answer with JSON"
        raise Unanswered(code, f"The issuer's signing keys cannot be had from {host_of(url)}: {problem}")


def _fits(key: Mapping[str, Any], algorithm: str, key_id: object) -> bool:
    """Say whether a published key may check a signature by this algorithm. key_id None: the token names none."""
    if key_id is not None and key.get("kid") != key_id:
        return False
    if key.get("kty") != _KEY_TYPES[algorithm] or key.get("use", "sig") != "sig":
        return False
    operations = key.get("key_ops")
    if isinstance(operations, list) and "verify" not in operations:
        return False
    return bool(key.get("alg", algorithm) == algorithm)


def _holds(token: Secret, key: Mapping[str, Any], algorithm: str) -> bool:
    try:
        public = jwt.PyJWK(dict(key), algorithm).key
        if isinstance(public, rsa.RSAPublicKey) and public.key_size < LEAST_RSA_BITS:
            return False
        if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name != "secp256r1":
            return False
        if not isinstance(public, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
            return False
        jwt.PyJWS(algorithms=[algorithm]).decode_complete(token.reveal(), public, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, TypeError):
        return False
    return True


def _decoded(segment: str) -> bytes:
    try:
        return base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise NotJson("not base64url") from None
