"""One connection to the state file, shared by threads: short transactions, errors in our words, and no second chance.

After any failure of SQLite but a busy file nothing more is written through it: a retried fsync can succeed without
having written (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

from rotator.errors import StateUnusable
from rotator.persistence import places, schema
from rotator.persistence.faults import damaged, error_code, translated, unusable
from rotator.persistence.rows import Row
from rotator.persistence.schema import Standing

if TYPE_CHECKING:
    from sqlalchemy import Connection

PATIENCE: Final = timedelta(seconds=10)
"""How long a busy file is waited for."""

_TOUCH: Final = "SELECT count(*) FROM sqlite_master"
_FOR_ALL: Final = ("trusted_schema = OFF", "cell_size_check = ON", "foreign_keys = ON", "temp_store = MEMORY")
_FOR_READERS: Final = (*_FOR_ALL, "query_only = ON")
_FOR_WRITERS: Final = (*_FOR_ALL, "secure_delete = ON")

_PAGES_AT_ONCE: Final = 512
"""Of a copy: two megabytes. No writer waits longer than these take."""

_RESTARTS: Final = 3

_lenient: Final = functools.partial(str, encoding="utf-8", errors="replace")


class Access(Enum):
    """What a connection is for."""

    READ = "ro"
    WRITE = "rw"
    UPGRADE = "rw, old tables too"
    LOOK = "ro, whatever its age"


_SUITS: Final = {
    Access.READ: (Standing.FITS,),
    Access.WRITE: (Standing.FITS,),
    Access.UPGRADE: (Standing.FITS, Standing.OLD),
    Access.LOOK: (Standing.FITS, Standing.OLD, Standing.FUTURE),
}
_READING: Final = (Access.READ, Access.LOOK)


def journal(sqlite_version: tuple[int, ...]) -> tuple[str, str]:
    """Return journal mode and synchronous for a version of SQLite.

    Before 3.51.3 a write-ahead log could lose what was committed when two connections met at its reset
    (sqlite.org/wal.html, "The WAL-Reset Bug"). EXTRA makes the end of a rollback journal last, too.
    """
    return ("wal", "FULL") if sqlite_version >= (3, 51, 3) else ("delete", "EXTRA")


class Database:
    """The state file, open. Safe for use from several threads. SQLAlchemy is loaded by the first that writes."""

    def __init__(self, path: Path, access: Access, patience: timedelta = PATIENCE) -> None:
        """Open it. For writing it is made, with its tables, when it is missing or empty.

        Nothing is written to a file that has its tables already. Raises StateUnusable (codes `state_missing`,
        `state_unsafe`, `state_foreign`, `state_corrupt`, `state_future`, `state_old`, `state_read_only`, …) and Busy.
        """
        self.path = path.absolute()
        self.patience = patience
        self._lock = threading.RLock()
        self._refused: StateUnusable | None = None
        if access not in _READING:
            places.make(self.path)
        elif not places.see_that_it_is_safe(self.path):
            raise missing(self.path)
        self._driver = self._connect(access)
        self._connection: Connection | None = None
        self._place = self._stands_at()
        try:
            self._open(access)
        except BaseException:
            self._driver.close()
            raise

    # --------------------------------------------------------------------------------------------------- transactions

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Hold the file alone for one transaction; it is on the disk when this ends without an error.

        Raises StateUnusable, from the first failure on for ever, and Busy, after which it may be tried again.
        """
        from rotator.persistence import alchemy

        with self._lock:
            self.see_that_it_may_be_written()
            if self._connection is None:
                self._connection = alchemy.over(self._driver)
            with self._transaction("BEGIN IMMEDIATE"), alchemy.unwrapped():
                self.see_that_it_is_still_there()
                yield self._connection

    def see_that_it_may_be_written(self) -> None:
        """Raise StateUnusable when a write has failed before: what cannot be written down is not done."""
        if self._refused is not None:
            raise StateUnusable(
                f"Nothing more is written since this failure: {self._refused.message}",
                hint=self._refused.hint,
                code=self._refused.code,
            )

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """See one state of the file. Keep it short: in journal mode a writer waits meanwhile."""
        with self._lock, self._transaction("BEGIN"):
            yield self._driver

    def rows(self, *questions: tuple[str, Mapping[str, Any]]) -> list[Sequence[Row]]:
        """Return the rows of each question, all seen in one short transaction."""
        with self.reading() as connection:
            return [connection.execute(statement, values).fetchall() for statement, values in questions]

    @contextlib.contextmanager
    def as_it_stands(self) -> Iterator[sqlite3.Connection]:
        """Do as `reading`, where even a text that is no text any more can be read: a checker must see everything."""
        with self._lock:
            self._driver.text_factory = _lenient
            try:
                with self._transaction("BEGIN"):
                    yield self._driver
            finally:
                self._driver.text_factory = str

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        try:
            with translated(self.path, self.patience):
                self._driver.execute(begin)
                try:
                    yield
                    self._driver.execute("COMMIT")
                except BaseException:
                    self._roll_back()
                    raise
        except StateUnusable as failure:
            told = self._gone() or failure  # SQLite may notice first, and call the file read-only
            self._refused = self._refused or told
            raise told from None

    def see_that_it_is_still_there(self) -> None:
        """Raise StateUnusable when the file was removed or replaced: SQLite would write on, to what nobody finds again.

        (sqlite.org/howtocorrupt.html, section 4.2)
        """
        if (gone := self._gone()) is not None:
            raise gone

    def _gone(self) -> StateUnusable | None:
        if self._stands_at() == self._place:
            return None
        return StateUnusable(
            f"{self.path} was removed, or another file was put in its place, while it was in use",
            hint="What this process knew is lost with it. Put a backup in its place: rotator db restore FILE. "
            "Without one, the next start makes a new state from the stores and the issuers.",
            code="state_replaced",
        )

    def _stands_at(self) -> tuple[int, int] | None:
        try:
            facts = self.path.stat()
        except OSError:
            return None
        return facts.st_dev, facts.st_ino

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # what went wrong before is what is told
            if self._driver.in_transaction:
                self._driver.execute("ROLLBACK")

    def copy(self, target: Path) -> None:
        """Copy all of it into an empty file, page after page, while others may write. Raises StateUnusable, Busy."""
        with self._lock, translated(self.path, self.patience):
            there = sqlite3.connect(f"file:{quote(str(target))}?mode=rw", uri=True, isolation_level=None)
            with contextlib.closing(there):
                try:
                    self._driver.backup(there, pages=_PAGES_AT_ONCE, progress=_Restarts().watch, sleep=0.005)
                except _TooOften:
                    self._driver.backup(there)  # writers wait this once

    # -------------------------------------------------------------------------------------------------------- opening

    def _connect(self, access: Access) -> sqlite3.Connection:
        mode = "ro" if access in _READING else "rw"
        with translated(self.path, self.patience):
            return sqlite3.connect(
                f"file:{quote(str(self.path))}?mode={mode}",
                uri=True,
                timeout=self.patience.total_seconds(),
                isolation_level=None,
                check_same_thread=False,
            )

    def _open(self, access: Access) -> None:
        with translated(self.path, self.patience):
            for setting in _FOR_READERS if access in _READING else _FOR_WRITERS:
                self._driver.execute(f"PRAGMA {setting}")
        if access in _READING:
            self._finish_what_a_crash_left()
        with self.reading() as connection:
            what, found = schema.standing(connection)
        if what is Standing.EMPTY:
            if access in _READING:
                raise missing(self.path)
            self._set_journal()
            what, found = self._make()
        if what not in _SUITS[access]:
            raise schema.unfit(self.path, what, found)
        if access not in _READING:
            self._set_journal()
            self._see_that_it_is_sound()

    def _make(self) -> tuple[Standing, str]:
        with self.writing() as connection:
            if schema.standing(self._driver)[0] is Standing.EMPTY:  # no other process was quicker
                schema.make(connection)
            return schema.standing(self._driver)

    def _set_journal(self) -> None:
        mode, synchronous = journal(sqlite3.sqlite_version_info)
        with translated(self.path, self.patience):
            self._driver.execute(f"PRAGMA synchronous = {synchronous}")
            if self._driver.execute("PRAGMA journal_mode").fetchone()[0] != mode:
                self._driver.execute(f"PRAGMA journal_mode = {mode}")

    def _see_that_it_is_sound(self) -> None:
        """Look at every page. SQLite itself takes the lost end of a page for zeros, so the size is looked at, too."""
        with self.writing() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            page = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
            if found != "ok" or self.path.stat().st_size % page:
                raise unusable(self.path, sqlite3.SQLITE_CORRUPT)

    def _finish_what_a_crash_left(self) -> None:
        """Let SQLite undo a transaction that a killed writer left half written; a reader's connection may not.

        Without it nobody could look at the state after a crash before the next command that writes.
        """
        with translated(self.path, self.patience):
            try:
                self._driver.execute(_TOUCH).fetchone()
            except sqlite3.OperationalError as error:
                if error_code(error) != sqlite3.SQLITE_READONLY_ROLLBACK:
                    raise
            else:
                return
            with contextlib.closing(self._connect(Access.WRITE)) as once:
                once.execute("PRAGMA query_only = ON")
                try:
                    once.execute(_TOUCH).fetchone()
                except sqlite3.OperationalError as error:
                    if error_code(error) != sqlite3.SQLITE_READONLY_ROLLBACK:
                        raise
                    raise StateUnusable(
                        f"{self.path} was left in the middle of a write, and to put that right it must be written",
                        hint="Once, as the user that owns it: rotator status",
                        code="state_read_only",
                    ) from None

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._driver.close()


class _TooOften(Exception):
    """A copy had to start anew again and again, because others write."""


class _Restarts:
    """Counts how often a copy started anew: then more is left to do than before."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._count = 0

    def watch(self, status: int, left: int, _: int) -> None:
        """Take note of one step; `status` is a result code of SQLite."""
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):  # SQLite has waited already
            error = sqlite3.OperationalError("busy")
            error.sqlite_errorcode = status
            raise error
        if self._left is not None and left >= self._left:
            self._count += 1
            if self._count > _RESTARTS:
                raise _TooOften
        self._left = left


class Asking:
    """Who asks the state something: holds it open, and lets go of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _owner(self) -> str:
        with self._database.reading() as connection:
            owner = schema.owner(connection)
        if not owner:
            raise damaged(self._database.path, "has lost the id of its owner")
        return owner

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def missing(path: Path) -> StateUnusable:
    """Return the error for a state that nobody has made yet."""
    return StateUnusable(
        f"There is no state yet: {path} does not exist or is empty",
        hint="See that `state.url` is right: rotator check. The first `rotator rotate` makes it.",
        code="state_missing",
    )
