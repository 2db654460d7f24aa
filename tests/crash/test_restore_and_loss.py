"""A state that is older than the store and the issuer, or that is gone: it comes to terms with what it finds.

A copy is taken before each call of a scenario, and put back after the scenario, and after further rotations. Whatever
can be settled by the rotation id in a document and the tag at the issuer parks nothing and removes nothing in use.
"""

from __future__ import annotations

import copy

import pytest

from tests.crash.test_overlap_crashes import SCENARIOS, prepare
from tests.fakes.memory_ledger import MemoryLedger
from tests.fakes.world import DAY, HOUR, MINUTE, NAME, State, World

TABLES = ("events", "states", "versions", "rotations", "intents", "requests", "steps", "seen", "refused")
SCENES = ("first_version", "replaced_in_time", "retired", "in_a_hurry", "put_back")


def copied(world: World, ledger: MemoryLedger) -> MemoryLedger:
    """Return what a backup of a ledger has. A restore gives it another owner."""
    made = MemoryLedger(world.clock, owner="state-restored")
    for name in TABLES:
        setattr(made, name, copy.copy(getattr(ledger, name)))
    made.refused = {provider: dict(names) for provider, names in ledger.refused.items()}
    return made


def calls_of(name: str) -> int:
    """Return how many calls a scenario makes."""
    _, state = prepare(name)
    before = len(state.tape.calls)
    SCENARIOS[name](state)
    return len(state.tape.calls) - before


def backed_up(name: str, call: int) -> tuple[World, State, MemoryLedger]:
    """Go through a scenario, and return the world after it with a copy that was taken before that call."""
    world, state = prepare(name)
    kept: list[MemoryLedger] = []
    seen = 0

    def hook(_: str) -> None:
        nonlocal seen
        if seen == call:
            kept.append(copied(world, state.ledger))
        seen += 1

    state.tape.hooks.append(hook)
    SCENARIOS[name](state)
    state.tape.hooks.remove(hook)
    return world, state, kept[0] if kept else copied(world, state.ledger)


def rotated(world: World, state: State, times: int) -> None:
    """Let so many further rotations happen, each one retired but the last."""
    world.settle(state)
    for _ in range(times):
        world.advance(62 * DAY)
        world.settle(state, visits=3, step=MINUTE)
        world.advance(25 * HOUR)
        world.settle(state, visits=2, step=MINUTE)


def settled(world: World, state: State, told: str) -> None:
    """Let it work, and see that it has come to terms with everything."""
    serving = world.main_key()
    world.settle(state, visits=8, step=MINUTE)
    try:
        world.check(quiet=True)
        tracked = state.ledger.tracked(NAME)
        assert tracked is not None
        assert tracked.state.parked is None, tracked.state.parked
        assert world.works(world.main())
        assert serving in world.live_ours() or serving != world.main_key(), "what consumers read was removed"
        world.advance(26 * HOUR)
        world.settle(state, visits=3, step=MINUTE)
        world.check(quiet=True)
        assert len(world.live_ours()) <= 2
    except AssertionError as error:
        raise AssertionError(f"{told}: {error}") from None


@pytest.mark.parametrize("further", [0, 1, 2])
@pytest.mark.parametrize("name", SCENES)
def test_an_older_copy_comes_to_terms_with_a_newer_store(name: str, further: int) -> None:
    total = calls_of(name)
    assert total >= 10, "the scenario does nothing"
    for call in range(0, total, 2 if further else 1):
        world, state, kept = backed_up(name, call)
        rotated(world, state, further)
        restored = State(world, kept)
        world.states.append(restored)
        settled(world, restored, f"{name}, copied before call {call} of {total}, {further} more")


@pytest.mark.parametrize("name", SCENES)
def test_a_state_that_is_lost_in_the_middle_is_rebuilt_from_what_is_elsewhere(name: str) -> None:
    total = calls_of(name)
    for call in range(total):
        world, state = prepare(name)
        seen = 0

        def hook(_: str, call: int = call) -> None:
            nonlocal seen
            seen += 1
            if seen > call:
                raise KeyboardInterrupt

        state.tape.hooks.append(hook)
        with pytest.raises(KeyboardInterrupt):
            SCENARIOS[name](state)
        state.lost = True
        world.advance(3 * MINUTE)  # its claim
        settled(world, world.state("state-new"), f"{name}, lost before call {call} of {total}")


def test_what_a_rebuilt_state_cannot_date_gets_a_full_grace() -> None:
    world, _ = prepare("retired")
    before = world.live_ours()
    assert len(before) == 2
    fresh = world.state("state-new")
    world.settle(fresh, visits=4, step=MINUTE)
    assert world.live_ours() == before
    world.advance(23 * HOUR)
    world.settle(fresh, visits=2, step=MINUTE)
    assert world.live_ours() == before, "its grace began when it was first seen"
    world.advance(2 * HOUR)
    world.settle(fresh, visits=2, step=MINUTE)
    assert world.live_ours() == {world.main_key()}
    assert [one["event"] for one in fresh.ledger.events].count("state.rebuilt") >= 1
