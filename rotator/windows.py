"""When a maintenance window is open, by the clock on the wall where it is. Parses nothing, decides nothing.

A window opens at most once a day that it names and stays open until it closes, also past midnight. Where the clock is
moved (daylight saving), a time of day that exists twice means its first occurrence, and one that does not exist means
the moment at which the clock jumps over it (PEP 495 calls them fold and gap); a window that lies wholly in such a gap
does not open that day. The time zones are those of the machine or of the tzdata package.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from rotator.model import Window

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_SECOND: Final = timedelta(seconds=1)
# Local times within a day or so of the ends of the calendar cannot be converted; nobody plans there.
_FIRST_DAY: Final = date.min.toordinal() + 21
_LAST_DAY: Final = date.max.toordinal() - 21


class Opening(NamedTuple):
    """One span during which a window is open, UTC. start belongs to it, end does not."""

    start: datetime
    end: datetime


def opening_at(window: Window, moment: datetime) -> Opening | None:
    """Return the opening that is open at `moment`, else the next one; None when it never opens."""
    today = _local_day(window, moment)
    # Two weeks: a weekly window may fall wholly into the gap of a clock change, once.
    for day in range(today - 1, today + 15):
        opening = _opening_of(window, day)
        if opening is not None and opening.end > moment:
            return opening
    return None


def last_opening_before(window: Window, moment: datetime) -> Opening | None:
    """Return the last opening that has ended by `moment`; None when it never opens."""
    today = _local_day(window, moment)
    for day in range(today, today - 15, -1):
        opening = _opening_of(window, day)
        if opening is not None and opening.end <= moment:
            return opening
    return None


def next_opening(window: Window, moment: datetime) -> datetime | None:
    """Return `moment` when the window is open then, else when it opens next; None when it never does."""
    opening = opening_at(window, moment)
    return None if opening is None else max(moment, opening.start)


def never_opens(window: Window) -> bool:
    """Say whether there is no opening at all: it names no day. (Equal times mean a whole day, see `Window`.)"""
    return not window.days


def longest_closed(window: Window) -> timedelta:
    """Return the longest time for which the window stays shut, in a week in which no clock is moved."""
    if never_opens(window):
        return timedelta.max
    openings = [(day * _DAY + _since_midnight(window), _length(window)) for day in sorted(window.days)]
    openings.append((openings[0][0] + _WEEK, _length(window)))
    return max(max(start - (before + length), timedelta(0)) for (before, length), (start, _) in pairwise(openings))


def describe(window: Window) -> str:
    """Return the window as the configuration says it: `mon-fri 09:00-16:00 Europe/Zurich`."""
    closes = "24:00" if not window.closes.hour and not window.closes.minute else f"{window.closes:%H:%M}"
    return f"{describe_days(window.days)} {window.opens:%H:%M}-{closes} {window.timezone}"


def describe_opening(window: Window) -> str:
    """Return when the window opens: `mon-fri 09:00 Europe/Zurich`."""
    return f"{describe_days(window.days)} {window.opens:%H:%M} {window.timezone}"


def describe_days(days: frozenset[int]) -> str:
    """Return days of the week as the configuration says them: `daily`, `mon-fri`, `mon,wed`."""
    if len(days) == len(DAYS):
        return "daily"
    ordered = sorted(days)
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{DAYS[ordered[0]]}-{DAYS[ordered[-1]]}"
    return ",".join(DAYS[day] for day in ordered)


def _since_midnight(window: Window) -> timedelta:
    return timedelta(hours=window.opens.hour, minutes=window.opens.minute, seconds=window.opens.second)


def _length(window: Window) -> timedelta:
    """Return how long it is open by the clock on the wall."""
    closes = timedelta(hours=window.closes.hour, minutes=window.closes.minute, seconds=window.closes.second)
    return closes - _since_midnight(window) + (_DAY if window.closes <= window.opens else timedelta(0))


def _local_day(window: Window, moment: datetime) -> int:
    # A day to either side covers every offset there is; converting the moment itself could leave the calendar.
    day = moment.toordinal()
    if not _FIRST_DAY < day < _LAST_DAY:
        return min(max(day, _FIRST_DAY), _LAST_DAY)
    return moment.astimezone(_zone(window.timezone)).toordinal()


@lru_cache(maxsize=4096)
def _opening_of(window: Window, day: int) -> Opening | None:
    """Return the opening that begins on the local day with this ordinal, or None when there is none."""
    local = date.fromordinal(day)
    if local.weekday() not in window.days:
        return None
    zone = _zone(window.timezone)
    last = local + _DAY if window.closes <= window.opens else local
    start = _instant(datetime.combine(local, window.opens), zone)
    end = _instant(datetime.combine(last, window.closes), zone)
    return Opening(start, end) if start < end else None


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clock on the wall first reads `local`, or jumps over it."""
    by_old_offset = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    by_new_offset = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if by_old_offset <= by_new_offset:  # once, or twice
        return by_old_offset
    before, after = by_new_offset, by_old_offset  # not at all: the jump lies between the two
    new_offset = after.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == new_offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
