"""The working loop's clockwork, on APScheduler: jobs run one at a time, in the thread that called `run`. It keeps none.

What is due is known by the ledger, so there is no job store: a job here is a question that is asked every so often.
APScheduler follows the wall clock, which can be put back or forward by years. So after each wake-up a job whose time is
further away than its interval is due now: after a step back it would wait for years, and after a step forward
APScheduler would first count each time that was missed. Signals only write into a pipe that ends the sleep
(`signal.set_wakeup_fd`).
"""

from __future__ import annotations

import logging
import os
import select
import signal
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any, Final

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.base import BaseScheduler

from rotator.clock import SystemClock

Job = Callable[[], None]

_LONGEST: Final = timedelta(hours=1)


class Loop(BaseScheduler):  # type: ignore[misc]  # it has no types
    """Runs jobs until `end`. `soon` and `end` may be called from any thread and from a job."""

    def __init__(self) -> None:
        """Prepare. Jobs are timed by the clocks of this machine; APScheduler takes no other."""
        quiet = logging.getLogger("rotator.apscheduler")
        quiet.disabled = True  # a job that fails ends the loop, and whoever runs it says why
        super().__init__(timezone=UTC, logger=quiet, executors={"default": _Here()})
        self._clock = SystemClock()
        self._asked: deque[tuple[str, Job]] = deque()
        self._ended = False
        self._failure: BaseException | None = None
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def every(self, name: str, interval: timedelta, job: Job) -> None:
        """Have a job run now and then once in each interval; what was missed is made up for by one run.

        name: a job that was given with the same one is replaced.
        """
        self.add_job(
            self._guarded(job),
            "interval",
            seconds=interval.total_seconds(),
            id=name,
            replace_existing=True,
            next_run_time=self._clock.now(),
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )

    def soon(self, name: str, job: Job) -> None:
        """Have a job run once, before the next one of `every`; asked for twice meanwhile, it runs once."""
        if name not in {one for one, _ in self._asked}:
            self._asked.append((name, job))
        self.wakeup()

    def end(self) -> None:
        """Let `run` return when the job in hand is done."""
        self._ended = True
        self.wakeup()

    def run(self, signals: Mapping[signal.Signals, Job]) -> None:
        """Run jobs until `end`. signals: what is called when one of them comes, between two steps of this thread.

        Raises what a job has raised.
        """
        before = {one: signal.signal(one, _handler(call)) for one, call in signals.items()}
        descriptor = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        try:
            super().start()
            while not self._ended:
                self._turn()
        finally:
            signal.set_wakeup_fd(descriptor)
            for one, handler in before.items():
                signal.signal(one, handler)
            if self.running:
                self.shutdown(wait=False)
        if self._failure is not None:
            raise self._failure

    def shutdown(self, wait: bool = True) -> None:  # noqa: FBT001, FBT002 its name and form are APScheduler's
        """Let go of the jobs."""
        super().shutdown(wait)

    def wakeup(self) -> None:
        """End the sleep of the loop."""
        with suppress(BlockingIOError, OSError):  # full: it is awake
            os.write(self._write, b"\0")

    def close(self) -> None:
        """Give the pipe back. Whoever wakes the loop after this writes to nobody, not to what has that number then."""
        read, write = self._read, self._write
        self._read = self._write = -1
        os.close(read)
        os.close(write)

    def _turn(self) -> None:
        while self._asked and not self._ended:
            self._guarded(self._asked.popleft()[1])()
        if self._ended:
            return
        self._see_to_the_clock()
        wait = self._process_jobs()
        self._sleep(wait)

    def _sleep(self, wait: float | None) -> None:
        if self._ended:
            return
        longest = _LONGEST.total_seconds()
        select.select([self._read], [], [], longest if wait is None else min(wait, longest))
        with suppress(BlockingIOError):
            os.read(self._read, 4096)

    def _see_to_the_clock(self) -> None:
        """Let a job be due now whose time is further away than its interval: the clock was put back, or forward."""
        now = self._clock.now()
        for job in self.get_jobs():
            due: datetime = job.next_run_time
            if abs(due - now) > job.trigger.interval:
                job.modify(next_run_time=now)

    def _guarded(self, job: Job) -> Job:
        def run() -> None:
            try:
                job()
            except BaseException as failure:  # noqa: BLE001 it is raised by `run`
                self._failure = failure
                self._ended = True

        return run


class _Here(DebugExecutor):  # type: ignore[misc]
    """Runs a job in the thread that asks for it; nothing may be scheduled while it does, which nobody tries."""


def _handler(call: Job) -> Callable[[int, FrameType | None], Any]:
    return lambda _number, _frame: call()
