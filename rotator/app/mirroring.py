"""Copies of the audit records elsewhere, as `audit.mirror` wants them: told after the fact, caught up after a failure.

It never fails or delays a rotation: a command hands over what there is when all else is done, for a few seconds at
most; the daemon does it on a thread of its own. How far each copy has got is kept in the state, so each record arrives
at least once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from rotator.app import checkpoints
from rotator.app.aside import Aside
from rotator.app.house import House
from rotator.app.results import Remark
from rotator.app.state import Reader, Writer
from rotator.clock import elapsed
from rotator.errors import RotatorError
from rotator.ports import Store

if TYPE_CHECKING:
    from rotator.app.config.values import Copy
    from rotator.exports.mirrors import Mirror

AT_ONCE: Final = 50
"""So many records are handed over in one batch; what was taken of one that failed is told again."""

AT_MOST: Final = 200
"""So many batches are handed over in one go."""

AT_THE_END: Final = timedelta(seconds=3)
"""After so long a command begins no further batch."""

_NOTE: Final = "mirror."


def hand_over(house: House, ledger: Writer, batches: int = AT_MOST, time: timedelta | None = None) -> str | None:
    """Hand over what the copies have not got yet, at most so many batches each. time: after it no batch is begun.

    Returns what keeps one from taking records, in a few words; None when all is well. Raises StateUnusable and Busy.
    """
    trouble = None
    for copy in house.config.audit.mirror:
        failed = _catch_up(house, ledger, copy, batches, time)
        trouble = trouble or failed
    return trouble


def leave(house: House, ledger: Writer, stores: Mapping[str, Store]) -> None:
    """Do what a run that may have appended owes the record: a checkpoint that is due, and the copies of what is new.

    A failed copy is remembered for `status`, and changes nothing. Raises what `checkpoints.keep_up` raises.
    """
    checkpoints.keep_up(house, ledger, stores)
    if house.config.audit.mirror and not house.observing:
        with suppress(RotatorError):
            hand_over(house, ledger, time=AT_THE_END)


def _catch_up(house: House, ledger: Writer, copy: Copy, batches: int, time: timedelta | None) -> str | None:
    note = f"{_NOTE}{copy}"
    seq, _, failed = (ledger.remembered(note) or "0").partition(" ")
    end, reader = ledger.head().seq, house.reader()
    if reader is None or (int(seq) == end and not failed):
        return None
    mirror, done, began = _mirror(copy), int(seq), house.clock.instant()
    records = reader.audit(after_seq=done)
    for _ in range(batches):
        spent = elapsed(began, house.clock.instant())
        if time is not None and spent is not None and spent > time:
            break
        batch = list(islice(records, AT_ONCE))
        if not batch:
            break
        try:
            mirror.take(batch)
        except OSError as error:
            why = error.strerror or type(error).__name__
            ledger.remember(note, f"{done} {why}")
            return f"{copy}: {why}"
        done = int(str(batch[-1]["seq"]))
        ledger.remember(note, str(done))
    return None


def _mirror(copy: Copy) -> Mirror:
    from rotator.exports.mirrors import FileMirror, SyslogMirror

    return SyslogMirror() if copy.file is None else FileMirror(copy.file)


def remarks_on_mirrors(house: House, reader: Reader | None) -> Iterator[Remark]:
    """Yield a line for `status` for each copy that did not take the last records."""
    for copy in house.config.audit.mirror if reader is not None else ():
        seq, _, why = ((reader.remembered(f"{_NOTE}{copy}") if reader else None) or "").partition(" ")
        if why:
            text = f"The mirror {copy} has taken no record after {seq}: {why}."
            yield Remark(
                "audit", text, "Nothing is lost: it gets them when it is back. Mend it, or change audit.mirror."
            )


class Mirroring(Aside):
    """A `Companion` that hands over records soon after they were written, and once more at the end."""

    name = "audit mirror"
    once_more = True

    def start(self) -> None:
        """Begin."""
        self.house.ledger().listen(lambda _: self.wake())
        self.wake()
        super().start()

    def work(self) -> str | None:
        """Hand over what there is. Returns which copy takes no records."""
        return hand_over(self.house, self.house.ledger())
