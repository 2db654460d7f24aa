"""Looks at the audit chain before anything is changed, and says what a break means. It repairs and accepts nothing.

Before each pass the newest records are walked along; once a day, or when the configuration says `audit.on_break: stop`,
all of them. What a walk found is written down, so that `status` knows it without a walk of its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from rotator.app.checkpoints import trusted_key
from rotator.app.config.schema import OnBreak
from rotator.app.house import House
from rotator.app.results import Remark
from rotator.app.state import Reader
from rotator.app.witness import Heard
from rotator.errors import ChainBroken, Refused
from rotator.timing import plus

WALK_EVERY: Final = timedelta(days=1)

AUDIT: Final = "audit"
"""The name under which `status` speaks of the record itself."""

_HINT: Final = "See it: rotator audit verify. When it is known why: rotator audit accept --reason TEXT"


def see_that_change_is_allowed(house: House, act: str) -> None:
    """Raise Refused when nothing is to be changed, ChainBroken (4) when a broken audit chain stops everything.

    act: what was asked for, as a verb.
    """
    if house.observing:
        raise Refused(
            f"The configuration says `mode: observe`, so rotator does not {act} anything.",
            hint="To let it, set state.mode to active.",
            code="observing",
        )
    see_the_chain(house)


def see_the_chain(house: House) -> Remark | None:
    """Return what to tell people of a broken chain; None when no break is seen, or there is no record yet.

    Raises ChainBroken (4) instead when the configuration says that a break stops everything. The caller has the state
    open for writing.
    """
    reader = house.reader()
    if reader is None:
        return None
    strict = house.config.audit.on_break is OnBreak.STOP
    broken = _walked(house, reader) if strict or _is_due(house, reader) else _glanced(reader)
    if broken is None:
        return None
    if strict:
        raise ChainBroken(f"{broken} Nothing is changed (audit.on_break: stop).", hint=_HINT)
    return Remark(AUDIT, _sentence(broken), _HINT)


def remark_on_the_chain(reader: Reader | None) -> Remark | None:
    """Return the line for `status`, from a glance at the newest records and from what the last walk has found."""
    broken = _glanced(reader) if reader is not None else None
    return None if broken is None else Remark(AUDIT, _sentence(broken), _HINT)


def _sentence(broken: str) -> str:
    return f"The audit chain is broken. {broken}"


def _is_due(house: House, reader: Reader) -> bool:
    last = reader.last_walk()
    return last is None or not last.at <= house.clock.now() < plus(last.at, WALK_EVERY)


def _glanced(reader: Reader) -> str | None:
    broken, last = reader.glance(), reader.last_walk()
    if broken is not None:
        return broken.reason
    return last.broken if last is not None else None


def _walked(house: House, reader: Reader) -> str | None:
    found = reader.verify(witness=Heard(trusted_key(house)[0])).broken
    broken = None if found is None else found.reason
    house.ledger().walked(house.clock.now(), broken)
    return broken
