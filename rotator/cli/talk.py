"""What one run says and where: data on standard output, talk on standard error. Decides nothing but the form.

The options that every command takes (`--config -o -v -q --no-color --yes`) end up here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from rotator.cli.page import RED, Page, page_of
from rotator.cli.streams import printing
from rotator.cli.words import fold, hang

API_VERSION: Final = "rotator/v1"

HINT_INDENT: Final = 2


class Format(StrEnum):
    """The forms of data. JSON is one object; JSONL one item a line."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class Loudness(StrEnum):
    """How much is said beside the data. QUIET: errors only."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"


@dataclass(slots=True)
class Talk:
    """The voice of one run. config: what `--config` names. yes: the person has agreed in advance. plain: no colour."""

    config: str | None = None
    form: Format = Format.TABLE
    loudness: Loudness = Loudness.NORMAL
    plain: bool = False
    yes: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    argv: Sequence[str] = ("rotator",)

    @property
    def verbose(self) -> bool:
        """Say whether exact times and more words are wanted."""
        return self.loudness is Loudness.VERBOSE

    @property
    def quiet(self) -> bool:
        """Say whether only data and errors are wanted."""
        return self.loudness is Loudness.QUIET

    @property
    def out(self) -> Page:
        """Return what standard output can show."""
        return page_of(sys.stdout, self.environ, plain=self.plain)

    @property
    def err(self) -> Page:
        """Return what standard error can show."""
        return page_of(sys.stderr, self.environ, plain=self.plain)

    @property
    def can_ask(self) -> bool:
        """Say whether a person is there to answer a question."""
        return sys.stdin.isatty() and self.err.terminal

    def data(self, lines: Iterable[str]) -> None:
        """Write lines to standard output."""
        for line in lines:
            with printing():
                sys.stdout.write(line + "\n")

    def flush(self) -> None:
        """See that what was printed arrives. Raises NotPrinted."""
        with printing():
            sys.stdout.flush()

    def say(self, text: str = "") -> None:
        """Write a sentence to standard error, unless nothing is to be said."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """Write a sentence to standard error in any case."""
        page = self.err
        self._write([*fold(page.fit(text), page.width)])

    def trouble(self, message: str, hint: str, *, who: str = "rotator") -> None:
        """Write what went wrong to standard error, and what to do next, indented below it."""
        page = self.err
        head = "rotator:" if message.startswith(who) else f"{who}:"
        hint = "" if hint in message else hint
        first, *rest = fold(page.fit(f"{head} {message}"), page.width)
        below = [*rest, *(line for line in hang("", page.fit(hint), page.width, indent=HINT_INDENT) if line.strip())]
        self._write([page.paint(head, RED) + first[len(head) :], *below])

    def _write(self, lines: Sequence[str]) -> None:
        self.flush()  # what was printed before stands before it
        sys.stderr.writelines(line + "\n" for line in lines)
        sys.stderr.flush()

    def show(self, kind: str, items: Iterable[Mapping[str, Any]], table: Callable[[Page], Iterable[str]]) -> None:
        """Write items in the form that was asked for. kind: such as `StatusList`. table: its lines, for people."""
        ascii_only = not self.out.unicode
        if self.form is Format.TABLE:
            self.data(table(self.out))
        elif self.form is Format.JSONL:
            self.data(json.dumps(item, ensure_ascii=ascii_only) for item in items)
        else:
            whole = {"apiVersion": API_VERSION, "kind": kind, "items": list(items)}
            self.data([json.dumps(whole, ensure_ascii=ascii_only, indent=2)])
