"""What is written beside the facts: checkpoints and seals, and the end of records that were exported.

It decides nothing, signs nothing and removes nothing that it was not told of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from rotator.chain import Value
from rotator.clock import Clock
from rotator.event import Event, EventName
from rotator.persistence import rows, schema, tables
from rotator.persistence.database import Asking
from rotator.ports import Head

_AT_ONCE: Final = 2000
"""So many records one transaction removes: some ten milliseconds."""


class Sealing(Asking):
    """The part of a ledger that keeps its audit chain checkable. Safe for use from several threads."""

    _clock: Clock

    def attest(self, actor: str, reason: str, key: str, say: Callable[[Head, datetime], str]) -> Head:
        """Append an `audit.checkpoint`, and remember when, in one transaction. Return the head it made.

        key: the public key that has signed it, or nothing. say: what the record says of the head before it, at that
        time; it is called within the transaction.
        """
        with self._database.writing() as connection:
            before = Head(*connection.execute(select(tables.audit_head.c.seq, tables.audit_head.c.hash)).one())
            now = self._clock.now()
            event = Event(EventName.AUDIT_CHECKPOINT, actor, reason=reason, detail=say(before, now))
            (made,) = self._append(connection, [event])
            _keep(connection, schema.CHECKPOINT, f"{rows.micros(now)} {made['seq']} {key}")
        self._tell([made])
        return Head(int(str(made["seq"])), str(made["hash"]))

    def remember(self, name: str, value: str) -> None:
        """Keep a note in this state, in place of the one of its name. It is no part of the record."""
        if self.remembered(name) != value:
            with self._database.writing() as connection:
                _keep(connection, name, value)

    def remembered(self, name: str) -> str | None:
        """Return a note of this state, or None."""
        raise NotImplementedError

    def remove_through(self, seq: int) -> int:
        """Remove the records up to a number, but never the last one; in short transactions, the oldest first.

        Stopped in between: a seal stands for all of them, and the next call removes the rest. Return how many went.
        """
        table, gone = tables.audit, 0
        while True:
            with self._database.writing() as connection:
                first, last = connection.execute(select(func.min(table.c.seq), func.max(table.c.seq))).one()
                if first is None or first > min(seq, last - 1):
                    return gone
                end = min(first + _AT_ONCE - 1, seq, last - 1)
                gone += connection.execute(delete(table).where(table.c.seq <= end)).rowcount

    def _append(
        self, connection: Connection, events: Sequence[Event], after: Head | None = None
    ) -> list[dict[str, Value]]:
        """Append records to the chain and return them."""
        raise NotImplementedError

    def _tell(self, made: Sequence[dict[str, Value]]) -> None:
        """Tell whoever listens of records that are on the disk."""
        raise NotImplementedError


def _keep(connection: Connection, name: str, value: str) -> None:
    statement = upsert(tables.meta).values(name=name, value=value)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"value": statement.excluded.value})
    )
