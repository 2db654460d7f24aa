"""Copies of the state in real files: made while it is written to, checked, put back whole, upgraded after a copy."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.clock import ManualClock, SystemClock
from rotator.errors import Busy, ChainBroken, StateUnusable
from rotator.event import Event, EventName
from rotator.model import Binding, CredentialState
from rotator.persistence import database as opening
from rotator.persistence import marks, schema
from rotator.persistence.copies import backup, restore, revision, upgrade
from rotator.persistence.ledger import SqlLedger
from rotator.persistence.lock import StateLock
from rotator.persistence.reading import AuditFilter, Reader
from rotator.ports import Head

NEWEST = marks.REVISION

NOW = datetime(2026, 11, 24, 14, 1, 7, tzinfo=UTC)
CLOCK = ManualClock(NOW)
EVENT = Event(EventName.ROTATION_STARTED, "x", "a")


def state(name: str) -> CredentialState:
    return CredentialState(name, Binding("iss", "app", f"vault:{name}"), "contoso", "entra")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a state with five records and five credentials."""
    path = tmp_path / "state" / "rotator.db"
    with SqlLedger(path, CLOCK) as ledger:
        for number in range(5):
            ledger.record(EVENT, state(f"c{number}"))
    return path


def write_more(path: Path) -> Head:
    with SqlLedger(path, CLOCK) as ledger:
        ledger.record(EVENT, state("later"))
        return ledger.head()


