"""Questions to the audit records: list them, check that their chain holds. It changes nothing and stops no writer.

Records are read in pages of neighbouring numbers, each in a transaction of its own, whatever is filtered out of them:
so none takes longer because little is found.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from rotator.chain import START, Break, Flaw, Place, Record, Value, breaks, mark_of
from rotator.event import EventName
from rotator.persistence import rows, schema
from rotator.persistence.database import Asking
from rotator.persistence.faults import damaged
from rotator.ports import Head
from rotator.seals import Seal, said_in

PAGE: Final = 2000
"""So many numbers are looked at in one transaction: some ten milliseconds."""

GLANCE: Final = 1000
"""So many of the newest records a glance walks along: some ten milliseconds."""

ACCEPTED_AT_ONCE: Final = 10
"""So many breaks one `audit.accepted` record names."""

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
    seals: what the records say was exported and removed, oldest first.
    """

    first: int
    last: int
    head: Head
    broken: Break | None
    accepted: tuple[Break, ...] = ()
    unaccepted: tuple[Break, ...] = ()
    seals: tuple[Seal, ...] = ()


class Attested(NamedTuple):
    """The last checkpoint. seq: the number of its record. key: the public key that signed it; empty for none."""

    at: datetime
    seq: int
    key: str


class Witness(Protocol):
    """Judges checkpoints and seals on the way. Both answers: why nobody should believe it, in a sentence; or None."""

    def hear(self, record: Record, before: Place) -> str | None:
        """Look at one record of the event `audit.checkpoint`. before: where it stands."""

    def last_word(self) -> tuple[int, str] | None:
        """Say at the end what only all of them together show, with the number of the record that it is about."""


