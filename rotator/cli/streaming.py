"""Many items, written as they come: what is on its way is one page of them, never all. It decides nothing but the form.

A table gets its widths from each page anew, so the columns of a long one may shift by some characters after
`PAGE_OF_ROWS` rows; on a terminal there are fewer.
"""

from __future__ import annotations

import itertools
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from rotator.cli.page import Page
from rotator.cli.streams import printing
from rotator.cli.talk import API_VERSION, Format, Talk

PAGE_OF_ROWS: Final = 1000

Item = Mapping[str, Any]


class TableOf(Protocol):
    """What makes the lines of a table."""

    def __call__(self, items: Sequence[Item], page: Page, *, titles: bool) -> Iterable[str]:
        """Return the lines. titles: whether the names of the columns come first."""


def show_all(talk: Talk, kind: str, items: Iterable[Item], table: TableOf) -> int:
    """Write items in the form that was asked for, as `Talk.show` would; return how many there were."""
    counted = _Counted(items)
    match talk.form:
        case Format.TABLE:
            talk.data(_table(counted, talk.out, table))
        case Format.JSONL:
            ascii_only = not talk.out.unicode
            talk.data(json.dumps(item, ensure_ascii=ascii_only) for item in counted)
        case Format.JSON:
            _object(kind, counted, ascii_only=not talk.out.unicode)
    return counted.count


def _table(items: Iterable[Item], page: Page, table: TableOf) -> Iterator[str]:
    rest = iter(items)
    first = True
    while (rows := list(itertools.islice(rest, PAGE_OF_ROWS))) or first:
        yield from table(rows, page, titles=first)
        first = False


def _object(kind: str, items: Iterable[Item], *, ascii_only: bool) -> None:
    """Write the object of `Talk.show`, character for character, without holding its items."""

    def write(text: str) -> None:
        with printing():
            sys.stdout.write(text)

    write(f'{{\n  "apiVersion": {json.dumps(API_VERSION)},\n  "kind": {json.dumps(kind)},\n  "items": [')
    between, end = "\n", "]"
    for item in items:
        write(between + textwrap.indent(json.dumps(item, ensure_ascii=ascii_only, indent=2), "    "))
        between, end = ",\n", "\n  ]"
    write(f"{end}\n}}\n")


class _Counted:
    """Items that are counted on their way."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self.count = 0

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            self.count += 1
            yield item
