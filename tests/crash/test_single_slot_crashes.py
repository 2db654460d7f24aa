"""Issuers with a single slot: the process dies before and after every port call of each procedure, and all converges.

Here a new value ends the old one, so what is asserted is another: what the issuer has is durable or can be had again,
no second value is asked for while a request may still take effect, and in the end consumers read what works.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from rotator.due import Action
from rotator.errors import Transient
from rotator.event import EventName
from rotator.forecast import project
from rotator.model import Act, Phase, Procedure, RotationOutcome, VersionState
from rotator.ports import Answer
from rotator.testing.providers import Fate
from tests.fakes.tape import Crash
from tests.fakes.world import APP, DAY, HOUR, MINUTE, PATH, State, World, credential

Scenario = Callable[[State], None]
SINGLE = [one for one in Procedure if one.single_slot]


def first_version(state: State) -> None:
    """Nothing is there yet."""
    state.visit()


def replaced_in_time(state: State) -> None:
    """A version is there, and its time has come."""
    state.visit()


def asked_for(state: State) -> None:
    """Somebody asks for another."""
    state.ask()
    state.visit()


def slow_to_spread(state: State) -> None:
    """The token endpoint hears of a new value only a minute later."""
    state.visit()


SCENARIOS: dict[str, Scenario] = {
    one.__name__: one for one in (first_version, replaced_in_time, asked_for, slow_to_spread)
}


def prepare(procedure: Procedure, name: str, *, names_keys: bool = True) -> tuple[World, State]:
    """Return a world at the moment at which the scenario begins."""
    world = World(credential(quarantine=MINUTE, accept_gap=True), procedure=procedure)
    assert world.slot is not None
    world.slot.names_keys = names_keys
    state = world.state()
    if name == "first_version":
        return world, state
    state.visit()
    world.advance(DAY if name == "asked_for" else 61 * DAY)
    if name == "slow_to_spread":
        world.application.lag = MINUTE
    return world, state


def crossings(procedure: Procedure, name: str) -> int:
    """Return at how many points a process may die in this scenario."""
    _, state = prepare(procedure, name)
    state.tape.crossings = 0
    SCENARIOS[name](state)
    return state.tape.crossings


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("procedure", SINGLE)
def test_a_crash_at_any_point_converges(procedure: Procedure, name: str) -> None:
    total = crossings(procedure, name)
    assert total >= 20, "the scenario does nothing"
    for point in range(total):
        world, state = prepare(procedure, name, names_keys=point % 2 == 0)
        before = world.main()
        state.tape.crossings, state.tape.die_at = 0, point
        with pytest.raises(Crash):
            SCENARIOS[name](state)
        world.check()
        world.settle(state)
        try:
            world.check(quiet=True)
        except AssertionError as error:
            raise AssertionError(f"died at {point} of {total} ({state.tape.calls[-3:]}): {error}") from None
        after = world.main()
        assert after is not None and (name == "asked_for" or after != before)


@pytest.mark.parametrize("procedure", SINGLE)
def test_a_crash_at_any_point_and_another_in_the_recovery_converge(procedure: Procedure) -> None:
    for point in range(crossings(procedure, "replaced_in_time")):
        for second in range(point % 6, 60, 6):
            world, state = prepare(procedure, "replaced_in_time")
            state.tape.crossings, state.tape.die_at = 0, point
            with suppress(Crash):
                state.visit()
            world.advance(5 * MINUTE)
            state.tape.crossings, state.tape.die_at = 0, second
            with suppress(Crash):
                state.visit()
            state.tape.die_at = None
            world.settle(state)
            world.check(quiet=True)


@pytest.mark.parametrize("fate", Fate)
@pytest.mark.parametrize("procedure", SINGLE)
def test_an_unclear_answer_and_a_crash_after_it_converge(procedure: Procedure, fate: Fate) -> None:
    for point in (None, *range(crossings(procedure, "replaced_in_time") + 12)):
        world, state = prepare(procedure, "replaced_in_time", names_keys=(point or 0) % 2 == 0)
        world.issuer.fate(Act.CREATE, fate)
        state.tape.crossings, state.tape.die_at = 0, point
        with suppress(Crash):
            state.visit()
        state.tape.die_at = None
        world.settle(state, visits=12, step=10 * MINUTE)
        world.check(quiet=True)


@pytest.mark.parametrize("procedure", SINGLE)
def test_a_ledger_that_is_lost_at_any_point_is_made_good_by_the_next_state(procedure: Procedure) -> None:
    for point in range(crossings(procedure, "replaced_in_time")):
        world, state = prepare(procedure, "replaced_in_time")
        state.tape.crossings, state.tape.die_at = 0, point
        with suppress(Crash):
            state.visit()
        state.lost = True
        other = world.state("state-b")
        world.settle(other, visits=10, step=30 * MINUTE)
        world.check(quiet=True)


@pytest.mark.parametrize("procedure", SINGLE)
def test_a_rotation_goes_through_its_steps_and_says_how_long_consumers_had_none(procedure: Procedure) -> None:
    world, state = prepare(procedure, "replaced_in_time")
    state.said.clear()
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED and report.error is None
    rotation = report.rotation
    assert rotation is not None and (rotation.phase, rotation.procedure) == (Phase.PROMOTED, procedure)
    steps = list(dict.fromkeys(step for step, told, _ in state.said if told == "done"))
    course = {
        Procedure.CHOSEN: ["stage", "set", "promote", "verify", "settle"],
        Procedure.READ_BACK: ["regenerate", "promote", "verify", "settle"],
        Procedure.BLIND: ["rehearse", "regenerate", "promote", "verify", "settle"],
    }
    assert steps == ["baseline", *course[procedure]]
    shown = [one for one in state.events(EventName.VERSION_PROMOTED) if one["outcome"] == "succeeded"][-1]
    assert shown["reason"] == "by_necessity"
    assert "without a valid secret for at most" in shown["detail"]
    tracked = state.ledger.tracked(world.credential.name)
    assert tracked is not None and [one.state for one in tracked.versions] == [VersionState.CURRENT]


def test_a_value_that_we_choose_lies_in_the_staging_area_before_the_issuer_hears_of_it() -> None:
    world, state = prepare(Procedure.CHOSEN, "replaced_in_time")
    seen = []

    def look(name: str) -> None:
        if name == "slot.set":
            fields = world.store.staging.read(world.credential.name).fields
            seen.append(fields is not None and fields.secret("value.client_secret") is not None)

    state.tape.hooks.append(look)
    state.visit()
    assert seen == [True]


def test_a_lost_answer_is_settled_by_setting_the_same_value_again() -> None:
    world, state = prepare(Procedure.CHOSEN, "replaced_in_time")
    made = len(world.issuer.mutations)
    world.issuer.fate(Act.CREATE, Fate.LOST)
    state.visit()
    assert state.tape.calls.count("slot.set") == 3  # the first one of all, the one without an answer, the same again
    assert len(world.issuer.mutations) == made + 1
    world.check(quiet=True)


def test_a_lost_answer_is_settled_by_reading_where_the_value_can_be_read_again() -> None:
    world, state = prepare(Procedure.READ_BACK, "replaced_in_time")
    world.issuer.fate(Act.CREATE, Fate.LOST)
    state.visit()
    assert len(world.slot.asked if world.slot else ()) == 2, "the first one of all, and the one without an answer"
    world.check(quiet=True)


def test_a_request_that_takes_effect_after_the_proofs_is_noticed_and_shown() -> None:
    world, state = prepare(Procedure.READ_BACK, "replaced_in_time")

    def replaced_behind_our_back(name: str) -> None:
        if name == "slot.read" and world.slot is not None and len(world.slot.asked) == 2:
            state.tape.hooks.clear()
            world.issuer.foreign(APP)

    state.tape.hooks.append(replaced_behind_our_back)
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED
    told = [one["detail"] for one in state.events(EventName.DRIFT_FOUND)]
    assert told == ["the issuer has another value by now"], "nobody wrote into the document but we"
    world.check(quiet=True)


def test_a_change_right_after_the_promotion_is_read_and_shown_too() -> None:
    world, state = prepare(Procedure.READ_BACK, "replaced_in_time")

    def replaced_behind_our_back(name: str) -> None:
        if name == "consumers.write":
            state.tape.after.clear()
            world.issuer.foreign(APP)

    state.tape.after.append(replaced_behind_our_back)
    state.visit()
    assert world.works(world.main())
    world.settle(state)
    world.check(quiet=True)


def test_a_value_that_somebody_made_in_the_console_is_read_and_shown_when_consumers_have_none() -> None:
    world, state = prepare(Procedure.READ_BACK, "asked_for")
    world.issuer.foreign(APP)
    asked = len(world.slot.asked if world.slot else ())
    world.advance(HOUR)
    state.visit()
    assert world.works(world.main()) and len(world.slot.asked if world.slot else ()) == asked
    world.settle(state)
    world.check(quiet=True)


def test_a_store_that_is_away_for_minutes_does_not_lose_a_value_that_is_shown_once() -> None:
    world, state = prepare(Procedure.BLIND, "replaced_in_time")
    down = [0]

    def away(name: str) -> None:
        if name == "slot.regenerate":
            down[0] = 12
        elif name == "staging.write" and down[0]:
            down[0] -= 1
            raise Transient("The store is away.", hint="Wait.")

    state.tape.hooks.append(away)
    state.visit()
    assert down[0] == 0 and len(world.slot.asked if world.slot else ()) == 2
    world.check(quiet=True)


def test_nothing_is_regenerated_when_the_rehearsal_fails() -> None:
    world, state = prepare(Procedure.BLIND, "replaced_in_time")
    writes = [0]

    def refuse_the_rehearsal(name: str) -> None:
        writes[0] += name == "staging.write"
        if name == "staging.write" and writes[0] == 2:
            raise Transient("The store is away.", hint="Wait.")

    state.tape.hooks.append(refuse_the_rehearsal)
    report = state.visit()
    assert report.error is not None and len(world.slot.asked if world.slot else ()) == 1
    assert world.works(world.main())


@pytest.mark.parametrize("procedure", SINGLE)
def test_a_value_that_stays_refused_parks_and_says_that_consumers_read_it(procedure: Procedure) -> None:
    world, state = prepare(procedure, "replaced_in_time")

    def refuse_from_now_on(name: str) -> None:
        if name in ("slot.set", "slot.regenerate"):
            world.prover.always = Answer.REFUSED

    state.tape.hooks.append(refuse_from_now_on)
    report = state.visit()
    assert report.outcome is RotationOutcome.PARKED and report.error is not None
    assert "Consumers read it all the same" in report.error.message
    tracked = state.ledger.tracked(world.credential.name)
    assert tracked is not None and tracked.rotation is None and tracked.state.parked is not None


@pytest.mark.parametrize("procedure", SINGLE)
def test_an_issuer_that_refuses_leaves_everything_as_it_was(procedure: Procedure) -> None:
    world, state = prepare(procedure, "replaced_in_time")
    before = world.main()
    world.issuer.fate(Act.CREATE, Fate.REFUSED)
    report = state.visit()
    assert report.error is not None and world.main() == before and world.works(before)
    world.check(quiet=True)


@pytest.mark.parametrize("procedure", SINGLE)
def test_what_somebody_wrote_meanwhile_stays_when_it_works_and_not_when_it_is_dead(procedure: Procedure) -> None:
    for works in (True, False):
        world, state = prepare(procedure, "replaced_in_time")

        def edit(name: str, world: World = world, state: State = state, works: bool = works) -> None:
            if name in ("slot.set", "slot.regenerate"):
                state.tape.after.clear()
                document = world.store.consumers.read(PATH)
                assert document.fields is not None
                secret = world.issuer.foreign(APP).value if works else "mem~nothing"
                world.store.consumers.write(PATH, document.fields.merged({"client_secret": secret}), document.version)

        state.tape.after.append(edit)
        report = state.visit()
        assert world.works(world.main())
        assert report.outcome is (RotationOutcome.PARKED if works else RotationOutcome.PROMOTED)


@pytest.mark.parametrize("procedure", SINGLE)
@pytest.mark.parametrize("works", [True, False])
def test_a_token_without_its_role_keeps_no_rotation_waiting_when_somebody_wrote_meanwhile(
    procedure: Procedure, works: bool
) -> None:
    world, state = prepare(procedure, "replaced_in_time")

    def edit(name: str) -> None:
        if name in ("slot.set", "slot.regenerate"):
            state.tape.after.clear()
            world.application.roles = set()
            document = world.store.consumers.read(PATH)
            assert document.fields is not None
            secret = world.issuer.foreign(APP).value if works else "mem~nothing"
            world.store.consumers.write(PATH, document.fields.merged({"client_secret": secret}), document.version)

    state.tape.after.append(edit)
    report = state.visit()
    assert report.outcome is RotationOutcome.PARKED and report.error is not None
    assert report.error.code == ("edited" if works else "missing_role")
    shown, there = world.main(), world.issuer.truth(APP)
    assert shown is not None and [shown.secret("client_secret")] == [one.value for one in there], "what lives is shown"


@pytest.mark.parametrize("procedure", SINGLE)
def test_the_plan_has_no_grace_where_a_new_value_ends_the_old_one(procedure: Procedure) -> None:
    world, state = prepare(procedure, "asked_for")
    now = world.clock.now()
    tracked = state.ledger.tracked(world.credential.name)
    planned = project(world.credential, tracked, now, now + 400 * DAY)
    assert {one.action for one in planned.dues} == {Action.ROTATE}
    careful = replace(world.credential, policy=replace(world.credential.policy, accept_gap=False))
    planned = project(careful, tracked, now, now + 400 * DAY)
    assert {one.action for one in planned.dues} == {Action.REMIND}
    assert "rotator rotate --now" in planned.dues[0].sentence


@pytest.mark.parametrize("procedure", SINGLE)
@pytest.mark.parametrize("moment", ["slot.set", "slot.regenerate", "staging.write", "consumers.write", "prover.prove"])
def test_a_process_that_slept_while_another_took_over_does_no_harm(procedure: Procedure, moment: str) -> None:
    world, state = prepare(procedure, "replaced_in_time")
    other = world.state("state-b")
    seen = {"change": False}

    def sleep(name: str) -> None:
        seen["change"] = seen["change"] or name in ("slot.set", "slot.regenerate")
        if name == moment and seen["change"]:
            state.tape.hooks.clear()
            for _ in range(4):
                world.advance(10 * MINUTE)
                other.visit()

    state.tape.hooks.append(sleep)
    state.visit()
    for _ in range(6):
        world.advance(30 * MINUTE)
        state.visit()
        other.visit()
    assert world.works(world.main())
    world.check()
    for one in (state, other):
        tracked = one.ledger.tracked(world.credential.name)
        assert tracked is not None and tracked.rotation is None and tracked.state.parked is None
