"""The ledger on SQLite: writes what happened and what changed in one transaction, or neither. It makes no call itself.

When `record` returns, it is on the disk. Who wants to write holds the `StateLock` of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Insert, Integer, bindparam, delete, exists, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from rotator.chain import ZEROS, Value, record_of
from rotator.clock import Clock
from rotator.event import Event, EventName
from rotator.notes import GraceExtended, Note, ProofSeen
from rotator.persistence import rows, schema, tables
from rotator.persistence.database import PATIENCE, Access, Database
from rotator.persistence.faults import damaged
from rotator.persistence.sealing import Sealing
from rotator.persistence.trail import ACCEPTED_AT_ONCE, Trail, Verified, Witness, naming
from rotator.persistence.views import Views
from rotator.ports import Change, Head, Waking

Listener = Callable[[Sequence[Mapping[str, Value]]], None]


class SqlLedger(Views, Trail, Sealing):
    """Implements the `Ledger` port. Safe for use from several threads; one process at a time."""

    def __init__(self, path: Path, clock: Clock, patience: timedelta = PATIENCE) -> None:
        """Open the state for writing; a file that is missing or empty is made.

        clock: tells the time of the records. patience: how long a busy file is waited for. Raises StateUnusable, Busy.
        """
        self._clock = clock
        self._listeners: list[Listener] = []
        super().__init__(Database(path, Access.WRITE, patience))
        try:
            self.owner = self._owner()
        except BaseException:
            self.close()
            raise

    def record(self, event: Event, *changes: Change | Event) -> None:
        """Append audit records and make the changes they tell of, in one transaction."""
        events = [event, *(one for one in changes if isinstance(one, Event))]
        written = [(type(one), rows.cells_of(one)) for one in changes if not isinstance(one, Event)]
        with self._database.writing() as connection:
            made = self._append(connection, events)
            for kind, cells in written:
                connection.execute(_REPLACING[kind], cells)
        self._tell(made)

    def _tell(self, made: Sequence[dict[str, Value]]) -> None:
        for listener in self._listeners:
            listener(made)

    def see_that_it_is_there(self) -> None:
        """Raise StateUnusable when the file was removed or replaced under us, or a write to it has failed."""
        self._database.see_that_it_may_be_written()
        self._database.see_that_it_is_still_there()

    def listen(self, listener: Listener) -> None:
        """Have records told to somebody once they are on the disk. He returns at once, and raises nothing."""
        self._listeners.append(listener)

    def note(self, *notes: Note) -> None:
        """Write bookkeeping in one transaction."""
        with self._database.writing() as connection:
            for one in notes:
                if isinstance(one, ProofSeen) and one.code is None:
                    connection.execute(_WELL_AGAIN, {"of": one.provider, "name": one.credential})
                elif isinstance(one, GraceExtended):
                    until = rows.micros(one.retire_after)
                    connection.execute(_LOOK_LATER, {"name": one.credential, "id": one.key_id, "until": until})
                else:
                    connection.execute(_REPLACING[type(one)], rows.cells_of(one))

    def forget_sightings(self, credential: str, key_ids: Sequence[str]) -> None:
        """Drop sightings that turned out to be nothing, or that are settled."""
        table = tables.sightings
        with self._database.writing() as connection:
            connection.execute(
                delete(table).where(
                    table.c.credential == credential, table.c.key_id.in_(list(map(rows.storable, key_ids)))
                )
            )

    def postpone(self, moments: Mapping[Waking, datetime]) -> None:
        """Let credentials sleep until then, all in one transaction; one whose `wake_at` has changed is left alone."""
        given = [
            {"of": one.name, "was": None if one.wake_at is None else rows.micros(one.wake_at), "to": rows.micros(until)}
            for one, until in moments.items()
        ]
        if given:
            with self._database.writing() as connection:
                connection.execute(_POSTPONE, given)

    def accept(
        self, actor: str, reason: str, expected_head: Head | None = None, witness: Witness | None = None
    ) -> Verified:
        """Record that a person has looked at the breaks of the chain, and go on from the last record as it stands.

        Returns what was found and accepted. Each break is named with a digest of what stands there: whatever is changed
        after this is a new break. Without any break the reason is recorded all the same.
        """
        found = self.verify(expected_head, witness)
        groups = [
            found.unaccepted[start : start + ACCEPTED_AT_ONCE]
            for start in range(0, len(found.unaccepted), ACCEPTED_AT_ONCE)
        ]
        details = [f"{naming(group)}: {group[0].reason} {reason}" for group in groups] or [f"no break: {reason}"]
        events = [Event(EventName.AUDIT_ACCEPTED, actor, reason="accepted", detail=detail) for detail in details]
        with self._database.writing() as connection:
            last = connection.execute(
                select(tables.audit.c.seq, tables.audit.c.hash).order_by(tables.audit.c.seq.desc()).limit(1)
            ).first()
            self._append(connection, events, Head(*last) if last else Head(0, ZEROS))
            connection.execute(_FORGET_WALK)
        return found

    def walked(self, at: datetime, broken: str | None) -> None:
        """Remember what a walk along the whole chain has found; see `last_walk`."""
        value = f"{rows.micros(at)} {broken or ''}"
        with self._database.writing() as connection:
            connection.execute(_REMEMBER, {"name": schema.WALKED, "value": value})

    def change_owner(self) -> None:
        """Take a new id: the old one may still be in use where this file was copied from."""
        owner = schema.new_owner()
        with self._database.writing() as connection:
            connection.execute(update(tables.meta).where(tables.meta.c.name == schema.OWNER).values(value=owner))
        self.owner = owner

    def _append(
        self, connection: Connection, events: Sequence[Event], after: Head | None = None
    ) -> list[dict[str, Value]]:
        """Append records to the chain and return them. after: the record to follow; None: the one the head names."""
        if after is None:
            found = connection.execute(_HEAD).first()
            if found is None:
                raise damaged(self._database.path, "has lost the head of its audit chain")
            after = Head(*found)
        now, made = self._clock.now(), []
        for event in events:
            record = record_of(event, after.seq + 1, now, after.hash)
            connection.execute(insert(tables.audit), rows.cells_of_record(record, now))
            after = Head(after.seq + 1, str(record["hash"]))
            made.append(record)
        moved = connection.execute(_MOVE_HEAD, {"to": after.seq, "with": after.hash})
        if moved.rowcount != 1:
            connection.execute(insert(tables.audit_head), {"id": 1, "seq": after.seq, "hash": after.hash})
        return made


_HEAD: Final = select(tables.audit_head.c.seq, tables.audit_head.c.hash)
_MOVE_HEAD: Final = update(tables.audit_head).values(seq=bindparam("to"), hash=bindparam("with"))
_POSTPONE: Final = (
    update(tables.credentials)
    .where(
        tables.credentials.c.name == bindparam("of"),
        tables.credentials.c.wake_at.is_not_distinct_from(bindparam("was", type_=Integer)),
    )
    .values(wake_at=bindparam("to"))
)
_FORGET_WALK: Final = delete(tables.meta).where(tables.meta.c.name == schema.WALKED)
_REMEMBER: Final = upsert(tables.meta).on_conflict_do_update(
    index_elements=("name",), set_={"value": upsert(tables.meta).excluded.value}
)
_ITSELF: Final = tables.proofs_seen.alias("itself")
_LOOK_LATER: Final = (
    update(tables.versions)
    .where(tables.versions.c.credential == bindparam("name"), tables.versions.c.key_id == bindparam("id"))
    .values(retire_after=bindparam("until"))
)

_WELL_AGAIN: Final = delete(tables.proofs_seen).where(
    tables.proofs_seen.c.provider == bindparam("of"),
    exists().where(_ITSELF.c.provider == bindparam("of"), _ITSELF.c.credential == bindparam("name")),
)


def _replacing(kind: type) -> Insert:
    """Return the statement that writes a noun of this kind, in place of the row with its key."""
    name, key = rows.home_of(kind)
    table = tables.metadata.tables[name]
    if not key:
        return insert(table)
    statement = upsert(table)
    changed = {one.name: statement.excluded[one.name] for one in table.c if one.name not in (*key, "n")}
    return statement.on_conflict_do_update(index_elements=key, set_=changed)


_REPLACING: Final = {kind: _replacing(kind) for kind in rows.KINDS}
