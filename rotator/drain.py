"""Judges whether anybody still uses a version that was replaced, by what its issuer saw of sign-ins. Ends nothing.

The grace is the floor: nothing is asked before it is over. The ceiling is the end of the version's own validity; of one
that has none, `policy.lifetime` after it was replaced. In between its grace goes on as long as it was used within the
last grace, and also as long as nobody can tell: reports lag, and a missing row is no proof of disuse. How far a report
has come is seen by the successor, whose use (our own proofs, at least) must be in it: only what it does not show up to
that moment counts as not used.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from rotator.errors import RotatorError
from rotator.kit import Kit
from rotator.model import Version
from rotator.notes import GraceExtended
from rotator.planner import current_version
from rotator.timing import plus, spell_moment

_LEAST_PAUSE = timedelta(minutes=5)


class _Finding(NamedTuple):
    unused: bool
    words: str


def drained(kit: Kit, version: Version) -> str | None:
    """Return the evidence that a version may be ended now; None: its grace goes on for a quarter of it.

    Stopped anywhere: the next look finds the same.
    """
    found = _look(kit, version)
    if found.unused:
        kit.tell("retire", "tell", found.words)
        return found.words
    kit.tell("retire", "tell", f"its grace goes on: {found.words}")
    again = plus(kit.clock.now(), max(kit.credential.policy.grace / 4, _LEAST_PAUSE))
    kit.ledger.note(GraceExtended(kit.credential.name, version.key_id, min(again, _ceiling(kit, version) or again)))
    return None


def _ceiling(kit: Kit, version: Version) -> datetime | None:
    """Return when a version is ended whether it is used or not."""
    if version.expires_at is not None or version.displaced is None:
        return version.expires_at
    return plus(version.displaced.local.wall, kit.credential.policy.lifetime)


def _look(kit: Kit, version: Version) -> _Finding:
    now, ceiling = kit.clock.now(), _ceiling(kit, version)
    if ceiling is not None and ceiling <= now:
        own = version.expires_at is not None
        reached = "the end of its own validity" if own else "policy.lifetime after it was replaced"
        return _Finding(unused=True, words=f"it has reached {reached}, used or not")
    if kit.activity is None:
        return _Finding(unused=False, words="its issuer keeps no record of sign-ins; it is left to its end")
    try:
        used = kit.activity.last_used(kit.credential.application)
    except RotatorError as error:
        return _Finding(unused=False, words=f"nobody can tell whether it is used: {error.message}")
    tracked = kit.ledger.tracked(kit.credential.name)
    current = current_version(tracked) if tracked is not None else None
    last, successor = used.get(version.key_id), used.get(current.key_id) if current is not None else None
    if last is not None and now - last < kit.credential.policy.grace:
        return _Finding(unused=False, words=f"it was used at {spell_moment(last)}")
    replaced = version.displaced.local.wall if version.displaced is not None else now
    if successor is None or successor < replaced:
        return _Finding(unused=False, words="the issuer's report does not show its successor in use yet")
    quiet_since = max(last, replaced) if last is not None else replaced
    if successor - quiet_since < kit.credential.policy.grace:
        far = f"the issuer's report is known to reach {spell_moment(successor)}"
        return _Finding(unused=False, words=f"{far}, less than a grace after {spell_moment(quiet_since)}")
    seen = f"it was last used at {spell_moment(last)}" if last is not None else "no use of it is on record"
    return _Finding(unused=True, words=f"{seen}, and its successor at {spell_moment(successor)}")
