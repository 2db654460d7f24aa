"""What the sandbox remembers, and how it crosses to another process; a value is here only where the name says text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class HeldSecret:
    """One secret as it really is. *_at: real time; starts_at and expires_at: the issuer's clock.

    known_at, forgotten_at: when each token replica learns that it exists, and that it was removed.
    """

    key_id: str
    app_id: str
    text: str = field(repr=False)
    display_name: str | None
    starts_at: datetime
    expires_at: datetime
    created_at: datetime
    created_by: str
    known_at: tuple[datetime, ...]
    removed_at: datetime | None = None
    removed_by: str | None = None
    forgotten_at: tuple[datetime, ...] = ()

    @property
    def hint(self) -> str:
        """What the issuer shows of it later: the first three characters."""
        return self.text[:3]


LOGS_IN: Final = ("AsymmetricX509Cert", "Verify")
"""Type and usage of a certificate by which an application proves itself."""


@dataclass(frozen=True, slots=True)
class HeldKey:
    """One certificate as it really is; its private key is nowhere here. Times as for `HeldSecret`. der: in base64.

    kind: type and usage. Others than that of certificates that log in may be no certificate at all.
    """

    key_id: str
    app_id: str
    der: str = field(repr=False)
    display_name: str | None
    starts_at: datetime
    expires_at: datetime
    created_at: datetime
    created_by: str
    known_at: tuple[datetime, ...]
    removed_at: datetime | None = None
    removed_by: str | None = None
    forgotten_at: tuple[datetime, ...] = ()
    kind: tuple[str, str] = LOGS_IN


@dataclass(frozen=True, slots=True)
class Mutation:
    """Something that took effect. operation: add or remove. by: the caller's app id, or `portal`."""

    seq: int
    at: datetime
    operation: str
    app_id: str
    key_id: str
    display_name: str | None
    by: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived. status None: the connection died instead. fault, effect: None when all went well."""

    seq: int
    at: datetime
    route: str
    method: str
    path: str
    app_id: str
    status: int | None
    fault: str | None
    effect: str | None


def to_plain(record: HeldSecret | HeldKey | Mutation | Seen) -> dict[str, Any]:
    """Return a record as JSON can carry it."""
    return {name: _plain(value) for name, value in asdict(record).items()}


def secret_from(item: dict[str, Any]) -> HeldSecret:
    """Undo `to_plain` for a secret."""
    return HeldSecret(**_read(item))


def key_from(item: dict[str, Any]) -> HeldKey:
    """Undo `to_plain` for a certificate."""
    return HeldKey(**{**_read(item), "kind": tuple(item.get("kind", LOGS_IN))})


def _read(item: dict[str, Any]) -> dict[str, Any]:
    moments = {name: datetime.fromisoformat(item[name]) for name in ("starts_at", "expires_at", "created_at")}
    lists = {name: tuple(map(datetime.fromisoformat, item[name])) for name in ("known_at", "forgotten_at")}
    removed = datetime.fromisoformat(item["removed_at"]) if item["removed_at"] else None
    return {**item, **moments, **lists, "removed_at": removed}


def mutation_from(item: dict[str, Any]) -> Mutation:
    """Undo `to_plain` for a mutation."""
    return Mutation(**{**item, "at": datetime.fromisoformat(item["at"])})


def seen_from(item: dict[str, Any]) -> Seen:
    """Undo `to_plain` for a request."""
    return Seen(**{**item, "at": datetime.fromisoformat(item["at"])})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
