"""What is written beside the facts: checkpoints, seals, notes about them, and the end of records that were exported.

It decides nothing, signs nothing and removes nothing that it was not told of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from rotator.chain import Value
from rotator.clock import Clock
from rotator.model import Event, EventName
from rotator.persistence import tables
from rotator.persistence.database import Asking
from rotator.ports import Head

_AT_ONCE: Final = 2000
"""So many records one transaction removes: some ten milliseconds."""


class Sealing(Asking):
    """The part of a ledger that keeps its audit chain checkable. Safe for use from several threads."""

    _clock: Clock

    def attest(self, actor: str, reason: str, say: Callable[[Head, datetime], str], notes: Mapping[str, str]) -> Head:
        """Append an `audit.checkpoint` and keep notes with it, in one transaction. Return the head it made.

        say: what the record says of the head before it, at that time. It is called within the transaction.
        """
        with self._database.writing() as connection:
            before = connection.execute(select(tables.audit_head.c.seq, tables.audit_head.c.hash)).one()
            said = say(Head(*before), self._clock.now())
            made = self._append(connection, [Event(EventName.AUDIT_CHECKPOINT, actor, reason=reason, detail=said)])
            _keep(connection, notes)
        self._tell(made)
        last = made[-1]
        return Head(int(str(last["seq"])), str(last["hash"]))

    def keep(self, notes: Mapping[str, str]) -> None:
        """Keep notes of this state, each in place of the one of its name. They are no part of the record."""
        with self._database.writing() as connection:
            _keep(connection, notes)

    def remove_through(self, seq: int) -> None:
        """Remove the records up to a number, but never the last one; in short transactions, the oldest first.

        Stopped in between: a seal stands for all of them, and the next call removes the rest.
        """
        table = tables.audit
        while True:
            with self._database.writing() as connection:
                first, last = connection.execute(select(func.min(table.c.seq), func.max(table.c.seq))).one()
                if first is None or first > min(seq, last - 1):
                    return
                end = min(first + _AT_ONCE - 1, seq, last - 1)
                connection.execute(delete(table).where(table.c.seq <= end))

    def _append(self, connection: Connection, events: Sequence[Event]) -> list[dict[str, Value]]:
        """Append records to the chain and return them."""
        raise NotImplementedError

    def _tell(self, made: Sequence[dict[str, Value]]) -> None:
        """Tell whoever listens."""
        raise NotImplementedError


def _keep(connection: Connection, notes: Mapping[str, str]) -> None:
    for name, value in notes.items():
        statement = upsert(tables.meta).values(name=name, value=value)
        connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
