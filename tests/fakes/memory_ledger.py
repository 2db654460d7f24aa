"""A ledger in memory for simulations, with the rules of the real one; it outlives whoever uses it, but no process.

A simulation that kills its engine hands the same object to the next one: what `record` and `note` were told is durable
when they return, and nothing else is.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from rotator.chain import ZEROS, Value, record_of
from rotator.clock import Clock
from rotator.errors import StateUnusable
from rotator.event import Event, Outcome
from rotator.model import Act, CredentialState, Intent, Request, Rotation, Version, VersionState
from rotator.notes import GraceExtended, Note, ProofSeen, Sighting, Step
from rotator.outlook import asleep
from rotator.planner import current_version
from rotator.ports import Change, Head, Tracked, Waking

_GONE = (VersionState.RETIRED, VersionState.ABANDONED, VersionState.LEFT)
_ENDED = (VersionState.RETIRED, VersionState.ABANDONED)


class MemoryLedger:
    """Implements the `Ledger` port. events: the audit records so far, chained, in order.

    The other attributes are the tables, for an oracle to read; each is in the order of first writing.
    """

    def __init__(self, clock: Clock, owner: str = "memory") -> None:
        self.owner = owner
        self._clock = clock
        self._lock = threading.RLock()
        self._failed = False
        self.events: list[dict[str, Value]] = []
        self.states: dict[str, CredentialState] = {}
        self.versions: dict[tuple[str, str], Version] = {}
        self.rotations: dict[str, Rotation] = {}
        self.intents: dict[str, Intent] = {}
        self.requests: dict[str, Request] = {}
        self.steps: list[Step] = []
        self.seen: dict[tuple[str, str], Sighting] = {}
        self.refused: dict[str, dict[str, str]] = {}

    # ------------------------------------------------------------------------------------------------------- writing

    def record(self, event: Event, *changes: Change | Event) -> None:
        """Append audit records and make the changes they tell of."""
        with self._lock:
            self._see_that_it_may(changes)
            now = self._clock.now()
            for one in (event, *changes):
                if isinstance(one, Event):
                    head = self.head()
                    self.events.append(record_of(one, head.seq + 1, now, head.hash))
            for one in changes:
                if not isinstance(one, Event):
                    self._put(one)

    def note(self, *notes: Note) -> None:
        """Write bookkeeping."""
        with self._lock:
            self._see_that_it_may(())
            for one in notes:
                self._put(one)

    def forget_sightings(self, credential: str, key_ids: Sequence[str]) -> None:
        """Drop sightings that turned out to be nothing, or that are settled."""
        with self._lock:
            self._see_that_it_may(())
            for key_id in key_ids:
                self.seen.pop((credential, key_id), None)

    def _see_that_it_may(self, changes: Sequence[Change | Event]) -> None:
        """Refuse a second unfinished rotation of a credential, and everything after it, as the real one does."""
        after = {**self.rotations, **{one.id: one for one in changes if isinstance(one, Rotation)}}
        unfinished = [one.credential for one in after.values() if not one.phase.final]
        if len(unfinished) > len(set(unfinished)):
            self._failed = True
        if self._failed:
            raise StateUnusable(
                "The ledger was about to hold two unfinished rotations of one credential",
                hint="This is a fault of rotator.",
                code="state_inconsistent",
            )

    def _put(self, one: Change | Note) -> None:
        match one:
            case CredentialState():
                self.states[one.name] = one
            case Version():
                self.versions[one.credential, one.key_id] = one
            case Rotation():
                self.rotations[one.id] = one
            case Intent():
                self.intents[one.id] = one
            case Request():
                self.requests[one.id] = one
            case Step():
                self.steps.append(one)
            case Sighting():
                self.seen[one.credential, one.key_id] = one
            case GraceExtended():
                before = self.versions[one.credential, one.key_id]
                self.versions[one.credential, one.key_id] = replace(before, retire_after=one.retire_after)
            case ProofSeen(code=None):
                if one.credential in self.refused.get(one.provider, {}):
                    del self.refused[one.provider]
            case ProofSeen():
                self.refused.setdefault(one.provider, {})[one.credential] = str(one.code)

    # ------------------------------------------------------------------------------------------------------- reading

    def tracked(self, name: str) -> Tracked | None:
        """Return all about one credential, or None when it was never seen."""
        with self._lock:
            state = self.states.get(name)
            if state is None:
                return None
            living = [one for one in self.versions.values() if one.credential == name and one.state not in _GONE]
            rotations = [one for one in self.rotations.values() if one.credential == name]
            asked = [one for one in self.requests.values() if one.credential == name and one.answered_by is None]
            return Tracked(
                state,
                tuple(sorted(living, key=_age)),
                next((one for one in rotations if not one.phase.final), None),
                next((one for one in reversed(rotations) if one.phase.final), None),
                next(iter(asked), None),
            )

    def every(self, names: Collection[str] | None = None) -> Iterator[Tracked]:
        """Yield all about every credential, or about those of `names` that are known, by name."""
        with self._lock:
            known = sorted(self.states if names is None else self.states.keys() & set(names))
        for name in known:
            tracked = self.tracked(name)
            if tracked is not None:
                yield tracked

    def waking(self, now: datetime, at_most: int) -> Sequence[Waking]:
        """Return the credentials whose `wake_at` has come, or is missing, or is too far ahead to be believed."""
        with self._lock:
            awake = [one for one in self.states.values() if one.forgotten_at is None and not asleep(one.wake_at, now)]
        awake.sort(key=lambda one: (one.wake_at is not None, one.wake_at, one.name))
        found = [self.tracked(one.name) for one in awake[:at_most]]
        return tuple(
            Waking(
                one.state.name,
                one.state.wake_at,
                fresh=current_version(one) is None and one.rotation is None,
                sighted=bool(self.sightings(one.state.name)),
            )
            for one in found
            if one is not None
        )

    def postpone(self, moments: Mapping[Waking, datetime]) -> None:
        """Let credentials sleep until then; one whose `wake_at` has changed is left alone."""
        with self._lock:
            self._see_that_it_may(())
            for one, until in moments.items():
                state = self.states.get(one.name)
                if state is not None and state.wake_at == one.wake_at:
                    self._put(replace(state, wake_at=until))

    def rotation(self, rotation_id: str) -> Rotation | None:
        """Return one rotation, finished or not."""
        return self.rotations.get(rotation_id)

    def unsettled(self, credential: str) -> tuple[Intent, ...]:
        """Return the intents whose outcome is missing or unknown, oldest first."""
        with self._lock:
            return tuple(
                one
                for one in self.intents.values()
                if one.credential == credential and one.outcome in (None, Outcome.UNKNOWN)
            )

    def known_key_ids(self, credential: str, retired_since: datetime) -> frozenset[str]:
        """Return every key id that any row names, except versions retired or abandoned before `retired_since`."""
        with self._lock:
            versions = [one for one in self.versions.values() if one.credential == credential]
            named = {one.key_id for one in versions}
            for rotation in self.rotations.values():
                if rotation.credential == credential:
                    named.update(rotation.old_key_ids, [rotation.key_id] if rotation.key_id else [])
            named.update(
                one.key_id
                for one in self.intents.values()
                if one.credential == credential and one.key_id and one.act is not Act.RETIRE
            )
            return frozenset(named).difference(
                one.key_id
                for one in versions
                if one.state in _ENDED and one.retired_at is not None and one.retired_at < retired_since
            )

    def creations_since(self, credential: str, since: datetime) -> int:
        """Count the labels of creations asked for since then, without those of which nothing came for certain."""
        with self._lock:
            asked = [one for one in self.intents.values() if one.act is Act.CREATE and one.sent.wall >= since]
            made = [one for one in asked if one.credential == credential and one.outcome is not Outcome.REFUSED]
            return len({one.tag or one.id for one in made})

    def next_seq(self, credential: str) -> int:
        """Return the number of the next rotation of this credential, from 1."""
        with self._lock:
            return 1 + max((one.seq for one in self.rotations.values() if one.credential == credential), default=0)

    def sightings(self, credential: str) -> tuple[Sighting, ...]:
        """Return the versions seen that nothing names."""
        with self._lock:
            found = (one for one in self.seen.values() if one.credential == credential)
            return tuple(sorted(found, key=lambda one: one.key_id))

    def ailing(self, provider: str) -> Mapping[str, str]:
        """Return the credentials of a provider whose last proof was refused, but for those that are forgotten."""
        with self._lock:
            gone = {name for name, state in self.states.items() if state.forgotten_at is not None}
            return {name: code for name, code in self.refused.get(provider, {}).items() if name not in gone}

    def head(self) -> Head:
        """Return the end of the audit chain."""
        with self._lock:
            if not self.events:
                return Head(0, ZEROS)
            return Head(len(self.events), str(self.events[-1]["hash"]))


def _age(version: Version) -> tuple[bool, datetime | None, str]:
    return version.created_at is not None, version.created_at, version.key_id
