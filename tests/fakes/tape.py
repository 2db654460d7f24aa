"""Every port behind one counter: a run can be killed before or after each of its calls. Changes no answer otherwise."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from rotator.event import Event
from rotator.finding import Finding
from rotator.model import Intent, Procedure, Rotation
from rotator.notes import Note, Sighting
from rotator.ports import (
    Change,
    Documents,
    Head,
    Issued,
    Keeping,
    Ledger,
    Listing,
    Prover,
    Provider,
    Retired,
    Slot,
    Snapshot,
    Store,
    Tracked,
    Verdict,
    Waking,
)
from rotator.secret import Fields, Secret

T = TypeVar("T")


class Crash(BaseException):
    """The process is dead. Nothing in the program may catch this, as nothing catches a SIGKILL."""


@dataclass
class Tape:
    """Counts the calls. die_at: the crossing at which the process dies; every call has two, before and after it.

    hooks: called with the name of each call right before it is made, after the counting; one that raises keeps it from
    being made. after: called with the name right after it was made; one that raises loses its answer.
    """

    die_at: int | None = None
    dead: bool = False
    crossings: int = 0
    calls: list[str] = field(default_factory=list)
    hooks: list[Callable[[str], None]] = field(default_factory=list)
    after: list[Callable[[str], None]] = field(default_factory=list)

    def cross(self) -> None:
        """Pass a point at which a process may die; the dead pass none, whatever they would like to tidy up."""
        if self.crossings == self.die_at:
            self.die_at, self.dead = None, True
        if self.dead:
            raise Crash
        self.crossings += 1

    def call(self, name: str, act: Callable[[], T]) -> T:
        """Make one call, with a point before it and one after it."""
        self.cross()
        self.calls.append(name)
        for hook in self.hooks:
            hook(name)
        answer = act()
        for hook in self.after:
            hook(name)
        self.cross()
        return answer


@dataclass
class TapedProvider:
    """A provider behind the tape. check: what an oracle says before anything is removed."""

    inner: Provider
    tape: Tape
    check_removal: Callable[[str], None]
    procedure: Procedure = Procedure.OVERLAP

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        return self.tape.call("provider.create", lambda: self.inner.create(application, tag, lifetime))

    def list(self, application: str) -> Listing:
        return self.tape.call("provider.list", lambda: self.inner.list(application))

    def retire(self, application: str, key_id: str) -> Retired:
        def act() -> Retired:
            self.check_removal(key_id)
            return self.inner.retire(application, key_id)

        return self.tape.call("provider.retire", act)

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        return self.inner.check(application, lifetime, subject, ours)

    def close(self) -> None:
        self.inner.close()


@dataclass
class TapedKeeping:
    """What removes a version by what came with it, behind the tape."""

    inner: Keeping
    tape: Tape

    def recall(self, kept: Callable[[str], Fields | None]) -> None:
        self.inner.recall(kept)

    def retire_with(self, application: str, key_id: str, keepsake: Fields, *, again: bool) -> Retired:
        return self.tape.call(
            "provider.retire", lambda: self.inner.retire_with(application, key_id, keepsake, again=again)
        )


@dataclass
class TapedSlot:
    """The only slot of an issuer, behind the tape."""

    inner: Slot
    tape: Tape

    def choose(self) -> Secret:
        return self.inner.choose()

    def set(self, application: str, tag: str, value: Secret, lifetime: timedelta) -> Issued:
        return self.tape.call("slot.set", lambda: self.inner.set(application, tag, value, lifetime))

    def regenerate(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        return self.tape.call("slot.regenerate", lambda: self.inner.regenerate(application, tag, lifetime))

    def read(self, application: str) -> Issued:
        return self.tape.call("slot.read", lambda: self.inner.read(application))


@dataclass
class TapedDocuments:
    inner: Documents
    tape: Tape
    area: str

    def read(self, path: str, version: int | None = None) -> Snapshot:
        return self.tape.call(f"{self.area}.read", lambda: self.inner.read(path, version))

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        return self.tape.call(f"{self.area}.write", lambda: self.inner.write(path, fields, expected))

    def history(self, path: str) -> tuple[int, ...]:
        return self.tape.call(f"{self.area}.history", lambda: self.inner.history(path))

    def erase_before(self, path: str, version: int) -> None:
        self.tape.call(f"{self.area}.erase", lambda: self.inner.erase_before(path, version))


class TapedStore:
    def __init__(self, inner: Store, tape: Tape) -> None:
        self._inner = inner
        self.consumers: Documents = TapedDocuments(inner.consumers, tape, "consumers")
        self.staging: Documents = TapedDocuments(inner.staging, tape, "staging")

    def check(self, paths: Sequence[str]) -> Sequence[Finding]:
        return self._inner.check(paths)

    def close(self) -> None:
        self._inner.close()


@dataclass
class TapedProver:
    inner: Prover
    tape: Tape

    def prove(self, client_id: str, values: Fields, now: datetime) -> Verdict:
        return self.tape.call("prover.prove", lambda: self.inner.prove(client_id, values, now))

    def check(self, subject: str) -> Sequence[Finding]:
        return self.inner.check(subject)


class TapedLedger:
    """A ledger whose writes are on the tape; what it only reads dies nowhere that a write does not."""

    def __init__(self, inner: Ledger, tape: Tape) -> None:
        self._inner, self._tape = inner, tape
        self.owner = inner.owner

    def record(self, event: Event, *changes: Change | Event) -> None:
        self._tape.call(f"ledger.record {event.event}", lambda: self._inner.record(event, *changes))

    def note(self, *notes: Note) -> None:
        self._tape.call("ledger.note", lambda: self._inner.note(*notes))

    def forget_sightings(self, credential: str, key_ids: Sequence[str]) -> None:
        self._tape.call("ledger.forget", lambda: self._inner.forget_sightings(credential, key_ids))

    def tracked(self, name: str) -> Tracked | None:
        return self._inner.tracked(name)

    def every(self, names: Collection[str] | None = None) -> Iterator[Tracked]:
        return self._inner.every(names)

    def waking(self, now: datetime, at_most: int) -> Sequence[Waking]:
        return self._inner.waking(now, at_most)

    def postpone(self, moments: Mapping[Waking, datetime]) -> None:
        self._tape.call("ledger.postpone", lambda: self._inner.postpone(moments))

    def rotation(self, rotation_id: str) -> Rotation | None:
        return self._inner.rotation(rotation_id)

    def unsettled(self, credential: str) -> tuple[Intent, ...]:
        return self._inner.unsettled(credential)

    def known_key_ids(self, credential: str, retired_since: datetime) -> frozenset[str]:
        return self._inner.known_key_ids(credential, retired_since)

    def creations_since(self, credential: str, since: datetime) -> int:
        return self._inner.creations_since(credential, since)

    def next_seq(self, credential: str) -> int:
        return self._inner.next_seq(credential)

    def sightings(self, credential: str) -> tuple[Sighting, ...]:
        return self._inner.sightings(credential)

    def ailing(self, provider: str) -> Mapping[str, str]:
        return self._inner.ailing(provider)

    def head(self) -> Head:
        return self._inner.head()
