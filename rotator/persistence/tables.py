"""The tables of the state database, as its newest migration leaves them. They have no place for a secret value.

Times are whole microseconds since 1970, UTC; an `Instant` is three columns. `n` counts the rows of a table in the order
in which they were first written, which no clock can change. There are no foreign keys: what is seen of a credential may
be written before the credential is, and a refused write would cost more than a lonely row.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import REAL, CheckConstraint, Column, Index, Integer, MetaData, PrimaryKeyConstraint, Table, Text, text

from rotator.persistence.marks import MANAGED, PARKED, UNANSWERED, UNFINISHED, UNSETTLED

metadata: Final = MetaData()


def _text(name: str, *, needed: bool = False) -> Column[str]:
    return Column(name, Text, nullable=not needed)


def _whole(name: str, *, needed: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=not needed)


def _instant(name: str, *, needed: bool = False) -> tuple[Column[Any], ...]:
    return (
        _whole(f"{name}_wall", needed=needed),
        _text(f"{name}_boot_id", needed=needed),
        _whole(f"{name}_since_boot", needed=needed),
    )


def _counted() -> Column[int]:
    return Column("n", Integer, primary_key=True)


def _keyed(name: str, key: tuple[str, ...], *columns: Column[Any] | Index) -> Table:
    """Return a table that lies in the order of its key, so that a walk by name reads it front to back."""
    return Table(name, metadata, *columns, PrimaryKeyConstraint(*key), sqlite_strict=True, sqlite_with_rowid=False)


meta = _keyed("meta", ("name",), _text("name", needed=True), _text("value", needed=True))

credentials = _keyed(
    "credentials",
    ("name",),
    _text("name", needed=True),
    _text("issuer", needed=True),
    _text("application", needed=True),
    _text("store_path", needed=True),
    _text("provider", needed=True),
    _text("kind", needed=True),
    _text("client_id"),
    _whole("paused_at"),
    _text("parked"),  # a Trouble, as JSON
    _text("error"),  # likewise
    _whole("failures", needed=True),
    _text("cause"),
    _whole("same_cause", needed=True),
    _whole("not_before"),
    _whole("proved_at"),
    _whole("control_at"),
    _whole("wake_at"),
    _whole("alerted_at"),
    _whole("forgotten_at"),
    _text("procedure"),
    Index("ix_credentials_wake", "wake_at", sqlite_where=text(MANAGED)),
    Index("ix_credentials_parked", "name", sqlite_where=text(f"{MANAGED} AND {PARKED}")),
)

versions = _keyed(
    "versions",
    ("credential", "key_id"),
    _text("credential", needed=True),
    _text("key_id", needed=True),
    _text("state", needed=True),
    _text("origin", needed=True),
    _whole("created_at"),
    _whole("expires_at"),
    _text("tag"),
    _text("rotation_id"),
    _whole("store_version"),
    _whole("promoted_at"),
    _text("displaced_by"),
    *_instant("displaced"),
    _whole("displaced_store"),
    _whole("displaced_issuer"),
    _whole("retire_after"),
    _whole("retired_at"),
)

rotations = Table(
    "rotations",
    metadata,
    _counted(),
    _text("id", needed=True),
    _text("credential", needed=True),
    _whole("seq", needed=True),
    _whole("epoch", needed=True),
    _text("phase", needed=True),
    _whole("attempt", needed=True),
    _text("reason", needed=True),
    _text("actor", needed=True),
    _whole("started_at", needed=True),
    _text("note", needed=True),
    _whole("emergency", needed=True),
    _text("tag"),
    _text("key_id"),
    _text("old_key_ids", needed=True),  # a list, as JSON
    _whole("base_version", needed=True),
    _whole("store_version"),
    _whole("proofs", needed=True),
    _text("outcome"),
    _whole("finished_at"),
    _text("error"),  # a Trouble, as JSON
    _text("procedure"),  # NULL: overlap
    _whole("promote_at"),
    Index("uq_rotations_id", "id", unique=True),
    Index("ix_rotations_credential", "credential", "phase"),
    Index("uq_rotations_unfinished", "credential", unique=True, sqlite_where=text(UNFINISHED)),
    sqlite_strict=True,
)

intents = Table(
    "intents",
    metadata,
    _counted(),
    _text("id", needed=True),
    _text("credential", needed=True),
    _text("act", needed=True),
    *_instant("sent", needed=True),
    _text("rotation_id"),
    _text("tag"),
    _text("key_id"),
    _whole("attempt", needed=True),
    _whole("expected"),
    _text("outcome"),
    Index("uq_intents_id", "id", unique=True),
    Index("ix_intents_credential", "credential"),
    Index("ix_intents_unsettled", "credential", sqlite_where=text(UNSETTLED)),
    sqlite_strict=True,
)

requests = Table(
    "requests",
    metadata,
    _counted(),
    _text("id", needed=True),
    _text("credential", needed=True),
    _text("actor", needed=True),
    _text("note", needed=True),
    _whole("at", needed=True),
    _whole("emergency", needed=True),
    _text("answered_by"),
    Index("uq_requests_id", "id", unique=True),
    Index("ix_requests_unanswered", "credential", sqlite_where=text(UNANSWERED)),
    sqlite_strict=True,
)

steps = Table(
    "steps",
    metadata,
    _counted(),
    _text("rotation_id", needed=True),
    _text("step", needed=True),
    _text("outcome", needed=True),
    _whole("at", needed=True),
    _whole("attempt", needed=True),
    _text("detail", needed=True),
    Column("seconds", REAL, nullable=False),
    Index("ix_steps_rotation", "rotation_id"),
    sqlite_strict=True,
)

sightings = _keyed(
    "sightings",
    ("credential", "key_id"),
    _text("credential", needed=True),
    _text("key_id", needed=True),
    _text("tag", needed=True),
    *_instant("first", needed=True),
    _whole("times", needed=True),
)

proofs_seen = _keyed(
    "proofs_seen",
    ("provider", "credential"),
    _text("provider", needed=True),
    _text("credential", needed=True),
    _text("code", needed=True),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True),
    _whole("time", needed=True),
    _text("event", needed=True),
    _text("credential"),
    _text("rotation_id"),
    _text("actor", needed=True),
    _text("outcome"),
    _text("reason"),
    _text("key_id"),
    _text("store_path"),
    _whole("store_version"),
    _text("request_id"),
    _text("detail"),
    _text("prev_hash", needed=True),
    _text("hash", needed=True),
    sqlite_strict=True,
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True),
    _whole("seq", needed=True),
    _text("hash", needed=True),
    CheckConstraint("id = 1", name="ck_audit_head_one"),
    sqlite_strict=True,
)
