"""The truth about the certificates of the sandbox's applications, and Graph's rules for them; nothing here knows HTTP.

Shape and rules after learn.microsoft.com "keyCredential resource type", "Update application", "application: addKey" and
"removeKey". Only certificates are kept, never a private key: whoever has one made it. Replicas and stale lists are
computed from times, as for secrets. All methods may be called from any thread.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from rotator.sandbox.directory import Directory, Rejected
from rotator.sandbox.records import LOGS_IN, HeldKey, key_from, to_plain
from rotator.sandbox.weather import Sky

PROOF_AUDIENCE = "00000002-0000-0000-c000-000000000000"
_LONGEST_PROOF = timedelta(minutes=10)
_SKEW = timedelta(minutes=5)
_UNCHECKED: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


@dataclass(frozen=True, slots=True)
class WrittenKey:
    """A keyCredential as a request says it. der: the certificate; None: one that is there already, kept as it is.

    kind: type and usage.
    """

    key_id: str | None
    der: str | None
    display_name: str | None = None
    expires_at: datetime | None = None
    kind: tuple[str, str] = LOGS_IN


class KeyRing:
    """The certificates of all applications."""

    def __init__(self, directory: Directory, sky: Sky) -> None:
        self._directory = directory
        self._sky = sky
        self._keys: list[HeldKey] = []

    # The issuer's acts

    def put(self, app_id: str, wish: WrittenKey, *, by: str = "portal") -> HeldKey:
        """Add a certificate past all rules but those of its own dates; known everywhere at once when by `portal`."""
        with self._directory.settled():
            certificate = parsed(wish.der)
            weather, dice = self._sky.weather, self._sky.dice("certificate", app_id)
            at, app = self._directory.real_now(), self._directory.app(app_id)
            lags = [app.fresh_lag + weather.fresh_lag * dice.random() for _ in range(weather.replicas)]
            end = certificate.not_valid_after_utc
            if wish.expires_at is not None and wish.expires_at > end:
                raise Rejected(400, "KeyCredentialsInvalidEndDate", "Key credential end date is invalid.")
            key = HeldKey(
                key_id=(wish.key_id or str(uuid.UUID(int=dice.getrandbits(128), version=4))).lower(),
                app_id=app_id,
                der=wish.der or "",
                display_name=wish.display_name,
                starts_at=certificate.not_valid_before_utc,
                expires_at=wish.expires_at or end,
                created_at=at,
                created_by=by,
                known_at=(at,) if by == "portal" else tuple(at + lag for lag in lags),
                kind=wish.kind,
            )
            return self._kept(key, by)

    def put_symmetric(self, app_id: str, value: bytes, usage: str, lifetime: timedelta) -> HeldKey:
        """Let somebody add a key that is no certificate, past all rules."""
        with self._directory.settled():
            at, text = self._directory.real_now(), base64.b64encode(value).decode()
            ends, key_id = self._directory.now() + lifetime, str(uuid.uuid4())
            key = HeldKey(key_id, app_id, text, None, self._directory.now(), ends, at, "portal", (at,))
            return self._kept(replace(key, kind=("Symmetric", usage)), "portal")

    def add(self, app_id: str, wish: WrittenKey, proof: str, *, by: str) -> HeldKey:
        """Add one beside the others: addKey. Rejected without a proof by the key of one that is valid."""
        with self._directory.settled():
            self._check_proof(app_id, proof)
            self._check_limits(app_id, wish)
            return self.put(app_id, replace(wish, key_id=None), by=by)

    def remove(self, app_id: str, key_id: str, proof: str | None = None, *, by: str = "portal") -> HeldKey:
        """Remove one: removeKey. proof: none is needed by the portal."""
        with self._directory.settled():
            if by != "portal":
                self._check_proof(app_id, proof or "")
            for key in self._held(app_id):
                if key.key_id == key_id.lower():
                    return self._gone(key, by)
            raise Rejected(400, "Request_BadRequest", f"No key credential found with keyId '{key_id}'.")

    def replace_all(self, app_id: str, wishes: Sequence[WrittenKey], *, by: str) -> None:
        """Let these be the application's certificates: PATCH. What is not among them is removed, whoever added it."""
        with self._directory.settled():
            held = {key.key_id: key for key in self._held(app_id)}
            kept = [wish for wish in wishes if wish.key_id is not None and wish.key_id.lower() in held]
            new = [wish for wish in wishes if wish not in kept]
            for wish in kept:
                if wish.kind != held[(wish.key_id or "").lower()].kind:
                    raise Rejected(400, "KeyCredentialsInvalidType", "Key credential type or usage is invalid.")
            for wish in new:
                self._check_limits(app_id, wish)
            names = {(wish.key_id or "").lower() for wish in kept}
            for key in held.values():
                if key.key_id not in names:
                    self._gone(key, by)
            for wish in new:
                self.put(app_id, wish, by=by)

    # What is seen

    def listed(self, app_id: str) -> list[HeldKey]:
        """Return what a read shows: perhaps the state of a moment ago, perhaps in another order."""
        with self._directory.settled():
            weather, dice = self._sky.weather, self._sky.dice("list certificates", app_id)
            view = self._directory.real_now() - weather.stale_list * dice.random()
            shown = [
                key
                for key in self._keys
                if key.app_id == app_id and key.created_at <= view and (key.removed_at is None or key.removed_at > view)
            ]
            if weather.shuffled:
                dice.shuffle(shown)
            return shown

    def recognise(self, app_id: str, header: Mapping[str, Any]) -> HeldKey | None:
        """Return the certificate that the header of an assertion names, if the token replica that is asked knows it."""
        with self._directory.settled():
            weather, at = self._sky.weather, self._directory.real_now()
            replica = self._sky.dice("replica", app_id).randrange(weather.replicas)
            for key in self._keys:
                if key.app_id != app_id or key.kind != LOGS_IN or not names(header, parsed(key.der)):
                    continue
                known = key.known_at[min(replica, len(key.known_at) - 1)] <= at
                gone = key.forgotten_at and key.forgotten_at[min(replica, len(key.forgotten_at) - 1)] <= at
                if known and not gone and key.expires_at > self._directory.now():
                    return key
            return None

    # The oracle

    def truth(self, app_id: str) -> list[HeldKey]:
        """Return every certificate the application ever had, removed ones too, oldest first."""
        with self._directory.settled():
            return [key for key in self._keys if key.app_id == app_id]

    def live(self, app_id: str) -> list[HeldKey]:
        """Return the certificates that exist and have not expired."""
        now = self._directory.now()
        return [key for key in self.truth(app_id) if key.removed_at is None and key.expires_at > now]

    # Memory between two starts

    def dump(self) -> list[dict[str, Any]]:
        """Return all as JSON can carry them."""
        return [to_plain(key) for key in self._keys]

    def load(self, state: Sequence[dict[str, Any]]) -> None:
        """Take the certificates of `dump` instead of those made so far."""
        known = {app.app_id for app in self._directory.apps()}
        self._keys = [key_from(item) for item in state if item["app_id"] in known]

    # Inside

    def _kept(self, key: HeldKey, by: str) -> HeldKey:
        self._keys.append(key)
        self._directory.record("add", key, by)
        return key

    def _held(self, app_id: str) -> list[HeldKey]:
        return [key for key in self._keys if key.app_id == app_id and key.removed_at is None]

    def _gone(self, key: HeldKey, by: str) -> HeldKey:
        weather, dice, at = self._sky.weather, self._sky.dice("removal", key.app_id), self._directory.real_now()
        forgotten = [at] * max(weather.replicas, len(key.known_at))
        if dice.random() < weather.linger_rate:
            forgotten[dice.randrange(len(forgotten))] = at + weather.linger * dice.random()
        gone = replace(key, removed_at=at, removed_by=by, forgotten_at=tuple(forgotten))
        self._keys[self._keys.index(key)] = gone
        self._directory.record("remove", gone, by)
        return gone

    def _check_limits(self, app_id: str, wish: WrittenKey) -> None:
        certificate, now = parsed(wish.der), self._directory.now()
        if certificate.not_valid_after_utc <= now:
            raise Rejected(400, "KeyCredentialsInvalidEndDate", "Key credential end date is invalid.")
        policy = self._directory.app(app_id).policy or self._directory.world.tenant_policy
        asked = (wish.expires_at or certificate.not_valid_after_utc) - now
        if (
            policy is not None
            and policy.max_certificate_lifetime is not None
            and asked > (policy.max_certificate_lifetime)
        ):
            raise Rejected(
                400,
                "CredentialInvalidLifetimeAsPerAppPolicy",
                f"Credential lifetime exceeds the max value allowed as per assigned policy '{policy.policy_id}'.",
            )

    def _check_proof(self, app_id: str, proof: str) -> None:
        """Check a proof of possession. Source: learn.microsoft.com/graph/application-rollkey-prooftoken."""
        now = self._directory.now()
        for key in self._held(app_id):
            public = parsed(key.der).public_key() if key.kind == LOGS_IN else None
            if key.expires_at <= now or not isinstance(public, rsa.RSAPublicKey):
                continue
            try:
                claims = jwt.decode(proof, public, algorithms=["RS256"], options=_UNCHECKED)
            except jwt.InvalidTokenError:
                continue
            since, until = float(claims.get("nbf", 0)), float(claims.get("exp", 0))
            right = claims.get("aud") == PROOF_AUDIENCE
            right = right and claims.get("iss") == self._directory.app(app_id).object_id
            right = right and until - since <= _LONGEST_PROOF.total_seconds()
            right = right and since <= (now + _SKEW).timestamp() and until > (now - _SKEW).timestamp()
            if right:
                return
        raise Rejected(401, "Authentication_MissingOrMalformed", "Access Token missing or malformed.")


def parsed(der: str | None) -> x509.Certificate:
    """Return the certificate in base64 DER. Rejected when it is none."""
    try:
        return x509.load_der_x509_certificate(base64.b64decode(der or "", validate=True))
    except (ValueError, binascii.Error):
        raise Rejected(400, "KeyCredentialsInvalid", "Key credential key value is invalid.") from None


def identifier(key: HeldKey) -> bytes:
    """Return how Entra names a key: the SHA-1 of a certificate, which protects nothing; the id of another."""
    return uuid.UUID(key.key_id).bytes if key.kind[0] == "Symmetric" else parsed(key.der).fingerprint(hashes.SHA1())


def names(header: Mapping[str, Any], certificate: x509.Certificate) -> bool:
    """Say whether the header of an assertion names this certificate (RFC 7515 sections 4.1.7 and 4.1.8)."""
    prints = {
        "x5t#S256": certificate.fingerprint(hashes.SHA256()),
        "x5t": certificate.fingerprint(hashes.SHA1()),
    }
    return any(
        str(header.get(name, "")).rstrip("=") == base64.urlsafe_b64encode(value).rstrip(b"=").decode()
        for name, value in prints.items()
    )
