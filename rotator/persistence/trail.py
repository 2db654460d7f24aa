"""Questions to the audit records: list them, check that their chain holds. It changes nothing and stops no writer.

Records are read in pages of neighbouring numbers, each in a transaction of its own, whatever is filtered out of them:
so none takes longer because little is found.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from rotator.chain import START, Break, Flaw, Place, Record, Value, breaks, mark_of
from rotator.model import EventName
from rotator.persistence import rows
from rotator.persistence.database import Asking
from rotator.persistence.faults import damaged
from rotator.persistence.seals import Seal, seal_in
from rotator.ports import Head

PAGE: Final = 2000
"""So many numbers are looked at in one transaction: some ten milliseconds."""

ACCEPTED_AT_ONCE: Final = 10
"""So many breaks one `audit.accepted` record names."""

Witness = Callable[[Record], str | None]
"""Looks at a record of the event `audit.checkpoint`, and returns in a sentence why nobody should believe it, if so."""

_NAMED: Final = re.compile(r"accepted (\d+ \w+ [0-9a-f]{16}(?:, \d+ \w+ [0-9a-f]{16})*)")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which audit records are wanted; None: any. since, until: aware; until is not in it."""

    since: datetime | None = None
    until: datetime | None = None
    credential: str | None = None
    event: str | None = None
    outcome: str | None = None
    actor: str | None = None
    rotation: str | None = None


EVERYTHING: Final = AuditFilter()


@dataclass(frozen=True, slots=True)
class Verified:
    """What a walk along the chain found. first, last: the numbers of the records, 0 when there are none.

    head: what was kept apart. broken: the first break that nobody has accepted. accepted: the breaks somebody has.
    oldest: when the first record was made. events: how many there are of each. seals: what the records say was exported
    and removed, oldest first.
    """

    first: int
    last: int
    head: Head
    broken: Break | None
    accepted: tuple[Break, ...] = ()
    unaccepted: tuple[Break, ...] = ()
    oldest: str | None = None
    events: Mapping[str, int] = field(default_factory=dict)
    seals: tuple[Seal, ...] = ()


class Trail(Asking):
    """The audit records. Safe for use from several threads."""

    def head(self) -> Head:
        """Return the end of the audit chain as it is kept apart from the records."""
        found = self._database.rows((_HEAD, {}))[0]
        if not found:
            raise damaged(self._database.path, "has lost the head of its audit chain")
        return Head(*found[0])

    def audit(
        self, wanted: AuditFilter = EVERYTHING, after_seq: int = 0, limit: int | None = None
    ) -> Iterator[dict[str, Value]]:
        """Yield the wanted records after a number, in order, at most `limit`; keys as `chain.KEYS`."""
        return itertools.islice(self._forward(wanted, after_seq + 1), limit)

    def audit_tail(self, wanted: AuditFilter = EVERYTHING, limit: int = 50) -> list[dict[str, Value]]:
        """Return the last `limit` of the wanted records, in order."""
        statement, given = _wanting(wanted)
        found: list[dict[str, Value]] = []
        below = _LARGEST
        while len(found) < limit:
            with self._database.as_it_stands() as connection:
                (last,) = connection.execute(_LAST_SEQ, (below,)).fetchone()
                if last is None:
                    break
                below = max(last - PAGE, -_LARGEST)
                page = connection.execute(statement, {**given, "first": below + 1, "last": last}).fetchall()
            found = [*map(rows.record_of, page), *found]
        return found[-limit:] if limit > 0 else []

    def audit_one(self, seq: int) -> dict[str, Value] | None:
        """Return one record, or None when there is none of that number."""
        with self._database.as_it_stands() as connection:
            row = connection.execute(_ALL, {"first": seq, "last": seq}).fetchone()
        return None if row is None else rows.record_of(row)

    def kept(self, beginning: str) -> dict[str, str]:
        """Return the notes of this state whose name begins so, by what follows that. Not protected by the chain."""
        with self._database.as_it_stands() as connection:
            found = connection.execute(_NOTES, (beginning, beginning + "\U0010ffff")).fetchall()
        return {name.removeprefix(beginning): value for name, value in found}

    def verify(self, expected_head: Head | None = None, witness: Witness | None = None) -> Verified:
        """Walk the whole chain and return what was found; a break is an answer, not an error.

        Compared are each record with its hash, with the one before it, the last one with the head that is kept apart,
        and with `expected_head` where another copy of the head is known. A chain that does not begin with record 1 must
        say itself what became of those before. witness: judges checkpoints and seals.
        """
        walk = _Walk(expected_head, witness)
        page = self._page(EVERYTHING, -_LARGEST)
        while page.first is not None:
            walk.look_at(page.records)
            page = self._page(EVERYTHING, page.last + 1)
        return walk.end(page.head, self.audit_one)

    def _forward(self, wanted: AuditFilter, start: int) -> Iterator[dict[str, Value]]:
        page = self._page(wanted, start)
        while page.first is not None:
            yield from page.records
            page = self._page(wanted, page.last + 1)

    def _page(self, wanted: AuditFilter, start: int) -> _Page:
        """Read the next records from a number on, and the head of that moment: a writer may append meanwhile."""
        found: Sequence[rows.Row] = ()
        first, last = None, start
        statement, given = _wanting(wanted)
        with self._database.as_it_stands() as connection:
            if start <= _LARGEST:
                (first,) = connection.execute(_FIRST_SEQ, (start,)).fetchone()
            if first is not None:
                (last,) = connection.execute(_LAST_SEQ, (min(first + PAGE - 1, _LARGEST),)).fetchone()
                found = connection.execute(statement, {**given, "first": first, "last": last}).fetchall()
            head = connection.execute(_HEAD).fetchone()
        return _Page(first, last, [rows.record_of(row) for row in found], Head(*head) if head else None)