def files(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


# ------------------------------------------------------------------------------------------------------------- backup


def test_a_backup_is_a_whole_state_for_us_alone(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    found = backup(database, target)
    assert (found.last, found.broken) == (5, None)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert files(tmp_path) == ["copy.db", "state"]
    with Reader(target) as copy, Reader(database) as reader:
        assert list(copy.every()) == list(reader.every())
        assert list(copy.audit()) == list(reader.audit())
        assert copy.owner == reader.owner


def test_a_backup_overwrites_nothing(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("mine")
    target.chmod(0o600)
    with pytest.raises(StateUnusable) as caught:
        backup(database, target)
    assert caught.value.code == "file_exists"
    assert target.read_text() == "mine"
    with pytest.raises(StateUnusable):
        backup(database, database)
    with pytest.raises(StateUnusable):
        backup(database, tmp_path / "no-folder" / "copy.db")
    with pytest.raises(StateUnusable) as caught:
        backup(tmp_path / "no-such.db", tmp_path / "x.db")
    assert caught.value.code == "state_missing"
    assert files(tmp_path) == ["copy.db", "state"]


def test_a_backup_of_a_state_whose_chain_is_broken_says_so_and_is_kept(database: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database)) as other, other:
        other.execute("UPDATE audit SET actor = 'mallory' WHERE seq = 3")
    with pytest.raises(ChainBroken, match="Record 3"):
        backup(database, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").exists()


@pytest.mark.parametrize("writes", [1, 1000])
def test_a_backup_while_others_write_is_whole(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Between its steps somebody writes, so that it starts anew: once, or until it lets nobody in any more."""
    with SqlLedger(database, CLOCK) as ledger:

        class Written(opening._Restarts):
            count = 0

            def watch(self, status: int, left: int, total: int) -> None:
                super().watch(status, left, total)
                if Written.count < writes:
                    Written.count += 1
                    ledger.record(EVENT, state("busy"))

        monkeypatch.setattr(opening, "_Restarts", Written)
        monkeypatch.setattr(opening, "_PAGES_AT_ONCE", 3)
        found = backup(database, tmp_path / "copy.db")
        assert found.broken is None
        assert found.last == 5 + Written.count == ledger.head().seq
        assert Written.count == (1 if writes == 1 else opening._RESTARTS + 1)


def test_a_backup_while_a_thread_writes_without_pause_is_whole(database: Path, tmp_path: Path) -> None:
    done = threading.Event()
    with SqlLedger(database, CLOCK) as ledger:

        def write() -> None:
            while not done.is_set():
                ledger.record(EVENT, state("busy"))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            found = [backup(database, tmp_path / f"copy{number}.db") for number in range(3)]
        finally:
            done.set()
            writer.join()
    assert [one.broken for one in found] == [None] * 3
    assert found[0].last <= found[2].last


def test_a_backup_of_a_locked_state_gives_up_and_leaves_nothing(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PATIENCE", timedelta(milliseconds=100))
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Busy):
            opening.Database(database, opening.Access.LOOK, timedelta(milliseconds=100))
        other.execute("ROLLBACK")
        with closing(opening.Database(database, opening.Access.LOOK, timedelta(milliseconds=100))) as opened:
            other.execute("BEGIN EXCLUSIVE")
            target = tmp_path / "copy.db"
            target.touch()
            with pytest.raises(Busy):
                opened.copy(target)


# ------------------------------------------------------------------------------------------------------------ restore


def test_a_restore_puts_the_copy_in_place_and_keeps_what_was_there(database: Path, tmp_path: Path) -> None:
    backup(database, tmp_path / "copy.db")
    later = write_more(database)
    with Reader(database) as reader:
        before = reader.owner
    found, kept = restore(database, tmp_path / "copy.db", CLOCK, "dana", later)
    assert (found.last, found.broken) == (5, None)
    assert kept == database.with_name("rotator.db.replaced-20261124T140107Z")
    assert files(database.parent) == ["rotator.db", "rotator.db.lock", kept.name]
    assert stat.S_IMODE(database.stat().st_mode) == stat.S_IMODE(kept.stat().st_mode) == 0o600
    with Reader(kept) as old:
        assert (old.owner, old.head()) == (before, later)
    with SqlLedger(database, CLOCK) as ledger:
        assert ledger.owner != before
        assert ledger.tracked("later") is None
        (accepted,) = ledger.audit(AuditFilter(event="audit.accepted"))
        assert (accepted["seq"], accepted["actor"]) == (6, "dana")
        assert "names record 6" in str(accepted["detail"])
        assert str(accepted["detail"]).endswith("restored from copy.db")
        assert ledger.verify().broken is None
        ledger.record(EVENT)


def test_a_restore_to_where_nothing_is_left_makes_the_state(database: Path, tmp_path: Path) -> None:
    backup(database, tmp_path / "copy.db")
    shutil.rmtree(database.parent)
    _, kept = restore(database, tmp_path / "copy.db", CLOCK, "dana")
    assert kept is None
    with Reader(database) as reader:
        assert len(reader.names()) == 5


def test_a_damaged_state_can_be_replaced_and_its_journal_does_not_touch_the_new_one(
    database: Path, tmp_path: Path
) -> None:
    backup(database, tmp_path / "copy.db")
    database.write_bytes(b"x" * 5000)
    for suffix in ("-journal", "-wal", "-shm"):
        database.with_name(f"rotator.db{suffix}").write_bytes(b"y" * 5000)
    _, kept = restore(database, tmp_path / "copy.db", CLOCK, "dana")
    assert kept is not None
    assert kept.read_bytes() == b"x" * 5000
    assert kept.with_name(f"{kept.name}-journal").read_bytes() == b"y" * 5000
    assert not database.with_name("rotator.db-journal").exists()
    with SqlLedger(database, CLOCK) as ledger:
        assert ledger.verify().broken is None


def test_a_restore_refuses_while_another_process_has_the_state(database: Path, tmp_path: Path) -> None:
    backup(database, tmp_path / "copy.db")
    before = database.read_bytes()
    with StateLock(database, SystemClock(), "daemon"), pytest.raises(Busy, match="daemon"):
        restore(database, tmp_path / "copy.db", CLOCK, "dana")
    assert database.read_bytes() == before
    assert files(database.parent) == ["rotator.db", "rotator.db.lock"]


@pytest.mark.parametrize("spoil", ["foreign", "cut", "edited", "missing", "empty"])
def test_a_source_that_is_not_sound_is_refused_and_nothing_changes(database: Path, tmp_path: Path, spoil: str) -> None:
    source = tmp_path / "copy.db"
    if spoil == "foreign":
        with closing(sqlite3.connect(source)) as other, other:
            other.execute("CREATE TABLE music (title)")
    elif spoil == "empty":
        source.touch()
    elif spoil != "missing":
        backup(database, source)
        if spoil == "cut":
            source.write_bytes(source.read_bytes()[:-4096])
        else:
            with closing(sqlite3.connect(source)) as other, other:
                other.execute("UPDATE audit SET actor = 'mallory' WHERE seq = 3")
    before = database.read_bytes()
    with pytest.raises(ChainBroken if spoil == "edited" else StateUnusable):
        restore(database, source, CLOCK, "dana")
    assert database.read_bytes() == before
    assert files(database.parent) == ["rotator.db", "rotator.db.lock"]


# ------------------------------------------------------------------------------------------------------------ upgrade


@pytest.fixture
def next_schema(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # after the state was made
    """Let this be a version of rotator that has one migration more."""
    scripts = tmp_path / "migrations"
    shutil.copytree(schema.scripts(), scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "9001_next.py").write_text(
        f"from alembic import op\nrevision = '9001'\ndown_revision = '{NEWEST}'\n"
        "def upgrade():\n    op.execute('ALTER TABLE meta ADD COLUMN more TEXT')\n"
        "    if op.get_bind().exec_driver_sql('SELECT count(*) FROM audit').scalar() == 6:\n"
        "        raise RuntimeError('half way')\n"
    )
    monkeypatch.setattr(schema, "scripts", lambda: scripts)
    monkeypatch.setattr(marks, "REVISION", "9001")


def test_the_revision_is_told(database: Path, tmp_path: Path) -> None:
    assert revision(database) == (marks.REVISION, marks.REVISION)
    assert upgrade(database, CLOCK) is None
    assert files(database.parent) == ["rotator.db"]
    with pytest.raises(StateUnusable):
        revision(tmp_path / "no-such.db")
    with closing(sqlite3.connect(database)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    assert revision(database) == ("9999", marks.REVISION)


@pytest.mark.usefixtures("next_schema")
def test_older_tables_are_brought_up_to_date_after_a_copy_was_made(database: Path) -> None:
    with pytest.raises(StateUnusable) as caught:
        SqlLedger(database, CLOCK)
    assert caught.value.code == "state_old"
    assert revision(database) == (NEWEST, "9001")
    kept = upgrade(database, CLOCK)
    assert kept is not None
    assert revision(database) == ("9001", "9001")
    assert revision(kept) == (NEWEST, "9001")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    with SqlLedger(database, CLOCK) as ledger:
        assert len(ledger.names()) == 5
        assert ledger.verify().broken is None
    assert upgrade(database, CLOCK) is None


@pytest.mark.usefixtures("next_schema")
def test_an_upgrade_that_fails_half_way_leaves_the_old_tables(tmp_path: Path, database: Path) -> None:
    with closing(sqlite3.connect(database)) as other, other:
        other.execute(
            "INSERT INTO audit SELECT 6, time, event, credential, rotation_id, actor, outcome, reason, key_id, "
            "store_path, store_version, request_id, detail, prev_hash, hash FROM audit WHERE seq = 5"
        )
    with pytest.raises(RuntimeError, match="half way"):
        upgrade(database, CLOCK)
    assert revision(database) == (NEWEST, "9001")
    with closing(sqlite3.connect(database)) as other:
        assert [row[1] for row in other.execute("PRAGMA table_info(meta)")] == ["name", "value"]


@pytest.mark.usefixtures("next_schema")
def test_a_backup_of_an_earlier_version_is_brought_up_to_date_by_the_restore(tmp_path: Path, database: Path) -> None:
    source = tmp_path / "old.db"
    shutil.copy(database, source)
    shutil.rmtree(database.parent)
    restore(database, source, CLOCK, "dana")
    assert revision(source)[0] == NEWEST
    assert revision(database) == ("9001", "9001")
