"""Copies of the state: made online, checked before they count, put back whole. Nothing is ever overwritten.

A file that SQLite has open is never copied as it lies there: pages may be half written, and its journal is a part of it
(sqlite.org/howtocorrupt.html, section 1.2).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

from rotator.clock import Clock
from rotator.errors import ChainBroken, StateUnusable
from rotator.persistence import marks, places, schema
from rotator.persistence.database import Access, Database
from rotator.persistence.faults import damaged
from rotator.persistence.lock import StateLock
from rotator.persistence.reading import Reader
from rotator.persistence.trail import Verified
from rotator.ports import Head

_JOURNALS: Final = ("-journal", "-wal", "-shm")


def backup(database: Path, target: Path) -> Verified:
    """Copy the state while it is in use; return what the check of the copy found.

    The copy has mode 0600, is synchronised, its pages and its chain are checked. Raises StateUnusable (`file_exists`
    when there is one already), Busy, and ChainBroken with the copy kept, when the chain does not hold.
    """
    target = target.absolute()
    _copy(database, target)
    return _checked(target)


def restore(
    database: Path, source: Path, clock: Clock, actor: str, expected_head: Head | None = None
) -> tuple[Verified, Path | None]:
    """Put a backup in the place of the state. Return what its check found, and where the replaced file is.

    The copy gets a new owner id, since the one it has may still be in use somewhere, and an `audit.accepted` record
    that says where it came from; `expected_head` is the head that is known elsewhere, and what it misses is named. Only
    then is it moved to its place, in one step. Raises StateUnusable, ChainBroken, Busy when a process has the state.
    """
    from rotator.persistence.ledger import SqlLedger

    database, source = database.absolute(), source.absolute()
    with StateLock(database, clock, "restore"):
        stamp = f"{clock.now():%Y%m%dT%H%M%SZ}"
        fresh = database.with_name(f"{database.name}.restoring-{stamp}")
        _copy(source, fresh)
        try:
            _bring_up(fresh)
            found = _checked(fresh)
            with SqlLedger(fresh, clock) as ledger:
                ledger.change_owner()
                ledger.accept(actor, f"restored from {source.name}", expected_head)
            return found, _exchange(database, fresh, stamp)
        finally:
            for name in ("", *_JOURNALS):
                fresh.with_name(fresh.name + name).unlink(missing_ok=True)


def revision(database: Path) -> tuple[str, str]:
    """Return the schema that the file has, and the newest that this version knows. Raises StateUnusable."""
    with contextlib.closing(Database(database, Access.LOOK)) as opened, opened.reading() as connection:
        return schema.standing(connection)[1], marks.REVISION


def upgrade(database: Path, clock: Clock) -> Path | None:
    """Bring the tables up to date, in one transaction; return where the copy is that was made before, if any.

    Nothing happens to a file that is up to date; one that is missing is made. The caller holds the `StateLock`.
    """
    with contextlib.closing(Database(database, Access.UPGRADE)) as opened:
        with opened.reading() as connection:
            what, found = schema.standing(connection)
        if what is schema.Standing.FITS:
            return None
        copy = opened.path.with_name(f"{opened.path.name}.schema-{found}-{clock.now():%Y%m%dT%H%M%SZ}")
        _copy(database, copy)
        with opened.writing() as connection:
            schema.migrate(connection)
        return copy


def _copy(database: Path, target: Path) -> None:
    """Make a new file that holds the same; nothing is left of it when that fails."""
    with contextlib.closing(Database(database, Access.LOOK)) as opened:
        if not target.parent.is_dir():
            raise StateUnusable(
                f"There is no folder {target.parent}.",
                hint=f"Make it first, for rotator alone: mkdir -m 700 {target.parent}",
                code="state_unreadable",
            )
        places.see_that_it_is_safe(target)
        places.new_file(target)
        try:
            opened.copy(target)
            places.sync_folder(target.parent)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _checked(copy: Path) -> Verified:
    """Look at every page, index and audit record of a copy."""
    with Reader(copy) as reader:
        if not reader.is_sound():
            raise damaged(copy, "is damaged")
        found = reader.verify()
    if found.broken is not None:
        raise ChainBroken(
            f"The audit chain in {copy} does not hold: {found.broken.reason}",
            hint="Look at it: rotator audit verify. When a person has: rotator audit accept --reason TEXT",
        )
    return found


def _bring_up(copy: Path) -> None:
    """Give a copy the newest tables, where it was made by an earlier version."""
    with contextlib.closing(Database(copy, Access.UPGRADE)) as opened:
        with opened.reading() as connection:
            what, _ = schema.standing(connection)
        if what is schema.Standing.OLD:
            with opened.writing() as connection:
                schema.migrate(connection)


def _exchange(database: Path, fresh: Path, stamp: str) -> Path | None:
    """Put `fresh` in the place of `database`, of which a copy stays, its journal with it: both may be wanted."""
    kept = None
    if database.exists():
        kept = database.with_name(f"{database.name}.replaced-{stamp}")
        for suffix in ("", *_JOURNALS):
            old = database.with_name(database.name + suffix)
            if old.exists():
                _duplicate(old, kept.with_name(kept.name + suffix))
        places.sync_folder(database.parent)
    for suffix in _JOURNALS:  # they belong to the old file; beside the new one SQLite would play them into it
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    os.replace(fresh, database)
    places.sync_folder(database.parent)
    return kept


def _duplicate(old: Path, new: Path) -> None:
    places.new_file(new)
    shutil.copyfile(old, new)
    with new.open("rb") as file:
        os.fsync(file.fileno())
