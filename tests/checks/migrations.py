"""Migrations: run on an empty database they make the very tables of rotator/persistence/tables.py."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, StaticPool, create_engine

from rotator.persistence import marks, schema, tables

_OF_ALEMBIC = "alembic_version"


def faults() -> list[str]:
    """Return each difference as a sentence."""
    config = Config()
    config.set_main_option("script_location", str(schema.scripts()).replace("%", "%%"))
    heads = list(ScriptDirectory.from_config(config).get_heads())
    found = []
    if heads != [marks.REVISION]:
        found.append(f"the newest migration is {' and '.join(heads)}, REVISION in marks.py is {marks.REVISION}")
    with _empty() as migrated, _empty() as wanted:
        schema.migrate(migrated)
        tables.metadata.create_all(wanted)
        return [*found, *differences(described(migrated), described(wanted))]


def described(connection: Connection) -> dict[str, Any]:
    """Return what SQLite itself says of each table, column and index of a database."""
    facts: dict[str, Any] = {}
    names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
    for table in names:
        if table == _OF_ALEMBIC or table.startswith("sqlite_"):
            continue
        (kind,) = connection.exec_driver_sql(f"PRAGMA table_list('{table}')").all()
        facts[f"table {table}"] = (
            f"{'STRICT' if kind.strict else 'not strict'}, {'without' if kind.wr else 'with'} rowid"
        )
        facts[f"conditions of {table}"] = sorted(re.findall(r"CHECK \([^)]*\)", _sql(connection, table)))
        for place, column in enumerate(connection.exec_driver_sql(f"PRAGMA table_xinfo('{table}')").all()):
            facts[f"column {table}.{column.name}"] = (place, column.type, column.notnull, column.dflt_value, column.pk)
        for index in connection.exec_driver_sql(f"PRAGMA index_list('{table}')").all():
            keys = connection.exec_driver_sql(f"PRAGMA index_xinfo('{index.name}')").all()
            columns = [(key.name, key.desc, key.coll) for key in keys if key.key]
            where = _condition(connection, index.name)
            facts[f"index {table}.{index.name}"] = (index.unique, index.origin, columns, where)
    others = "SELECT type, name, sql FROM sqlite_master WHERE type NOT IN ('table', 'index')"
    facts.update({f"{kind} {name}": sql for kind, name, sql in connection.exec_driver_sql(others).all()})
    return facts


def differences(migrated: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    """Yield what one of the two has and the other has not, or has otherwise."""
    for name in sorted(migrated.keys() | wanted.keys()):
        if name not in migrated:
            yield f"{name} is in tables.py and no migration makes it"
        elif name not in wanted:
            yield f"{name} is made by the migrations and not in tables.py"
        elif migrated[name] != wanted[name]:
            yield f"{name} is {migrated[name]} after the migrations and {wanted[name]} in tables.py"


def _condition(connection: Connection, index: str) -> str:
    return " ".join(_sql(connection, index).partition("WHERE")[2].split())


def _sql(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).scalar() or "")


def _empty() -> Connection:
    driver = sqlite3.connect(":memory:", isolation_level=None)
    engine = create_engine("sqlite://", creator=lambda: driver, poolclass=StaticPool, isolation_level="AUTOCOMMIT")
    return engine.connect()
