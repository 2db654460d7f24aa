"""What the engine makes of bad days at the issuer, the store and the token endpoint: one sentence for each promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rotator.engine import Engine
from rotator.errors import Denied, OutcomeUnknown, RotatorError, StateUnusable, Throttled, Transient
from rotator.event import EventName
from rotator.kit import Interrupted
from rotator.model import Act, Phase, RotationOutcome, VersionState
from rotator.ports import Answer
from rotator.testing.providers import Fate
from tests.fakes.world import APP, DAY, HOUR, MINUTE, NAME, PATH, SECOND, State, World, credential

ROLE = "ProviderApi.Access"
MUTATING = ("provider.create", "provider.retire", "consumers.write")


def in_use(**changes: Any) -> tuple[World, State]:
    """Return a world in which the first version is in use and due for its replacement."""
    world = World(credential(**changes))
    state = world.state()
    state.visit()
    world.advance(61 * DAY)
    return world, state


def in_grace(**changes: Any) -> tuple[World, State, str]:
    """Return a world in which the second version is in use, and the first one's key id."""
    world, state = in_use(**changes)
    first = world.main_key()
    assert first is not None
    state.visit()
    assert world.main_key() != first
    return world, state, first


def fail(state: State, call: str, error: Callable[[], RotatorError]) -> None:
    """Let every call of this name fail before it is made."""

    def hook(name: str) -> None:
        if name == call:
            raise error()

    state.tape.hooks.append(hook)


def wait(state: State) -> timedelta:
    """Return how long it is until the next attempt."""
    not_before = state.ledger.tracked(NAME).state.not_before
    assert not_before is not None
    return not_before - state.world.clock.now()


def sealed() -> RotatorError:
    return Transient("The store is sealed.", hint="Unseal it.")


def forbidden() -> RotatorError:
    return Denied(f"Writing {PATH} is not allowed.", hint="Allow create and update there.")


# ------------------------------------------------------------------------------------------------------------ throttled


def test_a_vendor_that_throttles_is_asked_again_when_it_said_and_not_before() -> None:
    world, state = in_use()
    world.issuer.retry_after = 90 * SECOND
    world.issuer.fate(Act.CREATE, Fate.THROTTLED)
    report = state.visit()
    assert report.error.exit_status == 75
    assert state.ledger.tracked(NAME).state.not_before == world.clock.now() + 90 * SECOND
    state.tape.calls.clear()
    world.advance(89 * SECOND)
    early = state.visit()
    assert (early.outcome, early.reason) == (RotationOutcome.SKIPPED, "retry")
    assert "2026-03-03 00:01 UTC" in early.error.message, "it says until when"
    assert not [call for call in state.tape.calls if call.startswith(("provider", "consumers", "staging"))]
    world.advance(2 * SECOND)
    assert state.visit().outcome is RotationOutcome.PROMOTED
    world.check(quiet=True)


def test_a_vendor_that_asks_for_days_is_asked_again_after_six_hours() -> None:
    world, state = in_use()
    world.issuer.retry_after = 3 * DAY
    world.issuer.fate(Act.CREATE, Fate.THROTTLED)
    state.visit()
    assert state.ledger.tracked(NAME).state.not_before == world.clock.now() + 6 * HOUR


def test_no_wait_that_a_vendor_asks_for_outlasts_half_of_the_secret_in_use() -> None:
    world, state = in_use()
    world.advance(29 * DAY - 4 * HOUR)
    world.issuer.retry_after = 3 * DAY
    world.issuer.fate(Act.CREATE, Fate.THROTTLED)
    state.visit()
    (current,) = [one for one in state.ledger.tracked(NAME).versions if one.state is VersionState.CURRENT]
    assert current.expires_at is not None
    assert wait(state) * 2 == current.expires_at - world.clock.now() < 6 * HOUR
    world.advance(wait(state) + SECOND)
    assert state.visit().outcome is RotationOutcome.PROMOTED


