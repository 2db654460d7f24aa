"""What the use cases ask of the state beyond the `Ledger` port; `persistence` answers, and so may a fake."""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rotator.chain import Break
from rotator.errors import Broken, Misconfigured
from rotator.event import Event
from rotator.model import Intent, Request, Rotation, Version
from rotator.notes import Note, Sighting, Step
from rotator.ports import Change, Head, Ledger, Tracked, Waking

if TYPE_CHECKING:
    from rotator.persistence.figures import Last
    from rotator.persistence.trail import Attested, AuditFilter, Verified, Walked, Witness

Record = Mapping[str, str | int | None]


class Told(Protocol):
    """One rotation with its steps in order."""

    @property
    def rotation(self) -> Rotation:
        """Return the rotation."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return its steps."""


class Views(Protocol):
    """The reading half of the `Ledger` port, and what people ask besides."""

    def tracked(self, name: str) -> Tracked | None:
        """See `Ledger.tracked`."""

    def every(self, names: Collection[str] | None = None) -> Iterator[Tracked]:
        """See `Ledger.every`."""

    def waking(self, now: datetime, at_most: int) -> Sequence[Waking]:
        """See `Ledger.waking`."""

    def rotation(self, rotation_id: str) -> Rotation | None:
        """See `Ledger.rotation`."""

    def unsettled(self, credential: str) -> tuple[Intent, ...]:
        """See `Ledger.unsettled`."""

    def known_key_ids(self, credential: str, retired_since: datetime) -> frozenset[str]:
        """See `Ledger.known_key_ids`."""

    def creations_since(self, credential: str, since: datetime) -> int:
        """See `Ledger.creations_since`."""

    def next_seq(self, credential: str) -> int:
        """See `Ledger.next_seq`."""

    def sightings(self, credential: str) -> tuple[Sighting, ...]:
        """See `Ledger.sightings`."""

    def ailing(self, provider: str) -> Mapping[str, str]:
        """See `Ledger.ailing`."""

    def head(self) -> Head:
        """See `Ledger.head`."""

    def rotations(self, credential: str, limit: int = ...) -> Sequence[Told]:
        """Return the rotations of a credential, the newest first, with their steps."""

    def requests_open(self, credential: str) -> tuple[Request, ...]:
        """Return the unanswered requests for a credential, oldest first."""

    def managed(self) -> frozenset[str]:
        """Return the names of all credentials that are known and not forgotten."""

    def parked_count(self) -> int:
        """Count the credentials that wait for a person."""

    def versions(self, credential: str) -> tuple[Version, ...]:
        """Return every version of a credential that was ever recorded."""


class Reader(Views, Protocol):
    """The state, open for reading while somebody else may write."""

    @property
    def owner(self) -> str:
        """Return the id of this state."""

    def audit(self, wanted: AuditFilter = ..., after_seq: int = ..., limit: int | None = ...) -> Iterator[Record]:
        """Yield the wanted records after a number, in order, at most `limit`."""

    def audit_tail(self, wanted: AuditFilter = ..., limit: int = ...) -> Sequence[Record]:
        """Return the last `limit` of the wanted records, in order."""

    def audit_one(self, seq: int) -> Record | None:
        """Return one record, or None when there is none of that number."""

    def glance(self) -> Break | None:
        """Return the first break among the newest records that nobody has accepted."""

    def last_walk(self) -> Walked | None:
        """Return what the last walk along the whole chain has found; None when there was none."""

    def verify(self, expected_head: Head | None = None, witness: Witness | None = None) -> Verified:
        """Walk the chain and return what was found. expected_head: a copy of the head that was kept elsewhere.

        witness: judges checkpoints and seals.
        """

    def remembered(self, name: str) -> str | None:
        """Return a note of this state, or None."""

    def bounds(self) -> tuple[int, int]:
        """Return the numbers of the first and the last record; twice 0 when there is none."""

    def last_checkpoint(self) -> Attested | None:
        """Return what is remembered of the last checkpoint or seal; None when there was none."""

    def marks(self) -> Iterator[tuple[str, int]]:
        """Yield each credential with a number that changes when anything changes that it is planned from."""

    def orphans(self) -> Mapping[str, int]:
        """Return how many versions that nothing names each credential has, where there are any."""

    def refused(self) -> frozenset[str]:
        """Return the credentials whose current version did not pass its last proof."""

    def last(self) -> Last:
        """Return where the records end now."""

    def finished(self, since: Last, until: Last) -> Mapping[str, int]:
        """Return how many rotations ended in each outcome, by the records between the two."""

    def took(self, since: Last, until: Last) -> Iterator[tuple[str, float]]:
        """Yield each step that ended between the two, and its seconds."""


