"""What the state file is known by, and the conditions that its indexes are made for, in plain SQL. It opens nothing.

They stand apart from `tables` because whoever only reads does without SQLAlchemy: importing it takes as long as all
else that `rotator status` does.
"""

from __future__ import annotations

from typing import Final

REVISION: Final = "0003"
"""The newest schema, and the name of its migration."""

APPLICATION_ID: Final = 0x526F7461
"""What tells our file from any other of SQLite: "Rota" (PRAGMA application_id)."""

UNFINISHED: Final = "phase NOT IN ('promoted', 'abandoned')"
UNSETTLED: Final = "outcome IS NULL OR outcome = 'unknown'"
UNANSWERED: Final = "answered_by IS NULL"
MANAGED: Final = "forgotten_at IS NULL"
PARKED: Final = "parked IS NOT NULL"