class _Page(NamedTuple):
    """Neighbouring records, those that were wanted. first: where the page begins; None: nothing comes any more."""

    first: int | None
    last: int
    records: list[dict[str, Value]]
    head: Head | None


class _Walk:
    """A walk along the chain: where it stands, what it found, and what the records say was accepted."""

    def __init__(self, expected: Head | None, witness: Witness | None) -> None:
        self.place = START
        self._first: dict[str, Value] | None = None
        self._seals: list[Seal] = []
        self._events: Counter[Value] = Counter()
        self._witness = witness
        self._found: list[Break] = []
        self._named: set[tuple[int, str]] = set()
        self._expected = expected

    def look_at(self, page: list[dict[str, Value]]) -> None:
        """Go on over the next records."""
        if self._first is None:
            self._first = page[0]
            if _seq(page[0]) > 1:  # whether it may begin here is asked at the end: a seal stands behind what it seals
                self.place = Place(_seq(page[0]) - 1, str(page[0]["prev_hash"]))
        self._found.extend(breaks(page, self.place))
        for record in page:
            event = record["event"]
            if event == EventName.AUDIT_ACCEPTED.value:
                self._named.update(_named_in(record))
            elif event == EventName.AUDIT_CHECKPOINT.value:
                self._hear(record)
        self._events.update([record["event"] for record in page])
        if self._expected is not None and _seq(page[0]) <= self._expected.seq <= _seq(page[-1]):
            self._compare(self._expected, page)
        self.place = Place(_seq(page[-1]), str(page[-1]["hash"]))

    def _hear(self, record: dict[str, Value]) -> None:
        """Take note of a seal, and of what the witness has against a checkpoint."""
        seal = seal_in(record)
        if seal is not None:
            self._seals.append(seal)
        doubt = self._witness(record) if self._witness is not None else None
        if doubt is not None:
            self._found.append(Break(_seq(record), Flaw.FORGED, doubt, mark_of(record, self.place)))

    def _compare(self, expected: Head, page: list[dict[str, Value]]) -> None:
        for record in page:
            if _seq(record) == expected.seq and record["hash"] != expected.hash:
                reason = f"Record {expected.seq} is not the one whose hash was kept elsewhere."
                mark = mark_of(record, Place(expected.seq, expected.hash))
                self._found.append(Break(expected.seq, Flaw.CUT, reason, mark))

    def end(self, head: Head | None, one: Callable[[int], Record | None]) -> Verified:
        """Compare with the heads and the last seal, and sort what was found. one: looks up a record."""
        last = self.place
        if self._first is not None and _seq(self._first) > 1 and not self._may_begin_with(self._first, one):
            gone = _seq(self._first) - 1
            which = "Record 1 is missing" if gone == 1 else f"Records 1 to {gone} are missing"
            reason = f"{which}, and no seal in the chain says what became of that."
            self._found.insert(0, Break(_seq(self._first), Flaw.MISSING, reason, mark_of(self._first, START)))
        if head is None or (head.seq, head.hash) != (last.seq, last.hash):
            told = "is lost" if head is None else f"names record {head.seq}, and the records end with another"
            self._found.append(self._cut(f"The head that is kept apart from the records {told}: record {last.seq}."))
        elif self._expected is not None and self._expected.seq > last.seq:
            self._found.append(
                self._cut(
                    f"The records end with {last.seq}; the head kept elsewhere names record {self._expected.seq}."
                )
            )
        accepted = [one for one in self._found if (one.seq, one.mark) in self._named]
        open_ones = [one for one in self._found if one not in accepted]
        return Verified(
            0 if self._first is None else _seq(self._first),
            last.seq,
            head or Head(0, ""),
            open_ones[0] if open_ones else None,
            tuple(accepted),
            tuple(open_ones),
            None if self._first is None else str(self._first["time"]),
            {str(event): count for event, count in self._events.items()},
            tuple(self._seals),
        )

    def _may_begin_with(self, first: Record, one: Callable[[int], Record | None]) -> bool:
        """Say whether a seal stands for what is missing. Of what it stands for, the end may still be there.

        That is so when a run was stopped while it removed the records: what is left is tied to the seal by its hash.
        """
        seq = _seq(first)
        for seal in self._seals:
            if seq == seal.last + 1 and first["prev_hash"] == seal.hash:
                return True
            end = one(seal.last) if seal.first < seq <= seal.last else None
            if end is not None and end["hash"] == seal.hash:
                return True
        return False

    def _cut(self, reason: str) -> Break:
        return Break(self.place.seq + 1, Flaw.CUT, reason, mark_of(None, self.place))


