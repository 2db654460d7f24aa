"""One thing that is due: what, when, why, and the sentence that says so. Decides nothing, and says nothing unasked.

A plan for a hundred thousand credentials makes as many of these and prints a screenful, so a `Due` is a plain tuple
that keeps what its sentence speaks of and builds the sentence late.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from rotator.ends import too_far
from rotator.model import Origin, Policy, Reason, Request, RetireMode, Rotation, Version, VersionState
from rotator.timing import plus, spell, spell_moment
from rotator.windows import describe, describe_opening

_NOTHING: Final = timedelta(0)
_LONGEST_NOTE: Final = 200


class Action(StrEnum):
    """What is to be done. REMIND: by a person; it is announced in plans and never carried out."""

    ROTATE = "rotate"
    RETIRE = "retire"
    REMIND = "remind"


class Hold(Enum):
    """What decided when it happens, if not the rule itself."""

    NOTHING = "nothing"
    GRACE = "the version before is still in its grace"
    RETRY = "the last attempt failed, and the next may not come yet"
    WINDOW = "the window is shut"
    EARLIER = "the next opening would come too late, so an earlier one is taken"
    GAP = "consumers would be without a secret for a moment, and nobody has accepted that"
    YIELDED = "no opening is left in time, so the window does not count"


class Due(NamedTuple):
    """One thing to do with one credential.

    at: when; in the past when it is overdue. since: when its rule began to ask for it. key_id: the version that is
    replaced or retired, when it is known. version, asked: what the sentence speaks of.
    """

    name: str
    action: Action
    at: datetime
    reason: Reason
    key_id: str | None
    since: datetime
    hold: Hold
    policy: Policy
    version: Version | None = None
    asked: Request | Rotation | None = None

    @property
    def replaces(self) -> bool:
        """Say whether a version takes the place of another then, whoever makes it."""
        return self.action is Action.ROTATE or self.reason is not Reason.GRACE_OVER

    @property
    def sentence(self) -> str:
        """Return why, and why then, for people."""
        return _WHY[self.reason](self) + _why_then(self)


def _interrupted(due: Due) -> str:
    assert isinstance(due.asked, Rotation)
    if due.asked.promote_at is not None and due.at >= due.asked.promote_at:
        return "the next version is proved and waits until then (policy.prepare)"
    return f"rotation {due.asked.id} stopped at {due.asked.phase}; it is finished or undone first"


def _requested(due: Due) -> str:
    assert isinstance(due.asked, Request)
    how = " as an emergency" if due.asked.emergency else ""
    note = f': "{_clean(due.asked.note)}"' if due.asked.note else ""
    return f"asked for by {_clean(due.asked.actor)}{how}{note}"


def _expired(due: Due) -> str:
    return f"it expired at {spell_moment(due.since)}"


def _never_rotated(due: Due) -> str:
    if due.version is None or due.version.origin is not Origin.FOREIGN:
        return "it has no version yet"
    return f"rotator did not issue the version in use ({due.version.key_id})"


def _near_expiry(due: Due) -> str:
    end, whole = plus(due.since, due.policy.rotate_before), due.policy.lifetime
    left = end - due.at
    if left <= _NOTHING:
        return f"nothing is left of {spell(whole)}"
    if due.version is not None and too_far(due.version, due.policy):
        said = spell_moment(due.version.expires_at or end)
        return f"{_are_left(left)} of the {spell(whole)} that were meant; its end, said to be {said}, is not believed"
    if due.version is not None and due.version.expires_at is not None and due.version.created_at is not None:
        whole = due.version.expires_at - due.version.created_at
    elif due.version is not None and due.version.expires_at is None:
        return f"{_are_left(left)} of the {spell(whole)} that were meant; its issuer names no end"
    return f"{_are_left(left)} of {spell(whole)}"


def _max_age(due: Due) -> str:
    return f"its greatest age of {spell(due.policy.max_age or _NOTHING)} is reached"


def _grace_over(due: Due) -> str:
    version = due.version
    assert version is not None
    if version.state is VersionState.RETIRING:
        return "its retirement has begun and must be finished"
    grace = due.policy.grace
    if version.retire_after is not None and version.displaced is not None:
        grace = version.retire_after - version.displaced.local.wall
    if due.policy.retire is RetireMode.WHEN_UNUSED and grace > due.policy.grace:
        return "its grace is over, and it may still be in use; it is looked at again"
    ends = f"its grace of {spell(grace)} ends" if grace > _NOTHING else "it has no grace"
    if due.action is Action.REMIND:
        return f"{ends}, and a person retires it: rotator retire {due.name} --key-id {version.key_id}"
    if due.policy.retire is RetireMode.WHEN_UNUSED:
        return f"{ends}; then it is retired as soon as nobody uses it"
    return ends


_WHY: Final[Mapping[Reason, Callable[[Due], str]]] = MappingProxyType(
    {
        Reason.INTERRUPTED: _interrupted,
        Reason.REQUESTED: _requested,
        Reason.EXPIRED: _expired,
        Reason.NEVER_ROTATED: _never_rotated,
        Reason.NEAR_EXPIRY: _near_expiry,
        Reason.MAX_AGE: _max_age,
        Reason.GRACE_OVER: _grace_over,
    }
)


def _why_then(due: Due) -> str:
    if due.hold is Hold.GAP:
        return (
            "; consumers would be without one for a moment, so a person starts it (or policy.accept_gap): "
            f"rotator rotate --now {due.name}"
        )
    if due.action is Action.REMIND and due.reason is not Reason.GRACE_OVER:
        return f"; a person makes it, then: rotator intake {due.name}"
    if due.hold is Hold.NOTHING:
        return ""
    if due.hold is Hold.GRACE:
        return "; it waits for the grace of the version before to end"
    if due.hold is Hold.RETRY:
        return "; the last attempt failed, and the next may not come earlier"
    assert due.policy.window is not None
    if due.hold is Hold.WINDOW:
        return f"; the window opens {describe_opening(due.policy.window)}"
    window = describe(due.policy.window)
    if due.hold is Hold.EARLIER:
        return f"; the last opening of the window {window} that ends in time"
    return f"; no opening of the window {window} is left in time, so the window does not count"


def _are_left(span: timedelta) -> str:
    said = spell(span)
    return f"{said} {'is' if said.startswith('1 ') else 'are'} left"


def _clean(text: str) -> str:
    """Return what a person wrote, without what could move a terminal's cursor."""
    return "".join(one if one.isprintable() else " " for one in text[:_LONGEST_NOTE])
