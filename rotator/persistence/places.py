"""Looks at the place of the state before it is trusted, and makes it when it is missing; opens nothing else.

A database that is open must never be opened and closed beside SQLite: closing any handle drops the locks of the whole
process (sqlite.org/howtocorrupt.html, section 2.2). So a file that exists is only ever looked at from outside.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rotator.errors import StateUnusable


def make(path: Path) -> None:
    """Make folder (0700) and file (0600) when they are missing, and see that both are there to stay.

    Raises StateUnusable when they cannot be made or written, or are not where only we can change them.
    """
    try:
        _make_folder(path.parent)
        if see_that_it_is_safe(path):
            _see_that_it_can_be_written(path)
            return
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            return
        os.close(handle)
        sync_folder(path.parent)
    except OSError as error:
        raise _cannot("make", path, error) from None


def see_that_it_is_safe(path: Path) -> bool:
    """Return whether the file is there; raise StateUnusable when somebody else could put another in its place.

    Refused are links, symbolic or hard: SQLite finds the journal of a crash by the name of its file.
    """
    try:
        _see_that_the_folder_is_safe(path.parent)
        facts = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _cannot("look at", path, error) from None
    if not stat.S_ISREG(facts.st_mode):
        raise _unsafe(f"{path} is no regular file", "Give the real path of the state file; links are not followed.")
    if facts.st_nlink > 1:
        raise _unsafe(
            f"{path} has a second name (a hard link)",
            "Remove the other name; a copy is made by: rotator db backup FILE",
        )
    if facts.st_mode & 0o022:
        raise _unsafe(
            f"{path} can be written by others", f"Look who changed it, then take their rights: chmod 600 {path}"
        )
    _see_that_it_is_ours(facts, path)
    return True


def sync_folder(folder: Path) -> None:
    """See to it that a name just made, moved or removed in a folder survives a loss of power. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def new_file(path: Path) -> None:
    """Make an empty file, 0600, where none may be yet. Raises StateUnusable (`file_exists` when there is one)."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        raise StateUnusable(
            f"{path} exists already, and nothing is overwritten.",
            hint="Choose another name, or remove the file first.",
            code="file_exists",
        ) from None
    except OSError as error:
        raise _cannot("make", path, error) from None


def _make_folder(folder: Path) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
        sync_folder(one.parent)


def _see_that_the_folder_is_safe(folder: Path) -> None:
    facts = folder.stat()
    if not stat.S_ISDIR(facts.st_mode):
        raise NotADirectoryError(folder)
    if facts.st_mode & 0o022:
        raise _unsafe(
            f"{folder} can be written by others (mode {stat.S_IMODE(facts.st_mode):04o})",
            f"Keep the state in a folder of its own, or take their rights: chmod 700 {folder}",
        )
    _see_that_it_is_ours(facts, folder)


def _see_that_it_is_ours(facts: os.stat_result, path: Path) -> None:
    if os.geteuid() != 0 and facts.st_uid not in (os.geteuid(), 0):
        raise _unsafe(
            f"{path} belongs to another user (uid {facts.st_uid})",
            "Run as that user, or give it to the one that rotator runs as.",
        )


def _see_that_it_can_be_written(path: Path) -> None:
    """Say it before the first write does: SQLite opens such a file for reading without a word."""
    for one, how in ((path.parent, os.W_OK | os.X_OK), (path, os.R_OK | os.W_OK)):
        if not os.access(one, how, effective_ids=os.access in os.supports_effective_ids):
            raise StateUnusable(
                f"{one} cannot be written",
                hint="Run as the user that owns it, and see that file, folder and file system may be written.",
                code="state_read_only",
            )


def _unsafe(message: str, hint: str) -> StateUnusable:
    return StateUnusable(message, hint=hint, code="state_unsafe")


def _cannot(act: str, path: Path, error: OSError) -> StateUnusable:
    return StateUnusable(
        f"Cannot {act} {path}: {error.strerror or type(error).__name__}",
        hint="Run as the user that owns the folder, and see that it may be written and that there is space.",
        code="state_unreadable",
    )
