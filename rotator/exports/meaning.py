"""What an audit record means to those who watch many programs: how grave it is, what was done, and whether it worked.

One table for all forms, so that they agree. It knows nothing of any form.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from rotator.chain import Record
from rotator.event import EventName, Outcome


class Weight(Enum):
    """How much a record matters to who watches."""

    INFO = auto()
    NOTICE = auto()
    WARNING = auto()
    ERROR = auto()


class Deed(Enum):
    """What was done to the credential, or to rotator's own record."""

    CREATED = auto()
    READ = auto()
    CHANGED = auto()
    REMOVED = auto()
    NOTED = auto()


_DEEDS: Final = {
    EventName.VERSION_CREATED: Deed.CREATED,
    EventName.INTAKE_RECEIVED: Deed.CREATED,
    EventName.SECRET_READ: Deed.READ,
    EventName.VERSION_STAGED: Deed.CHANGED,
    EventName.VERSION_PROMOTED: Deed.CHANGED,
    EventName.CREDENTIAL_ADOPTED: Deed.CHANGED,
    EventName.VERSION_RETIRED: Deed.REMOVED,
    EventName.ORPHAN_RETIRED: Deed.REMOVED,
    EventName.CREDENTIAL_FORGOTTEN: Deed.REMOVED,
}
_GRAVE: Final = {
    EventName.ROTATION_PARKED: Weight.ERROR,
    EventName.CREDENTIAL_EXPIRED: Weight.ERROR,
    EventName.AUDIT_ACCEPTED: Weight.WARNING,
    EventName.CREDENTIAL_EXPIRING: Weight.WARNING,
    EventName.CONFIG_REFUSED: Weight.WARNING,
    EventName.ROTATION_ABANDONED: Weight.WARNING,
    EventName.ORPHAN_FOUND: Weight.WARNING,
    EventName.DRIFT_FOUND: Weight.WARNING,
    EventName.NOTIFICATION_FAILED: Weight.WARNING,
    EventName.STATE_REBUILT: Weight.WARNING,
    EventName.VERSION_PROMOTED: Weight.NOTICE,
    EventName.VERSION_RETIRED: Weight.NOTICE,
    EventName.SECRET_READ: Weight.NOTICE,
}
_FAILED: Final = (Outcome.REFUSED.value, Outcome.UNKNOWN.value)


def weight(record: Record) -> Weight:
    """Return how grave a record is. An event of a later version is a notice."""
    if record.get("outcome") in _FAILED:
        return Weight.WARNING
    event = _event(record)
    return Weight.NOTICE if event is None else _GRAVE.get(event, Weight.INFO)


def deed(record: Record) -> Deed:
    """Return what was done. An intent is noted only: the call has not been made yet."""
    event = _event(record)
    if event is None or record.get("outcome") == Outcome.INTENDED.value:
        return Deed.NOTED
    return _DEEDS.get(event, Deed.NOTED)


def told(record: Record) -> str:
    """Return a record as a short sentence."""
    parts = [str(record.get("event"))]
    parts += [str(record[key]) for key in ("credential", "outcome") if record.get(key)]
    detail = record.get("detail") or record.get("reason")
    return " ".join(parts) + (f": {detail}" if detail else "")


def _event(record: Record) -> EventName | None:
    try:
        return EventName(str(record.get("event")))
    except ValueError:
        return None
