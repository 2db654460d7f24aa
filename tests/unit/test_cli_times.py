"""Moments as people say them, in any zone, near and far."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from rotator.app.usage import UsageFault
from rotator.cli.asking import typed
from rotator.cli.times import When, exactly, moment_of, took, typed_moment

NOW = datetime(2026, 11, 24, 13, 1, 7, tzinfo=UTC)
ZURICH = ZoneInfo("Europe/Zurich")
WHEN = When(NOW, zone=ZURICH)
EXACT = When(NOW, exact=True, zone=ZURICH)


@pytest.mark.parametrize(
    ("offset", "said"),
    [
        (timedelta(days=23, hours=5), "in 23 d"),
        (timedelta(hours=21), "in 21 h"),
        (timedelta(hours=-3), "3 h ago"),
        (timedelta(seconds=-5), "5 s ago"),
        (timedelta(milliseconds=300), "now"),
        (timedelta(minutes=90), "in 90 min"),
    ],
)
def test_distances(offset: timedelta, said: str) -> None:
    assert WHEN.distance(NOW + offset) == said


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("2026-11-24T13:01:07Z", "today 14:01"),
        ("2026-11-25T08:20:00Z", "tomorrow 09:20"),
        ("2026-11-23T08:00:00Z", "yesterday 09:00"),
        ("2026-12-24T08:00:00Z", "Thu 24 Dec 09:00"),
        ("2026-11-03T08:00:00Z", "3 Nov 09:00"),
        ("2028-01-02T08:00:00Z", "2028-01-02 09:00"),
        ("2026-11-24T23:30:00Z", "tomorrow 00:30"),  # by the clock on the wall here
        ("9999-12-31T23:59:59Z", "never"),
    ],
)
def test_calendar_words_follow_the_local_day(moment: str, said: str) -> None:
    assert WHEN.calendar(moment) == said


def test_a_summer_moment_is_said_in_summer_time_from_winter() -> None:
    assert WHEN.calendar("2027-07-01T10:00:00Z") == "Thu 1 Jul 12:00"


def test_exact_moments_are_utc_to_the_second() -> None:
    assert EXACT.calendar("2026-11-25T08:20:01+01:00") == "2026-11-25 07:20:01Z"
    assert EXACT.distance(NOW) == "2026-11-24 13:01:07Z" == exactly(NOW)


def test_an_unknown_moment_is_a_dash() -> None:
    assert (WHEN.distance(None), WHEN.calendar(None), EXACT.distance(None)) == ("-", "-", "-")
    assert moment_of(None) is None


def test_an_end_in_the_year_9999_is_never() -> None:
    assert WHEN.distance("9999-12-31T00:00:00Z") == "never"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("24h", NOW - timedelta(hours=24)),
        ("7d ago", NOW - timedelta(days=7)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:00:00+01:00", datetime(2026, 11, 1, 11, tzinfo=UTC)),
        ("999999w", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_typed_moments(text: str, moment: datetime) -> None:
    assert typed_moment(text, NOW) == moment


def test_a_typed_moment_that_is_none_says_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r'"soon" is no time; write 2026-11-24'):
        typed_moment("soon", NOW)


def test_durations_keep_a_tenth_only_while_they_are_short() -> None:
    assert [took(timedelta(seconds=one)) for one in (0.84, 41, 300)] == ["0.8 s", "41 s", "5 min"]


def test_who_typed_no_moment_reads_an_example_that_can_be_typed() -> None:
    with pytest.raises(UsageFault) as caught:
        typed("The moment", "garbage")
    assert caught.value.hint == "Such as 2026-11-24T14:00:00Z, or 2h for two hours ago."
