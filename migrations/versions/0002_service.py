"""What the service needs: indexes by which it finds what is due."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "CREATE INDEX ix_credentials_wake ON credentials (wake_at) WHERE forgotten_at IS NULL",
    "CREATE INDEX ix_credentials_parked ON credentials (name) WHERE forgotten_at IS NULL AND parked IS NOT NULL",
)


def upgrade() -> None:
    """Make them."""
    for statement in STATEMENTS:
        op.execute(statement)
