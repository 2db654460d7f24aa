"""`policy.prepare`: the next version is made and proved long before it is shown, and waits without harm."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import time, timedelta

import pytest

from rotator.by_hand import Leaving, forget, retire_now
from rotator.errors import Busy
from rotator.event import EventName
from rotator.model import Phase, RotationOutcome, VersionState, Window
from rotator.outlook import State, outlook
from rotator.planner import next_action
from tests.fakes.tape import Crash
from tests.fakes.world import APP, DAY, HOUR, MINUTE, NAME, PATH, World, credential
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


def test_another_state_that_finds_it_waiting_leaves_it_and_shows_it_when_it_is_due() -> None:
    world, state = beginning()
    prepared(world, state)
    first, other = world.main_key(), world.state("state-b")
    for _ in range(20):
        world.advance(HOUR)
        assert other.visit().error is None
        world.check()
    assert world.main_key() == first and len(world.live_ours()) == 2, "it waits, and no other one is made"
    world.advance(5 * HOUR)
    other.visit()
    assert world.main_key() != first, "though the state that made it is gone"
    state.visit()
    world.settle(state)
    world.settle(other)
    world.check(quiet=True)


def test_another_state_shows_it_when_somebody_asks_there_or_the_version_in_use_dies() -> None:
    for asked in (True, False):
        world, state = beginning()
        prepared(world, state)
        first, other = world.main_key(), world.state("state-b")
        assert first is not None
        world.advance(10 * MINUTE)
        other.visit()
        if asked:
            other.ask()
        else:
            world.issuer.remove(APP, first)
        world.advance(2 * HOUR)
        other.visit()
        assert world.main_key() != first and world.works(world.main())


@pytest.mark.parametrize("jump", [2 * DAY, 400 * DAY])
def test_a_clock_that_jumped_neither_shows_nor_removes_it(jump: timedelta) -> None:
    world, state = beginning()
    prepared(world, state)
    first = world.main_key()
    world.advance(jump)
    world.issuer.skew -= jump
    report = state.visit()
    assert report.error is not None and report.error.code == "clock_wrong"
    assert world.main_key() == first and len(world.live_ours()) == 2
    if jump < 30 * DAY:  # else it looks as if the prepared one had ended as well
        world.issuer.remove(APP, first or "")
        world.advance(2 * HOUR)
        state.visit()
        assert world.main_key() != first, "what is dead is replaced, whatever a clock says"


@pytest.mark.parametrize("late", [False, True])
def test_what_others_wrote_into_the_document_while_it_waited_is_carried_over(late: bool) -> None:
    world, state = beginning()
    prepared(world, state)
    first = world.main_key()
    document = world.store.consumers.read(PATH)
    assert document.fields is not None
    world.store.consumers.write(PATH, document.fields.merged({"note": "by the team"}), document.version)
    if not late:
        world.advance(HOUR)
        state.visit()
    world.advance(DAY)
    report = state.visit()
    main = world.main()
    assert report.outcome is RotationOutcome.PROMOTED and world.main_key() != first
    assert main is not None and main.text("note") == "by the team"
    assert len(state.events(EventName.DRIFT_FOUND)) == 1
    world.settle(state)
    world.check(quiet=True)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("ours", [False, True])
def test_another_state_carries_over_what_others_wrote_and_writes_over_no_secret(known: bool, ours: bool) -> None:
    world, state = beginning()
    prepared(world, state)
    first, other = world.main_key(), world.state("state-b")
    if known:
        other.visit()
    document = world.store.consumers.read(PATH)
    assert document.fields is not None
    change = {"client_secret": world.issuer.foreign(APP).value} if ours else {"note": "by the team"}
    world.store.consumers.write(PATH, document.fields.merged(change), document.version)
    world.advance(DAY)
    report, main = other.visit(), world.main()
    assert main is not None and report.outcome is (RotationOutcome.PARKED if ours else RotationOutcome.PROMOTED)
    assert (world.main_key() == first) is ours and main.text("note") == (None if ours else "by the team")


def test_another_state_that_dies_when_it_has_taken_over_carries_it_over_too() -> None:
    for point in range(200):
        world, state = beginning()
        prepared(world, state)
        first, other = world.main_key(), world.state("state-b")
        document = world.store.consumers.read(PATH)
        assert document.fields is not None
        world.store.consumers.write(PATH, document.fields.merged({"note": "by the team"}), document.version)
        world.advance(DAY)
        other.tape.die_at = point
        with suppress(Crash):
            other.visit()
        died, other.tape.die_at, other.tape.dead = other.tape.dead, None, False
        for _ in range(3):
            world.advance(5 * MINUTE)
            other.visit()
        main = world.main()
        assert main is not None and world.main_key() != first and main.text("note") == "by the team", point
        if not died:
            break
    assert 20 < point < 199


def test_who_wrote_another_secret_meanwhile_is_asked_once() -> None:
    world, state = beginning()
    prepared(world, state)
    document = world.store.consumers.read(PATH)
    assert document.fields is not None
    by_hand = world.issuer.foreign(APP).value
    world.store.consumers.write(PATH, document.fields.merged({"client_secret": by_hand}), document.version)
    world.advance(DAY)
    report = state.visit()
    assert report.outcome is RotationOutcome.PARKED and report.error is not None and report.error.code == "edited"
    assert world.works(world.main())
    tracked = state.ledger.tracked(NAME)
    assert tracked is not None
    current = next(one for one in tracked.versions if one.state is VersionState.CURRENT)
    resumed = replace(tracked.state, parked=None, error=None)
    state.ledger.record(state.kit().event(EventName.ROTATION_RESUMED), resumed, replace(current, store_version=None))
    world.advance(HOUR)
    assert state.visit().outcome is RotationOutcome.PROMOTED and world.works(world.main())


def test_nothing_is_said_against_what_was_replaced_by_it() -> None:
    world, state = beginning()
    prepared(world, state)
    world.issuer.remove(APP, world.main_key() or "")
    world.advance(2 * HOUR)
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED and report.warning is None
    tracked = state.ledger.tracked(NAME)
    assert tracked is not None and tracked.state.error is None and tracked.state.not_before is None


def test_a_window_that_was_missed_is_waited_for_again() -> None:
    window = Window(frozenset(range(7)), time(9), time(16), "UTC")
    world = World(credential(prepare=DAY, quarantine=MINUTE, every=HOUR, window=window))
    state = world.state()
    world.advance(10 * HOUR)
    state.visit()
    first = world.main_key()
    world.advance(59 * DAY + HOUR)
    state.visit()
    assert len(world.live_ours()) == 2
    world.advance(DAY + 9 * HOUR)  # nobody was there in the window
    assert world.clock.now().hour == 20
    state.visit()
    tracked = state.ledger.tracked(NAME)
    assert tracked is not None and world.main_key() == first
    seen = outlook(world.credential, tracked, world.clock.now())
    assert seen.next is not None and seen.next.at.hour == 9 and seen.next.at - world.clock.now() < 13 * HOUR
    world.advance(14 * HOUR)
    state.visit()
    assert world.main_key() != first


def test_it_is_not_made_while_a_grace_lasts_that_would_then_last_longer() -> None:
    world = World(credential(prepare=20 * DAY, quarantine=MINUTE, rotate_before=40 * DAY, grace=35 * DAY))
    state = world.state()
    state.visit()
    for _ in range(170):
        world.advance(DAY)
        state.visit()
        tracked = state.ledger.tracked(NAME)
        assert tracked is not None
        for one in tracked.versions:
            assert one.retire_after is None or one.retire_after + DAY > world.clock.now(), "its grace is over"


def test_who_wants_to_retire_is_told_how_and_who_forgets_is_not_kept_waiting() -> None:
    world, state = beginning()
    prepared(world, state)
    waiting = world.live_ours() - {world.main_key()}
    with pytest.raises(Busy, match="prepared and waits") as busy:
        retire_now(state.kit(), None)
    assert "rotator rotate --now" in busy.value.hint
    forget(state.kit(), Leaving.LEAVE)
    (told,) = state.events(EventName.CREDENTIAL_FORGOTTEN)
    assert waiting <= set(told["detail"].split()) and world.works(world.main())
    staging = world.store.staging.read(NAME).fields
    assert staging is not None and not any(name.startswith("value.") for name in staging)


def test_who_forgets_and_retires_leaves_nothing_though_something_is_prepared() -> None:
    world, state = beginning()
    prepared(world, state)
    forget(state.kit(), Leaving.RETIRE)
    assert not world.live_ours()
