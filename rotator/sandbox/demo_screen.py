"""Shows the demo as it happens: lines that stay, and one at the bottom that passes by. It judges nothing."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from textwrap import wrap

from rotator.clock import Clock
from rotator.model import Credential

_NAME, _STEP = 20, 8
_KEY = re.compile(r"\b([0-9a-f]{4})[0-9a-f]{4}(?:-[0-9a-f]{4}){3}-[0-9a-f]{8}([0-9a-f]{4})\b")
_LEAST = 24  # columns left for words, however narrow the terminal is
_TELLING = 2  # lines of a report on the way


class Screen:
    """Where the demo is shown. It is the `Progress` of its rotations, so any thread may call it.

    say: prints a line that stays. passing: shows a line until the next one of either kind. columns: where lines are
    folded; None: nowhere, it is no terminal.
    """

    def __init__(
        self, say: Callable[[str], None], passing: Callable[[str], None], columns: int | None, clock: Clock
    ) -> None:
        self._lock = threading.Lock()
        self._say, self._passing, self._columns = say, passing, columns
        self._clock = clock
        self._began = clock.instant().since_boot
        self._doing = self._told = ""

    def __call__(self, credential: Credential, step: str, state: str, text: str) -> None:
        """Show a step. What only counts passes by; words stay."""
        text = _KEY.sub(r"\1…\2", text)
        counts = text.partition(" ")[0].isdigit()
        if state == "begin" or (state == "tell" and counts):
            self.pass_by(f"{credential.name} {step} {text}".rstrip())
            return
        mark = {"done": "✓", "failed": "✗"}.get(state, " ")
        head = f"{self.seconds():5.1f} s  {credential.name:<{_NAME}} {mark} {step:<{_STEP}} "
        self._hang(head, text, most=_TELLING if state == "tell" else None)

    def seconds(self) -> float:
        """Return how long the demo has been running."""
        return (self._clock.instant().since_boot - self._began).total_seconds()

    def line(self, text: str = "") -> None:
        """Show a line that stays, as it is."""
        with self._lock:
            self._say(text)

    def words(self, text: str, *, indent: int = 0) -> None:
        """Show a sentence, folded."""
        self._hang(" " * indent, text)

    def heading(self, text: str) -> None:
        """Begin a part."""
        with self._lock:
            self._say("")
            self._say(text)

    def beside(self, head: str, text: str, *, indent: int) -> None:
        """Show words beside their heading; further lines of them begin at column `indent`."""
        self._hang(f"{head:<{indent}}", text)

    def pass_by(self, text: str) -> None:
        """Show for a moment what is being done."""
        with self._lock:
            self._doing = text
            self._pass_by()

    def hear_consumers(self, requests: int, failures: int) -> None:
        """Show for a moment how consumers are doing, beside what is being done."""
        with self._lock:
            self._told = f"{requests} token requests of consumers, {failures} failed"
            self._pass_by()

    def _pass_by(self) -> None:
        text = "  ".join(filter(None, (f"{self.seconds():5.1f} s", self._told, self._doing)))
        self._passing(text if self._columns is None else text[: self._columns - 1])

    def _hang(self, head: str, text: str, *, most: int | None = None) -> None:
        with self._lock:
            for line in self._folded(head, text, most):
                self._say(line.rstrip())

    def _folded(self, head: str, text: str, most: int | None) -> Iterator[str]:
        if self._columns is None:
            yield head + text
            return
        room = max(self._columns - len(head), _LEAST)
        lines = wrap(text, room, max_lines=most, placeholder=" …", break_on_hyphens=False) or [""]
        yield head + lines[0]
        yield from (" " * len(head) + line for line in lines[1:])
