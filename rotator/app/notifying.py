"""Tells others of audit records, as `notifications` and `hooks` want it. It never fails or delays a rotation.

The record is the outbox: what is to be told is on the disk in the transaction of what happened, and for each receiver
the state keeps how far along the records he is. So nothing is lost by a crash, each letter arrives at least once, in
order, and one that arrives twice has the same id. A receiver that takes nothing is tried again with growing waits; a
letter that he has not taken for three days is given up. What was told, and what could not be, is a record itself, of
which nobody is told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from rotator.app.aside import Aside
from rotator.app.config.telling import CommandReceiver, Receiver, WebhookReceiver
from rotator.app.house import House
from rotator.app.results import Remark
from rotator.app.state import Reader, Record, Writer
from rotator.clock import elapsed
from rotator.event import Event, EventName
from rotator.timing import plus, spell

if TYPE_CHECKING:
    from rotator.notifications.letter import Letter, Told

GIVEN_UP_AFTER: Final = timedelta(days=3)

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=15)

AT_THE_END: Final = timedelta(seconds=10)
"""So long a command that is over goes on telling what is still to be told; the rest waits for the next one."""

_AT_ONCE: Final = 8
_NOTE: Final = "told."
_SILENT: Final = frozenset({EventName.NOTIFICATION_SENT.value, EventName.NOTIFICATION_FAILED.value})


class Sender(Protocol):
    """Tells one receiver."""

    def tell(self, letter: Letter) -> Told:
        """Try once. Raises nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """One receiver of the configuration. name: how the record calls him. credential: None when he hears of all."""

    name: str
    events: frozenset[str]
    credential: str | None
    sender: Sender

    def wants(self, record: Record) -> bool:
        """Say whether he is to hear of a record."""
        if record["event"] not in self.events or record["event"] in _SILENT or record["outcome"] == "intended":
            return False
        return self.credential is None or record["credential"] == self.credential


class _Place(NamedTuple):
    """How far a receiver is. tries: of the next letter. until: when it may be tried again. why: it was not taken."""

    seq: int
    tries: int = 0
    until: datetime | None = None
    why: str = ""

    def text(self) -> str:
        return f"{self.seq} {self.tries} {self.until.isoformat() if self.until else '-'} {self.why}"

    @classmethod
    def of(cls, text: str) -> _Place:
        seq, tries, until, *why = text.split(" ", 3)
        return cls(int(seq), int(tries), None if until == "-" else datetime.fromisoformat(until), "".join(why))


def targets(house: House) -> list[Target]:
    """Return the receivers of a configuration; two that are written alike are two."""
    found: list[Target] = []
    for credential, receiver in house.config.receivers:
        name = f"{credential}: {receiver.named}" if credential else receiver.named
        twin = sum(one.name.split(" #")[0] == name for one in found)
        name = f"{name} #{twin + 1}" if twin else name
        found.append(Target(name, frozenset(receiver.events), credential, _sender(house, receiver)))
    return found


def _sender(house: House, receiver: Receiver) -> Sender:
    from rotator.notifications.command import Command
    from rotator.notifications.webhook import Webhook

    match receiver:
        case WebhookReceiver():
            reference = receiver.secret
            secret = None if reference is None else lambda: house.resolver.resolve(reference)
            return Webhook(receiver.url, secret, house.clock.now)
        case CommandReceiver():
            return Command(receiver.command, receiver.timeout)


def introduce(house: House, ledger: Writer) -> None:
    """Let whoever is new hear of what comes from now on, what this run records included. Raises StateUnusable, Busy."""
    for target in targets(house) if house.config.receivers and not house.observing else ():
        note = f"{_NOTE}{target.name}"
        if ledger.remembered(note) is None:
            ledger.remember(note, _Place(ledger.head().seq).text())


# --------------------------------------------------------------------------------------------------------- telling


class Postman:
    """Tells all receivers of one configuration what they have not heard yet. Not for use by two threads at once."""

    def __init__(self, house: House, ledger: Writer, stop: threading.Event) -> None:
        self._house, self._ledger, self._stop = house, ledger, stop
        self._targets = targets(house)

    def go_round(self, time: timedelta | None = None) -> list[str]:
        """Serve each receiver, several at a time. time: after it no letter is begun.

        Returns who takes nothing just now. Raises StateUnusable and Busy.
        """
        if not self._targets:
            return []
        began = self._house.clock.instant()

        def over() -> bool:
            spent = elapsed(began, self._house.clock.instant())
            return self._stop.is_set() or (time is not None and (spent is None or spent > time))

        with ThreadPoolExecutor(_AT_ONCE, "postman") as pool:
            served = pool.map(lambda one: _Round(self._house, self._ledger, one).serve(over), self._targets)
            return [target.name for target, well in zip(self._targets, served, strict=True) if not well]


