"""The service as a process with a service manager of its own: what it tells that, what it logs, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.e2e.cli_bench import COMMAND

PATIENCE = 30.0
"""Seconds until a test gives up on what it waits for."""


def until(what: str, holds: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Wait until something holds, and return it; fail with its name when it never does."""
    end = time.monotonic() + patience
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"in {patience:g} s it was never so that {what}")
        time.sleep(0.02)


class Service:
    """`rotator daemon` under a manager that listens. A context manager that kills what is left."""

    def __init__(self, folder: Path, environ: Mapping[str, str], command: Sequence[str] = (*COMMAND, "daemon")) -> None:
        """Prepare. environ: without NOTIFY_SOCKET."""
        self._place = Path(tempfile.mkdtemp(prefix="rotator-notify-"))
        self._place.chmod(0o755)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._place / "notify"))
        (self._place / "notify").chmod(0o777)
        self.told: list[tuple[float, str]] = []
        self.log: list[dict[str, Any]] = []
        self.stray: list[str] = []
        self._folder, self._command = folder, command
        self._environ = {**environ, "NOTIFY_SOCKET": str(self._place / "notify")}
        self.process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._hear, self._read)]
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._socket.shutdown(socket.SHUT_RD)  # wakes who listens
        for one in self._threads:
            one.join(PATIENCE)
        self._socket.close()
        (self._place / "notify").unlink()
        self._place.rmdir()

    def _hear(self) -> None:
        while said := self._socket.recv(4096):
            for line in said.decode().splitlines():
                self.told.append((time.monotonic(), line))

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as said:
            for line in said:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.stray.append(line)

    # ------------------------------------------------------------------------------------------------------ questions

    def said(self, start: str) -> list[str]:
        """Return what the manager was told that begins so."""
        return [line for _, line in list(self.told) if line.startswith(start)]

    def events(self, name: str, **facts: Any) -> list[dict[str, Any]]:
        """Return the lines of the log for one event that have these facts."""
        return [one for one in list(self.log) if one["event"] == name and facts.items() <= one.items()]

    def ready(self) -> Self:
        """Wait until it is ready."""
        until("it is ready", lambda: self.said("READY=1") or self.process.poll() is not None)
        assert self.process.poll() is None, (self.log, self.stray)
        return self

    def has(self, name: str, count: int = 1, **facts: Any) -> list[dict[str, Any]]:
        """Wait until the log has an event so often."""
        found: list[dict[str, Any]] = until(
            f"the log has {count} {name} {facts}",
            lambda: len(self.events(name, **facts)) >= count and self.events(name, **facts),
        )
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def ended(self, patience: float = PATIENCE) -> int:
        """Wait for its end and return its status."""
        code = self.process.wait(patience)
        self._threads[1].join(patience)
        return code

    def stopped(self) -> int:
        """Have it end, and return its status."""
        self.signal(signal.SIGTERM)
        return self.ended()


@contextlib.contextmanager
def service(folder: Path, environ: Mapping[str, str], **more: str) -> Iterator[Service]:
    """Run the service; more: further variables of its environment."""
    with Service(folder, {**os.environ, **environ, **more}) as made:
        yield made
