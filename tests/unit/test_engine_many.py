"""Many credentials at once: how many are at work, who waits for whom, and what stops all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from rotator.clock import ManualClock
from rotator.crew import Crew
from rotator.engine import Engine
from rotator.errors import StateUnusable
from rotator.kit import Kit
from rotator.model import Act, RotationOutcome
from rotator.testing.providers import Fate
from tests.fakes.world import State, World, credential

PROMOTED = RotationOutcome.PROMOTED


@dataclass
class Gauge:
    """Counts how many calls are being made at once. most: the highest count there was."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    now: int = 0
    most: int = 0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count one."""
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        yield
        with self.lock:
            self.now -= 1


class MeetingClock(ManualClock):
    """A clock on which nobody's wait is over before so many wait at once."""

    def __init__(self, parties: int) -> None:
        super().__init__()
        self.barrier = threading.Barrier(parties)

    def wait(self, duration: timedelta, interrupt: threading.Event | None = None) -> bool:
        self.barrier.wait()
        return super().wait(duration, interrupt)


def kits(state: State, count: int, provider: str = "contoso") -> list[Kit]:
    """Return kits for so many credentials of one provider, each of an application of its own."""
    made = []
    for number in range(count):
        name = f"{provider}-{number}"
        state.world.issuer.add(name, client_id=name)
        made.append(state.kit(credential(name, name, f"partners/{name}", provider=provider)))
    return made


def crew_of(state: State, concurrency: int = 4) -> Crew:
    """Return a crew that visits for a state."""
    clock = state.world.clock
    return Crew(Engine(clock, state.stop, concurrency=concurrency, jitter=timedelta(0)))


def on(state: State, call: str, act: Callable[[], object]) -> None:
    """Do something before each call of this name."""

    def hook(name: str) -> None:
        if name == call:
            act()

    state.tape.hooks.append(hook)


def world_without_oracle() -> State:
    """Return a state in a world whose oracle, which knows one application only, is not asked."""
    return World().state()


def test_fifty_that_are_due_at_once_are_rotated_four_at_a_time() -> None:
    state = world_without_oracle()
    gauge, four = Gauge(), threading.Barrier(4)
    first_four = list(range(4))

    def meet() -> None:
        with gauge.lock:
            meets = bool(first_four)
            if meets:
                first_four.pop()
        if meets:
            four.wait()  # four are here at once

    on(state, "provider.list", meet)
    inner = state.tape.call

    def measured(name: str, act: Callable[[], object]) -> object:
        with gauge.measured():
            return inner(name, act)

    state.tape.call = measured  # type: ignore[assignment,method-assign]
    with crew_of(state) as crew:
        reports = crew.run(kits(state, 50))
    assert [one.outcome for one in reports] == [PROMOTED] * 50
    assert [one.credential.name for one in reports] == [f"contoso-{number}" for number in range(50)]
    assert gauge.most == 4
    assert sum(one.act is Act.CREATE for one in state.world.issuer.mutations) == 50


def test_a_slow_provider_does_not_delay_another() -> None:
    """The slow one answers its first question only when the other's are all done."""
    state = world_without_oracle()
    slow, fast = kits(state, 6, "slow"), kits(state, 6, "fast")
    done = threading.Semaphore(0)
    waited = threading.Event()

    def hold(name: str) -> None:
        thread = threading.current_thread().name
        if name == "provider.list" and "slow" in thread and not waited.is_set():
            for _ in fast:
                done.acquire()
            waited.set()
        if name == "consumers.write" and "fast" in thread:
            done.release()

    state.tape.hooks.append(hold)
    with crew_of(state, concurrency=1) as crew:
        reports = crew.run([*slow, *fast])
    assert [one.outcome for one in reports] == [PROMOTED] * 12


def test_whoever_waits_between_two_proofs_lets_others_work() -> None:
    """One at work at a time, and no wait ends before two wait at once: it ends only when the proofs overlap."""
    world = World()
    world.clock = MeetingClock(2)
    state = world.state()
    with crew_of(state, concurrency=1) as crew:
        reports = crew.run(kits(state, 2))
    assert [one.outcome for one in reports] == [PROMOTED] * 2


def test_one_that_is_throttled_or_refused_keeps_nobody_else_from_going_on() -> None:
    state = world_without_oracle()
    state.world.issuer.fate(Act.CREATE, Fate.THROTTLED, Fate.REFUSED)
    with crew_of(state) as crew:
        reports = crew.run(kits(state, 10))
    assert sorted(one.error.code for one in reports if one.error is not None) == ["refused", "throttled"]
    assert sum(one.outcome is PROMOTED for one in reports) == 8


def test_when_the_ledger_fails_nothing_more_is_done_for_anybody() -> None:
    state = world_without_oracle()
    failed = threading.Event()

    def hook(name: str) -> None:
        if name == "ledger.record version.promoted":
            failed.set()
        if failed.is_set() and name.startswith("ledger"):
            raise StateUnusable("The disk is full.", hint="Make room.")
        assert not (failed.is_set() and name == "consumers.write"), "shown after the ledger failed"

    state.tape.hooks.append(hook)
    with crew_of(state, concurrency=1) as crew, pytest.raises(StateUnusable):
        crew.run(kits(state, 10))
    assert state.stop.is_set()
    assert not state.world.store.consumers.truth


def test_who_stops_it_hears_of_each_credential_and_the_next_run_finishes_all() -> None:
    state = world_without_oracle()
    on(state, "prover.prove", state.stop.set)
    these = kits(state, 10)
    with crew_of(state) as crew:
        reports = crew.run(these)
    assert {one.error.code for one in reports if one.error is not None} == {"interrupted"}
    assert sum(one.error is not None for one in reports) == 10
    state.tape.hooks.clear()
    state.stop.clear()
    with crew_of(state) as crew:
        reports = crew.run(these)
    assert all(one.error is None for one in reports)
    assert len(state.world.store.consumers.paths()) == 10
    assert sum(one.act is Act.CREATE for one in state.world.issuer.mutations) == 10


def test_a_fault_that_nobody_foresaw_is_raised_and_the_others_are_done() -> None:
    state = world_without_oracle()
    these = kits(state, 5)
    once = threading.Lock()

    def hook(name: str) -> None:
        if name == "provider.create" and once.acquire(blocking=False):
            raise ZeroDivisionError

    state.tape.hooks.append(hook)
    with crew_of(state) as crew, pytest.raises(ZeroDivisionError):
        crew.run(these)
    assert len(state.world.store.consumers.paths()) == 4
