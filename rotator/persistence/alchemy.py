"""A connection of SQLAlchemy over one that is open already. It begins and ends no transaction, and opens nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from sqlalchemy import Connection, StaticPool, create_engine
from sqlalchemy.exc import SQLAlchemyError


def over(driver: sqlite3.Connection) -> Connection:
    """Return SQLAlchemy's connection. Not while a transaction is open: SQLAlchemy rolls back once at its first look."""
    connection = create_engine(
        "sqlite://",
        creator=lambda: driver,
        poolclass=StaticPool,
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",  # transactions are begun and ended by whoever calls, by hand
    ).connect()
    connection.begin()  # sends nothing; without it Alembic would begin one of its own, and its end would be ours
    return connection


@contextlib.contextmanager
def unwrapped() -> Iterator[None]:
    """Raise the driver's own error in place of SQLAlchemy's; where there is none, one without a result code."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None)
        failure = cause if isinstance(cause, sqlite3.Error) else sqlite3.DatabaseError(type(error).__name__)
    else:
        return
    raise failure
