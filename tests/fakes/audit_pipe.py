"""An audit device of a real Vault that breaks between the entry for a request and the entry for its answer.

Vault must have written an entry before it acts and another before it answers. The device is a pipe: this end reads the
entry of one request to its last byte, then the device is gone. What was asked for is done, and answered 500. The pipe
is made too small for an entry, so that the second one cannot slip into it unread.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

_SET_PIPE_SIZE = 1031  # fcntl.F_SETPIPE_SZ
_PIPE_SIZE = 4096


class AuditPipe:
    """The device at `path`. Start it before Vault opens the path; it reads until `break_after` is armed and met."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path, 0o600)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self._reader, _SET_PIPE_SIZE, _PIPE_SIZE)
        os.set_blocking(self._reader, True)
        self._armed: str | None = None
        self.broken = threading.Event()
        self._writer = os.open(path, os.O_WRONLY)  # keeps the pipe from ending while Vault has not opened it yet
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def break_after(self, path: str) -> None:
        """Break when the next request to write `path` has been recorded. Its document must be larger than the pipe."""
        self._armed = path

    def mend(self) -> None:
        """Let Vault write entries again, to a plain file."""
        if self.path.is_dir():
            self.path.rmdir()

    def _read(self) -> None:
        entry = bytearray()
        while True:
            piece = os.read(self._reader, 1)
            if not piece:
                return
            entry += piece
            if piece == b"\n":
                if self._met(json.loads(entry)):
                    break
                entry.clear()
        self.path.unlink()
        self.path.mkdir()  # Vault opens the path again after a failed write: it shall not make a file of it
        os.close(self._writer)
        os.close(self._reader)
        self.broken.set()

    def _met(self, fact: dict[str, Any]) -> bool:
        if self._armed is None or fact.get("type") != "request":
            return False
        request = fact["request"]
        return bool(request["path"] == self._armed and request["operation"] in ("create", "update"))
