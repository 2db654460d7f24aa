"""How a credential is doing, what people must hear of it, and when to look again. Reads no clock, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from rotator.due import Action, Due
from rotator.event import EventName
from rotator.model import Credential, CredentialState, VersionState
from rotator.planner import NO_JITTER, begins_at, current_version, next_action, prepared_until, retry_at, why_idle
from rotator.ports import Tracked
from rotator.timing import CLOCK_LIMIT, plus, spell, spell_moment

LONGEST_SLEEP: Final = timedelta(hours=1)
"""However little is due, a credential is looked at this often: policies change, and clocks are put right."""

GRACE_PROOFS: Final = timedelta(minutes=5)
"""How often, at least, the current version is proved during the grace of the one before, for a day of it at most."""

LATER_PROOFS: Final = timedelta(hours=1)
"""How often after that, while the one before could still be put back: it may be left to live for weeks."""

_NEW_FOR: Final = timedelta(days=1)

DOES_NOT_PASS: Final = "The secret in use does not pass"
"""How a `Trouble` begins that says so, whoever asked."""

_NOTHING: Final = timedelta(0)


class State(StrEnum):
    """How a credential is doing, in one word."""

    OK = "ok"
    DUE = "due"
    ROTATING = "rotating"
    GRACE = "grace"
    PARKED = "parked"
    PAUSED = "paused"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Outlook(NamedTuple):
    """How a credential is doing, and what is next; None when nothing is or nothing may be, see `planner.why_idle`."""

    state: State
    next: Due | None


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold that the current version has passed. before: what was left then; nothing, when it is expired."""

    name: str
    key_id: str
    event: EventName
    before: timedelta
    at: datetime
    expires_at: datetime

    @property
    def sentence(self) -> str:
        """Return what people should know."""
        if self.event is EventName.CREDENTIAL_EXPIRED:
            return f"The current version of {self.name} expired at {spell_moment(self.expires_at)}."
        return f"Less than {spell(self.before)} is left: {self.name} expires at {spell_moment(self.expires_at)}."


def outlook(
    credential: Credential | None, tracked: Tracked | None, now: datetime, jitter: timedelta = NO_JITTER
) -> Outlook:
    """Return the state of a credential, and what is next.

    credential: None when it left the configuration. tracked: None when the ledger never saw it. The state is the first
    that holds of: unknown to the ledger or forgotten, parked, expired, paused, rotating, unknown to the configuration,
    due, grace, ok. It is due from the moment a rule asks for a rotation, though window, grace, jitter or a retry may
    hold that up.
    """
    due = next_action(credential, tracked, now, jitter) if credential is not None else None
    if tracked is None or tracked.state.forgotten_at is not None:
        return Outlook(State.UNKNOWN, due)
    current = current_version(tracked)
    if tracked.state.parked is not None:
        return Outlook(State.PARKED, due)
    if current is not None and current.expires_at is not None and current.expires_at <= now:
        return Outlook(State.EXPIRED, due)
    if tracked.state.paused_at is not None:
        return Outlook(State.PAUSED, due)
    if tracked.rotation is not None and prepared_until(tracked, now) is None:
        return Outlook(State.ROTATING, due)
    if credential is None:
        return Outlook(State.UNKNOWN, due)
    if due is not None and due.replaces and (due.since <= now or due.at <= now):
        return Outlook(State.DUE, due)
    return Outlook(State.GRACE if _in_grace(tracked) else State.OK, due)


def state_of(credential: Credential | None, tracked: Tracked | None, now: datetime) -> State:
    """Return how a credential is doing, in one word; see `outlook`."""
    return outlook(credential, tracked, now).state


def alerts(credential: Credential, tracked: Tracked, now: datetime) -> tuple[Alert, ...]:
    """Return every threshold of `alert_before` that the current version has passed, the most urgent last.

    Also for what is paused or parked. A threshold longer than the whole life of the version was never passed.
    """
    version = current_version(tracked)
    if version is None or version.expires_at is None:
        return ()
    key_id, end = version.key_id, version.expires_at
    return tuple(
        Alert(credential.name, key_id, _event(before), before, at, end)
        for before, at in _thresholds(credential, tracked)
        if at <= now
    )


