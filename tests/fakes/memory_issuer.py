"""An issuer in memory and the token endpoint that goes with it, as small as they can be and still be honest.

`MemoryIssuer` keeps the truth: who made which version when, and whether it lives. Everything that makes a real issuer
hard (lag, stale lists, slots, shortened lifetimes, lost answers, a clock of its own) is an attribute that a test sets.
Beside the port it offers what a person with a console can do (`foreign`, `remove`) and what an oracle needs (`truth`,
`mutations`, `accepts`). It survives nothing and reaches nothing.
"""

from __future__ import annotations

import secrets
import threading
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rotator.clock import Clock
from rotator.errors import Misconfigured, NoFreeSlot, OutcomeUnknown, Refused, Throttled
from rotator.finding import Finding, Severity
from rotator.model import Act, Procedure
from rotator.ports import Answer, Issued, Listed, Listing, Retired, Verdict
from rotator.secret import Fields, Secret
from rotator.testing.providers import Fate

OURS = "rotator"
PORTAL = "portal"


@dataclass(slots=True)
class Held:
    """One version as it truly is. by: `rotator` or `portal`. removed_at None: it exists, perhaps expired."""

    key_id: str
    tag: str | None
    created_at: datetime
    expires_at: datetime
    value: Secret
    by: str
    removed_at: datetime | None = None
    hidden_reads: int = 0  # so many lists do not show it yet
    shown_reads: int = 0  # so many lists show it still, though it is removed

    def exists(self, at: datetime) -> bool:
        """Say whether the issuer held it at that moment, expired or not."""
        return self.created_at <= at and (self.removed_at is None or at < self.removed_at)

    def lives(self, at: datetime) -> bool:
        """Say whether it is valid at that moment."""
        return self.exists(at) and at < self.expires_at


@dataclass(slots=True)
class MemoryApplication:
    """One application. slots: how many versions may exist at once; None: any number. lag: a fresh secret is unknown to
    the token endpoint for so long. roles: what its tokens carry."""

    name: str
    client_id: str
    slots: int | None = None
    lag: timedelta = timedelta(0)
    roles: set[str] = field(default_factory=lambda: {"ProviderApi.Access"})
    versions: list[Held] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change that took effect. at: by the issuer's clock."""

    at: datetime
    act: Act
    application: str
    key_id: str
    tag: str | None
    by: str


