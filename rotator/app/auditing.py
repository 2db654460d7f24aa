"""`rotator audit`: reads the record, walks its chain, and accepts a break in a person's name. It repairs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rotator.app.house import House
from rotator.app.results import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which records. None: any. since: the first moment; until: the first moment that no longer counts."""

    since: datetime | None = None
    until: datetime | None = None
    credential: str | None = None
    event: str | None = None
    outcome: str | None = None
    actor: str | None = None
    rotation: str | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """items: kind `AuditList`, oldest first."""

    items: tuple[Item, ...]
    exit_status: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """The head kept in one store's staging area against the records. agrees: None when it could not be compared."""

    store: str
    agrees: bool | None
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ChainVerified:
    """What the walk found. first, last: record numbers, 0 when there are none. broken: the first break in a sentence.

    items: the broken record, if there is one (kind `AuditList`).
    """

    items: tuple[Item, ...]
    first: int
    last: int
    head: str
    broken: str | None
    compared: tuple[Compared, ...]
    exit_status: int


def audit_list(house: House, wanted: Filter, *, last: int | None = None) -> Records:
    """Return the records that fit; last: only so many of the newest."""
    raise NotImplementedError


def audit_show(house: House, seq: int) -> Records:
    """Return one record. Raises UsageFault (2) when there is none of that number."""
    raise NotImplementedError


def audit_verify(house: House, *, offline: bool = False) -> ChainVerified:
    """Walk the chain and compare its head with the ones in the stores; exit status 4 when either disagrees."""
    raise NotImplementedError


def audit_accept(house: House, reason: str) -> Records:
    """Record that a break is known and accepted, and go on from it. Returns the record."""
    raise NotImplementedError