class Walked(NamedTuple):
    """One walk along the whole chain. broken: the first break that nobody had accepted, in a sentence."""

    at: datetime
    broken: str | None


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

    def last_checkpoint(self) -> Attested | None:
        """Return what is remembered of the last checkpoint or seal; None when there was none."""
        found = self._database.rows((_WALKED, {"name": schema.CHECKPOINT}))[0]
        if not found:
            return None
        at, seq, *key = str(found[0][0]).split(" ")
        return Attested(rows.moment(int(at)), int(seq), "".join(key))

    def remembered(self, name: str) -> str | None:
        """Return a note of this state, or None. Notes are no part of the record."""
        found = self._database.rows((_WALKED, {"name": name}))[0]
        return str(found[0][0]) if found else None

    def bounds(self) -> tuple[int, int]:
        """Return the numbers of the first and the last record; twice 0 when there is none."""
        with self._database.as_it_stands() as connection:
            first, last = connection.execute("SELECT min(seq), max(seq) FROM audit").fetchone()
        return first or 0, last or 0

    def verify(self, expected_head: Head | None = None, witness: Witness | None = None) -> Verified:
        """Walk the whole chain and return what was found; a break is an answer, not an error.

        Compared are each record with its hash, with the one before it, the last one with the head that is kept apart,
        and with `expected_head` where another copy of the head is known. A chain that does not begin with record 1 must
        say itself, by a seal, what became of those before. witness: judges checkpoints and seals.
        """
        walk = _Walk(expected_head, witness)
        page = self._page(EVERYTHING, -_LARGEST)
        while page.first is not None:
            walk.look_at(page.records)
            page = self._page(EVERYTHING, page.last + 1)
        return walk.end(page.head, self.audit_one)

    def glance(self) -> Break | None:
        """Walk along the newest records only, and return the first break among them that nobody has accepted."""
        records = self.audit_tail(limit=GLANCE + 1)
        walk = _Walk(None, None)
        if records and _seq(records[0]) > 1:  # the first is what the second follows; `verify` looks at it
            walk.place = Place(_seq(records[0]), str(records[0]["hash"]))
            records = records[1:]
        if records:
            walk.look_at(records, first_of_all=False)
        found = self._database.rows((_HEAD, {}))[0]
        return walk.end(Head(*found[0]) if found else None, self.audit_one).broken

    def last_walk(self) -> Walked | None:
        """Return when the whole chain was last walked along by who may write that down, and what was found."""
        found = self._database.rows((_WALKED, {"name": schema.WALKED}))[0]
        if not found:
            return None
        at, _, broken = str(found[0][0]).partition(" ")
        return Walked(rows.moment(int(at)), broken or None)

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
        self._first: Record | None = None
        self._sealed: list[Seal] = []
        self._begins_late = False
        self._witness = witness
        self._found: list[Break] = []
        self._named: set[tuple[int, str]] = set()
        self._expected = expected

    def look_at(self, page: Sequence[Record], *, first_of_all: bool = True) -> None:
        """Go on over the next records. first_of_all: whether nothing should stand before the first of them."""
        if self._first is None:
            self._first = page[0]
            if first_of_all and _seq(page[0]) > 1:  # a seal stands behind what it seals, so this is settled at the end
                self._begins_late = True
                self.place = Place(_seq(page[0]) - 1, str(page[0]["prev_hash"]))
        self._found.extend(breaks(page, self.place))
        before = self.place
        for record in page:
            if record["event"] == EventName.AUDIT_ACCEPTED.value:
                self._named.update(_named_in(record))
            elif record["event"] == EventName.AUDIT_CHECKPOINT.value:
                self._hear(record, before)
            before = Place(_seq(record), str(record["hash"]))
        if self._expected is not None and _seq(page[0]) <= self._expected.seq <= before.seq:
            self._compare(self._expected, page)
        self.place = before

    def _hear(self, record: Record, before: Place) -> None:
        """Take note of a seal, and of what the witness has against it or against a checkpoint."""
        doubt = self._witness.hear(record, before) if self._witness is not None else None
        said = said_in(record)
        if doubt is not None:
            self._found.append(Break(_seq(record), Flaw.FORGED, doubt, mark_of(record, before)))
        elif isinstance(said, Seal):
            self._sealed.append(said)

    def _compare(self, expected: Head, page: Sequence[Record]) -> None:
        for record in page:
            if _seq(record) == expected.seq and record["hash"] != expected.hash:
                reason = f"Record {expected.seq} is not the one whose hash was kept elsewhere."
                mark = mark_of(record, Place(expected.seq, expected.hash))
                self._found.append(Break(expected.seq, Flaw.CUT, reason, mark))

    def end(self, head: Head | None, one: Callable[[int], Record | None]) -> Verified:
        """Compare with the heads and the seals, and sort what was found. one: looks up a record."""
        last = self.place
        if self._begins_late and self._first is not None and not self._may_begin_with(self._first, one):
            gone = _seq(self._first) - 1
            which = "Record 1 is" if gone == 1 else f"Records 1 to {gone} are"
            reason = f"{which} missing, and no seal in the chain says what became of that."
            self._found.insert(0, Break(_seq(self._first), Flaw.MISSING, reason, mark_of(self._first, START)))
        word = self._witness.last_word() if self._witness is not None else None
        if word is not None:
            self._found.append(Break(word[0], Flaw.FORGED, word[1], mark_of(one(word[0]), START)))
        if head is None or (head.seq, head.hash) != (last.seq, last.hash):
            told = "is lost" if head is None else f"names record {head.seq}, and the records end with another"
            self._found.append(self._cut(f"The head that is kept apart from the records {told}: record {last.seq}."))
        elif self._expected is not None and self._expected.seq > last.seq:
            self._found.append(
                self._cut(
                    f"The records end with {last.seq}; the head kept elsewhere names record {self._expected.seq}."
                )
            )
        accepted = [found for found in self._found if (found.seq, found.mark) in self._named]
        open_ones = [found for found in self._found if found not in accepted]
        return Verified(
            0 if self._first is None else _seq(self._first),
            last.seq,
            head or Head(0, ""),
            open_ones[0] if open_ones else None,
            tuple(accepted),
            tuple(open_ones),
            tuple(self._sealed),
        )

    def _may_begin_with(self, first: Record, one: Callable[[int], Record | None]) -> bool:
        """Say whether a seal stands for what is missing. Of what it stands for, the end may still be there.

        That is so when a run was stopped while it removed the records: what is left is tied to the seal by its hash.
        """
        seq = _seq(first)
        for seal in self._sealed:
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


def _named_in(record: Record) -> Iterator[tuple[int, str]]:
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
_WALKED: Final = "SELECT value FROM meta WHERE name = :name"


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