class MemoryIssuer:
    """A `Provider`, and the truth behind it.

    clock: the world's. The issuer's own time is `clock.now() + skew`: when a test makes the clock jump and the issuer
    is not to jump with it, it takes the same amount off `skew`. max_lifetime: longer wishes are cut to it, silently.
    stale_reads: so many lists after a change do not show it; stale_for: no list shows a change for so long.
    ghost_delay: when a LATE call takes effect. tells_time False: no answer has a Date.
    """

    procedure = Procedure.OVERLAP

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.applications: dict[str, MemoryApplication] = {}
        self.mutations: list[Mutation] = []
        self.skew = timedelta(0)
        self.max_lifetime: timedelta | None = None
        self.stale_reads = 0
        self.stale_for = timedelta(0)
        self.ghost_delay = timedelta(seconds=30)
        self.retry_after = timedelta(seconds=30)
        self.tells_time = True
        self.closed = False
        self._fates: dict[Act, deque[Fate]] = {Act.CREATE: deque(), Act.RETIRE: deque()}
        self._ghosts: list[tuple[datetime, Act, str, str | timedelta, str]] = []
        self._lock = threading.RLock()
        self._made = 0
        self.repeats = False

    # --------------------------------------------------------------------------------------------------- the port

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Issue a version."""
        with self._lock:
            app = self._app(application)
            fate = self._fate(Act.CREATE)
            if fate is Fate.NEVER:
                raise _unknown("create")
            if fate is Fate.LATE:
                self._ghosts.append((self.now() + self.ghost_delay, Act.CREATE, application, lifetime, tag))
                raise _unknown("create")
            self._see_room(app)
            held = self._add(app, tag, lifetime, OURS)
            if fate is Fate.LOST:
                raise _unknown("create")
            values = Fields({"client_secret": held.value})
            return Issued(_listed(held), app.client_id, values, self._date(), f"memory-{self._made}")

    def list(self, application: str) -> Listing:
        """Return what the issuer shows, which may be older than what it holds."""
        with self._lock:
            app = self._app(application)
            seen = tuple(_listed(held) for held in app.versions if self._shown(held))
            free = None if app.slots is None else max(0, app.slots - len(seen))
            return Listing(seen, self._date(), free)

    def retire(self, application: str, key_id: str) -> Retired:
        """Remove a version."""
        with self._lock:
            app = self._app(application)
            fate = self._fate(Act.RETIRE)
            if fate is Fate.NEVER:
                raise _unknown("retire")
            if fate is Fate.LATE:
                self._ghosts.append((self.now() + self.ghost_delay, Act.RETIRE, application, key_id, ""))
                raise _unknown("retire")
            done = self._drop(app, key_id, OURS)
            if fate is Fate.LOST:
                raise _unknown("retire")
            return Retired.DONE if done else Retired.ALREADY_GONE

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Find nothing wrong with an application that exists."""
        self._app(application)
        return [Finding(subject, "application", Severity.OK, "application found in memory")]

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    # ----------------------------------------------------------------------------------- what a person or a test can do

    def now(self) -> datetime:
        """Return the issuer's own time."""
        return self.clock.now() + self.skew

    def add(self, name: str, client_id: str | None = None) -> MemoryApplication:
        """Register an application; its attributes may be changed at any time."""
        with self._lock:
            app = MemoryApplication(name, client_id or f"client-of-{name}")
            self.applications[name] = app
            return app

    def foreign(
        self, name: str, *, tag: str | None = "made in the portal", lifetime: timedelta = timedelta(days=180)
    ) -> Held:
        """Let somebody else make a version."""
        with self._lock:
            return self._add(self.applications[name], tag, lifetime, PORTAL)

    def remove(self, name: str, key_id: str) -> None:
        """Let somebody else remove a version."""
        with self._lock:
            self._drop(self.applications[name], key_id, PORTAL)

    def fate(self, act: Act, *fates: Fate) -> None:
        """Let the next calls of `act` end so, one each."""
        self._fates[act].extend(fates)

    # ------------------------------------------------------------------------------------------- what an oracle asks

    def truth(self, name: str) -> tuple[Held, ...]:
        """Return the versions that live now, oldest first."""
        with self._lock:
            self._haunt()
            return tuple(held for held in self.applications[name].versions if held.lives(self.now()))

    def accepts(self, client_id: str, secret: Secret) -> bool:
        """Say whether this is a live value of that client, by the truth: no lag, no replica."""
        return self.recognise(client_id, secret) is not None

    def recognise(self, client_id: str, secret: Secret) -> Held | None:
        """Return the live version that has this value."""
        with self._lock:
            held = self._having(client_id, secret)
            return held if held is not None and held.lives(self.now()) else None

    def token_side(self, client_id: str, secret: Secret) -> tuple[MemoryApplication | None, Held | None]:
        """Return the client and the version with this value, dead or not, as the token endpoint finds them."""
        with self._lock:
            return self._client(client_id), self._having(client_id, secret)

    # --------------------------------------------------------------------------------------------------------- inside

    def _app(self, name: str) -> MemoryApplication:
        self._haunt()
        if name not in self.applications:
            raise Refused(f"There is no application {name}.", hint="Register it.", code="application_not_found")
        return self.applications[name]

    def _fate(self, act: Act) -> Fate | None:
        fate = self._fates[act].popleft() if self._fates[act] else None
        if fate is Fate.THROTTLED:
            raise Throttled("The issuer asks to wait.", hint="Wait.", retry_after=self.retry_after)
        if fate is Fate.REFUSED:
            raise Refused("The issuer said no.", hint="Ask it why.")
        return fate

    def _see_room(self, app: MemoryApplication) -> None:
        if app.slots is not None and sum(held.removed_at is None for held in app.versions) >= app.slots:
            raise NoFreeSlot(f"{app.name} has {app.slots} versions already.", hint="Remove one that is not used.")

    def _add(self, app: MemoryApplication, tag: str | None, lifetime: timedelta, by: str) -> Held:
        now = self.now()
        if self.max_lifetime is not None and by == OURS:
            lifetime = min(lifetime, self.max_lifetime)
        self._made += 1
        again = self.repeats and app.versions
        value = app.versions[-1].value if again else Secret(f"mem~{secrets.token_urlsafe(27)}")
        key_id = str(uuid.UUID(int=self._made))
        held = Held(key_id, tag, now, now + lifetime, value, by, hidden_reads=self.stale_reads)
        app.versions.append(held)
        self.mutations.append(Mutation(now, Act.CREATE, app.name, key_id, tag, by))
        return held

    def _drop(self, app: MemoryApplication, key_id: str, by: str) -> bool:
        for held in app.versions:
            if held.key_id == key_id and held.removed_at is None:
                held.removed_at = self.now()
                held.shown_reads = self.stale_reads
                self.mutations.append(Mutation(self.now(), Act.RETIRE, app.name, key_id, held.tag, by))
                return True
        return False

    def _shown(self, held: Held) -> bool:
        if held.removed_at is None and held.hidden_reads > 0:
            held.hidden_reads -= 1
            return False
        if held.removed_at is not None and held.shown_reads > 0:
            held.shown_reads -= 1
            return True
        return held.exists(self.now() - self.stale_for)

    def _haunt(self) -> None:
        """Let calls take effect whose time has come."""
        due = [ghost for ghost in self._ghosts if ghost[0] <= self.now()]
        self._ghosts = [ghost for ghost in self._ghosts if ghost[0] > self.now()]
        for _, act, name, subject, tag in due:
            app = self.applications[name]
            if isinstance(subject, timedelta):
                held_now = sum(held.removed_at is None for held in app.versions)
                if app.slots is None or held_now < app.slots:
                    self._add(app, tag, subject, OURS)
            elif act is Act.RETIRE:
                self._drop(app, subject, OURS)

    def _client(self, client_id: str) -> MemoryApplication | None:
        self._haunt()
        return next((app for app in self.applications.values() if app.client_id == client_id), None)

    def _having(self, client_id: str, secret: Secret) -> Held | None:
        app = self._client(client_id)
        return None if app is None else next((held for held in app.versions if held.value == secret), None)

    def _date(self) -> datetime | None:
        return self.now().replace(microsecond=0) if self.tells_time else None


