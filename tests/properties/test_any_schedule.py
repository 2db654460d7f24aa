"""Any schedule of visits, crashes, faults and people, with two states: nothing breaks on the way, and all settles."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from rotator.model import Act
from rotator.ports import Answer
from rotator.testing.providers import Fate
from tests.fakes.schedule import (
    Ask,
    Backup,
    Befall,
    EditOther,
    Jump,
    Lag,
    LoseLedger,
    Mood,
    Pass,
    PutBack,
    Reboot,
    RemoveAnother,
    Restore,
    Resume,
    Role,
    Tell,
    Trip,
    Visit,
    play,
)
from tests.fakes.world import DAY, HOUR, MINUTE, SECOND

EXAMPLES = int(os.environ.get("ROTATOR_SCHEDULES", "150"))
"""How many schedules are tried; by hand, many more."""

WHO = st.integers(0, 1)
SPANS = st.sampled_from(
    [SECOND, 15 * SECOND, 40 * SECOND, 90 * SECOND, 3 * MINUTE, 20 * MINUTE, 2 * HOUR, 13 * HOUR, 25 * HOUR, 61 * DAY]
)
NO, NAPS = st.none(), st.sampled_from([3 * MINUTE, SECOND, 25 * HOUR])
TOLD = st.sampled_from([Answer.REFUSED, Answer.REFUSED, Answer.SILENT, Answer.UNFIT, None])
EVENTS: st.SearchStrategy[Any] = st.one_of(
    st.builds(Visit, WHO, NO, NO),
    st.builds(Visit, WHO, st.integers(0, 110), NO),
    st.builds(Visit, WHO, NO, st.integers(1, 60), NAPS, st.booleans()),
    st.builds(Pass, SPANS),
    st.builds(Pass, SPANS),
    st.builds(Pass, st.just(61 * DAY)),
    st.builds(
        Befall,
        st.sampled_from([Act.CREATE, Act.RETIRE]),
        st.sampled_from(list(Fate)),
        st.sampled_from([5 * SECOND, 30 * SECOND, 10 * MINUTE]),
    ),
    st.builds(Tell, st.lists(TOLD, min_size=1, max_size=12).map(tuple)),
    st.builds(Role, st.booleans()),
    st.builds(Lag, st.sampled_from([0 * SECOND, 20 * SECOND, 16 * MINUTE]), st.sampled_from([0 * SECOND, 8 * SECOND])),
    st.builds(Ask, WHO, st.booleans()),
    st.builds(
        Trip,
        WHO,
        st.sampled_from(["consumers.write", "staging.write", "consumers.read", "staging.read", "staging.erase"]),
        st.sampled_from(list(Mood)),
        st.integers(0, 8),
    ),
    st.builds(EditOther, st.sampled_from(["x", "y"])),
    st.builds(PutBack),
    st.builds(RemoveAnother, st.integers(0, 2)),
    st.builds(Jump, st.sampled_from([-3 * MINUTE, -SECOND, 2 * MINUTE])),
    st.builds(Reboot),
    st.builds(Resume, WHO),
    st.builds(LoseLedger, WHO),
    st.builds(Backup, WHO),
    st.builds(Restore),
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=EXAMPLES <= 150)
@given(slots=st.sampled_from([None, 2, 3]), begins=st.booleans(), events=st.lists(EVENTS, max_size=16))
def test_whatever_happens_nothing_breaks_and_all_settles(slots: int | None, begins: bool, events: list[Any]) -> None:
    events = ([Visit(0), Visit(1), Pass(61 * DAY)] if begins else []) + events
    note(f"play({slots}, {events})")
    play(slots, events)


# ------------------------------------------------------------------------------------------- one sleeps, another works


FAULTS: dict[str, tuple[Any, ...]] = {
    "no fault": (),
    "the role is missing": (Role(False),),
    "the role is missing for the other one": (),
    "the answer to the creation is lost": (Befall(Act.CREATE, Fate.LOST),),
    "the creation takes effect late": (Befall(Act.CREATE, Fate.LATE, 10 * MINUTE),),
    "the answer to the retirement is lost": (Befall(Act.RETIRE, Fate.LOST),),
    "the answer to the promotion is lost": (Trip(0, "consumers.write", Mood.LOST, 0),),
    "the endpoint refuses a while": (Tell((None, None, *[Answer.REFUSED] * 5)),),
}
BEFORE: dict[str, tuple[Any, ...]] = {
    "first version": (),
    "first version, B has looked": (Visit(1, 4),),
    "replacement": (Visit(0), Visit(1), Pass(61 * DAY)),
    "replacement, B knows nothing": (Visit(0), Pass(61 * DAY)),
    "retirement": (Visit(0), Visit(1), Pass(61 * DAY), Visit(0), Visit(1), Pass(25 * HOUR)),
    "recovery": (Visit(0), Visit(1), Pass(61 * DAY), Visit(0, 58)),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("before", BEFORE)
def test_a_process_may_sleep_before_any_of_its_calls_while_another_works(before: str, fault: str) -> None:
    """T2 for every pair of steps: A sleeps before its call number n, B takes over what it can, A wakes."""
    sleep_before_each_call(before, fault, 3 * MINUTE)


@pytest.mark.parametrize("nap", [SECOND, 25 * HOUR])
@pytest.mark.parametrize("before", BEFORE)
def test_it_may_sleep_for_a_second_or_for_longer_than_a_grace(before: str, nap: timedelta) -> None:
    sleep_before_each_call(before, "no fault", nap)


def sleep_before_each_call(before: str, fault: str, nap: timedelta) -> None:
    """Play one schedule for each call that A makes."""
    number, slept, without = 0, True, fault == "the role is missing for the other one"
    while slept:
        number += 1
        try:
            slept = play(None, [*BEFORE[before], *FAULTS[fault], Visit(0, None, number, nap, without)]).slept
        except AssertionError as error:
            raise AssertionError(f"asleep before call {number}: {error}") from None
    assert number > 9, "the visit does nothing"
