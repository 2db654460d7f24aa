"""Tells a command of a record: JSON on its standard input, no shell, a group and an environment of its own, a time-out.

What it prints goes nowhere: a hook that floods its output costs nothing, and one that never ends is killed with all
that it has started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from rotator.notifications.letter import Fate, Letter, Told

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What a service of systemd has for PATH (systemd.exec(5)); nothing of our own environment is handed on."""


class Command:
    """One hook. command: program and arguments."""

    def __init__(self, command: Sequence[str], timeout: timedelta) -> None:
        self._command, self._timeout = tuple(command), timeout

    def tell(self, letter: Letter) -> Told:
        """Run it once. Raises nothing: what went wrong is in the answer."""
        try:
            process = subprocess.Popen(
                self._command,
                cwd="/",
                env={"PATH": _PATH, "LANG": "C.UTF-8", "ROTATOR_EVENT": letter.event},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return Told(Fate.LATER, f"cannot be run: {error.strerror or type(error).__name__}")
        try:
            process.communicate(letter.body + b"\n", self._timeout.total_seconds())
        except subprocess.TimeoutExpired:
            return Told(Fate.LATER, f"had not ended after {self._timeout.total_seconds():g} s and was killed")
        finally:
            _end_all_of(process)
        code = process.returncode
        if code == 0:
            return Told(Fate.TAKEN)
        return Told(Fate.LATER, f"ended with {code}" if code > 0 else f"was ended by signal {-code}")


def _end_all_of(process: subprocess.Popen[bytes]) -> None:
    """See that nothing of its group is left, and that it is not left a zombie."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
