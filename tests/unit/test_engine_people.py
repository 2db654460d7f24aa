"""What persons ask for, what they are told, and what the engine keeps from doing on their behalf."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rotator.by_hand import Leaving, Proof, forget, prove_now, retire_now
from rotator.errors import ClockWrong, OutcomeUnknown
from rotator.event import EventName
from rotator.model import Act, RetireMode, RotationOutcome, Trouble, VersionState
from rotator.notes import ProofSeen
from rotator.outlook import heartbeat_at
from rotator.ports import Answer
from rotator.testing.providers import Fate
from tests.fakes.world import APP, DAY, HOUR, MINUTE, NAME, PATH, SECOND, State, World, credential


def in_use(*, slots: int | None = None, **changes: Any) -> tuple[World, State, str]:
    """Return a world in which the first version is in use, sixty-one days old, and its key id."""
    world = World(credential(**changes), slots=slots)
    state = world.state()
    state.visit()
    world.advance(61 * DAY)
    first = world.main_key()
    assert first is not None
    return world, state, first


def in_grace(*, slots: int | None = None, **changes: Any) -> tuple[World, State, str, str]:
    """Return a world in which the second version is in use, and both key ids."""
    world, state, first = in_use(slots=slots, **changes)
    state.visit()
    second = world.main_key()
    assert second is not None
    assert second != first
    return world, state, first, second


def note(state: State, **facts: Any) -> None:
    """Change what the ledger remembers of the credential."""
    state.ledger.note(replace(state.ledger.states[NAME], **facts))


def told(state: State, name: EventName) -> list[object]:
    """Return the details of the audit records of one kind."""
    return [one["detail"] for one in state.events(name)]


# ------------------------------------------------------------------------------------------- paused, parked, forgotten


def test_a_paused_credential_is_left_alone_until_it_is_resumed() -> None:
    world, state, first = in_use()
    note(state, paused_at=world.clock.now())
    state.tape.calls.clear()
    report = state.visit()
    assert (report.outcome, report.reason, report.error) == (RotationOutcome.SKIPPED, "paused", None)
    assert not [call for call in state.tape.calls if not call.startswith("ledger")]
    note(state, paused_at=None)
    state.visit()
    assert world.main_key() != first


@pytest.mark.parametrize("how", ["free", "paused", "parked"])
def test_alerts_come_once_each_before_the_expiry_whatever_else_is_so(how: str) -> None:
    world = World()
    state = world.state()
    state.visit()
    world.application.roles.clear()  # so that nothing replaces it
    now = world.clock.now()
    if how == "paused":
        note(state, paused_at=now)
    if how == "parked":
        note(state, parked=Trouble("edited", "Somebody edited it.", "Look.", now))
    said = []
    for _ in range(4 * 91):
        world.advance(6 * HOUR)
        before = len(state.ledger.events)
        state.visit()
        events = [one["event"] for one in state.ledger.events[before:]]
        said += [(world.clock.now() - now).days for one in events if one == EventName.CREDENTIAL_EXPIRING.value]
    assert said == [76, 83, 89]
    assert len(state.events(EventName.CREDENTIAL_EXPIRED)) == 1
    assert told(state, EventName.CREDENTIAL_EXPIRED) == [
        f"The current version of {NAME} expired at 2026-04-01 00:00 UTC."
    ]


@pytest.mark.parametrize("by_hand", ["", "Make one by hand."])
def test_alerts_come_once_each_where_nothing_is_wrong_and_nothing_due(by_hand: str) -> None:
    world = World(credential(alert_before=(80 * DAY, 40 * DAY, 35 * DAY)))
    state = world.state()
    state.visit()
    for _ in range(4 * 59):
        world.advance(6 * HOUR)
        state.visit(replace(world.credential, by_hand=by_hand))
    assert len(told(state, EventName.CREDENTIAL_EXPIRING)) == 3


def test_what_a_clock_that_was_ahead_has_alerted_of_is_told_again_when_it_is_so() -> None:
    world = World()
    state = world.state()
    state.visit()
    world.application.roles.clear()  # so that nothing replaces it
    world.clock.jump(365 * DAY)
    world.issuer.skew = -365 * DAY
    state.visit()
    assert len(state.events(EventName.CREDENTIAL_EXPIRED)) == 1
    world.clock.jump(-365 * DAY)
    world.issuer.skew = 0 * DAY
    before = len(state.ledger.events)
    for _ in range(4 * 91):
        world.advance(6 * HOUR)
        state.visit()
    later = [one["event"] for one in state.ledger.events[before:]]
    assert later.count(EventName.CREDENTIAL_EXPIRING.value) == 3
    assert later.count(EventName.CREDENTIAL_EXPIRED.value) == 1


def test_a_forgotten_credential_with_its_versions_left_is_left_alone() -> None:
    world, state, first, second = in_grace()
    forget(state.kit(), Leaving.LEAVE)
    assert world.live_ours() == {first, second}
    report = state.visit()
    assert (report.outcome, report.reason) == (RotationOutcome.SKIPPED, "forgotten")
    world.advance(61 * DAY)
    state.visit()
    assert world.main_key() == second
    assert {one.act for one in world.issuer.mutations} == {Act.CREATE}


def test_a_forgotten_credential_with_its_versions_retired_leaves_nothing_of_ours() -> None:
    world, state, _, _ = in_grace()
    orphan = world.issuer.create(APP, state.kit().tag("lost", 1), 90 * DAY)
    world.issuer.mutations.pop()
    foreign = world.issuer.foreign(APP)
    forget(state.kit(), Leaving.RETIRE)
    assert orphan.version.key_id not in world.live_ours()
    assert not world.live_ours()
    assert [one.key_id for one in world.issuer.truth(APP)] == [foreign.key_id]
    assert state.visit().reason == "forgotten"


def test_a_name_that_was_forgotten_may_stand_for_another_application() -> None:
    world, state, _, _ = in_grace()
    forget(state.kit(), Leaving.LEAVE)
    world.issuer.add("app-2", client_id="app-2")
    report = state.visit(credential(application="app-2", path="partners/other"))
    assert report.outcome is RotationOutcome.PROMOTED, report.error
    assert world.store.consumers.read("partners/other").version == 1


# ----------------------------------------------------------------------------------------------------------- emergency


@pytest.mark.parametrize("mode", RetireMode)
def test_an_emergency_skips_every_grace_and_names_what_it_may_not_touch(mode: RetireMode) -> None:
    world, state, first, second = in_grace(retire=mode)
    foreign = world.issuer.foreign(APP)
    world.advance(HOUR)
    state.ask(emergency=True)
    state.tape.calls.clear()
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED
    assert report.retired == (first, second)
    assert state.ledger.tracked(NAME).last.outcome is RotationOutcome.RETIRED, "promoted, and the one before is gone"
    assert world.live_ours() == {world.main_key()}
    order = [call for call in state.tape.calls if call in ("provider.retire", "consumers.write", "provider.create")]
    assert order == ["provider.retire", "provider.create", "consumers.write", "provider.retire"]
    assert report.warning.code == "foreign_live"
    assert foreign.key_id in report.warning.message
    assert foreign.key_id in {one.key_id for one in world.issuer.truth(APP)}
    assert {one["actor"] for one in state.events(EventName.ROTATION_STARTED)} == {"dana"}
    world.check(quiet=True)


def test_a_request_is_answered_by_the_rotation_that_it_asked_for_and_by_no_second_one() -> None:
    world, state, _ = in_use(lifetime=300 * DAY)
    state.ask()
    report = state.visit()
    assert (report.outcome, report.reason) == (RotationOutcome.PROMOTED, "requested")
    assert report.rotation.note == "leaver process"
    assert state.ledger.tracked(NAME).request is None
    world.advance(HOUR)
    assert state.visit().rotation is None


# ------------------------------------------------------------------------------------------------ let_expire and manual


def test_with_let_expire_nobody_retires_it_and_its_end_is_noted_by_the_issuers_date() -> None:
    world, state, first, _ = in_grace(retire=RetireMode.LET_EXPIRE)
    world.advance(28 * DAY)
    state.visit()
    assert first in world.live_ours()
    world.advance(2 * DAY)
    state.visit()
    assert state.ledger.versions[NAME, first].state is VersionState.RETIRED
    assert not [one for one in world.issuer.mutations if one.act is Act.RETIRE]


@pytest.mark.parametrize("retire", [RetireMode.LET_EXPIRE, RetireMode.MANUAL, RetireMode.WHEN_UNUSED])
@pytest.mark.parametrize(("grace", "often"), [(0 * DAY, HOUR), (HOUR, 5 * MINUTE), (20 * DAY, 5 * MINUTE)])
def test_the_longer_one_before_lives_on_the_less_often_is_its_successor_proved(
    retire: RetireMode, grace: timedelta, often: timedelta
) -> None:
    world, state, first, _ = in_grace(retire=retire, grace=grace)

    def spacing() -> timedelta:
        tracked = state.ledger.tracked(NAME)
        assert tracked is not None
        at = heartbeat_at(world.credential, tracked, world.clock.now())
        assert at is not None
        assert tracked.state.proved_at is not None
        return at - tracked.state.proved_at

    world.advance(30 * MINUTE)
    state.visit()
    assert first in world.live_ours()
    assert spacing() == often
    world.advance(25 * HOUR)
    state.visit()
    assert first in world.live_ours()
    assert spacing() == HOUR


def test_with_manual_only_a_person_retires_it_after_a_proof_of_its_successor() -> None:
    world, state, first, _ = in_grace(retire=RetireMode.MANUAL)
    world.settle(state, visits=6, step=13 * HOUR)
    assert first in world.live_ours()
    world.prover.always = Answer.REFUSED
    with pytest.raises(Exception, match="does not pass"):
        retire_now(state.kit(), None)
    assert first in world.live_ours()
    world.prover.always = None
    assert retire_now(state.kit(), first) == (first,)
    assert first not in world.live_ours()
    world.check(quiet=True)


@pytest.mark.parametrize("emergency", [False, True])
def test_a_retirement_that_was_cut_off_is_finished_for_the_reason_that_it_began_with(emergency: bool) -> None:
    world, state, first = in_use()
    world.issuer.fate(Act.RETIRE, Fate.LOST, Fate.LOST)
    if emergency:
        state.ask(emergency=True)
        state.visit()
    else:
        state.visit()
        with pytest.raises(OutcomeUnknown):
            retire_now(state.kit(), first)
    for _ in range(4):
        world.advance(MINUTE)
        state.visit()
    assert first not in world.live_ours()
    reasons = {one["reason"] for one in state.events(EventName.VERSION_RETIRED)}
    assert reasons == {"emergency" if emergency else "requested"}


# --------------------------------------------------------------------------------------------------------------- limits


def test_so_many_creations_within_a_day_park() -> None:
    world, state, _ = in_use(max_creations=3)
    world.application.lag = 16 * MINUTE
    world.issuer.fate(Act.CREATE, Fate.LOST, Fate.LOST, Fate.LOST, Fate.LOST)
    assert state.visit().error.code == "create_unanswered"
    world.advance(HOUR)
    report = state.visit()
    assert report.outcome is RotationOutcome.PARKED
    assert report.error.code == "too_many_creations"
    assert "3 versions" in report.error.message and "The answer to create was lost" in report.error.message
    assert "List before anything else. Then: rotator resume" in report.error.hint
    assert sum(one.act is Act.CREATE for one in world.issuer.mutations) == 1 + 3
    assert len(world.live_ours()) == 1
    world.check(quiet=True)


def test_without_a_free_slot_a_request_hears_when_a_grace_ends() -> None:
    world, state, first, second = in_grace(slots=2)
    state.ask()
    report = state.visit()
    assert report.error.exit_status == 75
    assert report.error.code == "slot_in_grace"
    assert "2026-03-04 00:00 UTC" in report.error.message
    assert world.live_ours() == {first, second}
    world.advance(25 * HOUR)
    assert state.visit().outcome is RotationOutcome.PROMOTED
    world.check(quiet=True)


def test_slots_full_of_foreign_versions_are_named_and_never_touched() -> None:
    world, state, first = in_use(slots=3)
    others = [world.issuer.foreign(APP).key_id for _ in range(2)]
    report = state.visit()
    assert report.error.code == "no_free_slot"
    assert all(key_id in report.error.message for key_id in others)
    assert {one.key_id for one in world.issuer.truth(APP)} == {first, *others}
    for _ in range(2):
        world.advance(HOUR)
        report = state.visit()
    assert report.outcome is RotationOutcome.PARKED


def test_versions_of_another_credential_on_the_same_application_are_not_ours() -> None:
    world, state, _ = in_use()
    other = replace(state.kit(), credential=credential("another"))
    theirs = world.issuer.create(APP, other.tag("r1", 1), 90 * DAY).version.key_id
    world.issuer.mutations.pop()
    foreign = world.issuer.foreign(APP, tag="rotator").key_id
    world.settle(state, visits=6, step=13 * HOUR)
    assert {theirs, foreign} <= {one.key_id for one in world.issuer.truth(APP)}
    assert not state.events(EventName.ORPHAN_FOUND)


# ----------------------------------------------------------------------------------------------------- brake and clocks


def test_three_credentials_that_fail_alike_stop_all_retiring_until_one_is_proved() -> None:
    world, state, first, _ = in_grace()
    world.advance(DAY - SECOND)
    state.visit()  # proves the current one, so that the next visit has no reason to
    world.advance(MINUTE)
    for name in ("one", "two"):
        state.ledger.note(ProofSeen("contoso", name, "invalid_client"))
    state.ledger.note(ProofSeen("contoso", "three", "expired_secret"))
    state.ledger.note(ProofSeen("elsewhere", "four", "invalid_client"))
    state.ledger.note(ProofSeen("contoso", "three", "invalid_client"))
    report = state.visit()
    assert report.error.code == "brake"
    assert "3 credentials of contoso fail alike (invalid_client)" in report.error.message
    assert first in world.live_ours()
    assert "one, three, two" in report.error.message
    assert report.error.exit_status == 75
    state.ledger.note(ProofSeen("contoso", "four", None))
    world.advance(MINUTE)
    assert state.visit().error.code == "brake", "one that works says nothing of those that do not"
    state.ledger.note(ProofSeen("contoso", "two", None))
    world.advance(MINUTE)
    assert state.visit().retired == (first,)


def test_two_that_fail_alike_and_one_that_fails_otherwise_stop_nothing() -> None:
    world, state, first, _ = in_grace()
    world.advance(DAY - SECOND)
    state.visit()
    world.advance(MINUTE)
    for name, code in (("one", "invalid_client"), ("two", "invalid_client"), ("three", "expired_secret")):
        state.ledger.note(ProofSeen("contoso", name, code))
    assert state.visit().retired == (first,)


def test_nothing_is_retired_while_its_successor_does_not_pass() -> None:
    world, state, first, _ = in_grace()
    world.advance(DAY - SECOND)
    state.visit()
    world.advance(MINUTE)
    world.prover.flaky(Answer.REFUSED)
    report = state.visit()
    assert "does not pass, so the one before is kept" in report.error.message
    assert first in world.live_ours()
    assert world.store.staging.read(NAME).fields.text("stage") == "idle"
    world.advance(HOUR)
    assert state.visit().retired == (first,)


def test_with_a_wrong_clock_only_what_a_person_asks_for_goes_on() -> None:
    world, state, first = in_use()
    world.clock.jump(6 * MINUTE)
    world.issuer.skew = -6 * MINUTE
    report = state.visit()
    assert isinstance(report.error, ClockWrong)
    assert report.error.exit_status == 75
    assert state.ledger.tracked(NAME).state.error.code == "clock_wrong"
    assert world.main_key() == first
    state.ask()
    assert state.visit().outcome is RotationOutcome.PROMOTED
    assert world.main_key() != first


def test_clocks_that_differ_by_less_than_five_minutes_hinder_nothing() -> None:
    world, state, first = in_use()
    world.issuer.skew = timedelta(minutes=4, seconds=50)
    state.visit()
    assert world.main_key() != first


# ------------------------------------------------------------------------------------------------------- the old secret


def test_an_old_secret_that_is_already_gone_counts_as_retired() -> None:
    world, state, first, _ = in_grace()
    world.issuer.remove(APP, first)
    world.advance(25 * HOUR)
    report = state.visit()
    assert report.error is None
    assert report.retired == (first,)
    assert told(state, EventName.VERSION_RETIRED)[-1] == "it was gone already"
    world.check(quiet=True)


def test_an_old_secret_that_expired_before_we_came_is_replaced_at_once_and_without_a_grace() -> None:
    world, state, first = in_use()
    world.advance(30 * DAY)
    report = state.visit()
    assert (report.outcome, report.reason) == (RotationOutcome.PROMOTED, "expired")
    assert report.retired == (first,)
    assert len(state.events(EventName.CREDENTIAL_EXPIRED)) == 1
    assert world.works(world.main())
    assert len(world.store.consumers.truth) == 2, PATH


def test_its_grace_is_not_skipped_when_the_issuer_does_not_say_what_time_it_is() -> None:
    world, state, first = in_use()
    world.issuer.tells_time = False
    world.advance(30 * DAY)
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED
    assert state.ledger.versions[NAME, first].state is VersionState.PREVIOUS
    assert state.ledger.versions[NAME, first].retire_after == world.clock.now() + DAY


def test_a_secret_in_use_that_dies_with_nothing_before_it_is_replaced_at_once() -> None:
    world, state, first = in_use(lifetime=300 * DAY)
    world.issuer.remove(APP, first)
    report = state.visit()
    assert (report.outcome, report.reason) == (RotationOutcome.PROMOTED, "refused")
    assert world.works(world.main())


def test_nothing_that_was_wrong_with_a_secret_is_said_of_the_one_that_replaced_it() -> None:
    world, state, first = in_use(lifetime=300 * DAY)
    world.issuer.remove(APP, first)
    report = state.visit()
    kept = state.ledger.states[NAME]
    assert (report.outcome, report.warning) == (RotationOutcome.PROMOTED, None)
    assert (kept.error, kept.failures, kept.not_before) == (None, 0, None)


def test_two_dead_versions_do_not_keep_a_third_from_being_made() -> None:
    """Somebody removed everything while the grace of the one before was over."""
    world, state, first, second = in_grace()
    world.advance(2 * DAY)
    world.issuer.remove(APP, first)
    world.issuer.remove(APP, second)
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED, report.error
    assert world.works(world.main())
    world.settle(state)
    world.check(quiet=True)


def test_a_refusal_that_a_person_found_is_looked_into_by_the_next_visit() -> None:
    world = World(credential(every=DAY))
    state = world.state()
    state.visit()
    first = world.main_key()
    assert first is not None
    world.advance(MINUTE)
    world.issuer.remove(APP, first)
    assert prove_now(state.kit()).outcome is Proof.REFUSED
    report = state.visit()
    assert (report.outcome, report.reason) == (RotationOutcome.PROMOTED, "refused")
    assert state.ledger.states[NAME].error is None


def test_a_refusal_that_a_person_found_stays_said_where_only_persons_prove() -> None:
    world = World(credential(every=None))
    state = world.state()
    state.visit()
    first = world.main_key()
    assert first is not None
    world.advance(2 * DAY)
    state.visit()
    world.issuer.remove(APP, first)
    assert prove_now(state.kit()).outcome is Proof.REFUSED
    world.advance(2 * HOUR)
    assert state.visit().outcome is RotationOutcome.SKIPPED
    error = state.ledger.states[NAME].error
    assert error is not None and error.message.startswith("The secret in use does not pass")
