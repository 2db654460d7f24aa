"""What issuers with a single slot need: by which procedure a rotation goes."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    "ALTER TABLE credentials ADD COLUMN procedure TEXT",
    "ALTER TABLE rotations ADD COLUMN procedure TEXT",
)


def upgrade() -> None:
    """Add the columns; a rotation without one is an overlap, as all were."""
    for statement in STATEMENTS:
        op.execute(statement)