class Writer(Ledger, Protocol):
    """The state, open for writing under its lock."""

    def listen(self, listener: Callable[[Sequence[Record]], None]) -> None:
        """Have records told to somebody once they are on the disk. He returns at once, and raises nothing."""

    def see_that_it_is_there(self) -> None:
        """Raise StateUnusable when the file was removed or replaced under us, or a write to it has failed."""

    def requests_open(self, credential: str) -> tuple[Request, ...]:
        """Return the unanswered requests for a credential, oldest first, also for one that was never visited."""

    def managed(self) -> frozenset[str]:
        """Return the names of all credentials that are known and not forgotten."""

    def parked_count(self) -> int:
        """Count the credentials that wait for a person."""

    def audit_one(self, seq: int) -> Record | None:
        """Return one record, or None when there is none of that number."""

    def walked(self, at: datetime, broken: str | None) -> None:
        """Remember what a walk along the whole chain has found. broken: the first break, in a sentence."""

    def accept(
        self, actor: str, reason: str, expected_head: Head | None = None, witness: Witness | None = None
    ) -> Verified:
        """Record that the breaks of the chain are known, and go on from the last record as it stands."""

    def last_checkpoint(self) -> Attested | None:
        """Return what is remembered of the last checkpoint or seal; None when there was none."""

    def remembered(self, name: str) -> str | None:
        """Return a note of this state, or None."""

    def remember(self, name: str, value: str) -> None:
        """Keep a note in this state, in place of the one of its name."""

    def attest(self, actor: str, reason: str, key: str, say: Callable[[Head, datetime], str]) -> Head:
        """Append an `audit.checkpoint`. say: returns its detail, told the head before it and the time."""

    def remove_through(self, seq: int) -> int:
        """Remove the records up to a number, but never the last one; return how many went."""


class Onlooker:
    """A ledger that only answers, for commands that change nothing and need no lock. reader: None: no state yet."""

    owner = ""

    def __init__(self, reader: Views | None) -> None:
        self._reader = reader

    def record(self, event: Event, *changes: Change | Event) -> None:
        """Refuse."""
        raise _only_looking()

    def note(self, *notes: Note) -> None:
        """Refuse."""
        raise _only_looking()

    def forget_sightings(self, credential: str, key_ids: Sequence[str]) -> None:
        """Refuse."""
        raise _only_looking()

    def tracked(self, name: str) -> Tracked | None:
        """See `Ledger.tracked`."""
        return self._reader.tracked(name) if self._reader is not None else None

    def every(self, names: Collection[str] | None = None) -> Iterator[Tracked]:
        """See `Ledger.every`."""
        return self._reader.every(names) if self._reader is not None else iter(())

    def waking(self, now: datetime, at_most: int) -> Sequence[Waking]:
        """See `Ledger.waking`."""
        return self._reader.waking(now, at_most) if self._reader is not None else ()

    def postpone(self, moments: Mapping[Waking, datetime]) -> None:
        """Refuse."""
        raise _only_looking()

    def rotation(self, rotation_id: str) -> Rotation | None:
        """See `Ledger.rotation`."""
        return self._reader.rotation(rotation_id) if self._reader is not None else None

    def unsettled(self, credential: str) -> tuple[Intent, ...]:
        """See `Ledger.unsettled`."""
        return self._reader.unsettled(credential) if self._reader is not None else ()

    def known_key_ids(self, credential: str, retired_since: datetime) -> frozenset[str]:
        """See `Ledger.known_key_ids`."""
        return self._reader.known_key_ids(credential, retired_since) if self._reader is not None else frozenset()

    def creations_since(self, credential: str, since: datetime) -> int:
        """See `Ledger.creations_since`."""
        return self._reader.creations_since(credential, since) if self._reader is not None else 0

    def next_seq(self, credential: str) -> int:
        """See `Ledger.next_seq`."""
        return self._reader.next_seq(credential) if self._reader is not None else 1

    def sightings(self, credential: str) -> tuple[Sighting, ...]:
        """See `Ledger.sightings`."""
        return self._reader.sightings(credential) if self._reader is not None else ()

    def ailing(self, provider: str) -> Mapping[str, str]:
        """See `Ledger.ailing`."""
        return self._reader.ailing(provider) if self._reader is not None else {}

    def head(self) -> Head:
        """See `Ledger.head`."""
        return self._reader.head() if self._reader is not None else Head(0, "0" * 64)


def may_read(database: Path) -> bool:
    """Say whether this user may read the state, or see that there is none yet."""
    nearest = next((folder for folder in database.parents if os.access(folder, os.F_OK)), database.parent)
    if not os.access(nearest, os.X_OK):
        return False
    return not os.access(database, os.F_OK) or os.access(database, os.R_OK)


def see_whose_it_is(database: Path, uid: int | None = None) -> None:
    """Raise Misconfigured when the state belongs to another user: what we wrote there, he could not write any more.

    uid: in whose name we would write; None: the effective user of this process.
    """
    uid = os.geteuid() if uid is None else uid
    try:
        place = database if database.exists() else database.parent
        owner = place.stat().st_uid
    except OSError:
        return  # whoever opens it says what is wrong
    if owner == uid or (owner == 0 and place != database):
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"  # as sudo(8) takes a uid
    raise Misconfigured(
        f"The state {database} belongs to {name}, and this is another user.",
        hint=f"Run it as that user: sudo -u {shlex.quote(name)} rotator …",
        code="state_of_another_user",
    )


def _only_looking() -> Broken:
    return Broken(
        "A command that changes nothing was about to write to the state.",
        hint="Please report this, with the command; nothing was written.",
        code="only_looking",
    )
