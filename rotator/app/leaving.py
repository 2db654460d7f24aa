"""What a run that may have changed something does at its end: checkpoint, copies of the record, and telling others."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from rotator.app import mirroring, notifying
from rotator.errors import RotatorError
from rotator.ports import Store

if TYPE_CHECKING:
    from rotator.app.house import House
    from rotator.app.state import Writer


def leave(house: House, ledger: Writer, stores: Mapping[str, Store]) -> None:
    """Do what is owed to the record and to those who are told of it. Raises what `mirroring.leave` raises."""
    mirroring.leave(house, ledger, stores)
    if house.visitors is None:  # a daemon has told all along
        with suppress(RotatorError):
            notifying.tell_at_the_end(house, ledger)
