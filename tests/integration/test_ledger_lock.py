"""The lock of the state, held by real processes: one writes, the next is told who, and a killed one lets go."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.clock import ManualClock, SystemClock
from rotator.errors import Busy, StateUnusable
from rotator.persistence.lock import Holder, StateLock

ROOT = Path(__file__).parents[2]
HOLDS = """
import sys
from pathlib import Path
from rotator.clock import SystemClock
from rotator.persistence.lock import StateLock

with StateLock(Path(sys.argv[1]), SystemClock(), "daemon"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another(database: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLDS, str(database)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_the_lock_is_a_file_beside_the_state_that_tells_who_holds_it(tmp_path: Path) -> None:
    database = tmp_path / "state" / "rotator.db"
    lock = StateLock(database, SystemClock(), "rotate")
    assert lock.holder() is None
    with lock:
        assert lock.path == tmp_path / "state" / "rotator.db.lock"
        assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
        assert StateLock(database, SystemClock()).holder() == Holder(os.getpid(), "rotate")
    assert lock.holder() is None
    assert lock.path.read_bytes() == b""
    lock.release()


def test_a_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    database = tmp_path / "rotator.db"
    with another(database) as process:
        with pytest.raises(Busy) as caught, StateLock(database, SystemClock()):
            pass
        assert caught.value.exit_status == 75
        assert f"the daemon, process {process.pid}." in caught.value.message
        assert "Stop it first" in caught.value.hint, "a daemon is not waited for: it does not end by itself"
        assert str(process.pid) in caught.value.hint
        assert StateLock(database, SystemClock()).holder() == Holder(process.pid, "daemon")


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    database = tmp_path / "rotator.db"
    with another(database) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with StateLock(database, SystemClock(), "x"):  # shorter than what the killed one has left in the file
            assert StateLock(database, SystemClock()).holder() == Holder(os.getpid(), "x")


def test_it_waits_as_long_as_it_was_told(tmp_path: Path) -> None:
    database, clock = tmp_path / "rotator.db", ManualClock()
    with another(database):
        for patience in (timedelta(0), timedelta(seconds=10)):
            before = clock.now()
            with pytest.raises(Busy):
                StateLock(database, clock, patience=patience).acquire()
            assert patience <= clock.now() - before <= patience + timedelta(milliseconds=150)


def test_it_is_taken_when_the_other_ends_in_time(tmp_path: Path) -> None:
    database = tmp_path / "rotator.db"

    class Ending(ManualClock):
        def wait(self, duration: timedelta, interrupt: object = None) -> bool:
            process.kill()
            process.wait()
            return super().wait(duration)

    with another(database) as process, StateLock(database, Ending(), patience=timedelta(seconds=10)) as lock:
        assert lock.holder() == Holder(os.getpid(), "command")


def test_a_child_process_does_not_inherit_it(tmp_path: Path) -> None:
    database = tmp_path / "rotator.db"
    with StateLock(database, SystemClock()):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        with StateLock(database, SystemClock()):
            pass
    finally:
        child.communicate(b"\n")


def test_who_only_looks_at_the_lock_keeps_nobody_from_taking_it(tmp_path: Path) -> None:
    database = tmp_path / "rotator.db"
    with StateLock(database, SystemClock()) as lock:
        path = lock.path
    with path.open("rb") as onlooker:
        fcntl.flock(onlooker, fcntl.LOCK_SH)  # as `holder` does for a moment

        class Moment(ManualClock):
            def wait(self, duration: timedelta, interrupt: object = None) -> bool:
                fcntl.flock(onlooker, fcntl.LOCK_UN)
                return super().wait(duration)

        with StateLock(database, Moment()):
            pass


@pytest.mark.parametrize("said", [b"", b"x daemon", b"12", b"\xff\xfe", b"7 \x1b[2J"])
def test_words_that_nobody_wrote_are_not_repeated(tmp_path: Path, said: bytes) -> None:
    database = tmp_path / "rotator.db"
    with StateLock(database, SystemClock()) as lock:
        lock.path.write_bytes(said)
        with pytest.raises(Busy) as caught:
            StateLock(database, ManualClock()).acquire()
        assert "\x1b" not in caught.value.message
        assert "x daemon" not in caught.value.message


def test_a_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rotator.db.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateUnusable):
        StateLock(tmp_path / "rotator.db", SystemClock()).acquire()
    with pytest.raises(StateUnusable):
        StateLock(tmp_path / "rotator.db", SystemClock()).holder()
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_is_told_and_leaves_the_lock_to_whoever_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    lock = StateLock(tmp_path / "state" / "rotator.db", SystemClock())
    with monkeypatch.context() as patched, pytest.raises(StateUnusable, match="the disk is full") as told:
        patched.setattr(os, "pwrite", full)
        lock.acquire()
    assert told.value.code == "state_full"
    with StateLock(tmp_path / "state" / "rotator.db", SystemClock()):
        pass
