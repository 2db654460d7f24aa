"""By which procedure a rotation goes, and until when one that is prepared waits."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    "ALTER TABLE credentials ADD COLUMN procedure TEXT",
    "ALTER TABLE rotations ADD COLUMN procedure TEXT",
    "ALTER TABLE rotations ADD COLUMN promote_at INTEGER",
)


def upgrade() -> None:
    """Add the columns; a rotation without one is an overlap, as all were."""
    for statement in STATEMENTS:
        op.execute(statement)
