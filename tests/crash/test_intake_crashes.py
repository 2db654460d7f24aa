"""Killed before and after each call of an intake: a value is shown proved or not at all, and none is left staged."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rotator.by_hand import take_in
from rotator.errors import RotatorError
from rotator.event import EventName
from rotator.model import Origin, RetireMode, RotationOutcome, VersionState
from rotator.ports import Answer, Issued, Listed
from rotator.secret import Fields
from tests.fakes.tape import Crash
from tests.fakes.world import APP, DAY, HOUR, MINUTE, NAME, State, World, credential

POLICY: dict[str, Any] = {"lifetime": 3 * DAY, "rotate_before": DAY, "grace": HOUR, "retire": RetireMode.LET_EXPIRE}


def by_hand() -> tuple[World, State]:
    world = World(credential(by_hand="It is made by hand.", labelled=False, **POLICY))
    return world, world.state()


def made(world: World, number: int) -> Issued:
    """Let a person make a version in the console, and return it as it is given."""
    held = world.issuer.foreign(APP, lifetime=3 * DAY)
    version = Listed(f"hand-{number}", f"rotator/i/{NAME}/intake/1", held.created_at, held.expires_at)
    return Issued(version, APP, Fields({"client_secret": held.value}), None)


def value_in(world: World) -> object:
    fields = world.main()
    return fields.secret("client_secret") if fields is not None else None


def settle(world: World, state: State) -> None:
    for _ in range(4):
        state.visit()
        world.advance(3 * MINUTE)


def test_an_intake_without_a_crash_is_promoted_and_asks_no_issuer_for_a_change() -> None:
    world, state = by_hand()
    first = made(world, 1)
    assert take_in(state.kit(), first, note="Monday").outcome is RotationOutcome.PROMOTED
    assert value_in(world) == first.values.secret("client_secret")
    (event,) = state.events(EventName.INTAKE_RECEIVED)
    assert (event["key_id"], event["detail"]) == ("hand-1", "Monday")
    world.advance(HOUR)
    second = made(world, 2)
    take_in(state.kit(), second)
    assert value_in(world) == second.values.secret("client_secret")
    assert not [call for call in state.tape.calls if call in ("provider.create", "provider.retire")]
    settle(world, state)
    states = {one.key_id: one.state for one in state.ledger.versions.values()}
    assert states == {"hand-1": VersionState.PREVIOUS, "hand-2": VersionState.CURRENT}
    world.advance(3 * DAY - 30 * MINUTE)
    state.visit()
    states = {one.key_id: one.state for one in state.ledger.versions.values()}
    assert states["hand-1"] is VersionState.RETIRED, "it has come to its own end"


def crossings() -> int:
    world, state = by_hand()
    take_in(state.kit(), made(world, 1))
    before = state.tape.crossings
    world.advance(HOUR)
    take_in(state.kit(), made(world, 2))
    return state.tape.crossings - before


@pytest.mark.parametrize("at", range(crossings()))
def test_killed_at_any_call_it_ends_with_a_value_that_works_and_nothing_staged(at: int) -> None:
    world, state = by_hand()
    first = made(world, 1)
    take_in(state.kit(), first)
    world.advance(HOUR)
    second = made(world, 2)
    state.tape.die_at = state.tape.crossings + at
    with pytest.raises(Crash):
        take_in(state.kit(), second)
    state.tape.dead = False
    assert value_in(world) in (first.values.secret("client_secret"), second.values.secret("client_secret"))
    settle(world, state)
    tracked = state.ledger.tracked(NAME)
    assert tracked is not None and tracked.rotation is None, "nothing is left under way"
    staging = world.store.staging.read(NAME).fields
    assert staging is not None and staging.text("stage") == "idle"
    assert not [name for name in staging if name.startswith("value_")]
    if value_in(world) == first.values.secret("client_secret"):  # it was lost, so the person gives it again
        again = replace(second, version=replace(second.version, key_id="hand-3"))  # each time another id of ours
        take_in(state.kit(), again)
    assert value_in(world) == second.values.secret("client_secret")
    assert not [call for call in state.tape.calls if call in ("provider.create", "provider.retire")]
    current = [one.key_id for one in state.ledger.versions.values() if one.state is VersionState.CURRENT]
    assert current in (["hand-2"], ["hand-3"])


def test_one_that_does_not_pass_is_given_up_and_its_maker_keeps_it() -> None:
    world, state = by_hand()
    first = made(world, 1)
    take_in(state.kit(), first)
    world.prover.script.clear()
    wrong = made(world, 2)
    world.prover.flaky(Answer.REFUSED, *[Answer.UNFIT] * 3)
    with pytest.raises(RotatorError) as caught:
        take_in(state.kit(), wrong)
    assert caught.value.code == "missing_role"
    assert value_in(world) == first.values.secret("client_secret")
    states = {one.key_id: one.state for one in state.ledger.versions.values()}
    assert states == {"hand-1": VersionState.CURRENT, "hand-2": VersionState.ABANDONED}
    assert not [call for call in state.tape.calls if call in ("provider.create", "provider.retire")]


def test_another_state_on_the_same_store_takes_over_what_was_taken_in() -> None:
    world, state = by_hand()
    take_in(state.kit(), made(world, 1))
    other = world.state("state-b")
    other.visit()
    world.advance(HOUR)
    second = made(world, 2)
    take_in(state.kit(), second)
    world.advance(HOUR)
    report = other.visit()
    assert report.error is None
    current = [one for one in other.ledger.versions.values() if one.state is VersionState.CURRENT]
    assert [(one.key_id, one.origin) for one in current] == [("hand-2", Origin.OURS)]


def test_a_person_who_edits_the_document_is_noticed_all_the_same() -> None:
    world, state = by_hand()
    take_in(state.kit(), made(world, 1))
    fields = world.main()
    assert fields is not None
    world.store.consumers.put(world.credential.path, fields.merged({"key_id": "typed", "client_secret": "typed"}))
    world.advance(2 * HOUR)
    report = state.visit()
    assert report.error is not None and report.error.code == "edited"


def test_a_visit_waits_for_the_person_and_asks_nobody_for_a_version() -> None:
    world, state = by_hand()
    take_in(state.kit(), made(world, 1))
    for _ in range(80):
        world.advance(timedelta(hours=1))
        state.visit()
    assert not [call for call in state.tape.calls if call in ("provider.create", "provider.retire")]
    assert state.ledger.tracked(NAME).state.parked is None
    assert state.events(EventName.CREDENTIAL_EXPIRED)
    (told, *_) = state.events(EventName.CREDENTIAL_EXPIRING)
    assert str(told["detail"]).endswith("It is made by hand.")
