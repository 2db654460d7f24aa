"""Runs a program of the machine's owner: no shell, a group and an environment of its own, a time-out. Raises nothing.

What it may print is bounded by what a pipe holds: a program that floods its output waits for a reader that never comes,
and is killed with all that it has started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import Final, NamedTuple

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What a service of systemd has for PATH (systemd.exec(5)); nothing of our own environment is handed on."""
_PIPE: Final = 1 << 20
"""More bytes than a pipe holds, which are 64 KiB (pipe(7))."""


class Printed(Enum):
    """What becomes of what it prints."""

    NOWHERE = "nowhere"
    KEPT = "kept"


class Ended(NamedTuple):
    """How it ended. problem: what went wrong, as in "it ended with 1"; None: nothing. ran: whether it was begun."""

    problem: str | None
    printed: bytes = b""
    ran: bool = True


def run(command: Sequence[str], said: bytes, timeout: timedelta, environ: Mapping[str, str], printed: Printed) -> Ended:
    """Run a program until it ends or is killed, with `said` on its standard input and `environ` beside a plain PATH."""
    reader, writer = os.pipe() if printed is Printed.KEPT else (None, None)
    try:
        try:
            process = subprocess.Popen(
                command,
                cwd="/",
                env={"PATH": _PATH, "LANG": "C.UTF-8", **environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL if writer is None else writer,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return Ended(f"cannot be run: {error.strerror or type(error).__name__}", ran=False)
        finally:
            if writer is not None:
                os.close(writer)
        return _ended(process, said, timeout, reader)
    finally:
        if reader is not None:
            os.close(reader)


def _ended(process: subprocess.Popen[bytes], said: bytes, timeout: timedelta, reader: int | None) -> Ended:
    try:
        process.communicate(said, timeout.total_seconds())
    except subprocess.TimeoutExpired:
        return Ended(f"had not ended after {timeout.total_seconds():g} s and was killed")
    finally:
        _end_all_of(process)
    code = process.returncode
    if code != 0:
        return Ended(f"ended with {code}" if code > 0 else f"was ended by signal {-code}")
    return Ended(None, b"" if reader is None else _left_in(reader))


def _left_in(reader: int) -> bytes:
    """Return what the pipe holds; somebody else may still have its other end."""
    os.set_blocking(reader, False)
    try:
        return os.read(reader, _PIPE)
    except BlockingIOError:
        return b""


def _end_all_of(process: subprocess.Popen[bytes]) -> None:
    """See that nothing of its group is left, and that it is not left a zombie."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
