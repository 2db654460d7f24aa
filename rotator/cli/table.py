"""Aligned tables: columns drop from the right where there is no room, names never wrap. Cuts nothing that is piped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rotator.cli.page import BOLD, Page, width_of
from rotator.cli.words import HELD, fold

GAP: Final = 2
LEAST_FOLDED: Final = 28
"""A column of sentences that would get less than this makes other columns drop instead."""


@dataclass(frozen=True, slots=True)
class Column:
    """How one column behaves. stays: never drops. folds: holds sentences and takes what room is left (one a table).

    paint: the colour of a cell, by its text; it only repeats what the text says.
    """

    title: str
    stays: bool = False
    folds: bool = False
    paint: Callable[[str], str | None] | None = None


def render(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], page: Page, *, titles: bool = True
) -> Iterator[str]:
    """Yield the lines of a table. titles=False leaves out the first line."""
    cells = [[page.fit(cell) for cell in row] for row in rows]
    heads = [column.title if titles else "" for column in columns]
    widths = [max(map(_widest, column)) for column in zip(heads, *cells, strict=True)]
    shown = _shown(columns, widths, page.width)
    folded = next((place for place in shown if columns[place].folds), None)
    room = None
    if folded is not None and page.width is not None:
        taken = sum(widths[place] + GAP for place in shown if place != folded)
        room = max(page.width - taken, LEAST_FOLDED)
        widths[folded] = min(widths[folded], room)
    if titles:
        yield _line([(heads[place], widths[place], BOLD) for place in shown], page)
    for row in cells:
        yield from _row(columns, row, shown, widths, room, page)


def _shown(columns: Sequence[Column], widths: Sequence[int], limit: int | None) -> list[int]:
    """Return the places of the columns there is room for."""
    shown = list(range(len(columns)))
    if limit is None:
        return shown
    while True:
        needed = sum(_least(columns[place], widths[place]) + GAP for place in shown) - GAP
        loose = [place for place in shown if not columns[place].stays]
        if needed <= limit or not loose:
            return shown
        shown.remove(loose[-1])


def _widest(text: str) -> int:
    return max(map(width_of, text.split("\n")))


def _least(column: Column, width: int) -> int:
    return min(width, LEAST_FOLDED) if column.folds else width


def _row(
    columns: Sequence[Column],
    row: Sequence[str],
    shown: Sequence[int],
    widths: Sequence[int],
    room: int | None,
    page: Page,
) -> Iterator[str]:
    parts = {place: fold(row[place], room) if columns[place].folds else [row[place]] for place in shown}
    for number in range(max(map(len, parts.values()), default=0)):
        cells = []
        for place in shown:
            text = parts[place][number] if number < len(parts[place]) else ""
            paint = columns[place].paint
            cells.append((text, widths[place], paint(row[place]) if paint else None))
        yield _line(cells, page)


def _line(cells: Sequence[tuple[str, int, str | None]], page: Page) -> str:
    parts = []
    for place, (text, width, style) in enumerate(cells):
        last = place == len(cells) - 1
        padding = "" if last else " " * (width - width_of(text) + GAP)
        parts.append(page.paint(text.replace(HELD, " "), style) + padding)
    return "".join(parts).rstrip()
