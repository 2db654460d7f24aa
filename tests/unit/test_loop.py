"""The loop: one job at a time, whatever the clock does, and an end from anywhere."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from rotator.app.scheduler import Loop
from rotator.clock import SystemClock

SECOND = timedelta(seconds=1)
YEARS = timedelta(days=3653)


def test_a_job_runs_at_once_and_then_in_each_interval() -> None:
    loop, ran = Loop(), 0

    def tick() -> None:
        nonlocal ran
        ran += 1
        if ran == 3:
            loop.end()

    loop.every("tick", SECOND / 20, tick)
    loop.run({})
    loop.close()
    assert ran == 3


@pytest.mark.parametrize("away", [YEARS, -YEARS])
def test_a_clock_that_jumps_by_years_makes_nobody_wait_and_nothing_run_twice(away: timedelta) -> None:
    """To the loop, the clock put back is a job whose time is years ahead; put forward, one that missed millions."""
    loop, ran = Loop(), 0

    def tick() -> None:
        nonlocal ran
        ran += 1
        if ran == 2:
            threading.Timer(0.3, loop.end).start()

    def jump() -> None:
        loop.get_job("tick").modify(next_run_time=SystemClock().now() + away)

    loop.every("tick", 60 * SECOND, tick)
    threading.Timer(0.2, lambda: loop.soon("jump", jump)).start()
    loop.run({})
    loop.close()
    assert ran == 2


def test_what_is_asked_for_twice_runs_once_and_before_the_next_tick() -> None:
    loop = Loop()
    ran: list[str] = []

    def job(name: str) -> Callable[[], None]:
        return lambda: ran.append(name)

    def tick() -> None:
        ran.append("tick")
        loop.end()

    for name in ("reload", "reload", "other"):
        loop.soon(name, job(name))
    loop.every("tick", 60 * SECOND, tick)
    loop.run({})
    loop.close()
    assert ran == ["reload", "other", "tick"]


def test_a_signal_is_heard_in_the_thread_of_the_loop_and_handlers_are_put_back() -> None:
    loop, heard, before = Loop(), [], signal.getsignal(signal.SIGUSR1)

    def usr1() -> None:
        heard.append(threading.current_thread())
        loop.end()

    loop.every("tick", 60 * SECOND, lambda: None)
    threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
    loop.run({signal.SIGUSR1: usr1})
    loop.close()
    assert heard == [threading.main_thread()]
    assert signal.getsignal(signal.SIGUSR1) == before


def test_a_job_that_fails_ends_the_loop_with_its_failure() -> None:
    loop = Loop()

    def fail() -> None:
        raise ZeroDivisionError

    loop.every("tick", SECOND, fail)
    with pytest.raises(ZeroDivisionError):
        loop.run({})
    loop.close()


def test_whoever_wakes_a_loop_that_is_closed_writes_to_nobody() -> None:
    loop = Loop()
    loop.close()
    hears, says = os.pipe()  # these get the numbers that the loop had
    loop.soon("late", lambda: None)
    loop.end()
    os.set_blocking(hears, False)
    with pytest.raises(BlockingIOError):
        os.read(hears, 1)
    os.close(hears)
    os.close(says)