def naming(found: Sequence[Break]) -> str:
    """Return the words by which an `audit.accepted` record names breaks, for its detail."""
    return "accepted " + ", ".join(f"{one.seq} {one.flaw} {one.mark}" for one in found)


def _named_in(record: dict[str, Value]) -> Iterator[tuple[int, str]]:
    said = _NAMED.match(str(record["detail"]))
    if said is not None:
        for one in said[1].split(", "):
            seq, _, mark = one.split(" ")
            yield int(seq), mark


def _seq(record: Record) -> int:
    seq = record["seq"]
    assert isinstance(seq, int)  # it is the rowid
    return seq


_LARGEST: Final = 2**63 - 1  # what a whole number of SQLite can be
_ALL: Final = "SELECT * FROM audit WHERE seq BETWEEN :first AND :last"
_FIRST_SEQ: Final = "SELECT min(seq) FROM audit WHERE seq >= ?"
_LAST_SEQ: Final = "SELECT max(seq) FROM audit WHERE seq <= ?"
_HEAD: Final = "SELECT seq, hash FROM audit_head"
_NOTES: Final = "SELECT name, value FROM meta WHERE name >= ? AND name < ?"


def _wanting(wanted: AuditFilter) -> tuple[str, dict[str, str | int]]:
    """Return the question for what is wanted of a page, and what fills it beside the bounds of the page."""
    given = {
        "time >= :since": None if wanted.since is None else rows.micros(wanted.since),
        "time < :until": None if wanted.until is None else rows.micros(wanted.until),
        "credential = :credential": wanted.credential,
        "event = :event": wanted.event,
        "outcome = :outcome": wanted.outcome,
        "actor = :actor": wanted.actor,
        "substr(rotation_id, 1, length(:rotation)) = :rotation": wanted.rotation,
    }
    asked = {condition: value for condition, value in given.items() if value is not None}
    values = {condition.rpartition(":")[2]: value for condition, value in asked.items()}
    return " AND ".join((_ALL, *asked)) + " ORDER BY seq", values
