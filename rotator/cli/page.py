"""What the place we print to can show: width, colour, characters. Prints nothing, and never guesses beyond the facts.

A terminal has a width and perhaps colours; a pipe or a file has neither, and gets everything, whole and plain.
"""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TextIO

RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
BOLD: Final = "1"
DIM: Final = "2"

LEAST_WIDTH: Final = 40

_KEPT: Final = "\n\N{NO-BREAK SPACE}"
_IN_ASCII: Final = str.maketrans(
    {"…": "...", "·": "-", "✓": "+", "✗": "x", "—": "-", "█": "=", "░": "!", "┄": ".", "“": '"', "”": '"'}
)


@dataclass(frozen=True, slots=True)
class Page:
    """One stream as a place to write on. width: columns of a terminal; None: no limit, what follows is not a person."""

    width: int | None
    colour: bool
    unicode: bool

    @property
    def terminal(self) -> bool:
        """Say whether a person looks at it."""
        return self.width is not None

    def paint(self, text: str, style: str | None) -> str:
        """Return text in a colour, where there are any. style: an SGR parameter such as RED."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colour and style and text else text

    def fit(self, text: str) -> str:
        """Return text in the characters this stream has, without any that could move a cursor but for new lines."""
        shown = "".join(one if one.isprintable() or one in _KEPT else " " for one in text)
        return shown if self.unicode else shown.translate(_IN_ASCII)


def page_of(stream: TextIO, environ: Mapping[str, str], *, plain: bool) -> Page:
    """Return what is known of a stream. plain: the person asked for no colour."""
    if not _is_terminal(stream):
        return Page(None, colour=False, unicode=_speaks_unicode(stream))
    dumb = environ.get("TERM", "") in ("", "dumb")
    colour = not (plain or dumb or environ.get("NO_COLOR"))
    return Page(max(_columns(stream, environ), LEAST_WIDTH), colour=colour, unicode=_speaks_unicode(stream))


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in ("W", "F") else 1 for one in text
    )


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def _columns(stream: TextIO, environ: Mapping[str, str]) -> int:
    said = environ.get("COLUMNS", "")
    if said.isascii() and said.isdigit() and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns


def _speaks_unicode(stream: TextIO) -> bool:
    encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "").replace("_", "")
    return encoding in ("utf8", "utf8sig", "utf16", "utf32")
