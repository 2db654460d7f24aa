"""The state file on a real disk: what opens it, what refuses it, and that nothing is written after a failure."""

from __future__ import annotations

import os
import random
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.clock import ManualClock
from rotator.errors import Busy, StateUnusable
from rotator.event import Event, EventName
from rotator.model import Binding, CredentialState, Origin, Version, VersionState
from rotator.persistence import tables
from rotator.persistence.database import Access, Database, journal
from rotator.persistence.ledger import SqlLedger
from rotator.persistence.reading import Reader

ROOT = Path(__file__).parents[2]
SHORT = timedelta(milliseconds=200)
EVENT = Event(EventName.ROTATION_STARTED, "dana", "a")
STATE = CredentialState("a", Binding("iss", "app", "vault:a"), "contoso", "entra")
CLOCK = ManualClock(datetime(2026, 11, 24, 14, 1, 7, tzinfo=UTC))


def opened(path: Path, patience: timedelta = SHORT) -> SqlLedger:
    return SqlLedger(path, CLOCK, patience)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a state file with some rows in every page."""
    path = tmp_path / "state" / "rotator.db"
    with opened(path) as ledger:
        for number in range(40):
            state = replace(STATE, name=f"c{number:03}")
            version = Version(state.name, f"key-{number}", VersionState.CURRENT, Origin.OURS, tag="t" * 200)
            ledger.record(replace(EVENT, credential=state.name, detail="x" * 300), state, version)
    return path


def refusal(path: Path) -> StateUnusable:
    with pytest.raises(StateUnusable) as caught:
        opened(path)
    assert caught.value.hint
    return caught.value


# ------------------------------------------------------------------------------------------------------------ opening


def test_folder_and_file_are_made_for_us_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(tmp_path / "one" / "two" / "rotator.db") as ledger:
            ledger.record(EVENT, STATE)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "one" / "two").stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "one" / "two").iterdir()} == {0o600}


def test_what_was_written_is_there_after_a_restart_under_the_same_owner(tmp_path: Path) -> None:
    with opened(tmp_path / "rotator.db") as ledger:
        ledger.record(EVENT, STATE)
        owner, head = ledger.owner, ledger.head()
    with opened(tmp_path / "rotator.db") as ledger:
        assert (ledger.owner, ledger.head()) == (owner, head)
        assert ledger.tracked("a").state == STATE
    with Reader(tmp_path / "rotator.db") as reader:
        assert reader.owner == owner
    with opened(tmp_path / "other.db") as other:
        assert other.owner != owner


def test_opening_what_is_up_to_date_writes_nothing(database: Path) -> None:
    before = (database.read_bytes(), database.stat().st_mtime_ns)
    with opened(database), Reader(database) as reader:
        list(reader.every())
        reader.verify()
    assert (database.read_bytes(), database.stat().st_mtime_ns) == before
    assert [one.name for one in database.parent.iterdir()] == ["rotator.db"]


def test_opening_what_is_up_to_date_loads_no_alembic(database: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from rotator.clock import SystemClock\n"
        "from rotator.persistence.ledger import SqlLedger; from rotator.persistence.reading import Reader\n"
        f"path = Path({str(database)!r}); SqlLedger(path, SystemClock()).close(); Reader(path).close()\n"
        "assert not any(name.split('.')[0] in ('alembic', 'mako') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_an_empty_file_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "rotator.db").touch(0o600)
    with pytest.raises(StateUnusable) as caught:
        Reader(tmp_path / "rotator.db")
    assert caught.value.code == "state_missing"
    with opened(tmp_path / "rotator.db") as ledger:
        ledger.record(EVENT)
        assert ledger.head().seq == 1


def test_a_reader_makes_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    for path in (tmp_path / "rotator.db", tmp_path / "no-folder" / "rotator.db"):
        with pytest.raises(StateUnusable) as caught:
            Reader(path)
        assert caught.value.code == "state_missing"
        assert "rotator check" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_two_that_make_the_state_at_once_make_one(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from rotator.clock import SystemClock\n"
        "from rotator.persistence.ledger import SqlLedger\n"
        "print(SqlLedger(Path(sys.argv[1]), SystemClock()).owner)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "rotator.db")]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({one.communicate()[0] for one in running}) == 1
    assert [one.returncode for one in running] == [0] * 4


def test_the_settings_are_those_that_a_loss_of_power_asks_for(database: Path) -> None:
    assert journal((3, 40, 1)) == journal((3, 51, 2)) == ("delete", "EXTRA")
    assert journal((3, 51, 3)) == journal((3, 54, 0)) == ("wal", "FULL")
    mode, synchronous = journal(sqlite3.sqlite_version_info)
    with closing(Database(database, Access.WRITE)) as one:
        asked = {name: one._driver.execute(f"PRAGMA {name}").fetchone()[0] for name in _WANTED}
    assert asked == {**_WANTED, "journal_mode": mode, "synchronous": {"EXTRA": 3, "FULL": 2}[synchronous]}
    with closing(Database(database, Access.READ)) as one:
        assert one._driver.execute("PRAGMA query_only").fetchone()[0] == 1


_WANTED = {
    "journal_mode": "",
    "synchronous": 0,
    "foreign_keys": 1,
    "secure_delete": 1,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "busy_timeout": 10_000,
}


def test_a_log_left_by_a_newer_sqlite_is_taken_up(database: Path) -> None:
    with closing(sqlite3.connect(database)) as other:
        assert other.execute("PRAGMA journal_mode = wal").fetchone()[0] == "wal"
    with Reader(database) as reader:
        assert reader.verify().broken is None
    with opened(database) as ledger:
        ledger.record(EVENT)
        wanted, _ = journal(sqlite3.sqlite_version_info)
        assert ledger._database._driver.execute("PRAGMA journal_mode").fetchone()[0] == wanted


# ------------------------------------------------------------------------------------------------------------ refused


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "rotator.db"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE music (title)")
    before = path.read_bytes()
    assert refusal(path).code == "state_foreign"
    with pytest.raises(StateUnusable, match="none of rotator's"):
        Reader(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "rotator.db"
    path.write_bytes(b"not a database\n" * 100)
    path.chmod(0o600)
    before = path.read_bytes()
    assert refusal(path).code == "state_corrupt"
    assert path.read_bytes() == before


def test_the_tables_of_a_later_version_are_not_guessed_at(database: Path) -> None:
    with closing(sqlite3.connect(database)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    failure = refusal(database)
    assert failure.code == "state_future"
    assert "newer rotator" in failure.message
    with pytest.raises(StateUnusable, match="newer rotator"):
        Reader(database)


def test_older_tables_are_named_as_such(database: Path) -> None:
    with closing(sqlite3.connect(database)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = '0000'")
    failure = refusal(database)
    assert failure.code == "state_old"
    assert "rotator db upgrade" in failure.hint


def test_a_cut_file_is_refused(database: Path) -> None:
    whole = database.read_bytes()
    for size in (100, 4096, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        database.write_bytes(whole[:size])
        assert refusal(database).code in ("state_corrupt", "state_foreign")


def test_no_flipped_bit_leads_to_anything_but_a_clear_refusal(database: Path) -> None:
    whole, chance, refused = database.read_bytes(), random.Random(20261124), 0
    for _ in range(150):
        spoiled = bytearray(whole)
        place = chance.randrange(len(spoiled))
        spoiled[place] ^= 1 << chance.randrange(8)
        database.write_bytes(spoiled)
        try:
            with opened(database) as ledger:
                list(ledger.every())
                found = ledger.verify()
                ledger.record(EVENT, STATE)
            refused += found.broken is not None
        except StateUnusable:
            refused += 1
    assert refused > 15  # the rest hit what is empty, or the text of a row


def test_a_lost_table_is_refused(database: Path) -> None:
    with closing(sqlite3.connect(database)) as other, other:
        other.execute("DROP TABLE versions")
    with opened(database) as ledger:
        with pytest.raises(StateUnusable) as caught:
            ledger.tracked("c001")
        assert caught.value.code == "state_corrupt"
        with pytest.raises(StateUnusable):
            ledger.record(EVENT)


@pytest.mark.parametrize("column", ["owner", "head"])
def test_a_state_that_has_lost_its_owner_or_its_head_is_refused(database: Path, column: str) -> None:
    with closing(sqlite3.connect(database)) as other, other:
        other.execute("DELETE FROM meta" if column == "owner" else "DELETE FROM audit_head")
    if column == "owner":
        assert "owner" in refusal(database).message
        return
    with opened(database) as ledger, pytest.raises(StateUnusable, match="head of its audit chain"):
        ledger.record(EVENT)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE versions SET state = 'eaten'",
        "UPDATE credentials SET parked = '{'",
        "UPDATE credentials SET parked = '{}'",
        "UPDATE credentials SET wake_at = 9223372036854775807",
    ],
)
def test_a_row_that_nobody_here_wrote_is_damage(database: Path, change: str) -> None:
    with closing(sqlite3.connect(database)) as other, other:
        other.execute(change)
    with Reader(database) as reader:
        with pytest.raises(StateUnusable) as caught:
            list(reader.every())
        assert caught.value.code == "state_corrupt"


# ------------------------------------------------------------------------------------------------------ unsafe places


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, database: Path) -> None:
    for mode in (0o777, 0o1777, 0o770):
        database.parent.chmod(mode)
        failure = refusal(database)
        assert failure.code == "state_unsafe"
        assert "chmod 700" in failure.hint
        with pytest.raises(StateUnusable):
            Reader(database)
    database.parent.chmod(0o750)
    opened(database).close()
    assert not (tmp_path / "state" / "rotator.db-journal").exists()


def test_a_file_that_others_can_write_to_is_refused(database: Path) -> None:
    database.chmod(0o660)
    assert refusal(database).code == "state_unsafe"


def test_links_are_refused(database: Path) -> None:
    link = database.with_name("link.db")
    link.symlink_to(database)
    assert refusal(link).code == "state_unsafe"
    link.unlink()
    link.hardlink_to(database)
    assert refusal(database).code == "state_unsafe"


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rotator.db").mkdir()
    assert refusal(tmp_path / "rotator.db").code == "state_unsafe"
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file" / "rotator.db").code == "state_unreadable"


@contextmanager
def as_ordinary_user(path: Path) -> Iterator[Path]:
    """Yield a copy of the state, and of its journal, that belongs to who runs this, without the rights of root."""
    folder = Path(tempfile.mkdtemp())
    copy = folder / "state" / "rotator.db"
    copy.parent.mkdir(mode=0o700)
    for one in path.parent.glob(f"{path.name}*"):
        shutil.copy(one, copy.parent)
    is_root = os.geteuid() == 0
    try:
        if is_root:
            for one in (folder, copy.parent, *copy.parent.iterdir()):
                os.chown(one, 65534, 65534)
            os.seteuid(65534)
        yield copy
    finally:
        if is_root:
            os.seteuid(0)
        copy.parent.chmod(0o700)
        shutil.rmtree(folder)


def test_a_file_that_may_only_be_read_is_refused_before_anything_is_written(database: Path) -> None:
    with as_ordinary_user(database) as copy:
        copy.chmod(0o400)
        failure = refusal(copy)
        assert failure.code == "state_read_only"
        with Reader(copy) as reader:
            assert reader.verify().broken is None
        copy.chmod(0o600)
        opened(copy).close()


def test_a_folder_that_may_only_be_read_is_refused_before_anything_is_written(database: Path) -> None:
    with as_ordinary_user(database) as copy:
        copy.parent.chmod(0o500)
        failure = refusal(copy)
        assert failure.code == "state_read_only"


def test_a_file_of_another_user_is_refused(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:  # what belongs to root is trusted by all
        os.chown(database, 1234, 1234)
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    failure = refusal(database)
    assert failure.code == "state_unsafe"
    assert "another user" in failure.message


# ------------------------------------------------------------------------------------------------- failures at work


def assert_that_nothing_more_is_written(ledger: SqlLedger, path: Path) -> None:
    before = path.read_bytes()
    for write in (
        lambda: ledger.record(EVENT, STATE),
        lambda: ledger.note(STATE),
        lambda: ledger.forget_sightings("a", ["k"]),
        lambda: ledger.accept("dana", "whatever"),
    ):
        with pytest.raises(StateUnusable, match="Nothing more is written"):
            write()
    assert path.read_bytes() == before


def test_a_full_disk_ends_all_writing_with_the_last_state_whole(database: Path) -> None:
    with opened(database) as ledger:
        head, driver = ledger.head(), ledger._database._driver
        driver.execute(f"PRAGMA max_page_count = {driver.execute('PRAGMA page_count').fetchone()[0]}")
        with pytest.raises(StateUnusable) as caught:
            for _ in range(100):
                head = ledger.head()
                ledger.record(replace(EVENT, detail="x" * 500))
        assert caught.value.code == "state_full"
        assert ledger.head() == head
        driver.execute("PRAGMA max_page_count = 1000000")
        assert_that_nothing_more_is_written(ledger, database)
    with opened(database) as ledger:
        ledger.record(EVENT)
        assert ledger.verify().broken is None
        assert ledger.head().seq == head.seq + 1


def test_a_failing_disk_ends_all_writing_with_the_last_state_whole(database: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(database) as ledger:
        head = ledger.head()
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # writing behind it fails (Python ignores SIGXFSZ)
            with pytest.raises(StateUnusable) as caught:
                ledger.record(EVENT, STATE)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.code in ("state_disk", "state_full")
        assert_that_nothing_more_is_written(ledger, database)
    with opened(database) as ledger:
        assert ledger.head() == head
        assert ledger.tracked("a") is None
        assert ledger.verify().broken is None


def test_a_busy_file_is_waited_for_and_is_no_failure(database: Path) -> None:
    with opened(database) as ledger, closing(sqlite3.connect(database, isolation_level=None)) as other:
        head = ledger.head()
        for hold in ("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"):
            other.execute(hold)
            with pytest.raises(Busy) as caught:
                ledger.record(EVENT, STATE)
            assert caught.value.exit_status == 75
            other.execute("ROLLBACK")
        assert ledger.head() == head
        ledger.record(EVENT, STATE)
        assert ledger.head().seq == head.seq + 1


def test_a_reader_that_will_not_end_makes_a_write_busy_and_loses_nothing(database: Path) -> None:
    with opened(database) as ledger, closing(sqlite3.connect(database, isolation_level=None)) as other:
        head = ledger.head()
        other.execute("BEGIN")
        other.execute("SELECT * FROM audit").fetchone()
        if journal(sqlite3.sqlite_version_info)[0] == "delete":
            with pytest.raises(Busy):
                ledger.record(EVENT, STATE)
            assert ledger.head() == head
            assert ledger.tracked("a") is None
        other.execute("ROLLBACK")
        ledger.record(EVENT, STATE)
        assert ledger.verify().broken is None


def test_a_reader_waits_for_a_busy_file_and_then_says_so(database: Path) -> None:
    with Reader(database, SHORT) as reader, closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Busy):
            reader.head()
        with pytest.raises(Busy):
            Reader(database, SHORT)
        other.execute("ROLLBACK")
        assert reader.head().seq == 40


def test_a_reader_writes_nothing(database: Path) -> None:
    with Reader(database) as reader, pytest.raises(StateUnusable), reader._database.writing() as connection:
        connection.execute(tables.meta.delete())
    with Reader(database) as reader:
        assert reader.owner


def test_what_the_file_cannot_hold_is_stored_as_near_as_it_can(database: Path) -> None:
    with opened(database) as ledger:
        half = "k\ud800"
        ledger.record(
            replace(EVENT, key_id=half), STATE, Version("a", half, VersionState.CURRENT, Origin.OURS, tag="\0ü")
        )
        (version,) = ledger.tracked("a").versions
        assert (version.key_id, version.tag) == ("k?", "\0ü")


def test_nothing_in_an_error_shows_what_was_written(database: Path) -> None:
    with opened(database) as ledger:
        ledger._database._driver.execute("PRAGMA max_page_count = 1")
        with pytest.raises(StateUnusable) as caught:
            for _ in range(100):
                ledger.record(replace(EVENT, detail="canary" * 80), replace(STATE, client_id="canary"))
        shown = [repr(caught.value), str(caught.value), caught.value.message, caught.value.hint]
        assert not any("canary" in one for one in shown)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
