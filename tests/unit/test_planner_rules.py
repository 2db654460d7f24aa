"""What is due and when: each rule with its code and its whole sentence, and what may hold it up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rotator.due import Action, Due, Hold
from rotator.model import Credential, Origin, Phase, Reason, RetireMode, VersionState
from rotator.outlook import wake_at
from rotator.planner import (
    RULES,
    current_version,
    next_action,
    next_rotation,
    reminders,
    retirements,
    retry_at,
    why_idle,
)
from rotator.ports import Tracked
from rotator.timing import fraction
from tests.fakes.plans import (
    DAY,
    HOUR,
    MINUTE,
    NAME,
    NOW,
    credential,
    previous,
    request,
    rotation,
    tracked,
    trouble,
    version,
)


def due(of: Credential, seen: Tracked | None, now: datetime = NOW, jitter: timedelta = timedelta(0)) -> Due:
    found = next_action(of, seen, now, jitter)
    assert found is not None
    return found


def test_the_rules_are_asked_in_this_order() -> None:
    assert [rule.reason.value for rule in RULES] == [
        "interrupted",
        "requested",
        "expired",
        "never_rotated",
        "near_expiry",
        "max_age",
    ]


RULE_CASES: dict[str, tuple[Credential, Tracked | None, Action, Reason, datetime, str]] = {
    "never seen": (credential(), None, Action.ROTATE, Reason.NEVER_ROTATED, NOW, "it has no version yet"),
    "seen, but without a version": (
        credential(),
        tracked(),
        Action.ROTATE,
        Reason.NEVER_ROTATED,
        NOW,
        "it has no version yet",
    ),
    "a foreign version is in use": (
        credential(),
        tracked(version("theirs", origin=Origin.FOREIGN)),
        Action.ROTATE,
        Reason.NEVER_ROTATED,
        NOW,
        "rotator did not issue the version in use (theirs)",
    ),
    "a foreign version has expired": (
        credential(),
        tracked(version("theirs", origin=Origin.FOREIGN, expires_at=NOW - DAY)),
        Action.ROTATE,
        Reason.EXPIRED,
        NOW - DAY,
        "it expired at 2026-11-23 12:00 UTC",
    ),
    "little is left in fifty days": (
        credential(),
        tracked(version()),
        Action.ROTATE,
        Reason.NEAR_EXPIRY,
        NOW + 50 * DAY,
        "30 d are left of 90 d",
    ),
    "the issuer granted less than was asked": (
        credential(),
        tracked(version(expires_at=NOW + 35 * DAY)),
        Action.ROTATE,
        Reason.NEAR_EXPIRY,
        NOW + 5 * DAY,
        "30 d are left of 45 d",
    ),
    "an adopted version ages like our own": (
        credential(),
        tracked(version(origin=Origin.ADOPTED)),
        Action.ROTATE,
        Reason.NEAR_EXPIRY,
        NOW + 50 * DAY,
        "30 d are left of 90 d",
    ),
    "nobody knows since when it is valid": (
        credential(),
        tracked(version(created_at=None, expires_at=NOW + 31 * DAY)),
        Action.ROTATE,
        Reason.NEAR_EXPIRY,
        NOW + DAY,
        "30 d are left of 90 d",
    ),
    "the issuer names no end": (
        credential(),
        tracked(version(expires_at=None)),
        Action.ROTATE,
        Reason.NEAR_EXPIRY,
        NOW + 50 * DAY,
        "30 d are left of the 90 d that were meant; its issuer names no end",
    ),
    "one hour is left": (
        credential(rotate_before=HOUR),
        tracked(version(expires_at=NOW + HOUR)),
        Action.ROTATE,
        Reason.NEAR_EXPIRY,
        NOW,
        "1 h is left of 10 d",
    ),
    "as old as it may get before little is left": (
        credential(max_age=20 * DAY),
        tracked(version()),
        Action.ROTATE,
        Reason.MAX_AGE,
        NOW + 10 * DAY,
        "its greatest age of 20 d is reached",
    ),
    "little is left before it is as old as it may get": (
        credential(max_age=80 * DAY),
        tracked(version()),
        Action.ROTATE,
        Reason.NEAR_EXPIRY,
        NOW + 50 * DAY,
        "30 d are left of 90 d",
    ),
    "both come at once: expiry is the graver word": (
        credential(max_age=60 * DAY),
        tracked(version()),
        Action.ROTATE,
        Reason.NEAR_EXPIRY,
        NOW + 50 * DAY,
        "30 d are left of 90 d",
    ),
    "age is counted from promotion where creation is unknown": (
        credential(max_age=20 * DAY),
        tracked(version(created_at=None, promoted_at=NOW - DAY)),
        Action.ROTATE,
        Reason.MAX_AGE,
        NOW + 19 * DAY,
        "its greatest age of 20 d is reached",
    ),
    "expired": (
        credential(),
        tracked(version(expires_at=NOW)),
        Action.ROTATE,
        Reason.EXPIRED,
        NOW,
        "it expired at 2026-11-24 12:00 UTC",
    ),
    "requested": (
        credential(),
        tracked(version(), request=request()),
        Action.ROTATE,
        Reason.REQUESTED,
        NOW - MINUTE,
        'asked for by dana: "leaver process"',
    ),
    "requested without a word": (
        credential(),
        tracked(version(), request=request(note="")),
        Action.ROTATE,
        Reason.REQUESTED,
        NOW - MINUTE,
        "asked for by dana",
    ),
    "requested as an emergency, by somebody who plays with terminals": (
        credential(),
        tracked(version(), request=request(emergency=True, note="a\x1b[2Jb\nc")),
        Action.ROTATE,
        Reason.REQUESTED,
        NOW - MINUTE,
        'asked for by dana as an emergency: "a [2Jb c"',
    ),
    "requested by a clock that has been put back since": (
        credential(),
        tracked(version(), request=request(at=NOW + 400 * DAY)),
        Action.ROTATE,
        Reason.REQUESTED,
        NOW,
        'asked for by dana: "leaver process"',
    ),
    "requested and expired": (
        credential(),
        tracked(version(expires_at=NOW - DAY), request=request()),
        Action.ROTATE,
        Reason.REQUESTED,
        NOW - MINUTE,
        'asked for by dana: "leaver process"',
    ),
    "interrupted, though asked for, expired and past a grace": (
        credential(),
        tracked(version(expires_at=NOW - DAY), previous(at=NOW - 9 * DAY), rotation=rotation(), request=request()),
        Action.ROTATE,
        Reason.INTERRUPTED,
        NOW - MINUTE,
        "rotation 7f3a stopped at staged; it is finished or undone first",
    ),
    "a grace ends tomorrow": (
        credential(),
        tracked(version("k1"), previous("k0")),
        Action.RETIRE,
        Reason.GRACE_OVER,
        NOW + 23 * HOUR,
        "its grace of 24 h ends",
    ),
    "the policy's grace was another when it was replaced": (
        credential(),
        tracked(version(), previous(grace=7 * DAY)),
        Action.RETIRE,
        Reason.GRACE_OVER,
        NOW + 7 * DAY - HOUR,
        "its grace of 7 d ends",
    ),
    "no end of grace is written, but the moment of replacement": (
        credential(),
        tracked(version(), previous(retire_after=None)),
        Action.RETIRE,
        Reason.GRACE_OVER,
        NOW + 23 * HOUR,
        "its grace of 24 h ends",
    ),
    "a grace is the floor for one that is ended when nobody uses it": (
        credential(retire=RetireMode.WHEN_UNUSED),
        tracked(version(), previous()),
        Action.RETIRE,
        Reason.GRACE_OVER,
        NOW + 23 * HOUR,
        "its grace of 24 h ends; then it is retired as soon as nobody uses it",
    ),
    "a grace was extended, since it is used": (
        credential(retire=RetireMode.WHEN_UNUSED),
        tracked(version(), previous(grace=30 * HOUR)),
        Action.RETIRE,
        Reason.GRACE_OVER,
        NOW + 29 * HOUR,
        "its grace is over, and it may still be in use; it is looked at again",
    ),
    "no grace": (
        credential(grace=timedelta(0)),
        tracked(version(), previous(grace=timedelta(0))),
        Action.RETIRE,
        Reason.GRACE_OVER,
        NOW - HOUR,
        "it has no grace",
    ),
    "a retirement has begun, whatever the policy says": (
        credential(retire=RetireMode.LET_EXPIRE),
        tracked(version(), previous(state=VersionState.RETIRING)),
        Action.RETIRE,
        Reason.GRACE_OVER,
        NOW,
        "its retirement has begun and must be finished",
    ),
    "a rotation is overdue longer than a grace: the grace goes first": (
        credential(),
        tracked(version(created_at=NOW - 80 * DAY), previous(at=NOW - 2 * DAY)),
        Action.RETIRE,
        Reason.GRACE_OVER,
        NOW - DAY,
        "its grace of 24 h ends",
    ),
    "a request does not wait for a grace": (
        credential(),
        tracked(version(), previous(), request=request()),
        Action.ROTATE,
        Reason.REQUESTED,
        NOW - MINUTE,
        'asked for by dana: "leaver process"',
    ),
}


@pytest.mark.parametrize("case", RULE_CASES)
def test_each_rule_says_what_when_and_why(case: str) -> None:
    of, seen, action, reason, at, sentence = RULE_CASES[case]
    found = due(of, seen)
    assert (found.name, found.action, found.reason, found.at) == (NAME, action, reason, at)
    assert found.sentence == sentence


def test_the_version_that_is_replaced_or_retired_is_named() -> None:
    assert due(credential(), tracked(version("k1"))).key_id == "k1"
    assert due(credential(), tracked(version("k1"), previous("k0"))).key_id == "k0"
    assert due(credential(), None).key_id is None


def test_a_foreign_version_is_never_retired() -> None:
    seen = tracked(version(), previous(origin=Origin.FOREIGN, at=NOW - 9 * DAY))
    assert retirements(credential(), seen, NOW) == ()
    assert due(credential(), seen).action is Action.ROTATE


def test_a_version_is_not_retired_while_nobody_knows_when_it_was_replaced() -> None:
    seen = tracked(version(), previous(displaced=None, retire_after=None))
    assert retirements(credential(), seen, NOW) == ()


def test_a_candidate_is_nobodys_to_retire_but_recoverys() -> None:
    seen = tracked(version(), version("k2", VersionState.CANDIDATE))
    assert retirements(credential(), seen, NOW) == ()


@pytest.mark.parametrize("mode", [RetireMode.LET_EXPIRE, RetireMode.MANUAL])
def test_what_others_end_is_not_retired_by_rotator(mode: RetireMode) -> None:
    seen = tracked(version(), previous(at=NOW - 9 * DAY))
    assert retirements(credential(retire=mode), seen, NOW) == ()
    assert due(credential(retire=mode), seen).action is Action.ROTATE


def test_where_a_person_retires_the_person_is_reminded() -> None:
    seen = tracked(version(), previous("k0"))
    (told,) = reminders(credential(retire=RetireMode.MANUAL), seen, NOW)
    assert (told.action, told.at, told.key_id) == (Action.REMIND, NOW + 23 * HOUR, "k0")
    assert told.sentence == f"its grace of 24 h ends, and a person retires it: rotator retire {NAME} --key-id k0"
    assert reminders(credential(), seen, NOW) == ()
    assert reminders(credential(retire=RetireMode.LET_EXPIRE), seen, NOW) == ()


def test_versions_are_retired_in_the_order_their_graces_end() -> None:
    seen = tracked(version("k3"), previous("k2", at=NOW - HOUR), previous("k1", at=NOW - 2 * HOUR))
    assert [one.key_id for one in retirements(credential(), seen, NOW)] == ["k1", "k2"]
    assert due(credential(), seen).key_id == "k1"


STANDSTILLS: dict[str, tuple[dict[str, Any], str]] = {
    "paused": (
        {"paused_at": NOW - HOUR},
        f"paused at 2026-11-24 11:00 UTC: nothing starts until: rotator resume {NAME}",
    ),
    "parked": (
        {"parked": trouble(), "paused_at": NOW - HOUR},
        f"parked at 2026-11-24 11:00 UTC: a person must act, then: rotator resume {NAME}",
    ),
    "forgotten": (
        {"forgotten_at": NOW - HOUR, "parked": trouble()},
        "forgotten at 2026-11-24 11:00 UTC: rotator no longer manages it",
    ),
}


@pytest.mark.parametrize("case", STANDSTILLS)
def test_what_stands_still_has_no_next_action_and_says_why(case: str) -> None:
    state, why = STANDSTILLS[case]
    seen = tracked(
        version(expires_at=NOW - DAY), previous(at=NOW - 9 * DAY), rotation=rotation(), request=request(), **state
    )
    manual = credential(retire=RetireMode.MANUAL)
    assert next_action(credential(), seen, NOW) is None
    assert next_rotation(credential(), seen, NOW) is None
    assert retirements(credential(), seen, NOW) == ()
    assert reminders(manual, seen, NOW) == ()
    assert why_idle(seen) == why


def test_what_goes_on_by_itself_has_no_reason_to_be_idle() -> None:
    assert why_idle(tracked(version())) is None


# ---------------------------------------------------------------------------------------------------------- holding up


@pytest.mark.parametrize(
    "seen",
    [
        tracked(version(created_at=NOW - 70 * DAY), not_before=NOW + HOUR),
        tracked(version(expires_at=NOW - DAY), not_before=NOW + HOUR),
        tracked(version(), request=request(), not_before=NOW + HOUR),
        tracked(version(), rotation=rotation(), not_before=NOW + HOUR),
        tracked(not_before=NOW + HOUR),
        tracked(version(), previous(at=NOW - 9 * DAY), not_before=NOW + HOUR),
    ],
    ids=["aged", "expired", "requested", "interrupted", "never rotated", "past its grace"],
)
def test_nothing_is_tried_again_before_its_time(seen: Tracked) -> None:
    found = due(credential(), seen)
    assert (found.at, found.hold) == (NOW + HOUR, Hold.RETRY)
    assert found.sentence.endswith("; the last attempt failed, and the next may not come earlier")
    assert found.since <= NOW


def test_a_retry_long_past_holds_nothing_up() -> None:
    found = due(credential(), tracked(version(created_at=NOW - 70 * DAY), not_before=NOW - HOUR))
    assert (found.at, found.hold) == (NOW - 10 * DAY, Hold.NOTHING)


def test_a_retry_written_by_a_clock_that_was_a_year_ahead_holds_nothing_up() -> None:
    assert retry_at(tracked(not_before=NOW + 365 * DAY), NOW) is None
    assert retry_at(tracked(not_before=NOW + 6 * HOUR), NOW) == NOW + 6 * HOUR


def test_a_retry_written_by_a_clock_that_was_ten_minutes_ahead_holds_nothing_up() -> None:
    wrong = NOW + 10 * MINUTE
    assert retry_at(tracked(not_before=wrong + MINUTE, error=trouble(wrong)), NOW) is None
    assert retry_at(tracked(not_before=NOW + MINUTE, error=trouble(NOW + MINUTE)), NOW) == NOW + MINUTE


def test_nobody_sleeps_through_the_moment_of_an_alert() -> None:
    seen = tracked(version(expires_at=NOW + DAY + 20 * MINUTE), paused_at=NOW)
    assert wake_at(credential(alert_before=(DAY,)), seen, NOW) == NOW + 20 * MINUTE


def test_jitter_delays_what_comes_by_age_and_always_by_the_same() -> None:
    found = due(credential(), tracked(version()), jitter=5 * MINUTE)
    delay = found.at - (NOW + 50 * DAY)
    assert timedelta(0) < delay < 5 * MINUTE
    assert delay == 5 * MINUTE * fraction(NAME, "k1")
    assert due(credential(), tracked(version()), NOW + DAY, jitter=5 * MINUTE).at == found.at
    assert due(credential(), tracked(version("k2")), jitter=5 * MINUTE).at != found.at


@pytest.mark.parametrize(
    "seen",
    [None, tracked(version(expires_at=NOW)), tracked(version(), request=request()), tracked(rotation=rotation())],
    ids=["never rotated", "expired", "requested", "interrupted"],
)
def test_jitter_delays_nothing_that_is_due_at_once(seen: Tracked | None) -> None:
    assert due(credential(), seen, jitter=HOUR) == due(credential(), seen)


def test_jitter_never_reaches_into_the_time_that_a_proof_needs() -> None:
    seen = tracked(version(expires_at=NOW + HOUR))
    assert due(credential(rotate_before=HOUR), seen, jitter=100 * DAY).at == NOW + 45 * MINUTE
    # Already later than that: jitter does nothing at all.
    assert due(credential(rotate_before=MINUTE), seen, jitter=100 * DAY).at == NOW + 59 * MINUTE


def test_what_comes_by_age_waits_for_the_grace_of_the_version_before() -> None:
    seen = tracked(version(created_at=NOW - 2 * HOUR), previous(at=NOW - 2 * HOUR))
    found = next_rotation(credential(max_age=HOUR), seen, NOW)
    assert found is not None
    assert (found.at, found.hold, found.since) == (NOW + 22 * HOUR, Hold.GRACE, NOW - HOUR)
    assert found.sentence == ("its greatest age of 1 h is reached; it waits for the grace of the version before to end")


def test_no_grace_is_waited_for_when_the_version_would_die() -> None:
    seen = tracked(version(created_at=NOW - 2 * HOUR, expires_at=NOW + HOUR), previous(at=NOW - 2 * HOUR))
    found = next_rotation(credential(rotate_before=2 * HOUR), seen, NOW)
    assert found is not None
    assert found.at == NOW + 45 * MINUTE


def test_no_grace_is_waited_for_that_rotator_does_not_end() -> None:
    seen = tracked(version(created_at=NOW - 2 * HOUR), previous(at=NOW - 2 * HOUR))
    found = next_rotation(credential(max_age=HOUR, retire=RetireMode.LET_EXPIRE), seen, NOW)
    assert found is not None
    assert (found.at, found.hold) == (NOW - HOUR, Hold.NOTHING)


def test_versions_that_never_end_are_planned_without_leaving_the_calendar() -> None:
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    ages = credential(max_age=timedelta(days=3_000_000))
    found = due(ages, tracked(version(expires_at=end)))
    made = version().created_at
    assert made is not None and found.at == made + 60 * DAY, "as where its issuer names no end"
    found = due(ages, tracked(version(expires_at=end, origin=Origin.ADOPTED)))
    assert found.at == end - 30 * DAY


def test_the_current_version_is_found_wherever_it_stands() -> None:
    assert current_version(tracked(previous(), version("k1"))) == version("k1")
    assert current_version(tracked(previous())) is None


def test_a_phase_of_any_kind_is_recovered_first() -> None:
    for phase in Phase:
        seen = tracked(version(), rotation=replace(rotation(), phase=phase))
        assert due(credential(), seen).reason is Reason.INTERRUPTED
