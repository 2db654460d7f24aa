"""The lines below a table: what a person must know or do about one credential, aligned under its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rotator.cli.page import BOLD, Page
from rotator.cli.words import hang

WIDEST: Final = 120
"""Sentences longer than this are hard to read, however wide the terminal is."""


def notes(remarks: Sequence[tuple[str, str, str]], page: Page) -> Iterator[str]:
    """Yield a blank line, then for each (name, message, hint) the message beside the name and the hint below it."""
    if not remarks:
        return
    yield ""
    yield from paragraphs(remarks, page)


def paragraphs(remarks: Iterable[tuple[str, str, str]], page: Page) -> Iterator[str]:
    """Yield for each (name, message, hint) the message beside the name and the hint below it."""
    remarks = list(remarks)
    indent = max((len(name) for name, _, _ in remarks), default=0) + 2
    width = None if page.width is None else min(page.width, WIDEST)
    for name, message, hint in remarks:
        text = page.fit("\n".join(filter(None, (message, hint))))
        first, *rest = hang(name, text, width, indent=indent)
        yield page.paint(name, BOLD) + first[len(name) :]
        yield from rest
