"""How things are measured here: whole processes, alternately, medians of many runs, and tables. It judges nothing.

A machine that does other work as well makes every absolute time doubtful. Two things that are measured by turns suffer
alike, so what is told is mostly how many times longer one takes than the other.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True)
class Table:
    """What one benchmark says. rows: as wide as columns. notes: sentences for below."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def lines(self) -> Iterator[str]:
        """Yield the table as text: the first column to the left, the others to the right."""
        widths = [max(len(row[place]) for row in (self.columns, *self.rows)) for place in range(len(self.columns))]
        yield f"== {self.title}"
        for row in (self.columns, *self.rows):
            first, *others = (
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            yield "  ".join((f"   {first}", *others)).rstrip()
        yield from (f"   {note}" for note in self.notes)


@dataclass(frozen=True)
class Runs:
    """Several runs of one thing. wall, cpu: seconds; cpu: of user and system."""

    wall: Sequence[float]
    cpu: Sequence[float]

    @property
    def median(self) -> float:
        """Return the median of the wall clock, in seconds."""
        return statistics.median(self.wall)

    @property
    def median_cpu(self) -> float:
        """Return the median of the processor time, in seconds."""
        return statistics.median(self.cpu)


def by_turns(commands: Mapping[str, Sequence[str]], times: int, folder: Path) -> dict[str, Runs]:
    """Run whole processes alternately, `times` times each, in `folder`, and return how long they took.

    Raises CalledProcessError when one fails.
    """
    wall: dict[str, list[float]] = {name: [] for name in commands}
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(times + 1):
        for name, command in commands.items():
            used, started = _cpu_of_children(), time.perf_counter()
            subprocess.run(command, cwd=folder, env=environment(), capture_output=True, check=True)
            if turn:  # the first one warms the caches of the disk
                wall[name].append(time.perf_counter() - started)
                cpu[name].append(_cpu_of_children() - used)
    return {name: Runs(wall[name], cpu[name]) for name in commands}


def in_a_process(module: str, *args: str) -> dict[str, Any]:
    """Run a module of this package in a fresh process, and return the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, "-m", module, *args],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def environment() -> dict[str, str]:
    """Return a small environment, without what would change how Python starts or where rotator looks."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# ------------------------------------------------------------------------------------------------------------- memory


def resident() -> int:
    """Return the memory of this process that is in RAM now, in bytes; 0 where there is no /proc."""
    return _of_status("VmRSS")


def peak() -> int:
    """Return the most that it was since `forget_peak`, or since the process began; 0 where there is no /proc."""
    return _of_status("VmHWM")


def forget_peak() -> None:
    """Begin to look for the peak anew (proc_pid_clear_refs(5))."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _of_status(name: str) -> int:
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


# -------------------------------------------------------------------------------------------------------------- words


def machine() -> str:
    """Return what was measured on, as far as it matters."""
    return (
        f"{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}, {platform.system()}"
    )


def ms(seconds: float) -> str:
    """Spell a time in milliseconds."""
    return f"{seconds * 1000:.1f} ms"


def seconds(duration: float) -> str:
    """Spell a time in seconds."""
    return f"{duration:.2f} s"


def times(one: float, other: float) -> str:
    """Spell how many times longer `one` is than `other`."""
    return f"{one / other:.2f} x"


def megabytes(count: float) -> str:
    """Spell an amount of memory."""
    return f"{count / 1e6:.1f} MB"


def count(number: float) -> str:
    """Spell a large number."""
    return f"{number:,.0f}"


def middle(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)
