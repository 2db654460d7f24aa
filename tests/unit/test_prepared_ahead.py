"""`policy.prepare`: the next version is made and proved long before it is shown, and waits without harm."""

from __future__ import annotations

from contextlib import suppress

import pytest

from rotator.model import Phase, RotationOutcome
from rotator.outlook import State, outlook
from rotator.planner import next_action
from tests.fakes.tape import Crash
from tests.fakes.world import APP, DAY, HOUR, MINUTE, World, credential
from tests.fakes.world import State as Rotator


def prepared(world: World, state: Rotator) -> None:
    """Let the first version be made, and time pass until the next one is prepared."""
    state.visit()
    world.advance(59 * DAY + HOUR)
    state.visit()


def beginning() -> tuple[World, Rotator]:
    world = World(credential(prepare=DAY, quarantine=MINUTE, every=HOUR))
    return world, world.state()


def test_it_is_made_a_day_ahead_proved_and_shown_when_it_is_due() -> None:
    world, state = beginning()
    state.visit()
    first = world.main_key()
    world.advance(58 * DAY)
    state.visit()
    assert len(world.live_ours()) == 1, "two days before nothing is made"
    world.advance(DAY + HOUR)
    state.visit()
    assert world.main_key() == first and len(world.live_ours()) == 2
    tracked = state.ledger.tracked(world.credential.name)
    assert tracked is not None and tracked.rotation is not None and tracked.rotation.phase is Phase.PROVED
    now = world.clock.now()
    seen = outlook(world.credential, tracked, now)
    assert seen.state is State.OK and seen.next is not None and seen.next.at > now
    assert "proved and waits until then" in seen.next.sentence
    for _ in range(5):
        world.advance(HOUR)
        state.visit()
    assert world.main_key() == first and len(world.live_ours()) == 2, "it waits, and no other one is made"
    world.advance(20 * HOUR)
    asked = len(world.prover.asked)
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED and world.main_key() != first
    assert len(world.prover.asked) - asked >= 3, "it was proved anew right before"
    world.check()
    world.settle(state)
    world.check(quiet=True)


def test_the_ledger_wakes_it_up_in_time() -> None:
    world, state = beginning()
    state.visit()
    tracked = state.ledger.tracked(world.credential.name)
    assert tracked is not None
    due = next_action(world.credential, tracked, world.clock.now())
    assert due is not None
    world.clock.advance(due.at - world.clock.now() - DAY)
    state.visit()
    assert len(world.live_ours()) == 2


def test_what_is_prepared_is_shown_at_once_when_the_version_in_use_dies() -> None:
    world, state = beginning()
    prepared(world, state)
    first = world.main_key()
    assert first is not None
    world.issuer.remove(APP, first)
    world.advance(DAY - 2 * HOUR)
    state.visit()
    assert world.main_key() != first and world.works(world.main())


def test_who_asks_gets_what_is_prepared_and_in_an_emergency_another_one() -> None:
    for emergency in (False, True):
        world, state = beginning()
        prepared(world, state)
        made = len(world.issuer.mutations)
        waiting = world.live_ours() - {world.main_key()}
        state.ask(emergency=emergency)
        state.visit()
        assert (world.main_key() in waiting) is not emergency
        created = [one for one in world.issuer.mutations[made:] if one.act.value == "create"]
        assert len(created) == int(emergency)
        tracked = state.ledger.tracked(world.credential.name)
        assert tracked is not None and tracked.request is None and tracked.rotation is None


def test_a_crash_at_any_point_of_the_preparation_or_of_the_promotion_converges() -> None:
    world, state = beginning()
    state.visit()
    world.advance(59 * DAY + HOUR)
    state.tape.crossings = 0
    state.visit()
    total = state.tape.crossings
    assert total > 20
    for point in range(total + 40):
        world, state = beginning()
        state.visit()
        world.advance(59 * DAY + HOUR)
        state.tape.crossings, state.tape.die_at = 0, point
        with suppress(Crash):
            state.visit()
            world.advance(DAY)
            state.visit()
        state.tape.die_at = None
        world.check()
        world.settle(state)
        world.advance(DAY)
        world.settle(state)
        world.check(quiet=True)
        assert world.works(world.main())


@pytest.mark.parametrize("names", [1, 2])
def test_another_state_that_finds_it_waiting_shows_it_or_leaves_it(names: int) -> None:
    world, state = beginning()
    prepared(world, state)
    other = world.state("state-b")
    for _ in range(names):
        world.advance(10 * MINUTE)
        other.visit()
        world.check()
    world.advance(DAY)
    state.visit()
    world.settle(state)
    world.settle(other)
    world.check(quiet=True)
