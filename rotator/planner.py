"""What is due, when and why: ordered rules, each with a code for machines and a sentence for people. Reads no clock.

It does nothing and asks nobody: everything it knows is in its arguments, so the same arguments get the same answer. It
plans by the wall clock alone; before anything starts because of time, whoever starts it asks `timing.clock_skew`
whether that clock can be trusted, and whether a grace has really ended is asked of `Version.displaced`.

A rule says since when something is due. What may hold it up is the same for all rules of one urgency:

    at once     a retry that may not come yet
    in window   that, and the maintenance window
    by age      those, the grace of the version before, and jitter

A window never lets a secret die. When the opening that comes next would end too late, the last one that ends in time is
taken, even though nothing is due by then; where there is none, the window yields, and the sentence says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, NamedTuple

from rotator.due import Action, Due, Hold
from rotator.ends import end_that_counts
from rotator.model import (
    Credential,
    Origin,
    Phase,
    Policy,
    Procedure,
    Reason,
    RetireMode,
    Version,
    VersionState,
    Window,
)
from rotator.ports import Tracked
from rotator.timing import CLOCK_LIMIT, LONGEST_RETRY, fraction, plus, spell_moment
from rotator.windows import last_opening_before, opening_at

NO_JITTER: Final = timedelta(0)

_OWN: Final = (Origin.OURS, Origin.ADOPTED)
_BY_ITSELF: Final = (RetireMode.AFTER_GRACE, RetireMode.WHEN_UNUSED)
_REPLACED: Final = (VersionState.PREVIOUS, VersionState.RETIRING)


def next_action(
    credential: Credential, tracked: Tracked | None, now: datetime, jitter: timedelta = NO_JITTER
) -> Due | None:
    """Return what rotator does next with a credential, due already or not; None when nothing, see `why_idle`.

    tracked: None when the ledger never saw it. jitter: the most by which what comes due by age is delayed. Of several
    things that are due already, what is unfinished comes first, then what is past its grace, then the rotation.
    """
    if tracked is not None and _stands_still(tracked):
        return None
    look = _look(credential, tracked, now)
    rotation = _rotation(look, jitter)
    if rotation is not None and rotation.reason is Reason.INTERRUPTED:
        return rotation
    ends = _retirements(look) if look.replaced else ()
    if not ends:
        return rotation
    return min((*ends, rotation) if rotation else ends, key=lambda due: max(due.at, now))


def next_rotation(
    credential: Credential, tracked: Tracked | None, now: datetime, jitter: timedelta = NO_JITTER
) -> Due | None:
    """Return when a credential is rotated next, or its interrupted rotation recovered, and why.

    Where versions are made by hand, what is due is a reminder.
    """
    if tracked is not None and _stands_still(tracked):
        return None
    return _rotation(_look(credential, tracked, now), jitter)


def retirements(credential: Credential, tracked: Tracked, now: datetime) -> tuple[Due, ...]:
    """Return when each previous version is to be retired by rotator, the first one first."""
    return () if _stands_still(tracked) else _retirements(_look(credential, tracked, now))


def reminders(credential: Credential, tracked: Tracked, now: datetime) -> tuple[Due, ...]:
    """Return what persons have said they do themselves: the end of previous versions where `retire` is manual."""
    if _stands_still(tracked):
        return ()
    look = _look(credential, tracked, now)
    return _in_order(_end(look, *grace) for grace in _graces(look) if grace[2] is Action.REMIND)


def known_as(credential: Credential, tracked: Tracked | None) -> Tracked | None:
    """Return what the ledger knows of this credential: nothing, when it forgot the name and that means another now."""
    if tracked is None or (tracked.state.forgotten_at is not None and tracked.state.binding != credential.binding):
        return None
    return tracked


def why_idle(tracked: Tracked) -> str | None:
    """Return why nothing is planned for a credential, and what changes that; None when it is not so."""
    state = tracked.state
    if state.forgotten_at is not None:
        return f"forgotten at {spell_moment(state.forgotten_at)}: rotator no longer manages it"
    if state.parked is not None:
        return f"parked at {spell_moment(state.parked.at)}: a person must act, then: rotator resume {state.name}"
    if state.paused_at is not None:
        return f"paused at {spell_moment(state.paused_at)}: nothing starts until: rotator resume {state.name}"
    return None


def current_version(tracked: Tracked) -> Version | None:
    """Return the version that consumers read, as far as the ledger knows."""
    for version in tracked.versions:
        if version.state is VersionState.CURRENT:
            return version
    return None


def procedure_of(credential: Credential, tracked: Tracked | None) -> Procedure:
    """Return how a version is replaced: as its issuer said last, else as the configuration says."""
    return (tracked.state.procedure if tracked is not None else None) or credential.procedure


def must_ask(credential: Credential, tracked: Tracked | None, reason: Reason) -> bool:
    """Say whether a rotation waits for a person who accepts that consumers are without a valid version for a moment.

    Not where two versions live at once, nor where a person has asked for it or nothing works any more; but where the
    issuer shows a value only once, it is for the policy alone to say.
    """
    procedure = procedure_of(credential, tracked)
    if not procedure.single_slot or credential.policy.accept_gap or reason is Reason.INTERRUPTED:
        return False
    return procedure is Procedure.BLIND or reason not in (Reason.REQUESTED, Reason.EXPIRED, Reason.REFUSED)


def prepared_until(tracked: Tracked, now: datetime) -> datetime | None:
    """Return until when a next version waits that is proved already; None when there is none, or it need not wait."""
    rotation = tracked.rotation
    if rotation is None or rotation.phase is not Phase.PROVED or tracked.request is not None:
        return None
    return rotation.promote_at if rotation.promote_at is not None and now < rotation.promote_at else None


def begins_at(credential: Credential, tracked: Tracked | None, due: Due) -> datetime:
    """Return when a rotation begins whose version is to be shown at `due.at`: earlier, where it is prepared.

    What waits for a grace has no slot before, and what a person asked for, or has expired, waits for nothing. While a
    version is prepared nothing is retired, so none is before a grace is over that ends by then.
    """
    ahead = credential.policy.prepare
    by_age = due.action is Action.ROTATE and due.reason in (Reason.NEAR_EXPIRY, Reason.MAX_AGE)
    if ahead is None or not by_age or due.hold is Hold.GRACE or procedure_of(credential, tracked).single_slot:
        return due.at
    replaced = tracked.versions if tracked is not None else ()
    graces = [end_of_grace(one, credential.policy) for one in replaced if one.state is VersionState.PREVIOUS]
    free = [end for end in graces if end is not None and credential.policy.retire in _BY_ITSELF]
    return min(due.at, max((plus(due.at, -ahead), *free)))


def postponed_until(credential: Credential, tracked: Tracked, now: datetime) -> datetime | None:
    """Return until when what is prepared waits once more, since its window was missed; None when it may be shown."""
    if credential.policy.window is None:
        return None
    look = _look(credential, tracked, now)
    at, _ = _in_window(look, credential.policy.window, now, Hold.NOTHING, _latest(look))
    return at if at > now else None


def retry_at(tracked: Tracked, now: datetime) -> datetime | None:
    """Return until when no attempt may be made; None when one may be made now."""
    until, failed = tracked.state.not_before, tracked.state.error
    if failed is not None and failed.at > plus(now, CLOCK_LIMIT):  # the clock was ahead then, and has been put right
        return None
    return until if until is not None and now < until <= plus(now, LONGEST_RETRY) else None


# ------------------------------------------------------------------------------------------------------------ rules


class _Look(NamedTuple):
    """One credential at one moment: all that a rule may look at. replaced: versions that were current before."""

    credential: Credential
    tracked: Tracked | None
    current: Version | None
    replaced: tuple[Version, ...]
    now: datetime
    retry: datetime | None


def _interrupted(look: _Look) -> datetime | None:
    """A rotation is unfinished: recovery comes before anything else."""
    if look.tracked is None or (rotation := look.tracked.rotation) is None:
        return None
    return prepared_until(look.tracked, look.now) or min(rotation.started_at, look.now)


def _requested(look: _Look) -> datetime | None:
    """Somebody asked."""
    request = look.tracked.request if look.tracked else None
    return min(request.at, look.now) if request else None


def _expired(look: _Look) -> datetime | None:
    """The current version no longer works, whoever issued it."""
    end = look.current.expires_at if look.current else None
    return end if end is not None and end <= look.now else None


def _never_rotated(look: _Look) -> datetime | None:
    """There is no version of ours, nor one that we were told to adopt."""
    return None if look.current is not None and look.current.origin in _OWN else look.now


def _near_expiry(look: _Look) -> datetime | None:
    """As little is left as the policy asks for. Where the issuer names none, the lifetime that was meant counts."""
    version, policy = look.current, look.credential.policy
    if version is None or version.origin not in _OWN:
        return None
    end = end_that_counts(version, policy)
    return plus(end, -policy.rotate_before) if end is not None else None


def _max_age(look: _Look) -> datetime | None:
    """The version is as old as the policy allows."""
    version, limit = look.current, look.credential.policy.max_age
    if version is None or limit is None or version.origin not in _OWN:
        return None
    born = version.created_at or version.promoted_at
    return plus(born, limit) if born else None


class _Urgency(Enum):
    AT_ONCE = 1
    IN_WINDOW = 2
    BY_AGE = 3


class _Rule(NamedTuple):
    reason: Reason
    urgency: _Urgency
    asks_since: Callable[[_Look], datetime | None]


RULES: Final = (
    _Rule(Reason.INTERRUPTED, _Urgency.AT_ONCE, _interrupted),
    _Rule(Reason.REQUESTED, _Urgency.AT_ONCE, _requested),
    _Rule(Reason.EXPIRED, _Urgency.AT_ONCE, _expired),
    _Rule(Reason.NEVER_ROTATED, _Urgency.IN_WINDOW, _never_rotated),
    _Rule(Reason.NEAR_EXPIRY, _Urgency.BY_AGE, _near_expiry),
    _Rule(Reason.MAX_AGE, _Urgency.BY_AGE, _max_age),
)
"""Why a rotation is due. The first that is due at once wins; of the others the one that is due first, then in order."""


# ---------------------------------------------------------------------------------------------------------- rotation


def _look(credential: Credential, tracked: Tracked | None, now: datetime) -> _Look:
    if tracked is None:
        return _Look(credential, None, None, (), now, None)
    replaced = tuple([one for one in tracked.versions if one.state in _REPLACED])
    return _Look(credential, tracked, current_version(tracked), replaced, now, retry_at(tracked, now))


def _stands_still(tracked: Tracked) -> bool:
    state = tracked.state
    return state.parked is not None or state.paused_at is not None or state.forgotten_at is not None


def _rotation(look: _Look, jitter: timedelta) -> Due | None:
    """Ask the rules in order, then see what holds it up."""
    first: tuple[datetime, Reason, _Urgency] | None = None
    for reason, urgency, asks_since in RULES:
        since = asks_since(look)
        if since is None:
            continue
        if look.credential.by_hand and reason is not Reason.INTERRUPTED:
            return _due(look, reason, since, since, Hold.NOTHING)
        if look.credential.procedure is not Procedure.OVERLAP and must_ask(look.credential, look.tracked, reason):
            return _due(look, reason, since, since, Hold.GAP)
        if urgency is _Urgency.AT_ONCE:
            hold = Hold.NOTHING if look.retry is None or look.retry <= since else Hold.RETRY
            return _due(look, reason, since, max(look.retry or since, since), hold)
        if first is None or since < first[0]:
            first = since, reason, urgency
    if first is None:
        return None
    since, reason, urgency = first
    at, hold = _held_up(look, since, urgency, jitter)
    return _due(look, reason, since, at, hold)


def _due(look: _Look, reason: Reason, since: datetime, at: datetime, hold: Hold) -> Due:
    credential, version, asked = look.credential, look.current, None
    if look.tracked is not None:
        asked = look.tracked.rotation if reason is Reason.INTERRUPTED else look.tracked.request
    key_id = (version.key_id or None) if version else None
    waits = hold is Hold.GAP or (credential.by_hand and reason is not Reason.INTERRUPTED)
    action = Action.REMIND if waits else Action.ROTATE
    return Due(credential.name, action, at, reason, key_id, since, hold, credential.policy, version, asked)


def _held_up(look: _Look, since: datetime, urgency: _Urgency, jitter: timedelta) -> tuple[datetime, Hold]:
    """Return when it happens, and what decided that."""
    version, policy = look.current, look.credential.policy
    latest = _latest(look)
    at, hold = since, Hold.NOTHING
    if urgency is _Urgency.BY_AGE and version is not None:
        if jitter > NO_JITTER:
            at = _not_too_late(plus(at, jitter * fraction(version.credential, version.key_id)), since, latest)
        for _, free, action in _graces(look) if look.replaced else ():
            if free > at and action is Action.RETIRE:
                at, hold = _not_too_late(free, since, latest), Hold.GRACE
    if look.retry is not None and look.retry > at:
        at, hold = look.retry, Hold.RETRY
    return (at, hold) if policy.window is None else _in_window(look, policy.window, at, hold, latest)


def _latest(look: _Look) -> datetime | None:
    """Return when a rotation must have begun, so that the version in use lives until the next one is shown."""
    end = look.current.expires_at if look.current else None
    return None if end is None else plus(end, -look.credential.proof.deadline)


def _not_too_late(at: datetime, since: datetime, latest: datetime | None) -> datetime:
    return at if latest is None else max(since, min(at, latest))


def _in_window(look: _Look, window: Window, at: datetime, hold: Hold, latest: datetime | None) -> tuple[datetime, Hold]:
    """Return when the window lets it happen, or that it had to yield. latest: when it must have begun."""
    ready = max(at, look.now)
    opening = opening_at(window, ready)
    if opening is not None:
        open_then = opening.start <= ready
        if open_then or latest is None or opening.end <= latest:
            return (opening.start, Hold.WINDOW) if opening.start > at else (at, hold)
    earlier = last_opening_before(window, latest) if latest is not None else None
    if earlier is not None and earlier.end > look.now and _began_after_birth(earlier.start, look.current):
        start = max(earlier.start, look.retry or earlier.start)
        if start < earlier.end:
            return start, Hold.EARLIER
    return at, Hold.YIELDED


def _began_after_birth(start: datetime, version: Version | None) -> bool:
    """Keep one opening from replacing what it brought forth, again and again until it closes."""
    born = (version.promoted_at or version.created_at) if version else None
    return born is None or born < start


# ------------------------------------------------------------------------------------------------------------- grace


def _retirements(look: _Look) -> tuple[Due, ...]:
    return _in_order(_end(look, *grace) for grace in _graces(look) if grace[2] is Action.RETIRE)


def _graces(look: _Look) -> Iterator[tuple[Version, datetime, Action]]:
    """Yield each previous version of ours, when its grace ends, and what happens then."""
    policy = look.credential.policy
    for version in look.replaced:
        if version.origin not in _OWN:
            continue
        if version.state is VersionState.RETIRING:  # whatever the policy says: its end is published
            yield version, min(version.retire_after or look.now, look.now), Action.RETIRE
        elif policy.retire is not RetireMode.LET_EXPIRE:
            end = end_of_grace(version, policy)
            if end is not None:
                yield version, end, Action.REMIND if policy.retire is RetireMode.MANUAL else Action.RETIRE


def end_of_grace(version: Version, policy: Policy) -> datetime | None:
    """Return when a previous version's grace ends by the wall clock.

    None when nobody knows when it was replaced: its grace begins when somebody sees it.
    """
    if version.retire_after is not None:
        return version.retire_after
    return plus(version.displaced.local.wall, policy.grace) if version.displaced else None


def _end(look: _Look, version: Version, since: datetime, action: Action) -> Due:
    at, hold = since, Hold.NOTHING
    if look.retry is not None and look.retry > since and action is Action.RETIRE:
        at, hold = look.retry, Hold.RETRY
    credential, key_id = look.credential, version.key_id or None
    return Due(credential.name, action, at, Reason.GRACE_OVER, key_id, since, hold, credential.policy, version)


def _in_order(dues: Iterator[Due]) -> tuple[Due, ...]:
    return tuple(sorted(dues, key=lambda due: due.at))
