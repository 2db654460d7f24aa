"""Moments for people: `in 23 d`, `today 14:01`; exact ones on request. Reads no clock; an unknown moment is `-`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from rotator.timing import plus, spell

NOTHING: Final = "-"

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhdw])(?: ago)?")
_FAR: Final = timedelta(days=300)
_NEVER: Final = 9000
"""Issuers that mean "never" write the year 9999."""


@dataclass(frozen=True, slots=True)
class When:
    """How moments are said on one screen. zone: None for this machine's. exact: full times in UTC instead."""

    now: datetime
    exact: bool = False
    zone: tzinfo | None = None

    def distance(self, moment: str | datetime | None) -> str:
        """Return how far away a moment is: `in 23 d`, `3 h ago`, `now`."""
        at = moment_of(moment)
        if at is None:
            return NOTHING
        if self.exact:
            return exactly(at)
        if at.year >= _NEVER:
            return "never"
        span = at - self.now
        if abs(span) < timedelta(seconds=1):
            return "now"
        return f"in {spell(span)}" if span > timedelta(0) else f"{spell(span)} ago"

    def calendar(self, moment: str | datetime | None) -> str:
        """Return a moment as people write it in a calendar: `today 14:01`, `Thu 24 Dec 09:00`, `2028-01-02 09:00`."""
        at = moment_of(moment)
        if at is None:
            return NOTHING
        if self.exact:
            return exactly(at)
        if at.year >= _NEVER:
            return "never"
        local, today = at.astimezone(self.zone), self.now.astimezone(self.zone).date()
        days = (local.date() - today).days
        clock = f"{local:%H:%M}"
        if days in _NEAR:
            return f"{_NEAR[days]} {clock}"
        if abs(at - self.now) > _FAR:
            return f"{local:%Y-%m-%d} {clock}"
        return f"{local:%a} {local.day} {local:%b} {clock}" if days > 0 else f"{local.day} {local:%b} {clock}"


_NEAR: Final = {-1: "yesterday", 0: "today", 1: "tomorrow"}


def exactly(at: datetime) -> str:
    """Return a moment in UTC to the second: `2026-11-24 14:01:07Z`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def moment_of(moment: str | datetime | None) -> datetime | None:
    """Return the moment of an item, which is RFC 3339 text, or None where it is not known."""
    return datetime.fromisoformat(moment) if isinstance(moment, str) else moment


def typed_moment(text: str, now: datetime) -> datetime:
    """Return the moment that a person typed: `2026-11-24` (UTC), RFC 3339, or how long ago, such as `24h` or `7d`.

    Raises ValueError with a sentence.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return plus(now, -timedelta(seconds=int(ago["number"]) * _UNITS[ago["unit"]]))
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f'"{text}" is no time; write 2026-11-24, 2026-11-24T14:00:00Z, or 7d for a week ago') from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def took(span: timedelta) -> str:
    """Return how long something took: `0.8 s`, `41 s`, `5 min`."""
    seconds = span.total_seconds()
    return f"{seconds:.1f} s" if seconds < 10 else spell(span)
