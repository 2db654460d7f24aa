"""Two token endpoints that are not Entra's: a JWT vendor with its own error shape, and one with opaque tokens.

The first follows Screening Eagle's habit (Basic, a scope, `{error, errorDescription}`), the second Netwrix's (opaque
token and refresh token, secrets that live 72 hours). A person makes their secrets, here `issue`; for the first there is
also a console API, see `console`.
"""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

from rotator.sandbox.directory import Directory
from rotator.sandbox.exchange import Call, Refusal, Reply
from rotator.sandbox.identity import MARKER, Identity
from rotator.sandbox.weather import Sky

# What a form or a Basic header breaks when it is not encoded.
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789" + "+/=%:& ~-"
_REFRESH_LIFETIME = timedelta(hours=72)
BY_A_PERSON = "made by hand"
"""What a person calls the secrets that he makes in a portal."""
SCREENING_SCOPE = "reports.read"
SCREENING_SCOPES = frozenset({SCREENING_SCOPE, "projects.read"})
SCREENING_AUDIENCE = "api://screening-eagle"


class Vendor(StrEnum):
    """Which of the two."""

    SCREENING_EAGLE = "screening-eagle"
    NETWRIX = "netwrix"


@dataclass(frozen=True, slots=True)
class VendorSecret:
    """One secret of one client. label: whatever its maker called it."""

    text: str = field(repr=False)
    expires_at: datetime
    created_at: datetime
    key_id: str
    label: str = ""


