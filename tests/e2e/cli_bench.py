"""The command line as a person has it: a process of its own, on a terminal or not, beside the sandbox's issuers."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Weather

COMMAND = (sys.executable, "-m", "rotator.cli.main")
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def items(self) -> list[dict[str, Any]]:
        """Return the items of its JSON."""
        found: list[dict[str, Any]] = json.loads(self.out)["items"]
        return found


@dataclass
class Bench:
    """One folder with a configuration, and everything that its commands printed."""

    folder: Path
    sandbox: Sandbox
    printed: list[str] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        """Return a small environment."""
        path = os.environ["PATH"]
        return {"ROTATOR_CONFIG": "config.yaml", "PATH": path, "HOME": str(self.folder), "TERM": "xterm", "TZ": "UTC"}

    def run(self, *args: str, **more: str) -> Done:
        """Run a command to its end, in a pipe."""
        done = self.begin(*args, **more)
        out, err = done.communicate()
        self.printed += [out, err]
        return Done(done.returncode, out, err)

    def begin(self, *args: str, **more: str) -> subprocess.Popen[str]:
        """Start a command in a pipe."""
        return subprocess.Popen(
            [*COMMAND, *args],
            cwd=self.folder,
            env={**self.environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def on_a_terminal(
        self,
        *args: str,
        columns: int = 80,
        answer: str = "",
        ctrl_c_at: str = "",
        typed: Sequence[tuple[str, str]] = (),
        environ: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """Run a command on a terminal of its own. Returns its status and all it drew.

        answer: what is typed before anything is asked; typed: questions, and what is typed when each is drawn.
        ctrl_c_at: what is drawn when Ctrl-C is pressed.
        """
        first = [("", answer)] if answer else []
        cues = [*first, *typed, *([(ctrl_c_at, "\x03")] if ctrl_c_at else [])]
        environ = {**self.environ, **(environ or {})}
        code, drawn = _on_a_terminal([*COMMAND, *args], self.folder, environ, columns, cues)
        self.printed.append(drawn)
        return code, drawn


def _on_a_terminal(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], columns: int, cues: list[tuple[str, str]]
) -> tuple[int, str]:
    """Run it as the leader of a session whose terminal this is, so that Ctrl-C and /dev/tty are what they are."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKE_TERMINAL, *command],
        cwd=folder,
        env=environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    drawn, seen = bytearray(), 0
    while True:
        while cues and (at := drawn.find(cues[0][0].encode(), seen)) >= 0:
            seen = at + len(cues[0][0].encode())
            os.write(ours, cues.pop(0)[1].encode())
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says EIO when the other side is closed
            break
        if not piece:
            break
        drawn += piece
    os.close(ours)
    return process.wait(), drawn.decode()


def without_escapes(drawn: str) -> str:
    """Return what was drawn, without colours and cursor movements."""
    return _ESCAPES.sub("", drawn).replace("\r", "")


def interrupted(process: subprocess.Popen[str], *words: str) -> str:
    """Send Ctrl-C at the first line with the first word, again at the next with the second. Returns standard error."""
    assert process.stderr is not None
    said, waiting = [], list(words)
    for line in process.stderr:
        said.append(line)
        if waiting and waiting[0] in line:
            del waiting[0]
            process.send_signal(signal.SIGINT)
    return "".join(said)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Give a folder in which every command works, with issuers that are calm."""
    sandbox = Sandbox.start(tmp_path, weather=Weather.calm())
    try:
        yield Bench(tmp_path, sandbox)
    finally:
        sandbox.stop()
