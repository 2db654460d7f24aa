"""The only reader of time in the program; it never decides anything.

A wall clock alone must not end a grace period: it can be set. So an `Instant` keeps three readings together, and
`elapsed()` answers from the boot clock while the machine has not been restarted (CLOCK_BOOTTIME counts suspended time
too, see clock_gettime(2)), and says that it cannot know otherwise.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment as this machine sees it.

    wall: aware UTC time, which an administrator can move. boot_id: which boot of which machine. since_boot: time since
    that boot, suspended time included.
    """

    wall: datetime
    boot_id: str
    since_boot: timedelta


def elapsed(since: Instant, until: Instant) -> timedelta | None:
    """Return the time between two instants of one boot, or None when they belong to different boots."""
    if since.boot_id != until.boot_id:
        return None
    return until.since_boot - since.since_boot


class Clock(Protocol):
    """Reads time and waits. Everything that waits takes one of these."""

    def instant(self) -> Instant:
        """Return this moment."""

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""

    def wait(self, duration: timedelta, interrupt: threading.Event | None = None) -> bool:
        """Wait for `duration`; return True at once when `interrupt` is or becomes set, else False afterwards."""


class SystemClock:
    """The clocks of this machine."""

    def __init__(self) -> None:
        self._boot_id = _boot_id()

    def instant(self) -> Instant:
        """Return this moment by the wall clock and the boot clock."""
        return Instant(self.now(), self._boot_id, timedelta(seconds=time.clock_gettime(_BOOT_CLOCK)))

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""
        return datetime.now(UTC)

    def wait(self, duration: timedelta, interrupt: threading.Event | None = None) -> bool:
        """Wait for `duration` or for `interrupt`; True when it was interrupted."""
        return (interrupt or threading.Event()).wait(max(0.0, duration.total_seconds()))


def monotonic() -> timedelta:
    """Return CLOCK_MONOTONIC, by which systemd times what it is told; no other code needs it."""
    return timedelta(seconds=time.monotonic())


class ManualClock:
    """A clock that moves only when it is told to, or when somebody waits on it. For simulations."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._lock = threading.Lock()
        self._wall = start
        self._since_boot = timedelta(hours=1)
        self._boot_id = "boot-1"

    def instant(self) -> Instant:
        """Return this moment."""
        with self._lock:
            return Instant(self._wall, self._boot_id, self._since_boot)

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""
        return self.instant().wall

    def wait(self, duration: timedelta, interrupt: threading.Event | None = None) -> bool:
        """Let `duration` pass at once, unless interrupted already."""
        if interrupt is not None and interrupt.is_set():
            return True
        self.advance(max(duration, timedelta(0)))
        return False

    def advance(self, duration: timedelta) -> None:
        """Let real time pass: wall clock and boot clock move together."""
        with self._lock:
            self._wall += duration
            self._since_boot += duration

    def jump(self, duration: timedelta) -> None:
        """Set the wall clock forward or back, as a broken time server does; no real time passes."""
        with self._lock:
            self._wall += duration

    def reboot(self, off: timedelta = timedelta(minutes=1)) -> None:
        """Restart the machine: the boot clock starts anew and belongs to another boot."""
        with self._lock:
            self._wall += off
            self._boot_id = f"boot-{int(self._boot_id.rpartition('-')[2]) + 1}"
            self._since_boot = timedelta(seconds=10)


# macOS has no CLOCK_BOOTTIME; its CLOCK_MONOTONIC counts suspended time.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _boot_id() -> str:
    """Return the kernel's boot id, or one that holds for this process only where the kernel's is hidden."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"process-{secrets.token_hex(16)}"
