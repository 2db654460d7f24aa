"""Texts for people: folding that never breaks a word or a command, lists in a sentence. Knows no credential."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from rotator.cli.page import width_of

HELD: Final = "\N{NO-BREAK SPACE}"
"""Stands where a line must not break; printed as a space."""

_UUID: Final = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_COMMAND: Final = re.compile(r"(?<=: )rotator [^\n]*\Z")


def fold(text: str, width: int | None) -> list[str]:
    """Return text as lines of at most `width` columns, broken between words only; None: one line per line of text.

    A command at the end, such as `…: rotator resume NAME`, is never broken: when it does not fit it gets its own line,
    so that it can be copied.
    """
    return [line.replace(HELD, " ") for part in text.split("\n") for line in _fold_line(part, width)]


def _fold_line(text: str, width: int | None) -> Iterator[str]:
    if width is None or width_of(text) <= width:
        yield text
        return
    command = _COMMAND.search(text)
    before = text[: command.start()].rstrip() if command else text
    line = ""
    for word in filter(None, before.split(" ")):
        if line and width_of(line) + 1 + width_of(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        if command and width_of(line) + 1 + width_of(command.group()) <= width:
            yield f"{line} {command.group()}"
            return
        yield line
    if command:
        yield command.group()


def hang(head: str, text: str, width: int | None, *, indent: int) -> list[str]:
    """Return `head` and the folded text beside it; further lines of it begin at column `indent`, from 0."""
    room = None if width is None else max(width - indent, 20)
    first, *rest = fold(text, room)
    return [f"{head:<{indent}}{first}", *(f"{'':{indent}}{line}" for line in rest)]


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: `1 warning`, `2 warnings`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def short_key(key_id: str | None) -> str:
    """Return the ends of a long key id, as people compare them: `4c1e…9a02`."""
    if not key_id:
        return ""
    return f"{key_id[:4]}…{key_id[-4:]}" if len(key_id) > 12 else key_id


def with_short_keys(text: str) -> str:
    """Return a sentence with its long key ids shortened, for a line that must not wrap."""
    return _UUID.sub(lambda found: short_key(found.group()), text)
