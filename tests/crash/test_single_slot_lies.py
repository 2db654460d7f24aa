"""Issuers with a single slot whose answers are not so: they show an old value or a mask, grant less, do nothing.

Nothing can be taken back there, so what is asserted is what consumers read in the end, and what a person is told.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.errors import Denied, Refused
from rotator.event import EventName
from rotator.finding import Finding, Severity
from rotator.model import Act, Phase, Procedure, RotationOutcome, VersionState
from rotator.ports import Answer, Issued
from rotator.secret import Fields, Secret
from rotator.testing.providers import Fate
from tests.crash.test_single_slot_crashes import SINGLE, prepare
from tests.fakes.memory_slot import MemorySlot
from tests.fakes.tape import Crash
from tests.fakes.world import APP, DAY, HOUR, MINUTE, PATH, State, World, credential

MASKED = Secret("abcd********wxyz")
Read = Callable[[str], Issued]


def showing(world: World, change: Callable[[Issued], Issued]) -> None:
    """Let the issuer show something else than it has."""
    slot = world.slot
    assert slot is not None
    truly: Read = slot.read
    slot.read = lambda application: change(truly(application))  # type: ignore[method-assign]


def masked(issued: Issued) -> Issued:
    return replace(issued, values=Fields({"client_secret": MASKED}))


def asked(world: World) -> int:
    assert world.slot is not None
    return len(world.slot.asked)


# ------------------------------------------------------------------------------------------------------------ read back


def test_an_old_value_that_is_read_after_the_proofs_is_not_shown_and_nobody_is_accused() -> None:
    world, state = prepare(Procedure.READ_BACK, "replaced_in_time")
    assert world.slot is not None
    old, lag = world.slot.read(APP), [2]

    def lagging(issued: Issued) -> Issued:
        lag[0] -= 1
        return old if lag[0] >= 0 else issued

    showing(world, lagging)
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED and report.error is None
    assert not state.events(EventName.DRIFT_FOUND)
    world.check(quiet=True)


@pytest.mark.parametrize("fate", [None, Fate.NEVER, Fate.LOST])
def test_a_mask_that_is_read_back_is_never_shown_to_consumers(fate: Fate | None) -> None:
    world, state = prepare(Procedure.READ_BACK, "replaced_in_time")
    showing(world, masked)
    if fate is not None:
        world.issuer.fate(Act.CREATE, fate)
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED
    assert all(one.fields.secret("client_secret") != MASKED for one in world.store.consumers.truth)
    world.check(quiet=True)


def test_a_dead_secret_is_replaced_though_the_issuer_shows_a_mask() -> None:
    world, state = prepare(Procedure.READ_BACK, "asked_for")
    showing(world, masked)
    world.issuer.foreign(APP)
    world.advance(HOUR)
    state.visit()
    world.check(quiet=True)


def test_a_late_change_is_shown_though_the_token_endpoint_is_slow_to_hear_of_it() -> None:
    world, state = prepare(Procedure.READ_BACK, "replaced_in_time")

    def replaced_behind_our_back(name: str) -> None:
        if name == "slot.read" and asked(world) == 2:
            state.tape.hooks.clear()
            world.issuer.foreign(APP)
            world.application.lag = MINUTE

    state.tape.hooks.append(replaced_behind_our_back)
    assert state.visit().outcome is RotationOutcome.PROMOTED
    world.check(quiet=True)


@pytest.mark.parametrize("shows", ["a mask", "nothing", "no right"])
def test_nothing_is_regenerated_where_what_is_in_use_cannot_be_read(shows: str) -> None:
    world, state = prepare(Procedure.READ_BACK, "asked_for")
    careful = replace(world.credential, policy=replace(world.credential.policy, accept_gap=False))

    def refuse(issued: Issued) -> Issued:
        if shows == "a mask":
            return masked(issued)
        if shows == "nothing":
            raise Refused("It is not shown.", hint="Ask.", code="unreadable")
        raise Denied("Not for you.", hint="Grant it.")

    showing(world, refuse)
    before = world.main()
    state.ask()
    report = state.visit(careful)
    assert report.error is not None and report.error.code == ("denied" if shows == "no right" else "not_shown")
    assert asked(world) == 1 and world.works(world.main()) and before == world.main()
    tracked = state.ledger.tracked(world.credential.name)
    assert tracked is not None and tracked.rotation is None, "it was given up"
    state.ask(emergency=True)
    state.visit(careful)
    assert asked(world) == 2, "a secret that leaked is replaced all the same"
    assert world.works(world.main())


# ------------------------------------------------------------------------------------------------------------ the proof


@pytest.mark.parametrize("procedure", SINGLE)
def test_nothing_is_replaced_while_the_token_in_use_is_not_as_promised_but_in_an_emergency(
    procedure: Procedure,
) -> None:
    world, state = prepare(procedure, "replaced_in_time")
    world.application.roles.clear()
    before = world.main()
    for _ in range(3):
        report = state.visit()
        assert report.error is not None and report.error.code == "missing_role" and world.main() == before
        assert "roles lacks ProviderApi.Access" in report.error.message and "--emergency" in report.error.hint
        world.advance(7 * HOUR)
    tracked = state.ledger.tracked(world.credential.name)
    assert tracked is not None and tracked.state.parked is not None, "three times in a row"
    state.ledger.note(replace(tracked.state, parked=None))
    state.ask(emergency=True)
    state.visit()
    assert world.main() != before and world.works(world.main())


@pytest.mark.parametrize("procedure", SINGLE)
def test_what_was_granted_too_short_is_not_replaced_again_at_once(procedure: Procedure) -> None:
    world, state = prepare(procedure, "replaced_in_time")
    world.issuer.max_lifetime = 10 * DAY
    made = len(world.issuer.mutations)
    report = state.visit()
    assert report.outcome is RotationOutcome.PARKED and report.error is not None
    assert "granted 10 d where 90 d" in report.error.message and "it works" in report.error.message
    for _ in range(3):
        world.advance(HOUR)
        state.visit()
    assert len(world.issuer.mutations) == made + 1
    world.check(quiet=True)


# --------------------------------------------------------------------------------------------------------------- chosen


@pytest.mark.parametrize("answer", [Answer.SILENT, Answer.UNFIT])
def test_a_value_that_was_set_is_not_thrown_away_because_the_same_is_refused_a_second_time(answer: Answer) -> None:
    world, state = prepare(Procedure.CHOSEN, "replaced_in_time")
    world.issuer.fate(Act.CREATE, Fate.LOST, Fate.REFUSED)

    def from_now_on(name: str) -> None:
        if name == "slot.set":
            world.prover.always = answer

    state.tape.hooks.append(from_now_on)
    state.visit()
    state.tape.hooks.clear()
    world.prover.always = None
    set_once = len(world.issuer.mutations)
    world.advance(HOUR)
    state.visit()
    assert world.works(world.main()) and len(world.issuer.mutations) == set_once
    world.check()


def test_a_value_that_was_set_and_is_slow_to_spread_is_not_thrown_away_either() -> None:
    world, state = prepare(Procedure.CHOSEN, "replaced_in_time")
    world.issuer.fate(Act.CREATE, Fate.LOST, Fate.REFUSED)
    world.application.lag = 5 * MINUTE
    assert state.visit().outcome is RotationOutcome.PROMOTED
    world.check(quiet=True)


def test_who_is_called_hears_that_the_one_before_works_still() -> None:
    world, state = prepare(Procedure.CHOSEN, "replaced_in_time")
    slot, before = world.slot, world.main()
    assert slot is not None

    def took_it_and_did_nothing(application: str, tag: str, value: Secret, lifetime: timedelta) -> Issued:
        return replace(slot.read(application), values=Fields({"client_secret": value}))

    slot.set = took_it_and_did_nothing  # type: ignore[method-assign]
    report = state.visit()
    assert report.outcome is RotationOutcome.PARKED and report.error is not None and world.works(before)
    assert f"the one before works still, in version 1 of {world.credential.path}" in report.error.message
    assert "Put version 1 back" in report.error.hint
    refused = [one for one in state.events(EventName.VERSION_PROVED) if one["outcome"] == "refused"]
    assert [one["key_id"] for one in refused] == [world.main_key()]


# -------------------------------------------------------------------------------------------------------------- key ids


class OneId(MemorySlot):
    """Names its slot where others name the version in it."""

    def read(self, application: str) -> Issued:
        return self._as_slot(super().read(application))

    def regenerate(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        return self._as_slot(super().regenerate(application, tag, lifetime))

    def _as_slot(self, issued: Issued) -> Issued:
        return replace(issued, version=replace(issued.version, key_id="slot-1"))


@pytest.mark.parametrize("point", [None, *range(0, 60, 3)])
@pytest.mark.parametrize("procedure", [Procedure.READ_BACK, Procedure.BLIND])
def test_an_id_that_is_the_same_for_every_value_stands_for_one_version_only(
    procedure: Procedure, point: int | None
) -> None:
    world = World(credential(quarantine=MINUTE, accept_gap=True), procedure=procedure)
    slot = OneId(world.clock)
    world.slot = world.issuer = world.prover.issuer = slot
    world.application = slot.add(APP, client_id=APP)
    state: State = world.state()
    state.visit()
    world.advance(61 * DAY)
    state.tape.crossings, state.tape.die_at = 0, point
    with suppress(Crash):
        state.visit()
    state.tape.die_at = None
    world.settle(state)
    world.check(quiet=True)
    tracked = state.ledger.tracked(world.credential.name)
    assert tracked is not None and [one.state for one in tracked.versions] == [VersionState.CURRENT]
    assert len(slot.asked) <= 3, "the first one, the second, and one more where that was lost"


@pytest.mark.parametrize("procedure", [Procedure.READ_BACK, Procedure.BLIND])
def test_an_issuer_that_gives_the_same_value_and_id_again_leaves_everything_as_it_was(procedure: Procedure) -> None:
    world, state = prepare(procedure, "replaced_in_time")
    slot, before = world.slot, world.main()
    assert slot is not None
    slot.regenerate = lambda application, tag, lifetime: slot.read(application)  # type: ignore[method-assign]
    report = state.visit()
    assert report.error is not None and report.error.code == "same_value"
    assert report.rotation is not None and report.rotation.phase is Phase.ABANDONED
    main = world.main()
    assert before is not None and main is not None
    assert not before.differing(main)
    world.check(quiet=True)


# ------------------------------------------------------------------------------------------------------------ the store


@pytest.mark.parametrize("procedure", SINGLE)
def test_nothing_is_ended_where_the_store_would_not_take_the_next_one(procedure: Procedure) -> None:
    world, state = prepare(procedure, "replaced_in_time")
    made = len(world.issuer.mutations)
    no = [Finding(PATH, "permission", Severity.FAIL, "It may not be written.", "Grant it.")]
    truly = world.store.check
    world.store.check = lambda paths: no  # type: ignore[method-assign]
    report = state.visit()
    assert report.error is not None and report.error.exit_status == 77
    assert len(world.issuer.mutations) == made and world.works(world.main())
    world.store.check = truly  # type: ignore[method-assign]
    world.settle(state)
    assert len(world.issuer.mutations) == made + 1
    world.check(quiet=True)


@pytest.mark.parametrize("procedure", SINGLE)
def test_a_store_that_refuses_all_the_same_is_not_said_to_do_no_harm(procedure: Procedure) -> None:
    world, state = prepare(procedure, "replaced_in_time")

    def refuse(name: str) -> None:
        if name == "consumers.write":
            raise Denied("Not for you.", hint="Grant it.")

    state.tape.hooks.append(refuse)
    report = state.visit()
    assert report.error is not None and "without a valid secret" in report.error.message
    assert "old secret" not in report.error.message and "at once" in report.error.hint
    state.tape.hooks.clear()
    world.settle(state)
    world.check(quiet=True)


@pytest.mark.parametrize("lost", [True, False])
def test_consumers_are_said_to_have_none_when_and_only_when_that_is_so(lost: bool) -> None:
    world, state = prepare(Procedure.BLIND, "replaced_in_time")
    world.issuer.fate(Act.CREATE, Fate.LOST if lost else Fate.NEVER, Fate.REFUSED)
    report = state.visit()
    assert report.error is not None and world.works(world.main()) is not lost
    assert ("Consumers may be without a valid secret" in report.error.hint) is lost
    assert report.error.code == ("value_lost" if lost else "refused")


# ------------------------------------------------------------------------------------------------- how many in one day


@pytest.mark.parametrize("procedure", [Procedure.BLIND, Procedure.READ_BACK])
def test_an_issuer_that_regenerates_and_never_answers_is_not_asked_for_ever(procedure: Procedure) -> None:
    world, state = prepare(procedure, "replaced_in_time")
    world.credential = replace(world.credential, policy=replace(world.credential.policy, max_creations=3))
    showing(world, masked)
    world.issuer.fate(Act.CREATE, *[Fate.LOST] * 40)
    before = asked(world)
    for _ in range(6):
        world.advance(HOUR)
        state.visit()
    assert asked(world) - before == 3
    tracked = state.ledger.tracked(world.credential.name)
    assert tracked is not None and (trouble := tracked.state.parked) is not None
    assert trouble.code == "value_lost" and "3 versions" in trouble.message
    assert "rotator resume" in trouble.hint


@pytest.mark.parametrize("procedure", [Procedure.BLIND, Procedure.READ_BACK])
def test_an_issuer_that_neither_regenerates_nor_answers_parks_nothing(procedure: Procedure) -> None:
    world, state = prepare(procedure, "replaced_in_time")
    world.credential = replace(world.credential, policy=replace(world.credential.policy, max_creations=3))
    world.issuer.fate(Act.CREATE, *[Fate.NEVER] * 8)
    for _ in range(4):
        report = state.visit()
        assert report.error is not None and report.error.code == "create_unanswered"
        assert world.works(world.main())
        world.advance(2 * HOUR)
    assert state.visit().outcome is RotationOutcome.PROMOTED
    world.check(quiet=True)


def test_one_value_that_is_set_again_and_again_is_one_creation() -> None:
    world, state = prepare(Procedure.CHOSEN, "replaced_in_time")
    world.credential = replace(world.credential, policy=replace(world.credential.policy, max_creations=3))
    world.issuer.fate(Act.CREATE, *[Fate.NEVER, Fate.LOST] * 3)
    world.settle(state)
    first = world.main_key()
    state.ask()
    world.settle(state)
    assert world.main_key() != first
    world.check(quiet=True)
