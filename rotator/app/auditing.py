"""`rotator audit`: reads the record, walks its chain, and accepts a break in a person's name. It repairs nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rotator.app import heads, items
from rotator.app.checkpoints import trusted_key
from rotator.app.house import House, Use
from rotator.app.results import Item
from rotator.app.segments import Compared, compare_segment
from rotator.app.state import Reader
from rotator.app.usage import UsageFault
from rotator.app.witness import Heard
from rotator.errors import ChainBroken, RotatorError, StateUnusable
from rotator.event import EventName
from rotator.ports import Head
from rotator.seals import Seal, fingerprint, said_in

if TYPE_CHECKING:
    from rotator.exports import Form, Origin
    from rotator.persistence.trail import AuditFilter

LOOK_EVERY: Final = timedelta(milliseconds=500)
"""So often `audit follow` looks for what was appended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which records. None: any. since: the first moment; until: the first moment that no longer counts."""

    since: datetime | None = None
    until: datetime | None = None
    credential: str | None = None
    event: str | None = None
    outcome: str | None = None
    actor: str | None = None
    rotation: str | None = None

    def as_asked(self) -> AuditFilter:
        """Return it as the state takes it."""
        from rotator.persistence.trail import AuditFilter

        return AuditFilter(self.since, self.until, self.credential, self.event, self.outcome, self.actor, self.rotation)


@dataclass(frozen=True, slots=True)
class Records:
    """items: kind `AuditList`, oldest first."""

    items: tuple[Item, ...]
    exit_status: int = 0


@dataclass(frozen=True, slots=True)
class Signed:
    """The last signature in the chain. key: the fingerprint of who made it. trusted: None where our key is not known.

    note: what keeps this run from knowing it, or what else to know about the keys.
    """

    seq: int
    time: str
    key: str
    trusted: bool | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ChainVerified:
    """What the walk found. first, last: record numbers, 0 when there are none. broken: the first break in a sentence.

    record: the broken one, if there is one. accepted: breaks that a person has accepted.
    """

    record: tuple[Item, ...]
    first: int
    last: int
    head: str
    broken: str | None
    compared: tuple[Compared, ...]
    exit_status: int
    accepted: tuple[str, ...] = ()
    checkpoint: Signed | None = None
    sealed: tuple[Seal, ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        """Return the one item of kind `ChainList`; its times and records are those of an audit item."""
        compared = [{"store": one.store, "agrees": one.agrees, "message": one.message} for one in self.compared]
        item: Item = {
            "outcome": "verified" if self.exit_status == 0 else "broken",
            "first_seq": self.first,
            "last_seq": self.last,
            "head": self.head,
            "message": self.broken,
            "record": self.record[0] if self.record else None,
            "accepted": list(self.accepted),
            "compared": compared,
            "checkpoint": None if self.checkpoint is None else asdict(self.checkpoint),
            "sealed": [{"first_seq": one.first, "last_seq": one.last, "file": one.file} for one in self.sealed],
        }
        return (item,)


def audit_list(house: House, wanted: Filter, *, last: int | None = None) -> Records:
    """Return the records that fit; last: only so many of the newest. None at all where there is no state yet."""
    return Records(tuple(audit_stream(house, wanted, last=last)))


def audit_stream(house: House, wanted: Filter, *, last: int | None = None) -> Iterator[Item]:
    """Yield the records that fit, oldest first, without keeping them; last: only so many of the newest."""
    reader = house.reader()
    if reader is None:
        return
    asked = wanted.as_asked()
    for record in reader.audit(asked) if last is None else reader.audit_tail(asked, last):
        yield items.audit(record)


def audit_follow(house: House, wanted: Filter, stop: threading.Event) -> Iterator[Item]:
    """Yield the records that fit and are written from now on, as they come, until `stop` is set.

    It also ends at `wanted.until`. With `wanted.since` those since then come first. Each look reads the head alone
    while nothing was appended. A state that does not exist yet is waited for; records that a restore brought back are
    not told again.
    """
    seen: int | None = 0 if wanted.since is not None or house.reader() is None else None
    while True:
        reader = house.reader()
        if reader is not None:
            end = reader.head().seq
            seen = end if seen is None else seen
            if end > seen:
                for record in reader.audit(wanted.as_asked(), seen):
                    seen = max(seen, int(str(record["seq"])))
                    yield items.audit(record)
                seen = max(seen, end)
        if wanted.until is not None and house.clock.now() >= wanted.until:
            return
        if house.clock.wait(LOOK_EVERY, stop):
            return


def audit_export(house: House, wanted: Filter, form: Form) -> Iterator[str]:
    """Yield the text of an export, line by line, each with its line end. No record is kept."""
    from rotator.exports import lines

    return lines(form, audit_stream(house, wanted), origin(house))


def origin(house: House) -> Origin:
    """Return what an export says of where it comes from."""
    from rotator import __version__
    from rotator.exports import Origin

    reader = house.reader()
    return Origin(__version__, socket.gethostname(), reader.owner if reader is not None else "")


def audit_show(house: House, seq: int) -> Records:
    """Return one record. Raises UsageFault (2) when there is none of that number."""
    reader = house.reader()
    record = reader.audit_one(seq) if reader is not None else None
    if record is None:
        seal = next((one for one in seals_in(reader) if one.first <= seq <= one.last), None) if reader else None
        if seal is not None:
            raise UsageFault(
                f"Record {seq} was exported and pruned with the records {seal.first} to {seal.last}.",
                hint=f"Look for it in the segment of that prune: grep '\"seq\":{seq},' FILE",
            )
        raise UsageFault(f"There is no record {seq}.", hint="See the numbers with: rotator audit list")
    return Records((items.audit(record),))


def seals_in(reader: Reader) -> Iterator[Seal]:
    """Yield what the records say was exported and pruned, oldest first; their signatures are not looked at."""
    for record in reader.audit(Filter(event=EventName.AUDIT_CHECKPOINT.value).as_asked()):
        said = said_in(record)
        if isinstance(said, Seal):
            yield said


def first_kept(house: House) -> int:
    """Return the number of the oldest record that is still in the state; 0 when there is none."""
    reader = house.reader()
    return reader.bounds()[0] if reader is not None else 0


def audit_verify(house: House, *, offline: bool = False, segments: Sequence[Path] = ()) -> ChainVerified:
    """Walk the chain and compare its head with the ones in the stores; exit status 4 when either disagrees.

    offline: contact no store. segments: files that `prune` has written, checked as well. Raises StateUnusable where
    there is no state.
    """
    reader = _reader(house)
    trusted, why = trusted_key(house)
    heard = Heard(trusted)
    walked = reader.verify(witness=heard)
    owner = reader.owner
    compared = () if offline else tuple(_compare(house, reader, owner, name) for name in house.stores_in_use)
    compared += tuple(compare_segment(path, walked.seals) for path in segments)
    broken = walked.broken.reason if walked.broken is not None else None
    disagrees = [one for one in compared if one.agrees is False]
    seen = reader.audit_one(walked.broken.seq) if walked.broken is not None else None
    return ChainVerified(
        (items.audit(seen),) if seen is not None else (),
        walked.first,
        walked.last,
        walked.head.hash,
        broken,
        compared,
        ChainBroken.exit_status if broken is not None or disagrees else 0,
        tuple(one.reason for one in walked.accepted),
        _last_signed(heard, trusted, why),
        walked.seals,
    )


def _last_signed(heard: Heard, trusted: str | None, why: str) -> Signed | None:
    if heard.last is None:
        return None
    seq, said = heard.last
    others = [f"{key[:16]} until record {until}" for key, until in heard.others.items()]
    note = f"whether the key is ours is not known here: {why}" if why else ""
    if others:
        note = "; ".join(filter(None, (note, f"signed with another key before: {', '.join(others)}")))
    return Signed(seq, said.time, fingerprint(said.key), None if trusted is None else said.key == trusted, note)


def _reader(house: House) -> Reader:
    reader = house.reader()
    if reader is None:
        raise StateUnusable(
            f"There is no state yet: {house.database} does not exist, so there is no record to verify.",
            hint="See that `state.url` is right: rotator check. The first `rotator rotate` makes it.",
            code="state_missing",
        )
    return reader


def _compare(house: House, reader: Reader, owner: str, name: str) -> Compared:
    try:
        kept = heads.kept_in(house.store(name, Use.LOOK).staging, owner)
    except RotatorError as error:
        return Compared(name, None, f"not compared with {name}: {error.message}", error.hint)
    if kept is None and heads.was_published(reader, name):
        message = f"{name} has no head of this record, and one was written there"
        hint = "The store was emptied, or this is the state of another place. If it is known why: "
        return Compared(name, agrees=False, message=message, hint=f"{hint}rotator audit accept --reason TEXT")
    if kept is None:
        return Compared(name, None, f"{name} keeps no head of this record yet")
    if heads.agrees(reader, kept):
        return Compared(name, agrees=True, message=f"agrees with the head in {name}, which names record {kept.seq}")
    gone = reader.audit_one(kept.seq) is None
    what = "there is no such record any more" if gone else "the record of that number is another one"
    message = f"the head in {name} names record {kept.seq}, and {what}"
    hint = "Records were cut off, or the state is another copy. After a restore: rotator audit accept --reason TEXT"
    return Compared(name, agrees=False, message=message, hint=hint)


def audit_accept(house: House, reason: str) -> Records:
    """Record that the breaks found now are known, and go on from the last record as it stands.

    The heads in the stores follow, where they can be written. Returns the records that say so.
    """
    if not reason.strip():
        raise UsageFault("A reason is needed.", hint="Say why the break is known: --reason TEXT")
    writer = house.ledger()
    names = house.stores_in_use
    before = writer.head().seq
    disagreeing = _later_head(house, writer.owner, names)
    writer.accept(house.actor, reason, disagreeing, Heard(trusted_key(house)[0]))
    publish_accepted(house)
    reader = _reader(house)
    return Records(tuple(items.audit(record) for record in reader.audit(Filter().as_asked(), before)))


def _later_head(house: House, owner: str, names: tuple[str, ...]) -> Head | None:
    """Return the latest head that any store keeps: what it names is part of what is accepted."""
    found: list[Head] = []
    for name in names:
        try:
            kept = heads.kept_in(house.store(name, Use.LOOK).staging, owner)
        except RotatorError:
            continue
        if kept is not None:
            found.append(kept)
    return max(found, key=lambda head: head.seq, default=None)


def publish_accepted(house: House) -> list[RotatorError]:
    """Write the head over the ones in the stores, even where they name later records: a person has accepted that."""
    failures: list[RotatorError] = []
    for name in house.stores_in_use:
        try:
            staging = house.store(name, Use.LOOK).staging
        except RotatorError as error:
            failures.append(error)
            continue
        if house.observing:
            continue
        failures += heads.publish(house.ledger(), {name: staging}, house.clock, heads.Evidence.ACCEPTED)
    return failures
