"""How a command gets the house it works in, and how Ctrl-C reaches what it does. Nothing else opens anything."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from rotator.cli.failing import INTERRUPTED
from rotator.cli.talk import Talk

if TYPE_CHECKING:
    from rotator.app.house import House
    from rotator.ports import Progress

LEFT: Final = "Stopping: the step in hand is finished, the rest is settled later. Ctrl-C again ends at once."


@contextmanager
def opened(talk: Talk, *, stop: threading.Event | None = None, progress: Progress | None = None) -> Iterator[House]:
    """Open the house with the configuration of this run. Raises what `House.open` raises."""
    from rotator.app.house import House

    more: dict[str, Any] = {} if progress is None else {"progress": progress}
    with House.open(talk.config, environ=talk.environ, argv=talk.argv, stop=stop, **more) as house:
        yield house


@contextmanager
def stoppable(talk: Talk, *, farewell: str = LEFT) -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets; the second ends the process at once.

    Every mutating call is written down before it is made, so ending anywhere is safe; the next run settles it.
    """
    stop = threading.Event()
    signals: list[int] = []

    def stopping(number: int, _frame: FrameType | None) -> None:
        if signals:
            os._exit(INTERRUPTED)
        signals.append(number)
        # Not here: this thread may hold the lock of the event right now, in the middle of waiting for it.
        _thread.start_new_thread(stop.set, ())
        if farewell:
            talk.say(farewell)

    before = {number: signal.signal(number, stopping) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
