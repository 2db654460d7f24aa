"""Four schedules that break a literal reading of "never retire a working secret"; each fails without its rule.

T1 two states, no crash: the version in its grace is known to one ledger only.
T2 a paused promoter: a process sleeps between its staging write and its promotion, and another takes over.
T3 a bad clock, or one false refusal: everything seems expired, or dead.
T4 one name, two teams: the same credential name means another application.
And the order of a pass, without which two slots wait for each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest

from rotator.engine import Mode
from rotator.errors import ClockWrong, Misconfigured
from rotator.event import EventName
from rotator.model import RotationOutcome, VersionState
from rotator.ports import Answer
from tests.fakes.world import APP, DAY, HOUR, MINUTE, NAME, SECOND, State, World, credential

# ------------------------------------------------------------------------------------------------------------------ T1


def two_states() -> tuple[World, State, State, str]:
    """Return a world in which A has promoted K2 while K1 is in its grace, and B that knows nothing."""
    world = World()
    a, b = world.state("state-a"), world.state("state-b")
    a.visit()
    first = world.main_key()
    assert first is not None
    world.advance(61 * DAY)
    a.visit()
    assert world.main_key() != first
    return world, a, b, first


def test_t1_another_state_does_not_take_a_version_in_its_grace_for_an_orphan() -> None:
    world, _, b, first = two_states()
    for _ in range(6):
        world.advance(30 * MINUTE)
        b.visit()
    assert first in world.live_ours()
    assert not b.events(EventName.ORPHAN_FOUND)
    world.check()


def test_t1_it_knows_it_from_the_history_of_the_document_when_the_staging_document_is_lost() -> None:
    world, _, b, first = two_states()
    world.store.staging.delete_all(NAME)
    for _ in range(6):
        world.advance(30 * MINUTE)
        b.visit()
    assert first in world.live_ours()
    tracked = b.ledger.tracked(NAME)
    assert {one.key_id: one.state for one in tracked.versions}[first] is VersionState.PREVIOUS
    world.check()


def test_t1_and_gives_it_a_full_grace_from_first_sight() -> None:
    world, _, b, first = two_states()
    world.advance(23 * HOUR)
    b.visit()
    world.advance(23 * HOUR)
    b.visit()
    assert first in world.live_ours()
    world.advance(2 * HOUR)
    b.visit()
    assert first not in world.live_ours()
    world.check()


# ------------------------------------------------------------------------------------------------------------------ T2


@dataclass
class Sleeper:
    """Makes A sleep once, at a call while it is promoting, and lets B work meanwhile."""

    world: World
    b: State
    before: str
    role_is_missing: bool
    slept: bool = False

    def __call__(self, name: str) -> None:
        staging = self.world.store.staging.read(NAME).fields
        promoting = staging is not None and staging.text("stage") == "promoting"
        if name != self.before or self.slept or not promoting:
            return
        self.slept = True
        self.world.advance(3 * MINUTE)
        if self.role_is_missing:
            self.world.application.roles.clear()
        self.b.visit()
        self.world.application.roles.add("ProviderApi.Access")


@pytest.mark.parametrize("role_is_missing", [True, False])
@pytest.mark.parametrize("asleep_before", ["consumers.write", "prover.prove", "staging.write"])
def test_t2_a_promoter_that_slept_through_a_take_over_does_no_harm(asleep_before: str, role_is_missing: bool) -> None:
    """Whatever B does meanwhile, undo or finish: A must not show what B has removed."""
    world = World()
    a, b = world.state("state-a"), world.state("state-b")
    a.visit()
    b.visit()
    world.advance(61 * DAY)
    sleeper = Sleeper(world, b, asleep_before, role_is_missing)
    a.tape.hooks.append(sleeper)
    a.visit()
    a.tape.hooks.clear()
    assert sleeper.slept, "A never slept: the schedule did not happen"
    assert world.works(world.main()), "consumers read what was removed"
    for _ in range(4):
        for state in (a, b):
            world.advance(10 * MINUTE)
            state.visit()
    world.check()
    assert world.works(world.main())


def test_t2_a_take_over_that_undoes_a_promotion_fences_the_document_first() -> None:
    world = World()
    a, b = world.state("state-a"), world.state("state-b")
    a.visit()
    b.visit()
    world.advance(61 * DAY)

    def sleep(name: str) -> None:
        if name == "consumers.write" and not b.events(EventName.ROTATION_ABANDONED):
            world.advance(3 * MINUTE)
            world.application.roles.clear()
            b.visit()

    a.tape.hooks.append(sleep)
    before = world.store.consumers.read(world.credential.path)
    report = a.visit()
    after = world.store.consumers.read(world.credential.path)
    assert [one for one in b.events(EventName.ROTATION_ABANDONED) if one["reason"] == "fence"]
    assert after.version == before.version + 1, "the fence is a version of its own"
    assert after.fields == before.fields, "and changes nothing"
    assert report.outcome is not RotationOutcome.PROMOTED


# ------------------------------------------------------------------------------------------------------------------ T3


def test_t3_a_machine_that_wakes_up_a_year_ahead_starts_nothing() -> None:
    world = World()
    state = world.state()
    state.visit()
    world.advance(61 * DAY)
    state.visit()
    keys = world.live_ours()
    assert len(keys) == 2
    world.clock.jump(365 * DAY)
    world.issuer.skew = -365 * DAY
    for _ in range(4):
        world.advance(2 * HOUR)
        assert isinstance(state.visit().error, ClockWrong)
    assert world.live_ours() == keys
    world.check()


def test_t3_a_clock_set_back_does_not_lengthen_or_shorten_a_grace() -> None:
    world = World()
    state = world.state()
    state.visit()
    first = world.main_key()
    world.advance(61 * DAY)
    state.visit()
    world.clock.jump(-3 * MINUTE)
    world.issuer.skew = 3 * MINUTE
    world.advance(DAY - HOUR)
    state.visit()
    assert first in world.live_ours()
    world.advance(HOUR + 5 * MINUTE)
    state.visit()
    assert first not in world.live_ours()
    world.check()


def test_t3_grace_is_never_a_difference_of_wall_clocks_alone() -> None:
    """After a reboot, without a Date of issuer or store, it begins anew."""
    world = World()
    state = world.state()
    world.issuer.tells_time = False
    state.visit()
    first = world.main_key()
    world.advance(61 * DAY)
    state.visit()
    world.clock.jump(2 * DAY)
    state.visit()
    assert first in world.live_ours()
    world.check()


def test_t3_one_false_refusal_removes_nothing_and_shows_nothing_else() -> None:
    world = World()
    state = world.state()
    state.visit()
    world.advance(61 * DAY)
    state.visit()
    current, keys = world.main_key(), world.live_ours()
    world.advance(HOUR)
    world.prover.flaky(Answer.REFUSED)
    state.visit()
    assert world.main_key() == current
    assert world.live_ours() == keys
    world.check()


# ------------------------------------------------------------------------------------------------------------------ T4


def test_t4_a_name_that_stands_for_another_application_is_refused() -> None:
    world = World()
    a, b = world.state("state-a"), world.state("state-b")
    a.visit()
    keys, key = world.live_ours(), world.main_key()
    world.issuer.add("app-2", client_id="app-2")
    report = b.visit(credential(application="app-2"))
    assert isinstance(report.error, Misconfigured)
    assert report.error.exit_status == 78
    assert report.error.code == "bound_elsewhere"
    assert world.live_ours() == keys
    assert world.main_key() == key
    assert not world.issuer.truth("app-2")


def test_t4_so_is_a_path_that_was_changed_under_a_managed_credential() -> None:
    world = World()
    state = world.state()
    state.visit()
    report = state.visit(credential(path="somewhere/else"))
    assert isinstance(report.error, Misconfigured)
    assert world.store.consumers.read("somewhere/else").version == 0


# ---------------------------------------------------------------------------------------------------------- pass order


def test_a_pass_frees_the_second_slot_before_it_rotates() -> None:
    """The version in its grace holds the second of two slots; its grace is over on the day the next is due."""
    world = World(credential(lifetime=40 * DAY, rotate_before=10 * DAY, grace=5 * DAY), slots=2)
    state = world.state()
    state.visit()
    world.advance(31 * DAY)
    state.visit()
    second = world.main_key()
    assert len(world.live_ours()) == 2
    world.advance(31 * DAY)
    report = state.visit()
    assert report.outcome in (RotationOutcome.PROMOTED, RotationOutcome.RETIRED), report.error
    assert world.main_key() != second
    world.check()


def test_a_pass_waits_for_the_second_look_at_an_orphan_that_holds_the_slot() -> None:
    world = World(credential(quarantine=MINUTE), slots=2)
    state = world.state()
    state.visit()
    world.issuer.create(APP, state.kit().tag("lost", 1), 90 * DAY)
    world.advance(61 * DAY)
    before = world.clock.now()
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED, report.error
    assert report.swept
    assert world.clock.now() - before < 2 * MINUTE + timedelta(seconds=30) + SECOND


def test_a_pass_finishes_what_is_unfinished_before_it_rotates() -> None:
    world = World(slots=2)
    state = world.state()
    state.visit()
    world.advance(61 * DAY)
    world.prover.always = Answer.SILENT
    state.visit()
    world.prover.always = None
    world.advance(HOUR)
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED, report.error
    assert len(world.live_ours()) == 2
    world.check()


def test_observe_changes_nothing_anywhere() -> None:
    world = World()
    state = world.state()
    report = state.visit(mode=Mode.OBSERVE)
    assert report.outcome is RotationOutcome.PLANNED
    assert not world.issuer.mutations
    assert not world.store.consumers.truth
    assert not world.store.staging.truth
