"""Says in our errors what SQLite says in its own; it repairs nothing and never shows a statement or its parameters."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from rotator.errors import Busy, RotatorError, StateUnusable

_LOOK_AT_DISK: Final = "Look at the disk: space, quota, hardware. Start rotator again when it is sound."
_RESTORE: Final = "Stop rotator, keep the file for a look, and put a backup in its place: rotator db restore FILE"

_FAULTS: Final[dict[int, tuple[str, str, str]]] = {
    sqlite3.SQLITE_PERM: (
        "state_read_only",
        "may not be written",
        "Run as the user that owns it, and see that file and folder may be written.",
    ),
    sqlite3.SQLITE_READONLY: (
        "state_read_only",
        "cannot be written",
        "Run as the user that owns it, and see that file, folder and file system may be written.",
    ),
    sqlite3.SQLITE_IOERR: ("state_disk", "could not be read or written: the disk failed", _LOOK_AT_DISK),
    sqlite3.SQLITE_FULL: ("state_full", "cannot grow: the disk is full", _LOOK_AT_DISK),
    sqlite3.SQLITE_CORRUPT: ("state_corrupt", "is damaged", _RESTORE),
    sqlite3.SQLITE_NOTADB: ("state_corrupt", "is no SQLite database, or its beginning is damaged", _RESTORE),
    sqlite3.SQLITE_CANTOPEN: (
        "state_unreadable",
        "cannot be opened",
        "See that the folder exists, that it may be read and written, and that there is space on the disk.",
    ),
    sqlite3.SQLITE_CONSTRAINT: (
        "state_inconsistent",
        "was about to hold what contradicts itself, and nothing was written",
        "This is a fault of rotator, or somebody has changed the file. Look at it: rotator audit verify",
    ),
    sqlite3.SQLITE_ERROR: (
        "state_corrupt",
        "does not have the tables that this version of rotator made",
        _RESTORE,
    ),
}
_OTHER: Final = ("state_unusable", "cannot be used", "Start rotator again; if it stays so: rotator db restore FILE")


@contextlib.contextmanager
def translated(path: Path, patience: timedelta) -> Iterator[None]:
    """Turn what SQLite and its driver raise into StateUnusable, or Busy when another process held the file too long."""
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(error, path, patience) from None


@contextlib.contextmanager
def understood(path: Path) -> Iterator[None]:
    """Turn what a row raises that nobody here can have written into StateUnusable."""
    try:
        yield
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        what = f"holds a row that cannot be understood ({type(error).__name__})"
        raise damaged(path, what) from None


def error_code(error: BaseException | None) -> int:
    """Return the extended result code of SQLite (sqlite.org/rescode.html); 0 when the error carries none."""
    code = getattr(error, "sqlite_errorcode", None)
    return code if isinstance(code, int) else 0


def unusable(path: Path, code: int) -> StateUnusable:
    """Return the error for a primary result code of SQLite."""
    word, what, hint = _FAULTS.get(code, _OTHER)
    return StateUnusable(f"{path} {what}", hint=hint, code=word)


def damaged(path: Path, what: str) -> StateUnusable:
    """Return the error for a database that is not as it must be. what: ends the sentence that begins with its path."""
    return StateUnusable(f"{path} {what}", hint=_RESTORE, code="state_corrupt")


def _ours(error: BaseException | None, path: Path, patience: timedelta) -> RotatorError:
    primary = error_code(error) & 0xFF  # the higher bytes tell more than we ask
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(
            f"Another process has kept {path} busy for {patience.total_seconds():g} s",
            hint="Look for a rotator that hangs, or a backup in progress; then try again.",
        )
    return unusable(path, primary)
