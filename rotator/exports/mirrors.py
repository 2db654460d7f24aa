"""Hands audit records to the local syslog or appends them to a file, a batch at a time. Keeps no position.

What was handed over before may come again after a crash: each record has its number. No call here waits longer than
`PATIENCE` for a receiver that does not take anything.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

from rotator.chain import Record
from rotator.exports.documents import plain
from rotator.exports.logs import rfc5424

LOCAL_SYSLOG: Final = Path("/dev/log")
"""Where syslog(3) and journald listen: systemd-journald-dev-log.socket(8)."""

PATIENCE: Final = 1.0
"""Seconds that a receiver may take for one batch before it counts as gone."""


class Mirror(Protocol):
    """Takes records."""

    def take(self, records: Sequence[Record]) -> None:
        """Hand them over, in order. Raises OSError when they were not all taken; some may have been."""


class SyslogMirror:
    """The syslog of this machine, one datagram in the form of RFC 5424 for each record."""

    def __init__(self, address: Path = LOCAL_SYSLOG) -> None:
        self._address = address
        self._host = socket.gethostname()

    def take(self, records: Sequence[Record]) -> None:
        """See `Mirror.take`."""
        with closing(self._connected()) as there:
            ends = b"" if there.type == socket.SOCK_DGRAM else b"\n"
            for record in records:
                there.sendall(rfc5424(record, self._host, os.getpid()).encode() + ends)

    def _connected(self) -> socket.socket:
        """Return a socket to it: most listen for datagrams, some for a stream (POSIX leaves it open)."""
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            there = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
            there.settimeout(PATIENCE)
            try:
                there.connect(str(self._address))
            except OSError as error:
                there.close()
                if error.errno != errno.EPROTOTYPE or kind == socket.SOCK_STREAM:
                    raise
            else:
                return there
        raise AssertionError("unreachable")


class FileMirror:
    """A file of JSON lines, opened anew for each batch: a file that logrotate(8) has moved away is made anew."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self, records: Sequence[Record]) -> None:
        """See `Mirror.take`. A line that was cut short before gets an end first. On return it is on the disk."""
        # O_NONBLOCK: a pipe that nobody reads is refused, not waited for.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        descriptor = os.open(self._path, flags, 0o600)
        try:
            facts = os.fstat(descriptor)
            regular = stat.S_ISREG(facts.st_mode)
            torn = regular and facts.st_size > 0 and os.pread(descriptor, 1, facts.st_size - 1) != b"\n"
            text = (b"\n" if torn else b"") + b"".join(plain(record).encode() + b"\n" for record in records)
            while text:
                text = text[os.write(descriptor, text) :]
            if regular:  # a pipe or a terminal has nothing to sync
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
