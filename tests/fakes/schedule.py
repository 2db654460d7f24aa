"""Schedules of a world with two states: what may befall it, event by event, and how it settles in the end.

The oracle of the world looks after every event. At the end the faults stop, a person resumes what is parked, and then
exactly one version of ours must be left at the issuer: the one that consumers read. The prover may refuse and stay
silent without cause; it never accepts a value that does not work. Nobody removes the version that consumers read, and
time does not pass its end: those are bad days with tests of their own.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple

from rotator.clock import Instant
from rotator.errors import Denied, OutcomeUnknown, RotatorError, Transient
from rotator.event import Event, EventName
from rotator.model import Act
from rotator.planner import current_version
from rotator.ports import Answer
from rotator.testing.providers import Fate
from tests.fakes.memory_issuer import MemoryIssuer
from tests.fakes.memory_ledger import MemoryLedger
from tests.fakes.memory_store import MemoryStore
from tests.fakes.tape import Crash
from tests.fakes.world import APP, DAY, MINUTE, NAME, SECOND, State, World, credential

FURTHEST_JUMP = 4 * MINUTE
ROLE = "ProviderApi.Access"
ROUNDS = 80
"""So often both states visit, at the most, until everything has settled."""


class TrueClock:
    """The time as it is: the issuer's and the store's, whatever somebody did to the clock of the machine."""

    def __init__(self, issuer: MemoryIssuer) -> None:
        self._issuer = issuer

    def now(self) -> datetime:
        return self._issuer.now()

    def instant(self) -> Instant:
        return replace(self._issuer.clock.instant(), wall=self.now())

    def wait(self, duration: timedelta, interrupt: object = None) -> bool:
        raise AssertionError("nobody waits on it")


class Stage(World):
    """A world with two states, in which a state may lose its ledger. lost: the states that are gone."""

    def __init__(self, slots: int | None) -> None:
        super().__init__(credential(max_creations=1000), slots=slots)
        self.true = TrueClock(self.issuer)
        self.store = MemoryStore(self.true)
        self.lost: list[State] = []
        self.upsets: list[Upset] = []
        self.by_hand: set[int] = set()
        self.kept: list[tuple[State, MemoryLedger]] = []
        self.jumped = timedelta(0)
        self.owners = 0
        self.hurried = self.slept = self.slept_in_write = False
        for _ in range(2):
            self.owners += 1
            self.state(f"state-{self.owners}")

    def check(self, *, quiet: bool = False) -> None:
        """Assert what World asserts, by the true time; those that are lost have a journal, and settle nothing."""
        machine, self.clock = self.clock, self.true  # type: ignore[assignment]
        try:
            super().check(quiet=quiet)
        finally:
            self.clock = machine

    def _journal(self) -> list[str]:
        present, self.states = self.states, self.states + self.lost
        try:
            return super()._journal()
        finally:
            self.states = present

    def _excused(self, key_id: str) -> bool:
        """Say whether it came to its own end, a person wanted its grace cut short, or somebody else removed it."""
        ends = [one.expires_at for one in self.application.versions if one.key_id == key_id]
        return self.hurried or super()._excused(key_id) or (bool(ends) and ends[0] <= self.true.now())

    def _proofs(self) -> list[str]:
        """I4, but for a process that sleeps when the write has already left it: nobody can keep that one back."""
        found = [one for one in super()._proofs() if not (self.slept_in_write and "long after" in one)]
        by_hand = tuple(f"I4: version {number} " for number in self.by_hand)
        return [one for one in found if not one.startswith(by_hand)] if by_hand else found

    def _consumers(self) -> list[str]:
        """I1, I3, I5: what a person writes is no second change of a rotation."""
        return [one for one in super()._consumers() if not (self.by_hand and one.startswith("I5"))]

    def _bounds(self) -> list[str]:
        return []  # the slots bound it, where there are any

    def upset(self, who: int, name: str, *, made: bool) -> None:
        """Let a call to the store fail, if that was to befall it."""
        for one in self.upsets:
            if one.who == who and one.call == name and (one.how is Mood.LOST) == made:
                one.skip -= 1
                if one.skip < 0:
                    self.upsets.remove(one)
                    raise one.error()

    def left(self) -> timedelta | None:
        """Return how long what consumers read is valid."""
        key_id = self.main_key()
        ends = [one.expires_at for one in self.issuer.truth(APP) if one.key_id == key_id]
        return ends[0] - self.true.now() if ends else None

    def settled(self) -> bool:
        return (
            self.live_ours() == {self.main_key()}
            and all(one.ledger.tracked(NAME).rotation is None for one in self.states)
            and all(one.ledger.tracked(NAME).request is None for one in self.states)
            and self.store.staging.read(NAME).fields.text("stage") == "idle"
        )


def copy_of(ledger: MemoryLedger, stage: Stage) -> MemoryLedger:
    """Return a backup of a ledger."""
    copy = MemoryLedger(stage.clock, owner=ledger.owner)
    for name in ("states", "versions", "rotations", "intents", "requests", "seen"):
        setattr(copy, name, dict(getattr(ledger, name)))
    copy.refused = {provider: dict(found) for provider, found in ledger.refused.items()}
    copy.events, copy.steps = list(ledger.events), list(ledger.steps)
    return copy


# -------------------------------------------------------------------------------------------------------------- events


class Mood(Enum):
    """How a call to the store fails."""

    DOWN = "down"  # not done, and said so
    DENIED = "denied"  # not done, and said so
    NEVER = "never"  # not done, the answer is lost
    LOST = "lost"  # done, the answer is lost


@dataclass
class Upset:
    """The call of a state to the store that fails. skip: so many of them do not."""

    who: int
    call: str
    how: Mood
    skip: int

    def error(self) -> RotatorError:
        """Return what the store raises."""
        if self.how is Mood.DOWN:
            return Transient(f"{self.call}: the store is sealed.", hint="Unseal it.")
        if self.how is Mood.DENIED:
            return Denied(f"{self.call} is not allowed.", hint="Allow it.")
        return OutcomeUnknown(f"{self.call}: the answer was lost.", hint="Look.")


class Trip(NamedTuple):
    """A later call of a state to the store fails."""

    who: int
    call: str
    how: Mood
    skip: int

    def happen(self, stage: Stage) -> None:
        unclear = self.how in (Mood.NEVER, Mood.LOST)
        if self.call.endswith("write") or not unclear:
            stage.upsets.append(Upset(self.who, self.call, self.how, self.skip))


class Visit(NamedTuple):
    """A state visits. crash_at: the crossing at which it dies. asleep_at: the call at which it sleeps, and the other
    state visits meanwhile; without_role: the tokens lack the role just then."""

    who: int
    crash_at: int | None = None
    asleep_at: int | None = None
    for_so_long: timedelta = 3 * MINUTE
    without_role: bool = False

    def happen(self, stage: Stage) -> None:
        """Visit."""
        state, other = stage.states[self.who], stage.states[1 - self.who]
        state.tape.crossings, state.tape.die_at = 0, self.crash_at
        calls = 0

        def sleep(name: str) -> None:
            nonlocal calls
            calls += 1
            stage.upset(self.who, name, made=False)
            if calls == self.asleep_at:
                stage.slept_in_write |= name == "consumers.write"
                stage.slept = True
                Pass(self.for_so_long).happen(stage)
                roles, stage.application.roles = stage.application.roles, set()
                if not self.without_role:
                    stage.application.roles = roles
                other.visit()
                stage.application.roles = roles
                stage.advance(SECOND)

        state.tape.hooks[:] = [sleep]
        state.tape.after[:] = [lambda name: stage.upset(self.who, name, made=True)]
        with suppress(Crash):
            state.visit()
        state.tape.hooks.clear()
        state.tape.after.clear()
        state.tape.die_at = None


class Pass(NamedTuple):
    """Time passes, as long as what consumers read stays valid."""

    duration: timedelta

    def happen(self, stage: Stage) -> None:
        left = stage.left()
        most = self.duration if left is None else min(self.duration, left - 2 * DAY)
        stage.advance(max(most, timedelta(0)))


class Befall(NamedTuple):
    """The next call of this kind at the issuer ends so."""

    act: Act
    fate: Fate
    after: timedelta = 30 * SECOND

    def happen(self, stage: Stage) -> None:
        stage.issuer.ghost_delay = self.after
        stage.issuer.fate(self.act, self.fate)


class Tell(NamedTuple):
    """The token endpoint gives these answers next, before it tells the truth again."""

    answers: tuple[Answer | None, ...]

    def happen(self, stage: Stage) -> None:
        stage.prover.flaky(*self.answers)


class Role(NamedTuple):
    """The role of the application is taken away or given back."""

    there: bool

    def happen(self, stage: Stage) -> None:
        roles = stage.application.roles
        roles.add(ROLE) if self.there else roles.discard(ROLE)


class Lag(NamedTuple):
    """Fresh secrets are unknown to the endpoint, and changes to the list, for so long."""

    secrets: timedelta
    lists: timedelta

    def happen(self, stage: Stage) -> None:
        stage.application.lag, stage.issuer.stale_for = self.secrets, self.lists


class Ask(NamedTuple):
    """Somebody asks for a rotation."""

    who: int
    emergency: bool

    def happen(self, stage: Stage) -> None:
        tracked = stage.states[self.who].ledger.tracked(NAME)
        if tracked is None or tracked.request is None:  # each is answered by a rotation of its own, and takes its time
            stage.hurried |= self.emergency
            stage.states[self.who].ask(emergency=self.emergency)


class EditOther(NamedTuple):
    """Somebody writes a field that is not ours."""

    text: str

    def happen(self, stage: Stage) -> None:
        fields = stage.main()
        if fields is not None:
            stage.store.consumers.put(stage.credential.path, fields.merged({"note": self.text}))


class PutBack(NamedTuple):
    """Somebody writes an earlier version again that still works, and whose end nobody has published yet."""

    def happen(self, stage: Stage) -> None:
        consumers, path, key_id = stage.store.consumers, stage.credential.path, stage.main_key()
        found = [consumers.read(path, number).fields for number in consumers.history(path)]
        dying = {intent.key_id for state in (*stage.states, *stage.lost) for intent in state.ledger.intents.values()
                 if intent.act is Act.RETIRE}  # fmt: skip
        staging = stage.store.staging.read(NAME).fields
        dying |= set(json.loads((staging.text("retiring") if staging is not None else None) or "[]"))
        found = [one for one in found if one is not None and one.text("key_id") not in {key_id, *dying}]
        found = [one for one in found if stage.works(one)]
        if found and found[-1] is not None:
            stage.by_hand.add(consumers.put(path, found[-1]).version)


class RemoveAnother(NamedTuple):
    """Somebody removes a version of ours that consumers do not read, at the issuer."""

    which: int

    def happen(self, stage: Stage) -> None:
        others = sorted(stage.live_ours() - {stage.main_key()})
        if others:
            stage.issuer.remove(APP, others[self.which % len(others)])


class Jump(NamedTuple):
    """The clock of the machine is set, less wrong than five minutes all in all."""

    by: timedelta

    def happen(self, stage: Stage) -> None:
        wrong = max(-FURTHEST_JUMP, min(FURTHEST_JUMP, stage.jumped + self.by))
        stage.clock.jump(wrong - stage.jumped)
        stage.issuer.skew -= wrong - stage.jumped
        stage.jumped = wrong


class Reboot(NamedTuple):
    """The machine restarts."""

    def happen(self, stage: Stage) -> None:
        stage.clock.reboot()


class Resume(NamedTuple):
    """A person has looked and lets it go on."""

    who: int

    def happen(self, stage: Stage) -> None:
        ledger = stage.states[self.who].ledger
        tracked = ledger.tracked(NAME)
        if tracked is None or not (tracked.state.parked or tracked.state.not_before):
            return
        current = current_version(tracked)
        freed = replace(tracked.state, parked=None, error=None, failures=0, cause=None, same_cause=0,
                        not_before=None, wake_at=None)  # fmt: skip
        changes = () if current is None else (replace(current, store_version=None),)
        ledger.record(Event(EventName.ROTATION_RESUMED, "dana", NAME), freed, *changes)


class LoseLedger(NamedTuple):
    """A state loses its ledger and begins with an empty one."""

    who: int

    def happen(self, stage: Stage) -> None:
        stage.owners += 1
        stage.lost.append(stage.states[self.who])
        stage.states[self.who] = State(stage, MemoryLedger(stage.clock, owner=f"state-{stage.owners}"))


class Backup(NamedTuple):
    """Somebody copies a ledger."""

    who: int

    def happen(self, stage: Stage) -> None:
        state = stage.states[self.who]
        stage.kept.append((state, copy_of(state.ledger, stage)))


class Restore(NamedTuple):
    """Somebody puts the last copy back, of whichever state it is."""

    def happen(self, stage: Stage) -> None:
        if stage.kept and stage.kept[-1][0] in stage.states:
            state, ledger = stage.kept.pop()
            stage.lost.append(State(stage, state.ledger))
            state.ledger = ledger


# --------------------------------------------------------------------------------------------------------------- play


def calm(stage: Stage) -> None:
    """End all faults."""
    stage.issuer._fates[Act.CREATE].clear()
    stage.issuer._fates[Act.RETIRE].clear()
    stage.prover.script.clear()
    stage.upsets.clear()
    stage.application.roles.add(ROLE)
    Lag(timedelta(0), timedelta(0)).happen(stage)


def settle(stage: Stage) -> None:
    """Let both states work in a calm world until nothing is left to do."""
    calm(stage)
    for _ in range(ROUNDS):
        for who, state in enumerate(stage.states):
            stage.advance(65 * MINUTE)
            Resume(who).happen(stage)
            state.visit()
            stage.check()
        if stage.settled():
            break
    stage.check(quiet=True)
    assert stage.live_ours() == {stage.main_key()}
    assert stage.works(stage.main())


def play(slots: int | None, events: list[Any]) -> Stage:
    stage = Stage(slots)
    for event in events:
        stage.advance(SECOND)  # no two events at one moment, so that the oracle can tell before from after
        event.happen(stage)
        stage.check()
    settle(stage)
    return stage