def test_a_vendor_that_throttles_after_the_end_is_asked_each_minute() -> None:
    world, state = in_use()
    world.advance(40 * DAY)
    world.issuer.retry_after = HOUR
    world.issuer.fate(Act.CREATE, Fate.THROTTLED)
    state.visit()
    assert wait(state) == MINUTE


def test_a_vendor_that_throttles_the_very_first_look_is_heeded_too() -> None:
    world = World()
    state = world.state()
    fail(state, "provider.list", lambda: Throttled("Slowly.", hint="Wait.", retry_after=10 * MINUTE))
    state.visit()
    tracked = state.ledger.tracked(NAME)
    assert tracked.state.not_before == world.clock.now() + 10 * MINUTE
    assert tracked.state.error.code == "throttled"
    state.tape.hooks.clear()
    world.advance(11 * MINUTE)
    assert state.visit().outcome is RotationOutcome.PROMOTED


def test_a_person_who_asks_does_not_overrule_a_vendor_that_throttles() -> None:
    world, state = in_use()
    world.issuer.retry_after = 30 * MINUTE
    world.issuer.fate(Act.CREATE, Fate.THROTTLED)
    state.visit()
    state.ask()
    assert state.visit().reason == "retry"


def test_other_credentials_of_a_vendor_that_throttles_one_go_on() -> None:
    world, state = in_use()
    world.issuer.add("app-2", client_id="app-2")
    world.issuer.fate(Act.CREATE, Fate.THROTTLED)
    assert state.visit().error is not None
    assert state.visit(credential("other", "app-2", "partners/other")).outcome is RotationOutcome.PROMOTED


def test_an_issuer_that_gives_the_same_value_again_changes_nothing_for_the_consumers() -> None:
    world, state = in_use()
    world.issuer.repeats = True
    before = world.main_key()
    report = state.visit()
    assert (report.outcome, report.error.code) == (RotationOutcome.ABANDONED, "same_value")
    assert world.main_key() == before
    assert world.live_ours() == {before}


# ----------------------------------------------------------------------------------------------------------- store down


def test_a_sealed_store_is_asked_again_with_growing_waits_and_the_old_secret_serves() -> None:
    world, state = in_use()
    fail(state, "consumers.read", sealed)
    for failure in range(1, 12):
        report = state.visit()
        assert report.error.exit_status == 69
        known = state.ledger.tracked(NAME).state
        assert known.failures == failure
        assert 5 * SECOND <= wait(state) <= min(30 * SECOND * 2 ** (failure - 1), HOUR)
        world.advance(HOUR)
    assert state.ledger.tracked(NAME).state.parked is None, "nobody has to act because a store was down"
    assert world.works(world.main())
    state.tape.hooks.clear()
    assert state.visit().outcome is RotationOutcome.PROMOTED
    world.check(quiet=True)


def test_there_is_less_patience_when_the_expiry_is_near() -> None:
    world, state = in_use()
    world.advance(29 * DAY - 2 * HOUR)
    fail(state, "consumers.read", sealed)
    for _ in range(14):
        state.visit()
        left = world.issuer.truth(APP)[0].expires_at - world.clock.now()
        assert wait(state) <= max(30 * SECOND, left / 20)
        world.advance(wait(state))


@pytest.mark.parametrize(
    "call", ["staging.write", "staging.read", "consumers.write", "consumers.read", "staging.erase"]
)
def test_a_store_that_goes_down_at_any_call_leaves_nothing_behind(call: str) -> None:
    for skipped in range(12):
        world, state = in_use()
        left = [skipped]

        def hook(name: str, left: list[int] = left) -> None:
            if name == call:
                left[0] -= 1
                if left[0] < 0:
                    raise sealed()

        state.tape.hooks.append(hook)
        state.visit()
        world.check()
        assert world.works(world.main())
        state.tape.hooks.clear()
        world.settle(state)
        world.check(quiet=True)


# ---------------------------------------------------------------------------------------------------- fresh, not known


