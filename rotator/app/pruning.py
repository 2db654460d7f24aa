"""`rotator audit prune`: exports old records, seals them in the chain, then removes them, in this order and no other.

Stopped anywhere nothing is lost: the file is on the disk before the seal is written, the seal before anything is
removed, and the next prune removes what the last one left.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rotator.app import heads
from rotator.app.auditing import Filter, seals_in
from rotator.app.chainwatch import see_that_change_is_allowed
from rotator.app.checkpoints import signer_of, trusted_key
from rotator.app.house import House, Use
from rotator.app.state import Reader, Writer
from rotator.app.usage import UsageFault
from rotator.app.witness import Heard
from rotator.chain import spell_time
from rotator.errors import ChainBroken, Misconfigured
from rotator.ports import Head
from rotator.seals import SEALED, Seal, text_of


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was exported and removed. seal: None when nothing was old enough. finished: what an earlier run had left."""

    seal: Seal | None
    removed: int
    finished: int = 0


def prune(house: House, before: datetime, out: Path) -> Pruned:
    """Export the records before a time into a new file, seal them, and remove them.

    Raises UsageFault (2) for a time to come, Misconfigured (78) without a signing key, ChainBroken (4), Refused (1)
    when the file cannot be written. Only the beginning of the chain goes, up to the first record that is not older.
    """
    if before > house.clock.now():
        raise UsageFault("--before names a time to come.", hint="Name a past one: 2025-11-24, or 400d ago as 400d.")
    see_that_change_is_allowed(house, "prune")
    signer = signer_of(house)
    if signer is None:
        raise Misconfigured(
            "A seal must be signed, and the configuration names no key.",
            hint='Add to the configuration: audit: {signing_key: "file:audit-key.pem"}. The file is made.',
            code="signing_key_missing",
        )
    ledger = house.ledger()
    reader = house.reader()
    if reader is None:  # there was none before this run made it
        return Pruned(None, 0)
    found = reader.verify(witness=Heard(trusted_key(house)[0])).broken
    if found is not None:
        raise ChainBroken(
            f"{found.reason} Nothing is removed from a broken chain.",
            hint="See it: rotator audit verify. When it is known why: rotator audit accept --reason TEXT",
        )
    _see_that_stores_agree(house, reader)
    finished = _finish(house, ledger, reader)
    first, last = _range(reader, before)
    if last < first:
        return Pruned(None, 0, finished)
    end = reader.audit_one(last)
    assert end is not None

    def sealed(digest: str) -> Seal:
        now = spell_time(house.clock.now())
        made = Seal(state=ledger.owner, first=first, last=last, hash=str(end["hash"]), file=digest, time=now)
        return signer.signed(made)

    from rotator.exports.segments import write_segment

    records = reader.audit(after_seq=first - 1, limit=last - first + 1)
    seal = write_segment(out, records, sealed)

    def say(_before: Head, _now: datetime) -> str:
        return text_of(seal)

    ledger.attest(house.actor, SEALED, signer.public, say)
    _publish(house, ledger)
    return Pruned(seal, ledger.remove_through(last), finished)


def _see_that_stores_agree(house: House, reader: Reader) -> None:
    """Raise ChainBroken when a store keeps another end of the chain than the records have."""
    for name in house.stores_in_use:
        kept = heads.kept_in(house.store(name, Use.LOOK).staging, reader.owner)
        if kept is not None and not heads.agrees(reader, kept):
            raise ChainBroken(
                f"The head in {name} names record {kept.seq}, which is not there. Nothing is removed.",
                hint="See it: rotator audit verify. When it is known why: rotator audit accept --reason TEXT",
            )


def _publish(house: House, ledger: Writer) -> None:
    """Let the stores name a record that stays. Raises what a store answers: then nothing is removed yet."""
    failures = heads.publish(
        ledger, {name: house.store(name, Use.CHANGE).staging for name in house.stores_in_use}, house.clock
    )
    if failures:
        raise failures[0]


def _finish(house: House, ledger: Writer, reader: Reader) -> int:
    """Remove what a seal stands for and an earlier run has left."""
    last = max((one.last for one in seals_in(reader)), default=0)
    if not 0 < reader.bounds()[0] <= last:
        return 0
    _publish(house, ledger)
    return ledger.remove_through(last)


def _range(reader: Reader, before: datetime) -> tuple[int, int]:
    """Return from where to where all records are older; the last record of all stays."""
    first, end = reader.bounds()
    young = next(reader.audit(Filter(since=before).as_asked(), limit=1), None)
    last = end - 1 if young is None else int(str(young["seq"])) - 1
    return first, min(last, end - 1)
