"""Looks at the state beside whoever writes it: read-only, in short transactions, and never the cause of a change."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from rotator.persistence import schema
from rotator.persistence.database import PATIENCE, Access, Database
from rotator.persistence.figures import Figures, Last
from rotator.persistence.trail import EVERYTHING, AuditFilter, Trail, Verified
from rotator.persistence.views import Told, Views

__all__ = ["EVERYTHING", "AuditFilter", "Last", "Reader", "Told", "Verified"]


class Reader(Views, Trail, Figures):
    """What the state knows and what its audit records say. Safe for use from several threads."""

    def __init__(self, path: Path, patience: timedelta = PATIENCE) -> None:
        """Open the state for reading. patience: how long a busy file is waited for.

        Raises StateUnusable (`state_missing` when there is none yet) and Busy. Only where a killed writer left a
        transaction half written it is undone in the file, as SQLite does at the next look.
        """
        super().__init__(Database(path, Access.READ, patience))

    @property
    def owner(self) -> str:
        """Return the id of this state, by which a copy of its head is found elsewhere; empty when it is lost."""
        with self._database.reading() as connection:
            return schema.owner(connection) or ""

    def is_sound(self) -> bool:
        """Say whether every page, row and index of the file is whole. Reads all of it; a writer waits meanwhile."""
        with self._database.reading() as connection:
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",))
