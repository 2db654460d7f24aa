"""What may be asked of a daemon by those who may only look: a closed table, and the way to ask.

Whoever may read the state's file reads it himself. For anybody else there is a second socket, of another group, that
answers these questions and no other; a secret is in none of the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from rotator.app import auditing, planning, watching
from rotator.app.handover.acts import Act
from rotator.app.house import House

NEWEST: Final = 1000
"""So many records are told at most; who needs more is given an export."""


def _status(house: House, names: list[str], *, check: bool) -> watching.Watched:
    return watching.status(house, names, check=check)


def _plan(house: House, names: list[str], days: int) -> planning.Planned:
    found = planning.plan(house, names, span=timedelta(days=days))
    return replace(found, timelines=())  # a picture is for a terminal of the daemon's own machine


def _history(house: House, name: str, limit: int) -> watching.Told:
    return watching.history(house, name, limit=limit)


def _records(house: House, last: int | None, **wanted: Any) -> auditing.Records:
    most = NEWEST if last is None else min(last, NEWEST)
    return auditing.Records(tuple(auditing.audit_stream(house, auditing.Filter(**wanted), last=most)))


def _record(house: House, seq: int) -> auditing.Records:
    return auditing.audit_show(house, seq)


READS: Final[Mapping[str, Act]] = MappingProxyType(
    {"status": _status, "plan": _plan, "history": _history, "records": _records, "record": _record}
)
"""By the name under which a question travels."""


def looked(house: House, what: str, **given: Any) -> Any:
    """Ask a question of `READS`: of the state where this user may read it, else of the daemon."""
    from rotator.app.handover.caller import ask, reading_place

    place = None if house.readable else reading_place(house.database, house.environ)
    if place is None:
        return READS[what](house, **given)
    return ask(house, place, what, given)