def test_a_fresh_secret_that_is_not_known_yet_is_proved_until_it_is() -> None:
    world, state = in_use()
    world.application.lag = 4 * MINUTE
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED
    assert world.clock.now() - report.started_at >= 4 * MINUTE
    world.check(quiet=True)


def test_one_that_is_still_unknown_at_the_deadline_is_abandoned_with_the_words_of_the_endpoint() -> None:
    world, state = in_use()
    first = world.main_key()
    world.application.lag = HOUR
    report = state.visit()
    assert report.outcome is RotationOutcome.ABANDONED
    assert report.error.code == "still_refused"
    assert report.error.exit_status == 1
    assert "the secret is not known" in report.error.message
    assert 15 * MINUTE <= world.clock.now() - report.started_at < 20 * MINUTE
    assert world.live_ours() == {first}
    assert world.main_key() == first
    world.check(quiet=True)


def test_so_many_refusals_end_it_before_the_deadline() -> None:
    world, state = in_use(max_refused=4)
    world.application.lag = HOUR
    report = state.visit()
    assert report.error.code == "still_refused"
    assert world.clock.now() - report.started_at < 2 * MINUTE


def test_silence_at_the_deadline_keeps_the_candidate_for_the_next_run() -> None:
    world, state = in_use()
    world.prover.flaky(None, None, None, *[Answer.SILENT] * 400)
    report = state.visit()
    assert report.error.exit_status == 69
    assert report.rotation.phase is Phase.STAGED
    world.prover.script.clear()
    world.advance(HOUR)
    assert state.visit().rotation.id == report.rotation.id
    assert sum(one.act is Act.CREATE for one in world.issuer.mutations) == 2, "it was not made again"
    world.check(quiet=True)


def test_an_endpoint_that_is_silent_about_the_secret_in_use_keeps_a_new_one_from_being_made() -> None:
    world, state = in_use()
    world.prover.always = Answer.SILENT
    assert state.visit().error.exit_status == 69
    assert len(world.issuer.mutations) == 1


@pytest.mark.parametrize("answer", [Answer.PROVED, Answer.UNFIT])
def test_an_endpoint_that_accepts_anything_proves_nothing(answer: Answer) -> None:
    world, state = in_use()
    world.prover.always = answer
    report = state.visit()
    assert report.error.code == "accepts_anything"
    assert "not refused" in report.error.message and report.error.message.endswith(f"scripted: {answer}")
    assert len(world.issuer.mutations) == 1


def test_where_persons_say_so_no_wrong_value_is_ever_asked() -> None:
    world, state = in_use(negative_control=False)
    world.prover.always = Answer.PROVED
    assert state.visit().outcome is RotationOutcome.PROMOTED


# --------------------------------------------------------------------------------------------------------- wrong token


def test_a_token_that_lacks_a_role_undoes_the_rotation_and_names_what_is_wrong() -> None:
    world, state = in_use()
    first = world.main_key()
    world.application.roles = {"Something.Else"}
    report = state.visit()
    assert report.outcome is RotationOutcome.ABANDONED
    assert report.error.exit_status == 1
    assert f"roles lacks {ROLE} (found: Something.Else)" in report.error.message
    assert "The old secret's token has the same fault" in report.error.message
    assert world.live_ours() == {first}
    assert [one["reason"] for one in state.events(EventName.VERSION_RETIRED)] == ["abandoned", "abandoned"]
    world.check(quiet=True)


def test_it_says_so_when_the_old_secrets_token_is_as_expected() -> None:
    _, state = in_use()
    state.world.prover.flaky(None, None, None, Answer.UNFIT, None)
    message = state.visit().error.message
    assert "The old secret's token is as expected." in message


def test_the_same_cause_three_times_in_a_row_parks_the_credential() -> None:
    world, state = in_use()
    world.application.roles.clear()
    for expected in (RotationOutcome.ABANDONED, RotationOutcome.ABANDONED, RotationOutcome.PARKED):
        assert state.visit().outcome is expected
        world.advance(HOUR)
    parked = state.ledger.tracked(NAME).state.parked
    assert ROLE in parked.message
    assert f"rotator resume {NAME}" in parked.hint
    assert len(state.events(EventName.ROTATION_PARKED)) == 1
    made = len(world.issuer.mutations)
    world.advance(DAY)
    again = state.visit()
    assert again.outcome is RotationOutcome.PARKED
    assert again.error.message == parked.message
    assert len(world.issuer.mutations) == made
    world.check(quiet=True)


