"""The first tables.

Written in SQL, because a migration says what a file on a disk has, whatever the program thinks of it later.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE meta (
      name TEXT NOT NULL,
      value TEXT NOT NULL,
      PRIMARY KEY (name)
    ) WITHOUT ROWID, STRICT
    """,
    """
    CREATE TABLE credentials (
      name TEXT NOT NULL,
      issuer TEXT NOT NULL,
      application TEXT NOT NULL,
      store_path TEXT NOT NULL,
      provider TEXT NOT NULL,
      kind TEXT NOT NULL,
      client_id TEXT,
      paused_at INTEGER,
      parked TEXT,
      error TEXT,
      failures INTEGER NOT NULL,
      cause TEXT,
      same_cause INTEGER NOT NULL,
      not_before INTEGER,
      proved_at INTEGER,
      control_at INTEGER,
      wake_at INTEGER,
      alerted_at INTEGER,
      forgotten_at INTEGER,
      PRIMARY KEY (name)
    ) WITHOUT ROWID, STRICT
    """,
    """
    CREATE TABLE versions (
      credential TEXT NOT NULL,
      key_id TEXT NOT NULL,
      state TEXT NOT NULL,
      origin TEXT NOT NULL,
      created_at INTEGER,
      expires_at INTEGER,
      tag TEXT,
      rotation_id TEXT,
      store_version INTEGER,
      promoted_at INTEGER,
      displaced_by TEXT,
      displaced_wall INTEGER,
      displaced_boot_id TEXT,
      displaced_since_boot INTEGER,
      displaced_store INTEGER,
      displaced_issuer INTEGER,
      retire_after INTEGER,
      retired_at INTEGER,
      PRIMARY KEY (credential, key_id)
    ) WITHOUT ROWID, STRICT
    """,
    """
    CREATE TABLE rotations (
      n INTEGER NOT NULL,
      id TEXT NOT NULL,
      credential TEXT NOT NULL,
      seq INTEGER NOT NULL,
      epoch INTEGER NOT NULL,
      phase TEXT NOT NULL,
      attempt INTEGER NOT NULL,
      reason TEXT NOT NULL,
      actor TEXT NOT NULL,
      started_at INTEGER NOT NULL,
      note TEXT NOT NULL,
      emergency INTEGER NOT NULL,
      tag TEXT,
      key_id TEXT,
      old_key_ids TEXT NOT NULL,
      base_version INTEGER NOT NULL,
      store_version INTEGER,
      proofs INTEGER NOT NULL,
      outcome TEXT,
      finished_at INTEGER,
      error TEXT,
      PRIMARY KEY (n)
    ) STRICT
    """,
    "CREATE INDEX ix_rotations_credential ON rotations (credential, phase)",
    "CREATE UNIQUE INDEX uq_rotations_id ON rotations (id)",
    """
    CREATE UNIQUE INDEX uq_rotations_unfinished ON rotations (credential)
    WHERE phase NOT IN ('promoted', 'abandoned')
    """,
    """
    CREATE TABLE intents (
      n INTEGER NOT NULL,
      id TEXT NOT NULL,
      credential TEXT NOT NULL,
      act TEXT NOT NULL,
      sent_wall INTEGER NOT NULL,
      sent_boot_id TEXT NOT NULL,
      sent_since_boot INTEGER NOT NULL,
      rotation_id TEXT,
      tag TEXT,
      key_id TEXT,
      attempt INTEGER NOT NULL,
      expected INTEGER,
      outcome TEXT,
      PRIMARY KEY (n)
    ) STRICT
    """,
    "CREATE INDEX ix_intents_credential ON intents (credential)",
    "CREATE INDEX ix_intents_unsettled ON intents (credential) WHERE outcome IS NULL OR outcome = 'unknown'",
    "CREATE UNIQUE INDEX uq_intents_id ON intents (id)",
    """
    CREATE TABLE requests (
      n INTEGER NOT NULL,
      id TEXT NOT NULL,
      credential TEXT NOT NULL,
      actor TEXT NOT NULL,
      note TEXT NOT NULL,
      at INTEGER NOT NULL,
      emergency INTEGER NOT NULL,
      answered_by TEXT,
      PRIMARY KEY (n)
    ) STRICT
    """,
    "CREATE INDEX ix_requests_unanswered ON requests (credential) WHERE answered_by IS NULL",
    "CREATE UNIQUE INDEX uq_requests_id ON requests (id)",
    """
    CREATE TABLE steps (
      n INTEGER NOT NULL,
      rotation_id TEXT NOT NULL,
      step TEXT NOT NULL,
      outcome TEXT NOT NULL,
      at INTEGER NOT NULL,
      attempt INTEGER NOT NULL,
      detail TEXT NOT NULL,
      seconds REAL NOT NULL,
      PRIMARY KEY (n)
    ) STRICT
    """,
    "CREATE INDEX ix_steps_rotation ON steps (rotation_id)",
    """
    CREATE TABLE sightings (
      credential TEXT NOT NULL,
      key_id TEXT NOT NULL,
      tag TEXT NOT NULL,
      first_wall INTEGER NOT NULL,
      first_boot_id TEXT NOT NULL,
      first_since_boot INTEGER NOT NULL,
      times INTEGER NOT NULL,
      PRIMARY KEY (credential, key_id)
    ) WITHOUT ROWID, STRICT
    """,
    """
    CREATE TABLE proofs_seen (
      provider TEXT NOT NULL,
      credential TEXT NOT NULL,
      code TEXT NOT NULL,
      PRIMARY KEY (provider, credential)
    ) WITHOUT ROWID, STRICT
    """,
    """
    CREATE TABLE audit (
      seq INTEGER NOT NULL,
      time INTEGER NOT NULL,
      event TEXT NOT NULL,
      credential TEXT,
      rotation_id TEXT,
      actor TEXT NOT NULL,
      outcome TEXT,
      reason TEXT,
      key_id TEXT,
      store_path TEXT,
      store_version INTEGER,
      request_id TEXT,
      detail TEXT,
      prev_hash TEXT NOT NULL,
      hash TEXT NOT NULL,
      PRIMARY KEY (seq)
    ) STRICT
    """,
    """
    CREATE TABLE audit_head (
      id INTEGER NOT NULL,
      seq INTEGER NOT NULL,
      hash TEXT NOT NULL,
      PRIMARY KEY (id),
      CONSTRAINT ck_audit_head_one CHECK (id = 1)
    ) STRICT
    """,
)


def upgrade() -> None:
    """Make them."""
    for statement in STATEMENTS:
        op.execute(statement)
