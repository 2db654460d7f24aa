"""The truth about every secret of the sandbox, and the issuer's rules; nothing here knows HTTP.

Replicas, stale lists and ghosts are computed from times, never from timers: with a clock that a test moves, every one
of them happens exactly when it should. All methods may be called from any thread.
"""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from rotator.clock import Clock
from rotator.sandbox.records import HeldKey, HeldSecret, Mutation, Seen, secret_from, to_plain
from rotator.sandbox.weather import Sky
from rotator.sandbox.world import App, World

# The characters of Entra's client secrets, as public secret scanners look for them.
_MARKS = "~._-"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + _MARKS
_DEFAULT_LIFETIME = timedelta(days=730)


class Rejected(Exception):
    """The issuer's rules forbid it. code: Graph's word for it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


SIGN_IN_LAG = timedelta(seconds=2)
"""So far the report of sign-ins is behind; the real one is by minutes to hours."""


class Directory:
    """All applications and their secrets, and the log of what happened to them.

    world: who exists; replace it to change the tenant's policy. on_change: called after each change of a secret.
    """

    def __init__(self, world: World, sky: Sky, clock: Clock) -> None:
        self._lock = threading.RLock()
        self._sky = sky
        self._clock = clock
        self._moment: datetime | None = None
        self._late: list[tuple[datetime, Callable[[], object]]] = []
        self._used: dict[str, tuple[str, deque[datetime]]] = {}  # by key id
        self._secrets: list[HeldSecret] = []
        self._apps = {app.app_id: app for app in (world.rotator, *world.apps)}
        self._writing: set[str] = set()
        self._mutations: list[Mutation] = []
        self._seen: list[Seen] = []
        self.world = world
        self.on_change: Callable[[], None] = lambda: None
        for app in self._apps.values():
            self._first_secret(app)

    # Time

    def real_now(self) -> datetime:
        """Return the time by the clock of this machine."""
        return self._moment or self._clock.now()

    def now(self) -> datetime:
        """Return the time by the issuer's clock: `Date` headers, token and secret validity."""
        return self.real_now() + self._sky.weather.skew

    def postpone(self, action: Callable[[], object]) -> None:
        """Let `action` take effect later, after the weather's ghost_delay: nobody is told."""
        with self._lock:
            self._late.append((self._clock.now() + self._sky.weather.ghost_delay, action))

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Hold the directory still, after everything postponed that is due by now has happened."""
        with self._lock:
            now = self._clock.now()
            due = [] if self._moment else sorted((i for i in self._late if i[0] <= now), key=lambda item: item[0])
            for item in due:
                self._late.remove(item)
                self._moment = item[0]
                try:
                    item[1]()
                finally:
                    self._moment = None
            yield

    # Applications

    def apps(self) -> list[App]:
        """Return all applications, rotator's own first."""
        with self._lock:
            return list(self._apps.values())

    def find(self, identifier: str) -> App | None:
        """Return the application with this app id, object id or service principal id."""
        for app in self.apps():
            if identifier.lower() in (app.app_id, app.object_id, app.principal_id):
                return app
        return None

    def app(self, app_id: str) -> App:
        """Return one application; KeyError when there is none."""
        return self._apps[app_id]

    def change(self, app_id: str, **changes: Any) -> App:
        """Change an application's settings from now on, as an administrator does; return it."""
        with self._lock:
            self._apps[app_id] = replace(self._apps[app_id], **changes)
            return self._apps[app_id]

    def enrol(self, app: App) -> None:
        """Add an application, with the secret that a person made for it if it says so."""
        with self._lock:
            self._apps[app.app_id] = app
            self._first_secret(app)

    # The issuer's acts

    def begin_write(self, app_id: str) -> bool:
        """Take the application for one write; False when another write holds it."""
        with self._lock:
            if app_id in self._writing:
                return False
            self._writing.add(app_id)
            return True

    def end_write(self, app_id: str) -> None:
        """Give it back."""
        with self._lock:
            self._writing.discard(app_id)

    def add(self, app_id: str, *, display_name: str | None, expires_at: datetime | None, by: str) -> HeldSecret:
        """Create a secret by the rules; Rejected when a policy, a limit or the dates forbid it."""
        with self.settled():
            app, now = self.app(app_id), self.now()
            expires_at = now + _DEFAULT_LIFETIME if expires_at is None else expires_at
            self._check_limits(app, expires_at - now)
            if app.grants_at_most is not None:
                expires_at = min(expires_at, now + app.grants_at_most)
            return self.put(app_id, display_name=display_name, expires_at=expires_at, by=by)

    def put(
        self,
        app_id: str,
        *,
        display_name: str | None,
        expires_at: datetime,
        by: str = "portal",
        text: str | None = None,
    ) -> HeldSecret:
        """Create a secret past all rules, as test and administrator may; known everywhere at once when by `portal`."""
        with self._lock:
            app, dice, at = self.app(app_id), self._sky.dice("secret", app_id), self.real_now()
            weather = self._sky.weather
            lags = [app.fresh_lag + weather.fresh_lag * dice.random() for _ in range(weather.replicas)]
            secret = HeldSecret(
                key_id=str(uuid.UUID(int=dice.getrandbits(128), version=4)),
                app_id=app_id,
                text=text or _secret_text(dice),
                display_name=display_name,
                starts_at=self.now(),
                expires_at=expires_at,
                created_at=at,
                created_by=by,
                known_at=(at,) if by == "portal" else tuple(at + lag for lag in lags),
            )
            self._secrets.append(secret)
            self.record("add", secret, by)
            return secret

    def remove(self, app_id: str, key_id: str, *, by: str = "portal") -> HeldSecret:
        """Remove a secret; Rejected when there is none of that id. Some replicas may go on taking it for a while."""
        with self.settled():
            wanted = (app_id, key_id.lower(), None)
            held = [(secret.app_id, secret.key_id, secret.removed_at) for secret in self._secrets]
            if wanted not in held:
                raise Rejected(400, "Request_BadRequest", f"No password credential found with keyId '{key_id}'.")
            index = held.index(wanted)
            secret = self._secrets[index]
            weather, dice, at = self._sky.weather, self._sky.dice("removal", app_id), self.real_now()
            forgotten = [at] * max(weather.replicas, len(secret.known_at))
            if dice.random() < weather.linger_rate:
                forgotten[dice.randrange(len(forgotten))] = at + weather.linger * dice.random()
            gone = replace(secret, removed_at=at, removed_by=by, forgotten_at=tuple(forgotten))
            self._secrets[index] = gone
            self.record("remove", gone, by)
            return gone

    def expire(self, app_id: str, key_id: str) -> None:
        """Let a secret's life end now."""
        with self._lock:
            now = self.now()
            self._secrets = [
                replace(item, expires_at=now) if (item.app_id, item.key_id) == (app_id, key_id) else item
                for item in self._secrets
            ]
            self.on_change()

    def listed(self, app_id: str) -> list[HeldSecret]:
        """Return what a read shows: perhaps the state of a moment ago, perhaps in another order."""
        with self.settled():
            weather, dice = self._sky.weather, self._sky.dice("list", app_id)
            view = self.real_now() - weather.stale_list * dice.random()
            shown = [
                secret
                for secret in self._secrets
                if secret.app_id == app_id
                and secret.created_at <= view
                and (secret.removed_at is None or secret.removed_at > view)
            ]
            if weather.shuffled:
                dice.shuffle(shown)
            return shown

    def recognise(self, app_id: str, text: str) -> tuple[HeldSecret | None, int]:
        """Return the secret that some token replica takes `text` for, and which replica was asked. Expired ones too."""
        with self.settled():
            weather, at = self._sky.weather, self.real_now()
            replica = self._sky.dice("replica", app_id).randrange(weather.replicas)
            for secret in self._secrets:
                if secret.app_id != app_id or secret.text != text:
                    continue
                known = secret.known_at[min(replica, len(secret.known_at) - 1)] <= at
                gone = secret.forgotten_at and secret.forgotten_at[min(replica, len(secret.forgotten_at) - 1)] <= at
                if known and not gone:
                    return secret, replica
            return None, replica

    def saw_sign_in(self, secret: HeldSecret | HeldKey) -> None:
        """Remember that a token was asked for with this secret or certificate."""
        with self._lock:
            self._used.setdefault(secret.key_id, (secret.app_id, deque(maxlen=100)))[1].append(self.now())

    def signed_in(self, app_id: str) -> list[tuple[str, datetime]]:
        """Return when each secret was last used, as the report has it by now: it lags."""
        with self._lock:
            shown = self.now() - SIGN_IN_LAG
            seen = {
                key: [at for at in moments if at <= shown] for key, (of, moments) in self._used.items() if of == app_id
            }
        return [(key, moments[-1]) for key, moments in seen.items() if moments]

    # The oracle

    def truth(self, app_id: str) -> list[HeldSecret]:
        """Return every secret the application ever had, removed ones too, oldest first."""
        with self.settled():
            return [secret for secret in self._secrets if secret.app_id == app_id]

    def live(self, app_id: str) -> list[HeldSecret]:
        """Return the secrets that exist and have not expired."""
        return [item for item in self.truth(app_id) if item.removed_at is None and item.expires_at > self.now()]

    def authenticates(self, app_id: str, text: str) -> bool:
        """Return whether `text` is a live secret of the application, whatever the replicas believe."""
        return any(secret.text == text for secret in self.live(app_id))

    def mutations(self, app_id: str | None = None) -> list[Mutation]:
        """Return what took effect, in order."""
        with self.settled():
            return [item for item in self._mutations if app_id in (None, item.app_id)]

    def requests(self, app_id: str | None = None, route: str | None = None) -> list[Seen]:
        """Return the requests that arrived, in order; neither bodies nor headers are kept."""
        with self._lock:
            return [item for item in self._seen if app_id in (None, item.app_id) and route in (None, item.route)]

    def note(self, **seen: Any) -> None:
        """Log a request."""
        with self._lock:
            self._seen.append(Seen(seq=len(self._seen) + 1, at=self.real_now(), **seen))

    # Memory between two starts

    def dump(self) -> dict[str, Any]:
        """Return all secrets as JSON can carry them."""
        with self._lock:
            return {"version": 1, "secrets": [to_plain(secret) for secret in self._secrets]}

    def load(self, state: dict[str, Any]) -> None:
        """Take the secrets of `dump` instead of those made so far."""
        with self._lock:
            self._secrets = [secret_from(item) for item in state["secrets"] if item["app_id"] in self._apps]

    # Inside

    def _first_secret(self, app: App) -> None:
        if app.first_secret is not None:
            self.put(app.app_id, display_name="made in the portal", expires_at=self.now() + app.first_secret)

    def _check_limits(self, app: App, lifetime: timedelta) -> None:
        if lifetime <= timedelta(0):
            raise Rejected(400, "Request_BadRequest", "The end date of the credential must be in the future.")
        policy = app.policy or self.world.tenant_policy
        if policy is not None and not policy.secrets_allowed:
            raise Rejected(
                400,
                "CredentialTypeNotAllowedAsPerAppPolicy",
                f"Credential type not allowed as per assigned policy '{policy.policy_id}'.",
            )
        if policy is not None and policy.max_lifetime is not None and lifetime > policy.max_lifetime:
            raise Rejected(
                400,
                "CredentialInvalidLifetimeAsPerAppPolicy",
                f"Credential lifetime exceeds the max value allowed as per assigned policy '{policy.policy_id}'.",
            )
        held = sum(1 for item in self._secrets if item.app_id == app.app_id and item.removed_at is None)
        if app.personal and held >= 2:
            # The text is from jpazureid/blog #492; its code was not recorded there.
            raise Rejected(400, "Request_BadRequest", "You can only add a maximum of 2 encrypted credentials.")
        if app.max_secrets is not None and held >= app.max_secrets:
            raise Rejected(
                403,
                "Directory_ResourceSizeExceeded",
                "The size of the object has exceeded its limit. Please reduce the number of values and retry.",
            )

    def record(self, operation: str, secret: HeldSecret | HeldKey, by: str) -> None:
        """Log what took effect."""
        self._mutations.append(
            Mutation(
                seq=len(self._mutations) + 1,
                at=self.real_now(),
                operation=operation,
                app_id=secret.app_id,
                key_id=secret.key_id,
                display_name=secret.display_name,
                by=by,
            )
        )
        self.on_change()


def _secret_text(dice: Random) -> str:
    """Return 40 characters with every class of legal character; the first is often the one that breaks parsers."""
    first: str = dice.choice(["-", "~", *_ALPHABET[:2]])
    required = [dice.choice("ABCXYZ"), dice.choice("abcxyz"), dice.choice("0123456789"), *_MARKS]
    body = required + [dice.choice(_ALPHABET) for _ in range(39 - len(required))]
    dice.shuffle(body)
    return first + "".join(body)
