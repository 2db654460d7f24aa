"""The lock of the state: one process at a time may write, and another can see which. It opens no database.

The kernel frees it when its process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from rotator.clock import Clock
from rotator.errors import Busy, StateUnusable
from rotator.persistence import places
from rotator.persistence.faults import unusable

_PAUSE: Final = timedelta(milliseconds=50)
_AT_LEAST: Final = 3
"""So many tries are made by whoever does not want to wait: somebody may only be looking who holds the lock."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: the id of the process, and what it is (such as `daemon` or `rotate`)."""

    pid: int
    kind: str


class StateLock:
    """An exclusive lock on the file `<database>.lock`. A context manager; not for sharing between threads."""

    def __init__(self, database: Path, clock: Clock, kind: str = "command", patience: timedelta = timedelta(0)) -> None:
        """Prepare. kind: what others are told. patience: how long to wait for another process."""
        database = database.absolute()
        self.path = database.with_name(f"{database.name}.lock")
        self._clock, self._kind, self._patience = clock, kind, patience
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises Busy, naming who holds it, and StateUnusable when it cannot be made or written."""
        places.make(self.path)
        handle = self._opened(os.O_RDWR)
        waited, tries = timedelta(0), 1
        while not _taken(handle, fcntl.LOCK_EX):
            if waited >= self._patience and tries >= _AT_LEAST:
                os.close(handle)
                raise self._busy()
            self._clock.wait(_PAUSE)
            waited, tries = waited + _PAUSE, tries + 1
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()} {self._kind}\n".encode(), 0)
        except OSError as error:
            os.close(handle)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise unusable(self.path, sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR) from None
        self._handle = handle

    def release(self) -> None:
        """Give the lock back; nothing when it is not held. The file stays: removing it would let two hold it."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.ftruncate(handle, 0)
            os.close(handle)

    def holder(self) -> Holder | None:
        """Return who holds the lock now; None: nobody. A holder that has not yet said who it is has pid 0."""
        if not places.see_that_it_is_safe(self.path):
            return None
        handle = self._opened(os.O_RDONLY)
        try:
            return None if _taken(handle, fcntl.LOCK_SH) else _said(handle)
        finally:
            os.close(handle)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _opened(self, mode: int) -> int:
        try:
            return os.open(self.path, mode | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise StateUnusable(
                f"Cannot open {self.path}: {error.strerror or type(error).__name__}",
                hint="Run as the user that owns it.",
                code="state_unreadable",
            ) from None

    def _busy(self) -> Busy:
        holder = self.holder()
        who = f"process {holder.pid} ({holder.kind})" if holder and holder.pid else "another process"
        if holder is not None and holder.kind.split(" ")[0] == "daemon":  # it does not end by itself
            return Busy(
                f"The state is in use by the daemon, process {holder.pid}.",
                hint=f"Stop it first: systemctl stop rotator, or Ctrl-C where it runs (ps -fp {holder.pid}).",
                code="state_locked",
            )
        return Busy(
            f"The state is in use by {who}.",
            hint="Wait until it has ended, or look at it: "
            + (f"ps -fp {holder.pid}" if holder and holder.pid else f"fuser -v {self.path}"),
            code="state_locked",
        )


def _taken(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _said(handle: int) -> Holder:
    """Return what the holder has written, in words fit to be shown."""
    with contextlib.suppress(ValueError):
        pid, _, kind = os.pread(handle, 128, 0).decode("ascii").strip().partition(" ")
        if kind.isprintable():
            return Holder(int(pid), kind)
    return Holder(0, "")
