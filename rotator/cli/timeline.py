"""The picture above a plan: one bar a credential, from now on. It draws a forecast and works nothing out.

A cell stands for a span of time, so a grace shorter than a cell shows only as the mark of its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rotator.cli.page import DIM, GREEN, RED, YELLOW, Page
from rotator.due import Action
from rotator.forecast import Forecast, Validity
from rotator.timing import spell

LEAST_BAR: Final = 20
WIDEST_BAR: Final = 120
TICKS: Final = 3

_SPANS: Final = {Validity.CURRENT: "█", Validity.GRACE: "┄", Validity.EXPIRED: "░"}
_MARKS: Final = {Action.ROTATE: "R", Action.RETIRE: "g", Action.REMIND: "P"}
_COLOURS: Final = {"█": GREEN, "┄": YELLOW, "░": RED, " ": DIM}
_MEANINGS: Final = {
    "█": "serving",
    "R": "rotate",
    "┄": "old in grace",
    "g": "retire old",
    "P": "a person acts",
    "░": "expired",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One bar."""

    name: str
    forecast: Forecast


def timeline(rows: Sequence[Row], start: datetime, until: datetime, page: Page) -> Iterator[str]:
    """Yield a scale, one bar a credential, and what the signs in them mean."""
    indent = max(len(row.name) for row in rows) + 2
    room = (page.width or 80) - indent
    width = min(max(room, LEAST_BAR), WIDEST_BAR)
    yield f"{'':{indent}}{_scale(until - start, width)}"
    seen: set[str] = set()
    for row in rows:
        cells = bar(row.forecast, start, until, width)
        seen.update(cells)
        yield f"{row.name:<{indent}}{_painted(cells, page)}".rstrip()
    meanings = "  ".join(f"{page.fit(sign)} {text}" for sign, text in _MEANINGS.items() if sign in seen)
    yield f"{'':{min(indent, max(room + indent - len(meanings), 0))}}{page.paint(meanings, DIM)}".rstrip()


def bar(forecast: Forecast, start: datetime, until: datetime, width: int) -> str:
    """Return one bar as `width` signs."""
    cells = [" "] * width
    for kind in (Validity.CURRENT, Validity.GRACE, Validity.EXPIRED):
        for span in forecast.spans:
            if span.kind is kind:
                first, last = _cell(span.start, start, until, width), _cell(span.end, start, until, width)
                if last > first or kind is not Validity.GRACE:
                    cells[first : last + 1] = _SPANS[kind] * (min(last, width - 1) - first + 1)
    taken: dict[int, str] = {}
    for due in forecast.dues:
        mark, place = _MARKS[due.action], _cell(due.at, start, until, width)
        if taken.get(place, mark) != mark and place + 1 < width and place + 1 not in taken:
            place += 1  # two things in one cell: the later one moves aside, so that both are seen
        if place not in taken:
            taken[place] = cells[place] = mark
    return "".join(cells)


def _cell(moment: datetime, start: datetime, until: datetime, width: int) -> int:
    share = (moment - start) / (until - start)
    return min(max(int(share * width), 0), width - 1)


def _scale(span: timedelta, width: int) -> str:
    line = "today"
    for tick in range(1, TICKS + 1):
        label = f"+{spell(span * tick / TICKS)}"
        place = width - len(label) if tick == TICKS else width * tick // TICKS
        if place >= len(line) + 2:
            line = f"{line:<{place}}{label}"
    return line


def _painted(cells: str, page: Page) -> str:
    if not page.colour:
        return page.fit(cells)
    parts, run = [], ""
    for sign in [*cells, ""]:
        if run and sign != run[0]:
            parts.append(page.paint(page.fit(run), _COLOURS.get(run[0])))
            run = ""
        run += sign
    return "".join(parts)