def test_another_cause_in_between_starts_the_count_anew() -> None:
    world, state = in_use()
    for fails in ("role", "role", "throttled", "role", "role"):
        world.application.roles = set() if fails == "role" else {ROLE}
        if fails == "throttled":
            world.issuer.fate(Act.CREATE, Fate.THROTTLED)
        assert state.visit().outcome is not RotationOutcome.PARKED
        world.advance(HOUR)
    assert state.ledger.tracked(NAME).state.same_cause == 2


# --------------------------------------------------------------------------------------------------------- lost answers


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.NEVER, Fate.LATE])
def test_after_a_lost_answer_it_looks_before_it_does_anything_else(fate: Fate) -> None:
    world, state = in_use()
    state.tape.calls.clear()
    world.issuer.fate(Act.CREATE, fate)
    assert state.visit().outcome is RotationOutcome.PROMOTED
    calls = [one for one in state.tape.calls if one.startswith("provider")]
    looked = calls[calls.index("provider.create") + 1 :]
    assert looked[0] == "provider.list"
    if fate is Fate.NEVER:
        assert looked[:2] == ["provider.list", "provider.list"], "absence is believed when two lists agree"
    outcomes = [one["outcome"] for one in state.events(EventName.VERSION_CREATED)][2:]
    resolved = "refused" if fate is Fate.NEVER else "succeeded"
    assert outcomes == ["intended", "unknown", resolved, "intended", "succeeded"]
    assert len(world.live_ours()) == 2
    world.check(quiet=True)


def test_a_version_that_appears_after_the_quarantine_is_an_orphan_and_swept() -> None:
    world, state = in_use()
    world.issuer.ghost_delay = 5 * MINUTE
    world.issuer.fate(Act.CREATE, Fate.LATE)
    assert state.visit().outcome is RotationOutcome.PROMOTED
    world.settle(state)
    assert len(state.events(EventName.ORPHAN_FOUND)) == 1
    assert len(world.live_ours()) == 2
    world.check(quiet=True)


def test_an_orphan_is_swept_after_the_quarantine_of_its_policy_and_not_before() -> None:
    world, state = in_use(quarantine=2 * HOUR)
    orphan = world.issuer.create(APP, f"rotator/{state.kit().install}/{NAME}/{'0' * 32}/1", 90 * DAY).version
    state.visit()
    world.advance(HOUR)
    state.visit()
    assert orphan.key_id in world.live_ours()
    world.advance(HOUR)
    assert state.visit().swept == (orphan.key_id,)


def test_a_lost_answer_to_the_retirement_is_looked_into_by_the_next_run() -> None:
    world, state, first = in_grace()
    world.advance(25 * HOUR)
    world.issuer.fate(Act.RETIRE, Fate.LOST)
    assert state.visit().error.code == "outcome_unknown"
    world.advance(HOUR)
    assert state.visit().outcome is RotationOutcome.RETIRED
    assert first not in world.live_ours()
    world.check(quiet=True)


@pytest.mark.parametrize("was_written", [True, False])
def test_a_lost_answer_to_the_promotion_is_settled_by_reading(was_written: bool) -> None:
    world, state = in_use()
    lost = [1]

    def lose(name: str) -> None:
        if name == "consumers.write" and lost:
            lost.pop()
            raise OutcomeUnknown("The answer was lost.", hint="Look.")

    (state.tape.after if was_written else state.tape.hooks).append(lose)
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED
    assert report.rotation.store_version == 2, "it was written once"
    world.check(quiet=True)


# ------------------------------------------------------------------------------------------------------------ forbidden