class Vendors:
    """Both vendors' clients, secrets and tokens."""

    def __init__(self, directory: Directory, identity: Identity, sky: Sky) -> None:
        self._lock = threading.Lock()
        self._directory = directory
        self._identity = identity
        self._sky = sky
        self._secrets: dict[tuple[Vendor, str], list[VendorSecret]] = defaultdict(list)
        self._refresh: dict[str, tuple[str, datetime]] = {}
        self.on_change: Callable[[], None] = lambda: None

    def issue(self, vendor: Vendor, client_id: str, lifetime: timedelta = timedelta(hours=72)) -> str:
        """Make a secret in the vendor's portal and return it; the client exists from its first secret on."""
        return self.add(vendor, client_id, lifetime, label=BY_A_PERSON).text

    def add(self, vendor: Vendor, client_id: str, lifetime: timedelta, *, label: str) -> VendorSecret:
        """Make a secret and return all of it."""
        with self._lock:
            dice, now = self._sky.dice(f"vendor-secret:{vendor}", client_id), self._directory.now()
            key_id = f"cred_{dice.getrandbits(64):016x}"
            made = VendorSecret(_text(dice), now + lifetime, now, key_id, label)
            self._secrets[vendor, client_id].append(made)
        self.on_change()
        return made

    def held(self, vendor: Vendor, client_id: str) -> tuple[VendorSecret, ...] | None:
        """Return the secrets of a client, expired ones too; None for a client that does not exist."""
        with self._lock:
            found = self._secrets.get((vendor, client_id))
            return None if found is None else tuple(found)

    def now(self) -> datetime:
        """Return the time by the vendors' clock."""
        return self._directory.now()

    def withdraw(self, vendor: Vendor, client_id: str, text: str) -> None:
        """Remove a secret in the vendor's portal."""
        with self._lock:
            kept = [secret for secret in self._secrets[vendor, client_id] if secret.text != text]
            self._secrets[vendor, client_id] = kept
        self.on_change()

    def dump(self) -> list[dict[str, str]]:
        """Return all clients' secrets as JSON can carry them."""
        with self._lock:
            return [
                {
                    "vendor": vendor.value,
                    "client_id": client_id,
                    "text": one.text,
                    "expires_at": one.expires_at.isoformat(),
                    "created_at": one.created_at.isoformat(),
                    "key_id": one.key_id,
                    "label": one.label,
                }
                for (vendor, client_id), held in self._secrets.items()
                for one in held
            ]

    def load(self, dumped: list[dict[str, str]]) -> None:
        """Undo `dump`."""
        with self._lock:
            for one in dumped:
                expires_at, created_at = (datetime.fromisoformat(one[key]) for key in ("expires_at", "created_at"))
                held = VendorSecret(one["text"], expires_at, created_at, one["key_id"], one["label"])
                self._secrets[Vendor(one["vendor"]), one["client_id"]].append(held)

    def screening_token(self, call: Call) -> Reply:
        """POST /api/id/v1/auth/token: Basic only, scopes with spaces between, a JWT that only this vendor can verify.

        Beside it come an id token and a refresh token, which a client of this grant has no use for.
        """
        pair, form = call.basic(), call.form()
        if pair is None:
            raise Refusal(self.screening_error(401, "invalid_client"))
        if form.get("grant_type") != "client_credentials":
            raise Refusal(self.screening_error(400, "unsupported_grant_type"))
        if not self._knows(Vendor.SCREENING_EAGLE, *pair):
            raise Refusal(self.screening_error(401, "invalid_client"))
        scopes = form.get("scope", "").split(" ")
        if not SCREENING_SCOPES.issuperset(scopes):
            raise Refusal(self.screening_error(400, "invalid_scope"))
        now = int(self._directory.now().timestamp())
        claims = {
            "iss": f"{self._identity.base_url}/api/id/v1",
            "aud": SCREENING_AUDIENCE,
            "sub": pair[0],
            "scp": " ".join(scopes),
            "iat": now,
            "exp": now + 1800,
            "sandbox": MARKER,
        }
        body = {
            "access_token": self._identity.seal(claims),
            "id_token": self._identity.seal({**claims, "aud": pair[0]}),
            "refresh_token": f"sandbox-refresh-{uuid.uuid4().hex}",
        }
        return Reply(200, {**body, "token_type": "bearer", "expires_in": 1800})

    def screening_error(self, status: int, code: str | None = None) -> Reply:
        """Return an error in the first vendor's words."""
        code = code or {401: "invalid_client", 429: "too_many_requests"}.get(status, "server_error")
        return Reply(status, {"error": code, "errorDescription": f"The request was not accepted: {code}."})

    def netwrix_token(self, call: Call) -> Reply:
        """POST /api/v1/token: form or Basic, an opaque token and a refresh token that works once, for 72 hours."""
        form = call.form()
        basic = call.basic()
        grant = form.get("grant_type")
        if grant == "refresh_token":
            client_id = self._spend(form.get("refresh_token", ""))
        elif grant == "client_credentials":
            client_id, text = basic or (form.get("client_id", ""), form.get("client_secret", ""))
            if not self._knows(Vendor.NETWRIX, client_id, text):
                raise Refusal(self.netwrix_error(401, "invalid_client"))
        else:
            raise Refusal(self.netwrix_error(400, "unsupported_grant_type"))
        refresh = f"sandbox-refresh-{uuid.uuid4().hex}"
        with self._lock:
            self._refresh[refresh] = (client_id, self._directory.now() + _REFRESH_LIFETIME)
        body = {"access_token": f"sandbox-opaque-{uuid.uuid4().hex}", "token_type": "Bearer"}
        return Reply(200, {**body, "expires_in": 3600, "refresh_token": refresh})

    def netwrix_error(self, status: int, code: str | None = None) -> Reply:
        """Return an error in the second vendor's words, which are RFC 6749's."""
        code = code or {401: "invalid_client", 429: "slow_down"}.get(status, "server_error")
        return Reply(status, {"error": code, "error_description": f"{code}: request refused"})

    def _knows(self, vendor: Vendor, client_id: str, text: str) -> bool:
        now = self._directory.now()
        with self._lock:
            held = self._secrets.get((vendor, client_id), [])
            return any(secret.text == text and secret.expires_at > now for secret in held)

    def _spend(self, refresh: str) -> str:
        with self._lock:
            client_id, until = self._refresh.pop(refresh, ("", self._directory.now()))
        if until <= self._directory.now():
            raise Refusal(self.netwrix_error(400, "invalid_grant"))
        return client_id


def _text(dice: Random) -> str:
    return "".join(["-+%:", *(dice.choice(_ALPHABET) for _ in range(43)), "z"])  # no vendor ends one with a space
