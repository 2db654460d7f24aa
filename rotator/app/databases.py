"""`rotator db`: schema, copies and restores of the state. A restore starts no rotation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rotator.app.house import House
from rotator.app.results import Item


@dataclass(frozen=True, slots=True)
class Database:
    """What was done in one sentence, with what remains to do. current, newest: revisions of the schema."""

    items: tuple[Item, ...]
    message: str
    hint: str = ""
    current: str | None = None
    newest: str | None = None
    exit_status: int = 0


def db_upgrade(house: House) -> Database:
    """Bring the schema up to date; a copy of the file is kept beside it."""
    raise NotImplementedError


def db_current(house: House) -> Database:
    """Return the revision of the schema; exit status 1 when it is not the newest."""
    raise NotImplementedError


def db_backup(house: House, target: Path) -> Database:
    """Copy the state while it is in use. Never overwrites."""
    raise NotImplementedError


def db_restore(house: House, source: Path) -> Database:
    """Put a copy in the place of the state; records `audit.accepted`, and everything is looked at again."""
    raise NotImplementedError
