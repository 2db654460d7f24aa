"""The process dies before and after every port call of a whole life; the next runs must converge, whatever it was.

The invariants I1 to I26 stand in docs/explanation/invariants.md. A crash is a BaseException out of a port, which
nothing in the program may catch; the ledger, the store and the issuer keep what they were told.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from rotator.model import Act, RotationOutcome
from rotator.testing.providers import Fate
from tests.fakes.tape import Crash
from tests.fakes.world import DAY, HOUR, MINUTE, State, World, credential

Scenario = Callable[[State], None]


def first_version(state: State) -> None:
    """Nothing is there yet."""
    state.visit()


def replaced_in_time(state: State) -> None:
    """A version is there, and its time has come."""
    state.visit()


def retired(state: State) -> None:
    """The grace of the version before is over."""
    state.visit()


def refused_role(state: State) -> None:
    """The token of the new version lacks a role, so it is undone."""
    state.world.application.roles.clear()
    state.visit()
    state.world.application.roles.add("ProviderApi.Access")


def swept(state: State) -> None:
    """An orphan of ours is ripe."""
    state.visit()


def in_a_hurry(state: State) -> None:
    """Somebody asks for an emergency while a version is in its grace."""
    state.ask(emergency=True)
    state.visit()


def put_back(state: State) -> None:
    """The promoted version dies in its grace, and the one before is shown again."""
    state.visit()


def prepare(name: str) -> tuple[World, State]:
    """Return a world at the moment at which the scenario begins."""
    world = World(credential(quarantine=MINUTE))
    state = world.state()
    if name == "first_version":
        return world, state
    state.visit()
    if name == "swept":
        world.issuer.create(world.credential.application, state.kit().tag("lost", 1), 90 * DAY)
        world.issuer.mutations.pop()  # the oracle asks for an intent; this one was lost with its ledger
        world.advance(DAY)
        state.visit()
        world.advance(2 * MINUTE)
        return world, state
    world.advance(61 * DAY)
    if name in ("replaced_in_time", "refused_role"):
        return world, state
    state.visit()
    if name == "retired":
        world.advance(25 * HOUR)
    else:
        world.advance(HOUR)
    if name == "put_back":
        key_id = world.main_key()
        assert key_id is not None
        world.issuer.remove(world.credential.application, key_id)
    return world, state


SCENARIOS: dict[str, Scenario] = {
    one.__name__: one for one in (first_version, replaced_in_time, retired, refused_role, swept, in_a_hurry, put_back)
}


def crossings(name: str) -> int:
    """Return at how many points a process may die in this scenario."""
    _, state = prepare(name)
    state.tape.crossings = 0
    SCENARIOS[name](state)
    return state.tape.crossings


def died_at(name: str, point: int) -> tuple[World, State]:
    """Let the process die there, and begin another."""
    world, state = prepare(name)
    state.tape.crossings, state.tape.die_at = 0, point
    with pytest.raises(Crash):
        SCENARIOS[name](state)
    return world, state


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_at_any_point_converges(name: str) -> None:
    total = crossings(name)
    assert total >= 20, "the scenario does nothing"
    for point in range(total):
        world, state = died_at(name, point)
        world.application.roles.add("ProviderApi.Access")
        if name != "put_back":
            world.check()
        world.settle(state)
        try:
            world.check(quiet=True)
        except AssertionError as error:
            raise AssertionError(f"{name}, died at {point} of {total} ({state.tape.calls[-3:]}): {error}") from None
        assert world.works(world.main())


@pytest.mark.timeout(600)  # half a minute alone; on a loaded machine its worker would seem to have crashed
@pytest.mark.parametrize("name", ["first_version", "replaced_in_time", "retired", "refused_role"])
def test_a_crash_at_any_point_and_another_in_the_recovery_converge(name: str) -> None:
    """Every point, and after it every third point of the run that recovers (I15)."""
    for point in range(crossings(name)):
        for second in range(point % 3, 60, 3):
            world, state = died_at(name, point)
            world.application.roles.add("ProviderApi.Access")
            world.advance(5 * MINUTE)
            state.tape.crossings, state.tape.die_at = 0, second
            with suppress(Crash):
                state.visit()
            state.tape.die_at = None
            world.settle(state)
            world.check(quiet=True)


@pytest.mark.parametrize("fate", Fate)
@pytest.mark.parametrize("act", [Act.CREATE, Act.RETIRE])
@pytest.mark.parametrize("name", ["replaced_in_time", "retired", "refused_role"])
def test_an_unclear_answer_at_the_issuer_converges(name: str, act: Act, fate: Fate) -> None:
    world, state = prepare(name)
    world.issuer.fate(act, fate)
    SCENARIOS[name](state)
    world.settle(state, visits=12, step=10 * MINUTE)
    world.check(quiet=True)
    assert world.works(world.main())


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.NEVER, Fate.LATE])
@pytest.mark.parametrize("act", [Act.CREATE, Act.RETIRE])
def test_a_crash_after_an_unclear_answer_converges(act: Act, fate: Fate) -> None:
    name = "refused_role" if act is Act.RETIRE else "replaced_in_time"
    for point in range(crossings(name) + 12):
        world, state = prepare(name)
        world.issuer.fate(act, fate)
        state.tape.crossings, state.tape.die_at = 0, point
        with suppress(Crash):
            SCENARIOS[name](state)
        state.tape.die_at = None
        world.application.roles.add("ProviderApi.Access")
        world.settle(state, visits=12, step=10 * MINUTE)
        world.check(quiet=True)


def test_every_scenario_ends_as_its_name_says() -> None:
    """The crash tests prove nothing about scenarios that do something else."""
    ends = {}
    for name, act in SCENARIOS.items():
        world, state = prepare(name)
        key = world.main_key()
        act(state)
        ends[name] = (world.main_key() != key, [r.outcome for r in state.ledger.rotations.values()][-1])
    assert ends == {
        "first_version": (True, RotationOutcome.PROMOTED),
        "replaced_in_time": (True, RotationOutcome.PROMOTED),
        "retired": (False, RotationOutcome.RETIRED),
        "refused_role": (False, RotationOutcome.ABANDONED),
        "swept": (False, RotationOutcome.PROMOTED),
        "in_a_hurry": (True, RotationOutcome.RETIRED),
        "put_back": (True, RotationOutcome.PROMOTED),
    }