def unsaid(credential: Credential, tracked: Tracked, now: datetime) -> tuple[Alert, ...]:
    """Return the alerts that nobody has been told of yet, the most urgent last.

    What was told of a time to come was told by a clock that was ahead, and must be told again when it is so.
    """
    last = tracked.state.alerted_at
    if last is not None and last > plus(now, CLOCK_LIMIT):
        last = None
    return tuple(one for one in alerts(credential, tracked, now) if last is None or one.at > last)


def doubted(state: CredentialState) -> bool:
    """Say whether the version in use did not pass when it was proved last, be it by a person, and nothing since."""
    said, proved = state.error, state.proved_at
    return said is not None and said.message.startswith(DOES_NOT_PASS) and (proved is None or proved < said.at)


def heartbeat_at(credential: Credential, tracked: Tracked, now: datetime) -> datetime | None:
    """Return when the current version is to be proved next without cause; None: only when asked.

    In grace it is proved more often, whatever `every` says: while the version before lives, it can be put back; most
    often while it is new. Nothing is proved for what is paused, parked or forgotten.
    """
    if current_version(tracked) is None or why_idle(tracked) is not None:
        return None
    every = _proved_every(credential, tracked, now)
    if every is None:
        return None
    proved = tracked.state.proved_at
    at = now if proved is None or doubted(tracked.state) else plus(min(proved, now), every)
    return max(at, retry_at(tracked, now) or at)


def _proved_every(credential: Credential, tracked: Tracked, now: datetime) -> timedelta | None:
    every = credential.proof.every
    if not _in_grace(tracked):
        return every
    grace = credential.policy.grace
    replaced = [one.displaced.local.wall for one in tracked.versions if one.displaced is not None]
    fresh = bool(replaced) and now - max(replaced) < min(grace, _NEW_FOR)
    in_grace = min(GRACE_PROOFS, grace / 10) if fresh else LATER_PROOFS
    return in_grace if every is None else min(every, in_grace)


def wake_at(credential: Credential, tracked: Tracked | None, now: datetime, jitter: timedelta = NO_JITTER) -> datetime:
    """Return the earliest moment at which this credential can need anything; at most `LONGEST_SLEEP` from now.

    It holds while neither ledger nor configuration change. Ask `asleep` with it: that distrusts one too far ahead.
    """
    due = next_action(credential, tracked, now, jitter)
    moments = [plus(now, LONGEST_SLEEP)]
    if due is not None and due.action is not Action.REMIND:
        moments.append(begins_at(credential, tracked, due))
    if tracked is not None:
        moments.extend(at for _, at in _thresholds(credential, tracked) if at > now)
        heartbeat = heartbeat_at(credential, tracked, now)
        if heartbeat is not None:
            moments.append(heartbeat)
    return max(min(moments), now)


def rests_until(
    credential: Credential, tracked: Tracked, now: datetime, jitter: timedelta = NO_JITTER
) -> datetime | None:
    """Return until when a visit would find nothing to do, whatever `wake_at` says; None: one is needed now.

    It does not know of sightings, which need a visit too.
    """
    state = tracked.state
    if state.wake_at is None or state.binding != credential.binding or unsaid(credential, tracked, now):
        return None
    at = wake_at(credential, tracked, now, jitter)
    return at if at > now else None


def asleep(until: datetime | None, now: datetime) -> bool:
    """Say whether a credential with this `wake_at` need not be looked at now.

    One that is further ahead than any is ever set was written by a clock that has been put back since.
    """
    return until is not None and now < until <= plus(now, LONGEST_SLEEP)


def _in_grace(tracked: Tracked) -> bool:
    return any(version.state in (VersionState.PREVIOUS, VersionState.RETIRING) for version in tracked.versions)


def _event(before: timedelta) -> EventName:
    return EventName.CREDENTIAL_EXPIRING if before > _NOTHING else EventName.CREDENTIAL_EXPIRED


def _thresholds(credential: Credential, tracked: Tracked) -> Iterator[tuple[timedelta, datetime]]:
    """Yield how long before the end of the current version to speak up, and when that is, the most urgent last."""
    version = current_version(tracked)
    if version is None or version.expires_at is None or tracked.state.forgotten_at is not None:
        return
    for before in sorted(set(credential.policy.alert_before), reverse=True):
        at = plus(version.expires_at, -before)
        if before > _NOTHING and (version.created_at is None or version.created_at < at):
            yield before, at
    yield _NOTHING, version.expires_at
