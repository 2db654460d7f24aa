"""An audit device of a real Vault that breaks between the entry for a request and the entry for its answer.

Vault must have written an entry before it acts and another before it answers. The device is a named pipe: this end
reads the entry of one request to its last byte, and then the device is gone. What was asked for is done, and answered
500 (see `request_handling.go` of Vault: the answer is audited after the operation). It needs no root and leaves nothing
to chance: each entry has a prefix larger than the pipe, so the second one is not in it before this end has let go.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

_SET_PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", 1031)  # named by Python from 3.10 on, on Linux
_PIPE_SIZE = 4096
PREFIX = "-" * (2 * _PIPE_SIZE)
_CHANGES = ("create", "update", "patch", "delete")


class AuditBlackout:
    """A device at `path` that records until `break_after` is armed and met. It must be the only audit device."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broken = threading.Event()
        self.requests: list[str] = []
        os.mkfifo(path, 0o600)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self._reader, _SET_PIPE_SIZE, _PIPE_SIZE)
        os.set_blocking(self._reader, True)
        self._writer = os.open(path, os.O_WRONLY)  # the pipe does not end while Vault has not opened it
        self._armed: str | None = None
        self._thread = threading.Thread(target=self._read, name="audit", daemon=True)
        self._thread.start()

    def break_after(self, path: str) -> None:
        """Break when the next request that changes `path` (as in `kv/data/partners/a`) has been recorded."""
        self._armed = path

    def mend(self) -> None:
        """Let Vault record again, to a plain file at the same path. Without a break nothing changes."""
        if self.path.is_dir():
            self.path.rmdir()

    def close(self) -> None:
        """End the recording. Vault must have let go of the device before, or its next write fails."""
        with contextlib.suppress(OSError):
            os.write(self._writer, b"\n\n")
        self._thread.join(10)
        for end in (self._reader, self._writer):
            with contextlib.suppress(OSError):
                os.close(end)
        if self.path.is_dir():
            self.path.rmdir()
        self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        entry = b""
        while piece := os.read(self._reader, _PIPE_SIZE):
            *whole, entry = (entry + piece).split(b"\n")
            for line in whole:
                if not line:  # only close() says this
                    return
                if self._met(json.loads(line[len(PREFIX) :])):
                    self._break()
                    return

    def _met(self, fact: dict[str, Any]) -> bool:
        if fact.get("type") != "request":
            return False
        request = fact["request"]
        self.requests.append(f"{request['operation']} {request['path']}")
        return request["path"] == self._armed and request["operation"] in _CHANGES

    def _break(self) -> None:
        # Vault opens the path again after a failed write: a folder in its place keeps it from making a plain file.
        self.path.unlink()
        self.path.mkdir()
        os.close(self._reader)
        self.broken.set()
