"""A process that writes to the ledger is killed again and again; what it was told is kept, and the chain is whole."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from rotator.clock import SystemClock
from rotator.errors import StateUnusable
from rotator.persistence.ledger import SqlLedger
from rotator.persistence.reading import Reader
from tests.integration.test_ledger_file import as_ordinary_user

ROOT = Path(__file__).parents[2]
KILLS = 15
WRITER = """
import sys
from pathlib import Path
from rotator.clock import SystemClock
from rotator.event import Event, EventName
from rotator.model import Binding, CredentialState, Origin, Version, VersionState
from rotator.persistence.ledger import SqlLedger

ledger = SqlLedger(Path(sys.argv[1]), SystemClock())
number = ledger.head().seq
while True:
    number += 1
    state = CredentialState("a", Binding("i", "a", "s"), "p", "k", failures=number)
    version = Version("a", f"k{number}", VersionState.RETIRED, Origin.OURS, tag="x" * 2000)
    ledger.record(Event(EventName.VERSION_RETIRED, "x", "a", detail=f"{number}"), state, version)
    print(number, flush=True)
"""
HALF_WRITTEN = """
import os, signal, sys
from pathlib import Path
from rotator.clock import SystemClock
from rotator.event import Event, EventName
from rotator.persistence.ledger import SqlLedger

ledger = SqlLedger(Path(sys.argv[1]), SystemClock())
driver = ledger._database._driver
driver.execute("PRAGMA cache_size = 1")  # so that pages reach the file before the end of the transaction
with ledger._database.writing() as connection:
    driver.execute("UPDATE audit SET detail = 'never'")
    driver.execute("DELETE FROM versions")
    driver.execute("CREATE TABLE large AS SELECT a.*, b.* FROM audit a, audit b")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_writer_killed_at_any_moment_loses_nothing_that_it_was_told(tmp_path: Path) -> None:
    path, chance, told = tmp_path / "rotator.db", random.Random(20261124), 0
    owners = set()
    for _ in range(KILLS):
        told = max(told, written_until_killed(path, chance))
        with Reader(path) as reader:
            found = reader.verify()
            tracked = reader.tracked("a")
        assert found.broken is None
        assert found.last in (told, told + 1)
        assert tracked is not None
        assert tracked.state.failures == found.last
        told = found.last
        owners.add(reader_owner(path))
    with SqlLedger(path, SystemClock()) as ledger:
        assert ledger.verify().last == told > KILLS
        assert len(ledger.versions("a")) == told
    assert len(owners) == 1


def test_a_reader_can_look_after_a_writer_was_killed_in_the_middle_of_a_transaction(tmp_path: Path) -> None:
    path = tmp_path / "rotator.db"
    written_until_killed(path, random.Random(1))
    with Reader(path) as reader:
        before = [*reader.audit()]
    done = subprocess.run([sys.executable, "-c", HALF_WRITTEN, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    if sqlite3.sqlite_version_info < (3, 51, 3):
        assert path.with_name("rotator.db-journal").stat().st_size > 0
    with Reader(path) as reader:
        assert [*reader.audit()] == before
        assert reader.verify().broken is None
        assert reader.is_sound()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM sqlite_master WHERE name = 'large'").fetchone() == (0,)


def test_who_may_not_write_is_told_who_must_look_first_after_such_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "rotator.db"
    written_until_killed(path, random.Random(2))
    program = (
        f"from rotator.persistence import database; database.journal = lambda _: ('delete', 'EXTRA')\n{HALF_WRITTEN}"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False)
    with as_ordinary_user(path) as copy:
        copy.chmod(0o400)
        copy.parent.chmod(0o500)
        with pytest.raises(StateUnusable, match="in the middle of a write") as caught:
            Reader(copy)
        assert caught.value.code == "state_read_only"
        copy.parent.chmod(0o700)
        copy.chmod(0o600)
        with Reader(copy) as reader:
            assert reader.verify().broken is None


def reader_owner(path: Path) -> str:
    with Reader(path) as reader:
        return reader.owner


def written_until_killed(path: Path, chance: random.Random) -> int:
    """Run the writer, kill it after a few of its writes, and return the last number it was sure of."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = 0
        for _ in range(chance.randint(1, 6)):
            line = process.stdout.readline()
            assert line
            told = int(line)
        for _ in range(chance.randrange(40_000)):  # somewhere within the next write, without asking a clock
            pass
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    return int(rest[-1]) if rest else told
