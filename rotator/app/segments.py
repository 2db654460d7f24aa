"""Copies of the record that lie elsewhere, against the one in the state: what was compared, and whether it agrees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rotator.chain import Place, Record, first_break

if TYPE_CHECKING:
    from rotator.seals import Seal


@dataclass(frozen=True, slots=True)
class Compared:
    """The head kept in one store's staging area, or a segment, against the records.

    store: its name. agrees: None when it could not be compared.
    """

    store: str
    agrees: bool | None
    message: str
    hint: str = ""


def compare_segment(path: Path, seals: Sequence[Seal]) -> Compared:
    """Check a segment by itself, and against the seals that the chain of the state has, which are beyond doubt.

    Raises Refused for a file that cannot be read, or that is none.
    """
    from rotator.exports.segments import Segment

    segment = Segment(path)
    walk = _Walk(segment.records())
    broken = first_break(walk, walk.start)
    if broken is not None:
        return _differs(path, broken.reason)
    seal = segment.seal
    if seal is None:
        return _differs(path, "its end is missing, where the seal stands.")
    if (seal.first, seal.last, seal.hash) != (walk.start.seq + 1, walk.last.seq, walk.last.hash):
        return _differs(path, "its seal is that of other records.")
    if seal.file != segment.digest:
        return _differs(path, "its text was changed after it was sealed.")
    if seal not in seals:
        return _differs(path, "the chain of this state has no such seal.")
    return Compared(path.name, agrees=True, message=f"holds records {seal.first} to {seal.last}, as they were sealed")


def _differs(path: Path, what: str) -> Compared:
    hint = "Compare it with another copy. What the state still has is not touched by this."
    return Compared(path.name, agrees=False, message=what, hint=hint)


class _Walk:
    """Records on their way past: where they begin and where they have got to."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records
        self._first = next(records, None)
        self.start = Place(0, "") if self._first is None else _before(self._first)
        self.last = self.start

    def __iter__(self) -> Iterator[Record]:
        record = self._first
        while record is not None:
            yield record
            self.last = Place(self.last.seq + 1, str(record.get("hash")))
            record = next(self._records, None)


def _before(record: Record) -> Place:
    seq = record.get("seq")
    return Place(seq - 1 if isinstance(seq, int) else 0, str(record.get("prev_hash")))
