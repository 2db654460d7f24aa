"""Keeps the least time between two requests to a vendor, in all processes of one state, and over their restarts.

The moment of the last request stands in a file beside the state; whoever is next holds its lock while he waits, so that
all take their turn. The boot clock counts, which nobody can move; after a reboot the first request goes at once. Where
there is no file to be had the pace is that of this process alone: that is no reason to leave a secret to die.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from rotator.clock import Clock, Instant, elapsed

_MICROSECOND = timedelta(microseconds=1)


class Pace:
    """The turns at one vendor. Safe for use from several threads."""

    def __init__(self, gap: timedelta | None, clock: Clock, file: Path | None = None) -> None:
        """Prepare. gap: the least time between two requests; None: there is none. file: where all processes look."""
        self._gap, self._clock, self._file = gap, clock, file
        self._lock = threading.Lock()
        self._last: Instant | None = None

    def keep(self) -> None:
        """Wait until the next request may be sent."""
        if self._gap is None:
            return
        with self._lock, self._shared() as handle:
            last = self._last if handle is None else _read(handle, self._clock.instant())
            since = elapsed(last, self._clock.instant()) if last is not None else None
            if since is not None and timedelta(0) <= since < self._gap:
                self._clock.wait(self._gap - since)
            self._last = self._clock.instant()
            if handle is not None:
                _write(handle, self._last)

    @contextlib.contextmanager
    def _shared(self) -> Iterator[int | None]:
        """Yield the file, locked; None where there is none to be had."""
        handle = self._opened()
        if handle is None:
            yield None
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)  # which lets go of the lock

    def _opened(self) -> int | None:
        if self._file is None:
            return None
        try:
            return os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return None


def _read(handle: int, now: Instant) -> Instant | None:
    """Return the moment of the last request; None when nobody wrote one that can be read."""
    boot_id, _, count = os.pread(handle, 200, 0).decode("ascii", "replace").partition(" ")
    if not count.isdigit() or len(count) > 18:
        return None
    return Instant(now.wall, boot_id, int(count) * _MICROSECOND)


def _write(handle: int, moment: Instant) -> None:
    with contextlib.suppress(OSError):  # a full disk slows nobody down
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{moment.boot_id} {moment.since_boot // _MICROSECOND}".encode("ascii"), 0)