def test_a_store_that_refuses_the_write_leaves_the_candidate_staged_and_the_old_one_serving() -> None:
    world, state = in_use()
    first = world.main_key()
    fail(state, "consumers.write", forbidden)
    for _ in range(5):
        report = state.visit()
        assert report.error.exit_status == 77
        assert PATH in report.error.message
        assert "Consumers still read the old secret, which works until 2026-" in report.error.message
        assert "The new secret stays staged" in report.error.hint
        world.advance(HOUR)
    assert state.ledger.tracked(NAME).state.parked is None, "it goes on by itself once it is allowed"
    assert world.main_key() == first
    assert len(world.live_ours()) == 2
    state.tape.hooks.clear()
    assert state.visit().outcome is RotationOutcome.PROMOTED
    assert sum(one.act is Act.CREATE for one in world.issuer.mutations) == 2, "with the candidate of the first try"
    world.check(quiet=True)


def test_a_candidate_that_nears_its_own_end_while_the_store_refuses_it_is_abandoned() -> None:
    world, state = in_use()
    world.issuer.max_lifetime = 35 * DAY
    fail(state, "consumers.write", forbidden)
    report = state.visit()
    waited = report.rotation.key_id
    world.advance(6 * DAY)
    state.tape.hooks.clear()
    report = state.visit()
    assert report.error.code == "candidate_faded"
    assert report.outcome is RotationOutcome.ABANDONED
    assert world.main_key() != waited
    world.advance(HOUR)
    assert state.visit().outcome is RotationOutcome.PROMOTED
    world.check(quiet=True)


# ----------------------------------------------------------------------------------------------------- granted for less


def test_a_version_that_would_be_due_at_once_is_abandoned_before_it_is_shown() -> None:
    world, state = in_use()
    first = world.main_key()
    world.issuer.max_lifetime = 30 * DAY
    report = state.visit()
    assert report.error.code == "lifetime_too_short"
    assert "granted 30 d where 90 d was asked" in report.error.message
    assert world.main_key() == first
    assert world.live_ours() == {first}
    assert len(world.store.consumers.truth) == 1
    world.check(quiet=True)


def test_what_the_issuer_really_granted_is_what_counts() -> None:
    world = World()
    world.issuer.max_lifetime = 50 * DAY
    state = world.state()
    state.visit()
    first = world.main_key()
    world.advance(19 * DAY)
    state.visit()
    assert world.main_key() == first
    world.advance(2 * DAY)
    state.visit()
    assert world.main_key() != first


# -------------------------------------------------------------------------------------------------------------- ledger


def test_what_cannot_be_written_down_is_not_done() -> None:
    """At whichever write of its life the ledger fails: from then on nothing is changed anywhere."""
    _, state, _ = in_grace()
    writes = sum(call.startswith("ledger") for call in state.tape.calls)
    assert writes > 20
    for point in range(writes):
        world = World()
        state = world.state()
        made, failed = [0], [False]

        def hook(name: str, made: list[int] = made, failed: list[bool] = failed, point: int = point) -> None:
            if name.startswith("ledger"):
                made[0] += 1
                failed[0] = failed[0] or made[0] > point
                if failed[0]:
                    raise StateUnusable("The disk is full.", hint="Make room.")
            assert not (failed[0] and name in MUTATING), f"{name} after the ledger failed"

        state.tape.hooks.append(hook)
        with pytest.raises(StateUnusable):
            state.visit()
            world.advance(61 * DAY)
            state.visit()
        state.tape.hooks.clear()
        world.settle(state)
        world.check(quiet=True)


# -------------------------------------------------------------------------------------------------------------- Ctrl-C


def interrupted_at(call_number: int) -> tuple[World, State, list[str]]:
    """Return a world in which somebody asked to stop at a call of the second rotation, and what was said."""
    world, state = in_use()
    calls = [0]

    def hook(name: str) -> None:
        calls[0] += 1
        if calls[0] == call_number:
            state.stop.set()

    def pause(duration: timedelta) -> None:
        if world.clock.wait(duration, state.stop):
            raise Interrupted

    state.tape.hooks.append(hook)
    engine = Engine(world.clock, state.stop, concurrency=4, jitter=timedelta(0))
    report = engine.visit(replace(state.kit(), pause=pause))
    state.tape.hooks.clear()
    said = [] if report.error is None else [report.error.code, report.error.message, report.error.hint]
    assert report.error is None or report.error.exit_status == 75
    return world, state, said


