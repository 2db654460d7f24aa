"""Ends the process that it is in with a real SIGKILL at a chosen call of a port; changes nothing that a call does.

The parts are wrapped below everything of the program: what it repeats, it repeats through here. A crossing is the point
right before or right after a call. With `linger` the process dies so long after the crossing, which may be in the
middle of the call, with its request sent and its answer on the way.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rotator.app.wiring import Parts
from rotator.model import Procedure
from tests.fakes.tape import Tape, TapedLedger, TapedProver, TapedProvider, TapedStore


@dataclass
class Guillotine(Tape):
    """A tape whose end is the end of the process. linger: None: at once."""

    linger: timedelta | None = None

    def cross(self) -> None:
        if self.crossings == self.die_at:
            if self.linger is None:
                _kill()
            else:
                threading.Timer(self.linger.total_seconds(), _kill).start()
        self.crossings += 1


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wrap_parts(tape: Tape) -> None:
    """Put the tape around every part that this process makes from now on."""
    _wrap("store", lambda part: TapedStore(part, tape))
    _wrap("provider", lambda part: TapedProvider(part, tape, lambda _key_id: None, Procedure.OVERLAP))
    _wrap("prover", lambda part: TapedProver(part, tape))
    opened = Parts.writer

    @contextmanager
    def writer(parts: Parts, *args: Any) -> Iterator[Any]:
        with opened(parts, *args) as ledger:
            yield _TapedWriter(ledger, tape)

    setattr(Parts, "writer", writer)  # noqa: B010 the type checker need not know


def _wrap(name: str, taped: Callable[[Any], Any]) -> None:
    make = getattr(Parts, name)
    setattr(Parts, name, lambda parts, *args: taped(make(parts, *args)))


class _TapedWriter(TapedLedger):
    """The state under its lock: more can be asked of it than of a ledger."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def report(tape: Tape, path: Path) -> None:
    """Write down which calls were made, one a line, for whoever wants to know where a process may die."""
    path.write_text("\n".join(tape.calls), encoding="utf-8")
