"""Tells the service manager how the daemon is doing, as sd_notify(3) describes. It decides nothing, and never fails.

Outside of a service manager there is no `$NOTIFY_SOCKET`, and nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from rotator.clock import monotonic

_LONGEST: Final = 200
"""So many characters of a status are sent; `systemctl status` shows one line."""


class Manager:
    """The service manager that has started this process, or nobody."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        """Prepare. pid: of this process: a watchdog that is meant for another one is not fed."""
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog = _watchdog(environ, pid) if address else None
        self._told = ""

    def ready(self) -> None:
        """Say that the daemon is at work; also after a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that the configuration is read again; `ready` ends it. The manager wants to know when (sd_notify(3))."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic() // timedelta(microseconds=1)}")

    def stopping(self) -> None:
        """Say that the daemon is about to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        if self.watchdog is not None:
            self._send("WATCHDOG=1")

    def more_time(self, span: timedelta) -> None:
        """Ask for so long before a start, reload or stop counts as failed."""
        self._send(f"EXTEND_TIMEOUT_USEC={span // timedelta(microseconds=1)}")

    def status(self, text: str) -> None:
        """Say in one line what the daemon does; once, as long as it is the same."""
        line = " ".join(text.split())[:_LONGEST]
        if line != self._told:
            self._told = line
            self._send(f"STATUS={line}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one,
        ):
            one.sendto("\n".join(lines).encode(), self._address)


def _watchdog(environ: Mapping[str, str], pid: int) -> timedelta | None:
    """Return how often the watchdog wants to be fed at the least, by sd_watchdog_enabled(3); None: never."""
    said, meant = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (said.isascii() and said.isdigit()) or int(said) == 0 or (meant and meant != str(pid)):
        return None
    return timedelta(microseconds=int(said))


def own(environ: Mapping[str, str]) -> Manager:
    """Return the manager of this very process."""
    return Manager(environ, os.getpid())
