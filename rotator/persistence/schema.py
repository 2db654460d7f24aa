"""Whose file it is and how old its tables are; makes and upgrades them. Alembic is loaded only when there is a need."""

from __future__ import annotations

import uuid
from enum import Enum, auto
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, insert, select

import rotator
from rotator.chain import ZEROS
from rotator.errors import StateUnusable
from rotator.persistence import tables

OWNER: Final = "owner"
"""The row of `meta` with the random id of this state."""


class Standing(Enum):
    """What a file of SQLite is to this version of rotator."""

    EMPTY = auto()
    FOREIGN = auto()
    OLD = auto()
    FITS = auto()
    FUTURE = auto()


def standing(connection: Connection) -> tuple[Standing, str]:
    """Return what the file is, and the name of its schema ("" for one that is not ours)."""
    mark = connection.exec_driver_sql("PRAGMA application_id").scalar()
    names = frozenset(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
    if mark == 0 and not names:
        return Standing.EMPTY, ""
    if mark != tables.APPLICATION_ID or "alembic_version" not in names:
        return Standing.FOREIGN, ""
    found = str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())
    if found == tables.REVISION:
        return Standing.FITS, found
    return (Standing.OLD if found < tables.REVISION else Standing.FUTURE), found


def unfit(path: Path, what: Standing, found: str) -> StateUnusable:
    """Return why a file cannot be used as it is."""
    if what is Standing.OLD:
        return StateUnusable(
            f"{path} has the tables of an earlier version of rotator (schema {found}, this one has {tables.REVISION})",
            hint="Bring it up to date: rotator db upgrade",
            code="state_old",
        )
    if what is Standing.FUTURE:
        return StateUnusable(
            f"{path} was written by a newer rotator (schema {found}, this one knows {tables.REVISION})",
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
    connection.exec_driver_sql(f"PRAGMA application_id = {tables.APPLICATION_ID}")
    connection.execute(insert(tables.meta).values(name=OWNER, value=new_owner()))
    connection.execute(insert(tables.audit_head).values(id=1, seq=0, hash=ZEROS))


def new_owner() -> str:
    """Return a random id for a state, by which it knows its own claims again after a crash."""
    return uuid.uuid4().hex


def owner(connection: Connection) -> str | None:
    """Return the id of this state."""
    return connection.execute(select(tables.meta.c.value).where(tables.meta.c.name == OWNER)).scalar()


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
