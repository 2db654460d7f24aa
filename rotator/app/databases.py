"""`rotator db`: schema, copies and restores of the state. A restore starts no rotation."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rotator.app import heads
from rotator.app.auditing import publish_accepted
from rotator.app.house import LOCK_PATIENCE, House, Use
from rotator.app.results import Item
from rotator.app.state import see_whose_it_is
from rotator.errors import Refused, RotatorError, StateUnusable
from rotator.finding import Finding, Severity
from rotator.ports import Head

SUBJECT = "state"


@dataclass(frozen=True, slots=True)
class Database:
    """What was done in one sentence, with what remains to do. current, newest: revisions of the schema.

    items: one, with the same facts.
    """

    items: tuple[Item, ...]
    message: str
    hint: str = ""
    current: str | None = None
    newest: str | None = None
    exit_status: int = 0


def db_upgrade(house: House) -> Database:
    """Bring the schema up to date; a copy of the file is kept beside it. Raises Busy (75), StateUnusable."""
    from rotator.persistence.copies import revision, upgrade
    from rotator.persistence.lock import StateLock

    see_whose_it_is(house.database)
    if not house.database.exists():
        house.ledger()
        current, newest = revision(house.database)
        return _answer(f"{house.database} was made, with schema {current}.", "", current, newest)
    with StateLock(house.database, house.clock, "db upgrade", LOCK_PATIENCE):
        before, _ = revision(house.database)
        kept = upgrade(house.database, house.clock)
        current, newest = revision(house.database)
    if before == current:
        return _answer(f"{house.database} is up to date: schema {current}.", "", current, newest)
    hint = "" if kept is None else f"The state as it was is in {kept}."
    return _answer(f"{house.database} was brought from schema {before} to {current}.", hint, current, newest)


def db_current(house: House) -> Database:
    """Return the revision of the schema; exit status 1 when it is not the newest. Raises StateUnusable."""
    from rotator.persistence.copies import revision

    current, newest = revision(house.database)
    if current == newest:
        return _answer(f"{house.database} is up to date: schema {current}.", "", current, newest)
    message = f"{house.database} has schema {current or 'none'}; this version of rotator writes {newest}."
    hint = "The next command that writes brings it up to date, or now: rotator db upgrade"
    hint = _NEWER if current > newest else hint
    return replace(_answer(message, hint, current, newest), exit_status=1)


def db_backup(house: House, target: Path) -> Database:
    """Copy the state while it is in use. Never overwrites. Raises StateUnusable, Busy, ChainBroken with a copy made."""
    from rotator.persistence.copies import backup

    found = backup(house.database, target)
    return _answer(f"{target} is a copy of {house.database}, checked: records {found.first} to {found.last}.", "")


def db_restore(house: House, source: Path) -> Database:
    """Put a copy in the place of the state; records `audit.accepted`, and everything is looked at again.

    Raises StateUnusable, ChainBroken, and Busy while any other process holds the state.
    """
    from rotator.persistence.copies import restore

    see_whose_it_is(house.database)
    _see_that_it_is_a_copy(source)
    expected = _latest_head(house)
    found, kept = restore(house.database, source, house.clock, house.actor, expected)
    ledger = house.ledger()
    awake = [replace(one.state, wake_at=None) for one in ledger.every() if one.state.wake_at is not None]
    for start in range(0, len(awake), 500):
        ledger.note(*awake[start : start + 500])
    unpublished = publish_accepted(house)
    said = f"{house.database} was restored from {source}, records {found.first} to {found.last}."
    before = "" if kept is None else f" The state before is in {kept}."
    hint = "See what is different now, then let it reconcile: rotator check, rotator rotate"
    if unpublished:
        hint = f"The head could not be kept in a store: {unpublished[0].message} {hint}"
    return _answer(said + before, hint)


def _see_that_it_is_a_copy(source: Path) -> None:
    from rotator.persistence.copies import revision

    try:
        revision(source)
    except StateUnusable as error:
        why = f"There is no backup {source}" if error.code == "state_missing" else error.message
        hint = "Nothing was changed. Name a file that was made with: rotator db backup FILE"
        raise Refused(f"{why}.", hint=hint, code=error.code) from None


def _latest_head(house: House) -> Head | None:
    """Return the head that a store keeps for the state that is replaced; None where none can be had."""
    found: list[Head] = []
    try:
        reader = house.reader()
        owner = reader.owner if reader is not None else ""
    except RotatorError:
        owner = ""  # it is restored because it cannot be read
    for name in house.stores_in_use if owner else ():
        try:
            kept = heads.kept_in(house.store(name, Use.LOOK).staging, owner)
        except RotatorError:
            continue
        if kept is not None:
            found.append(kept)
    house.close_reader()
    return max(found, key=lambda head: head.seq, default=None)


def examine(house: House) -> Sequence[Finding]:
    """Look for `rotator check` whether the state can be written and is as new as this version. Changes nothing."""
    from rotator.persistence.copies import revision
    from rotator.persistence.places import see_that_it_is_safe

    path, library = house.database, f"SQLite {sqlite3.sqlite_version}"
    see_whose_it_is(path)
    there = see_that_it_is_safe(path)
    nearest = next((folder for folder in path.parents if folder.exists()), path.parent)
    space = os.statvfs(nearest)
    if space.f_blocks and not space.f_bavail:
        message = f"no space is left on the file system of {nearest}"
        return [Finding(SUBJECT, "database", Severity.FAIL, message, "Make room there, or raise the quota.")]
    if not there:
        if not os.access(nearest, os.W_OK | os.X_OK):
            hint = "Run as the user that owns it, or correct state.url."
            return [Finding(SUBJECT, "database", Severity.FAIL, f"{nearest} cannot be written", hint, 78)]
        return [Finding(SUBJECT, "database", Severity.OK, f"{path} will be made by the first rotation; {library}")]
    current, newest = revision(path)
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK | os.X_OK):
        message, hint = f"{path} cannot be written", "Run as the user that owns it."
        return [Finding(SUBJECT, "database", Severity.FAIL, message, hint, 78)]
    if current != newest:
        message = f"{path} has schema {current}, this version writes {newest}; {library}"
        if current > newest:
            return [Finding(SUBJECT, "database", Severity.FAIL, message, _NEWER)]
        hint = "The next command that writes upgrades it and keeps a copy; or now: rotator db upgrade"
        return [Finding(SUBJECT, "database", Severity.WARN, message, hint)]
    return [Finding(SUBJECT, "database", Severity.OK, f"{path} can be written; schema {current}; {library}")]


_NEWER: Final = (
    "Run the newer version that wrote it, or put the backup back that its upgrade made: rotator db restore FILE"
)
"""What to do with a schema that this version does not know. Revisions are numbered, so their names can be compared."""


def _answer(message: str, hint: str, current: str | None = None, newest: str | None = None) -> Database:
    item = {"message": message, "hint": hint or None, "current": current, "newest": newest}
    return Database((item,), message, hint, current, newest)