@dataclass(frozen=True, slots=True)
class Asked:
    """One token request. key_id: the version whose value was sent, or None for a value nobody issued."""

    at: datetime
    client_id: str
    key_id: str | None
    answer: Answer


class MemoryProver:
    """A `Prover` that asks the issuer's truth, plus its lag. needs: the role that a token must carry to be fit.

    script: answers given instead, one a request, before the truth is told again; None in it stands for the truth.
    always: an answer given to every request, while it is set.
    """

    def __init__(self, issuer: MemoryIssuer, needs: str = "ProviderApi.Access") -> None:
        self.issuer = issuer
        self.needs = needs
        self.script: deque[Answer | Verdict | None] = deque()
        self.always: Answer | Verdict | None = None
        self.asked: list[Asked] = []

    def flaky(self, *answers: Answer | Verdict | None) -> None:
        """Script the next answers."""
        self.script.extend(answers)

    def prove(self, client_id: str, values: Fields, now: datetime) -> Verdict:
        """Answer as the token endpoint would."""
        secret = values.secret("client_secret")
        if secret is None:
            raise Misconfigured("There is no client_secret to prove.", hint="Look at the document.")
        told = self.script.popleft() if self.script else self.always
        verdict = self._truth(client_id, secret) if told is None else self._verdict(told)
        held = self.issuer.recognise(client_id, secret)
        self.asked.append(Asked(self.issuer.now(), client_id, None if held is None else held.key_id, verdict.answer))
        return verdict

    def check(self, subject: str) -> Sequence[Finding]:
        """Find nothing wrong."""
        return [Finding(subject, "token endpoint", Severity.OK, "in memory")]

    def _truth(self, client_id: str, secret: Secret) -> Verdict:
        app, held = self.issuer.token_side(client_id, secret)
        now = self.issuer.now()
        if app is None:
            return self._said(Answer.REFUSED, "unauthorized_client", f"there is no client {client_id}")
        if held is None or not held.exists(now) or now < held.created_at + app.lag:
            return self._said(Answer.REFUSED, "invalid_client", "the secret is not known")
        if not held.lives(now):
            return self._said(Answer.REFUSED, "expired_secret", "the secret has expired")
        if self.needs not in app.roles:
            found = ", ".join(sorted(app.roles)) or "none"
            return self._said(Answer.UNFIT, "missing_role", f"roles lacks {self.needs} (found: {found})")
        return self._said(Answer.PROVED, "ok", "a token as promised")

    def _verdict(self, told: Answer | Verdict) -> Verdict:
        if isinstance(told, Verdict):
            return told
        codes = {Answer.PROVED: "ok", Answer.UNFIT: "missing_role", Answer.REFUSED: "invalid_client"}
        return self._said(told, codes.get(told, "server_error"), f"scripted: {told.value}")

    def _said(self, answer: Answer, code: str, message: str) -> Verdict:
        issuer_now = self.issuer.now().replace(microsecond=0) if self.issuer.tells_time else None
        got_token = answer in (Answer.PROVED, Answer.UNFIT)
        expires = self.issuer.now() + timedelta(hours=1) if got_token else None
        return Verdict(answer, code, message, issuer_now, expires)


def _listed(held: Held) -> Listed:
    return Listed(held.key_id, held.tag, held.created_at, held.expires_at)


def _unknown(what: str) -> OutcomeUnknown:
    return OutcomeUnknown(f"The answer to {what} was lost.", hint="List before anything else.")
