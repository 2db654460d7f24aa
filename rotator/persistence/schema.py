"""Whose file it is and how old its tables are; makes and upgrades them. Alembic is loaded only when there is a need."""

from __future__ import annotations

import secrets
import sqlite3
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Final

import rotator
from rotator.chain import ZEROS
from rotator.errors import StateUnusable
from rotator.persistence import marks

if TYPE_CHECKING:
    from sqlalchemy import Connection

OWNER: Final = "owner"
"""The row of `meta` with the random id of this state."""

CHECKPOINT: Final = "checkpoint"
"""The row of `meta` that says when the last checkpoint was written (microseconds since 1970), and its record."""

WALKED: Final = "walked"
"""The row of `meta` that says when the whole audit chain was last walked along, and what was found."""


class Standing(Enum):
    """What a file of SQLite is to this version of rotator."""

    EMPTY = auto()
    FOREIGN = auto()
    OLD = auto()
    FITS = auto()
    FUTURE = auto()


def standing(connection: sqlite3.Connection) -> tuple[Standing, str]:
    """Return what the file is, and the name of its schema ("" for one that is not ours)."""
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if mark == 0 and not names:
        return Standing.EMPTY, ""
    if mark != marks.APPLICATION_ID or "alembic_version" not in names:
        return Standing.FOREIGN, ""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    found = str(row[0] if row else None)
    if found == marks.REVISION:
        return Standing.FITS, found
    return (Standing.OLD if found < marks.REVISION else Standing.FUTURE), found


def unfit(path: Path, what: Standing, found: str) -> StateUnusable:
    """Return why a file cannot be used as it is."""
    if what is Standing.OLD:
        return StateUnusable(
            f"{path} has the tables of an earlier version of rotator (schema {found}, this one has {marks.REVISION})",
            hint="Bring it up to date: rotator db upgrade",
            code="state_old",
        )
    if what is Standing.FUTURE:
        return StateUnusable(
            f"{path} was written by a newer rotator (schema {found}, this one knows {marks.REVISION})",
            hint="Run the newer version, or put the backup back that its upgrade made: rotator db restore FILE",
            code="state_future",
        )
    return StateUnusable(
        f"{path} is a database, but none of rotator's",
        hint="Correct `state.url` in the configuration; nothing was changed in the file.",
        code="state_foreign",
    )


def make(connection: Connection) -> None:
    """Give an empty file its tables and its owner. The caller holds a transaction: all of it happens, or nothing."""
    migrate(connection)
    connection.exec_driver_sql(f"PRAGMA application_id = {marks.APPLICATION_ID}")
    connection.exec_driver_sql("INSERT INTO meta (name, value) VALUES (?, ?)", (OWNER, new_owner()))
    connection.exec_driver_sql("INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, ?)", (ZEROS,))


def new_owner() -> str:
    """Return a random id for a state, by which it knows its own claims again after a crash."""
    return secrets.token_hex(16)


def owner(connection: sqlite3.Connection) -> str | None:
    """Return the id of this state."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (OWNER,)).fetchone()
    return row[0] if row else None


def migrate(connection: Connection) -> None:
    """Run the migrations that the file lacks, in the transaction of the caller."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    command.upgrade(config, "head")


def scripts() -> Path:
    """Return the folder of the migrations: within the package where it is installed, beside it in a checkout.

    Raises StateUnusable when there is none.
    """
    package = Path(rotator.__file__).parent
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise StateUnusable(
        f"The migrations are missing beside {package}",
        hint="The installation is not whole: install rotatord again.",
        code="migrations_missing",
    )