class _Round:
    """One receiver, served as far as he takes what there is."""

    def __init__(self, house: House, ledger: Writer, target: Target) -> None:
        self._house, self._ledger, self._target = house, ledger, target
        self._note = f"{_NOTE}{target.name}"

    def serve(self, over: Callable[[], bool]) -> bool:
        """Tell him; over: says that no further letter may be begun. Returns whether he takes what he is told."""
        said, reader = self._ledger.remembered(self._note), self._house.reader()
        if said is None or reader is None:  # new since the configuration was read again
            self._ledger.remember(self._note, _Place(self._ledger.head().seq).text())
            return True
        place, now = _Place.of(said), self._house.clock.now()
        if place.until is not None and now < place.until <= plus(now, LONGEST_WAIT):
            return False
        seq, tries = place.seq, place.tries
        for record in reader.audit(after_seq=place.seq):
            if self._target.wants(record):
                if over():
                    break
                if not self._told(record, tries):
                    return False
                tries = 0
            seq = int(str(record["seq"]))
        if seq != place.seq:
            self._ledger.remember(self._note, _Place(seq).text())
        return True

    def _told(self, record: Record, tries: int) -> bool:
        """Tell him of one record; say whether it is over with, told or given up. tries: made before."""
        from rotator.notifications.letter import Fate, written

        answer = self._target.sender.tell(written(record, self._ledger.owner))
        seq, event = int(str(record["seq"])), str(record["event"])
        if answer.fate is Fate.TAKEN:
            self._record(EventName.NOTIFICATION_SENT, record, event, f"{self._target.name}: record {seq}")
            self._ledger.remember(self._note, _Place(seq).text())
            return True
        told = f"{self._target.name} {answer.why}; record {seq}"
        age = self._house.clock.now() - datetime.fromisoformat(str(record["time"]))
        if answer.fate in (Fate.REFUSED, Fate.GONE) or age > GIVEN_UP_AFTER:
            self._record(EventName.NOTIFICATION_FAILED, record, "given_up", f"{told} is given up")
            self._ledger.remember(self._note, _Place(seq).text())
            return True
        tries += 1
        wait = min(max(FIRST_WAIT * 2 ** min(tries - 1, 10), answer.wait or FIRST_WAIT), LONGEST_WAIT)
        if tries == 1:
            again = f"{told} is tried again after {spell(wait)}"
            self._record(EventName.NOTIFICATION_FAILED, record, "not_taken", again)
        until = plus(self._house.clock.now(), wait)
        self._ledger.remember(self._note, _Place(seq - 1, tries, until, answer.why).text())
        return False

    def _record(self, name: EventName, record: Record, reason: str, detail: str) -> None:
        credential = record["credential"]
        whose = str(credential) if credential is not None else None
        self._ledger.record(Event(name, self._house.actor, credential=whose, reason=reason, detail=detail))


def tell_at_the_end(house: House, ledger: Writer) -> None:
    """Tell what a run has to tell before it ends, for some seconds; the rest waits. Raises StateUnusable and Busy."""
    if house.config.receivers and not house.observing:
        Postman(house, ledger, threading.Event()).go_round(AT_THE_END)


def remarks_on_receivers(house: House, reader: Reader | None) -> Iterator[Remark]:
    """Yield a line for `status` for each receiver that takes nothing just now."""
    for target in targets(house) if reader is not None and house.config.receivers else ():
        said = reader.remembered(f"{_NOTE}{target.name}") if reader is not None else None
        place = _Place.of(said) if said is not None else None
        if place is not None and place.why:
            text = f"{target.name} takes no notification since record {place.seq}: it {place.why}."
            yield Remark("notifications", text, "Nothing is lost for three days. Mend it, or change the configuration.")


class Notifying(Aside):
    """A `Companion` that tells soon after a record was written. What is left at its end waits for the next start."""

    name = "notifications"

    def start(self) -> None:
        """Begin."""
        self.house.ledger().listen(lambda _: self.wake())
        self.wake()
        super().start()

    def work(self) -> str | None:
        """Tell what there is to tell. Returns who takes nothing."""
        silent = Postman(self.house, self.house.ledger(), self.ending).go_round()
        return ", ".join(silent) or None
