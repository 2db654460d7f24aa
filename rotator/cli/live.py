"""What rotations are doing, drawn in place on a terminal. Never blocks a rotation: it only notes, another thread draws.

One credential gets a line for each step, which stay; several get a line each while they are at work.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from rotator.cli.page import Page
from rotator.cli.words import with_short_keys
from rotator.clock import Clock
from rotator.model import Credential

STEPS: Final = ("baseline", "create", "stage", "verify", "promote")
"""The steps of a rotation that goes well, so that what is still to come can be shown."""

_FRAMES: Final = {True: "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", False: "|/-\\"}
_SIGNS: Final = {"done": ("✓", "green"), "failed": ("✗", "red"), "waiting": ("·", "dim")}
_A_SECOND: Final = 10


@dataclass(slots=True)
class _Step:
    state: str
    text: str


@dataclass(slots=True)
class _Course:
    """What one credential went through, in order."""

    steps: dict[str, _Step] = field(default_factory=dict)
    latest: str = ""


class LiveProgress:
    """A `Progress` that draws on standard error while it is entered. heading: what stands behind the name of one."""

    def __init__(self, page: Page, clock: Clock, names: Sequence[str], heading: str) -> None:
        self._page = page
        self._clock = clock
        self._alone = len(names) == 1
        self._total = len(names)
        self._width = max(map(len, names), default=0)
        self._heading = heading
        self._lock = threading.Lock()
        self._courses: dict[str, _Course] = {}
        console = Console(stderr=True, no_color=not page.colour, highlight=False, markup=False, emoji=False)
        self._live = Live(self, console=console, refresh_per_second=_A_SECOND, transient=not self._alone)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def __call__(self, credential: Credential, step: str, state: str, text: str) -> None:
        """Take note."""
        with self._lock:
            course = self._courses.setdefault(credential.name, _Course())
            known = course.steps.get(step)
            if state == "tell" and known is not None and known.state != "running":
                return  # such as the last proof, which belongs to the promotion
            words = with_short_keys(text) or (known.text if known is not None else "")
            course.steps[step] = _Step("running" if state in ("begin", "tell") else state, words)
            course.latest = step

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            lines = list(self._one() if self._alone else self._several(max(options.max_height - 2, 5)))
        for line in lines:
            line.truncate(options.max_width, overflow="ellipsis" if self._page.unicode else "crop")
            yield line

    def _one(self) -> Iterator[Text]:
        for name, course in self._courses.items():
            yield Text.assemble((name, "bold"), "  ", self._page.fit(self._heading))
            to_come = [step for step in STEPS if step not in course.steps and _lies_ahead(step, course)]
            for step, told in course.steps.items():
                yield self._line(told.state, f"{step:<10} {told.text}")
            for step in to_come:
                yield self._line("waiting", step)

    def _several(self, room: int) -> Iterator[Text]:
        running = [(name, one) for name, one in self._courses.items() if one.steps[one.latest].state == "running"]
        for name, course in running[:room]:
            step = course.steps[course.latest]
            yield self._line(step.state, f"{name:<{self._width}}  {course.latest:<8} {step.text}")
        yield Text(f"  {len(self._courses)} of {self._total} begun, {len(running)} at work", "dim")

    def _line(self, state: str, text: str) -> Text:
        sign, style = _SIGNS.get(state, (self._spinner(), "yellow"))
        return Text.assemble("  ", (self._page.fit(sign), style), " ", (self._page.fit(text).rstrip(), _tone(state)))

    def _spinner(self) -> str:
        frames = _FRAMES[self._page.unicode]
        return frames[int(self._clock.instant().since_boot.total_seconds() * _A_SECOND) % len(frames)]


def _tone(state: str) -> str:
    return "dim" if state == "waiting" else ""


def _lies_ahead(step: str, course: _Course) -> bool:
    """Say whether a step can still come: nothing does after a failure, and what was passed over was not needed."""
    if any(one.state == "failed" for one in course.steps.values()):
        return False
    begun = [STEPS.index(name) for name in course.steps if name in STEPS]
    return bool(begun) and STEPS.index(step) > max(begun)