def test_whoever_stops_it_hears_where_it_stopped_and_the_next_run_goes_on() -> None:
    stopped_at = set()
    for call_number in range(1, 40):
        world, state, said = interrupted_at(call_number)
        world.check()
        assert world.works(world.main())
        if said:
            assert said[0] == "interrupted"
            assert f"rotator rotate {NAME}" in said[2]
            stopped_at.add(said[1].rpartition(" ")[2])
        assert not [one for one in state.ledger.tracked(NAME).versions if one.state is VersionState.RETIRED]
        world.settle(state)
        assert world.main_key() != "00000000-0000-0000-0000-000000000001"
        world.check(quiet=True)
    assert stopped_at == {"staged."}, "between its proofs is where it waits"


def test_an_issuer_that_throttles_for_hours_parks_nothing() -> None:
    """Creations that were certainly refused do not count towards `max_creations`."""
    world = World(credential(max_creations=3))
    state = world.state()
    world.issuer.fate(Act.CREATE, *[Fate.THROTTLED] * 12)
    for _ in range(12):
        world.advance(HOUR)
        state.visit()
    world.advance(HOUR)
    assert state.visit().outcome is RotationOutcome.PROMOTED
    world.check(quiet=True)


def test_an_issuer_that_never_answers_a_creation_is_asked_twice_a_visit() -> None:
    world = World(credential(max_creations=3))
    state = world.state()
    world.issuer.fate(Act.CREATE, *[Fate.NEVER] * 12)
    for turn in range(1, 7):
        world.advance(2 * HOUR)
        report = state.visit()
        assert report.error is not None
        assert report.error.code == "create_unanswered"
        assert report.error.message.endswith("no version was made: The answer to create was lost.")
        assert state.tape.calls.count("provider.create") == 2 * turn
    world.advance(2 * HOUR)
    assert state.visit().outcome is RotationOutcome.PROMOTED
    world.check(quiet=True)


def test_an_issuer_whose_answers_cannot_be_read_makes_three_a_visit_and_the_person_hears_why() -> None:
    """A wrong `secret`, `key_id` or `expect` in a description: each answer is unclear, and a version was made."""
    world, state = in_use()
    made = state.tape.calls.count("provider.create")
    world.issuer.fate(Act.CREATE, *[Fate.LOST] * 7)
    for turn in (1, 2):
        report = state.visit()
        assert report.error is not None
        assert report.error.code == "create_unanswered" and report.outcome is not RotationOutcome.PARKED
        assert "The answer to create was lost" in report.error.message and "what it made was removed" in str(
            report.error
        )
        assert report.error.hint == "List before anything else. The next run tries again."
        assert state.tape.calls.count("provider.create") == made + 3 * turn
        assert len(world.live_ours()) == 1
        world.advance(2 * HOUR)
    assert state.visit().outcome is RotationOutcome.PROMOTED, "it recovers by itself"
    world.settle(state)
    world.check(quiet=True)


def test_a_version_that_cannot_be_retired_does_not_keep_the_next_rotation_waiting() -> None:
    world = World()
    state = world.state()
    state.visit()
    world.advance(61 * DAY)
    state.visit()
    second = world.main_key()
    world.issuer.fate(Act.RETIRE, *[Fate.THROTTLED] * 200)
    for _ in range(62):
        world.advance(DAY)
        state.visit()
    assert world.main_key() != second, "it was not rotated in time"
    world.check()
    world.issuer._fates[Act.RETIRE].clear()
    world.settle(state, visits=12, step=10 * HOUR)
    world.check(quiet=True)
    assert len(world.live_ours()) == 1
