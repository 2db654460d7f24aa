"""What the engine makes of documents that somebody else has written, changed, put back or deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.errors import Transient
from rotator.event import Event, EventName
from rotator.model import Act, Origin, RotationOutcome, VersionState
from rotator.planner import current_version
from rotator.secret import Fields
from rotator.testing.providers import Fate
from tests.fakes.tape import Crash
from tests.fakes.world import APP, DAY, HOUR, MINUTE, NAME, PATH, State, World, credential


def in_use() -> tuple[World, State, str]:
    """Return a world in which the first version is in use and due for its replacement, and its key id."""
    world = World()
    state = world.state()
    state.visit()
    first = world.main_key()
    assert first is not None
    world.advance(61 * DAY)
    return world, state, first


def edit(world: World, **changes: str) -> None:
    """Let somebody write these fields."""
    fields = world.main()
    assert fields is not None
    world.store.consumers.put(PATH, fields.merged(changes))


def resume(state: State) -> None:
    """Let a person have looked, as `rotator resume` does."""
    tracked = state.ledger.tracked(NAME)
    assert tracked is not None
    current = current_version(tracked)
    assert current is not None
    freed = replace(tracked.state, parked=None, error=None, failures=0, cause=None, same_cause=0, not_before=None)
    event = Event(EventName.ROTATION_RESUMED, "dana", NAME)
    state.ledger.record(event, replace(freed, wake_at=None), replace(current, store_version=None))


# --------------------------------------------------------------------------------------------------------- mid-rotation


@pytest.mark.parametrize(
    "before", ["prover.prove", "staging.write", "ledger.record version.promoted", "consumers.write"]
)
def test_what_somebody_edits_during_a_rotation_is_not_overwritten(before: str) -> None:
    world, state, first = in_use()
    done: list[str] = []

    def hook(name: str) -> None:
        if name == before and not done and state.events(EventName.VERSION_STAGED):
            done.append(name)
            edit(world, client_secret="by hand", note="mine")

    state.tape.hooks.append(hook)
    report = state.visit()
    assert done
    assert report.outcome is RotationOutcome.PARKED
    assert report.error.code == "edited"
    assert "version 1" in report.error.message
    assert "version 2" in report.error.message
    assert first in report.error.message
    assert "by hand" not in report.error.message
    assert world.store.consumers.read(PATH).version == 2, "nothing was written over it"
    assert world.live_ours() == {first}, "the candidate is gone, the old one lives"


# -------------------------------------------------------------------------------------------------------------- at rest


@pytest.mark.parametrize("changed", ["client_secret", "key_id", "client_id", "rotation_id"])
def test_a_field_of_ours_that_somebody_changed_at_rest_parks(changed: str) -> None:
    world, state, first = in_use()
    edit(world, **{changed: "something else"})
    report = state.visit()
    assert report.outcome is RotationOutcome.PARKED
    assert report.error.code == "edited"
    assert changed in report.error.message
    assert "something else" not in report.error.message.replace("holds key something else", "")
    assert world.live_ours() == {first}
    world.advance(DAY)
    assert state.visit().outcome is RotationOutcome.PARKED, "and it stays so"
    assert len(world.store.consumers.truth) == 2


def test_fields_that_are_not_ours_are_drift_and_are_carried_over() -> None:
    world, state, first = in_use()
    edit(world, note="mine")
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED
    assert world.main_key() != first
    assert world.main().text("note") == "mine"
    drift = state.events(EventName.DRIFT_FOUND)
    assert [one["detail"] for one in drift] == ["somebody changed fields that are not ours: note"]
    world.check(quiet=True)


def test_a_deleted_document_parks_and_after_resume_a_new_version_is_made() -> None:
    world, state, first = in_use()
    world.store.consumers.delete_latest(PATH)
    assert state.visit().error.code == "document_gone"
    resume(state)
    assert state.visit().outcome is RotationOutcome.PROMOTED
    assert first in world.live_ours(), "with a grace, like every other"
    assert world.works(world.main())


def test_a_version_that_was_no_document_of_texts_hinders_nobody_once_it_is_replaced() -> None:
    world, state, first = in_use()
    state.visit()
    fields = world.main()
    assert fields is not None
    world.store.consumers.put_strange(PATH)
    world.store.consumers.put(PATH, fields)
    another = world.state()
    another.ask()
    assert another.visit().outcome is RotationOutcome.PROMOTED
    world.advance(HOUR)
    assert state.visit().error is None
    assert state.ledger.versions[NAME, first].state is VersionState.PREVIOUS
    assert state.ledger.versions[NAME, str(world.main_key())].state is VersionState.CURRENT


def test_a_person_who_resumes_gets_what_stands_there() -> None:
    world, state, first = in_use()
    world.advance(-60 * DAY)
    foreign = world.issuer.foreign(APP)
    edit(world, key_id=foreign.key_id, note="mine")
    fields = world.main()
    world.store.consumers.put(PATH, fields.merged({"client_secret": foreign.value}))
    world.advance(DAY)
    assert state.visit().error.code == "edited"
    resume(state)
    assert state.visit().outcome is RotationOutcome.PROMOTED
    versions = {one.key_id: one for one in state.ledger.versions.values()}
    assert versions[foreign.key_id].state is VersionState.LEFT
    assert versions[foreign.key_id].origin is Origin.FOREIGN
    assert versions[first].state is VersionState.PREVIOUS
    world.settle(state, visits=4, step=13 * HOUR)
    assert foreign.key_id in {one.key_id for one in world.issuer.truth(APP)}, "foreign ones are never touched"


# ------------------------------------------------------------------------------------------------------------- put back


def test_a_dying_version_that_a_person_puts_back_lives_again_and_blocks_nothing() -> None:
    world, state, first = in_use()
    shown_first = world.main()
    assert shown_first is not None
    state.visit()
    second = world.main_key()
    world.advance(25 * HOUR)
    world.issuer.fate(Act.RETIRE, Fate.THROTTLED)
    assert state.visit().error.code == "throttled"
    assert world.store.staging.read(NAME).fields.text("retiring") == f'["{first}"]'
    world.store.consumers.put(PATH, shown_first)
    world.advance(MINUTE)
    assert state.visit().error.code == "edited"
    resume(state)
    world.settle(state, visits=6, step=20 * MINUTE)
    assert world.main_key() == first
    assert world.works(world.main())
    assert world.store.staging.read(NAME).fields.text("stage") == "idle"
    world.settle(state, visits=8, step=13 * HOUR)
    assert world.main_key() not in (first, second), "it was due, and has been replaced"
    assert world.live_ours() == {world.main_key()}


def test_the_grace_of_a_version_that_was_put_back_and_replaced_again_begins_anew() -> None:
    world, state, first = in_use()
    shown_first = world.main()
    state.visit()
    shown_second = world.main()
    assert shown_first is not None
    assert shown_second is not None
    world.advance(23 * HOUR)
    world.store.consumers.put(PATH, shown_first)
    world.advance(30 * MINUTE)
    world.store.consumers.put(PATH, shown_second)
    for hours in (2, 21):
        world.advance(hours * HOUR)
        assert state.visit().error is None
        assert first in world.live_ours(), f"consumers read it {hours} h ago"
    world.advance(3 * HOUR)
    state.visit()
    assert first not in world.live_ours()


def test_a_candidate_that_consumers_read_for_a_while_keeps_working_through_a_grace() -> None:
    """The process dies before it records the promotion, somebody puts the old one back, and the new one is undone."""
    world, state, first = in_use()
    shown = world.main()
    assert shown is not None

    def die(name: str) -> None:
        if name == "consumers.write":
            raise Crash

    state.tape.after.append(die)
    with pytest.raises(Crash):
        state.visit()
    state.tape.after.clear()
    second = world.main_key()
    assert second != first
    world.store.consumers.put(PATH, shown)
    world.application.roles.clear()
    world.advance(MINUTE)
    assert state.visit().outcome is RotationOutcome.ABANDONED
    world.application.roles.add("ProviderApi.Access")
    assert second in world.live_ours()
    assert state.ledger.versions[NAME, str(second)].state is VersionState.PREVIOUS
    world.settle(state, visits=8, step=13 * HOUR)
    assert world.live_ours() == {world.main_key()}


# ------------------------------------------------------------------------------------------------------ there before us


def test_a_document_that_was_there_before_serves_until_the_promotion_and_its_version_stays() -> None:
    world = World()
    foreign = world.issuer.foreign(APP)
    before = Fields({"client_id": APP, "client_secret": foreign.value, "key_id": foreign.key_id, "note": "mine"})
    world.store.consumers.put(PATH, before)
    state = world.state()
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED
    assert world.main().text("note") == "mine"
    world.settle(state, visits=4, step=13 * HOUR)
    assert foreign.key_id in {one.key_id for one in world.issuer.truth(APP)}


def test_a_document_without_anything_to_prove_keeps_nothing_up() -> None:
    world = World()
    world.store.consumers.put(PATH, Fields({"note": "mine"}))
    report = world.state().visit()
    assert report.outcome is RotationOutcome.PROMOTED, report.error
    assert world.main().text("note") == "mine"


def test_a_document_without_a_client_id_is_proved_with_the_one_of_the_configuration() -> None:
    world = World()
    foreign = world.issuer.foreign(APP)
    world.store.consumers.put(PATH, Fields({"client_secret": foreign.value}))
    assert world.state().visit().outcome is RotationOutcome.PROMOTED
    assert {one.client_id for one in world.prover.asked} == {APP}


def test_an_application_without_a_client_id_is_not_asked_about_before_its_first_version() -> None:
    world = World(credential(application="object:1"))
    world.issuer.add("object:1", client_id="client-1")
    world.store.consumers.put(PATH, Fields({"client_secret": "some value"}))
    assert world.state().visit().outcome is RotationOutcome.PROMOTED
    assert {one.client_id for one in world.prover.asked} == {"client-1"}


# ---------------------------------------------------------------------------------------------------------------- fence


def test_an_undo_fences_even_where_no_document_is_yet() -> None:
    """A sleeps before its first promotion; B undoes it; A wakes up and shows nothing that is gone."""
    world = World()
    a, b = world.state("state-a"), world.state("state-b")

    def sleep(name: str) -> None:
        if name == "consumers.write" and not b.events():
            world.advance(3 * MINUTE)
            world.application.roles.clear()
            b.visit()
            world.application.roles.add("ProviderApi.Access")

    a.tape.hooks.append(sleep)
    report = a.visit()
    assert report.outcome is not RotationOutcome.PROMOTED
    assert world.main() is not None
    assert set(world.main() or ()) == {"rotation_id"}, "the fence holds no value"
    world.settle(a)
    world.check(quiet=True)
    assert world.works(world.main())


def test_a_fence_that_loses_looks_again() -> None:
    world, state, _ = in_use()

    def die(name: str) -> None:
        if name == "consumers.write":
            raise Crash

    state.tape.hooks.append(die)
    with pytest.raises(Crash):
        state.visit()
    state.tape.hooks.clear()
    world.application.roles.clear()

    def hook(name: str) -> None:
        if name == "consumers.write":
            edit(world, note="mine")

    state.tape.hooks.append(hook)
    world.advance(MINUTE)
    report = state.visit()
    assert isinstance(report.error, Transient)
    state.tape.hooks.clear()
    world.advance(HOUR)
    world.application.roles.add("ProviderApi.Access")
    world.settle(state)
    assert world.main().text("note") == "mine"
    world.check(quiet=True)
