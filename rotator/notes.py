"""Bookkeeping: what the ledger remembers that changes nothing in the outside world, and so needs no audit record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rotator.clock import Instant
from rotator.model import CredentialState


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a rotation's history. outcome: done, failed, or skipped; detail: a short sentence."""

    rotation_id: str
    step: str
    outcome: str
    at: datetime
    attempt: int
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """A version that carries our tag and that nothing names, as it was first listed. times: how often since."""

    credential: str
    key_id: str
    tag: str
    first: Instant
    times: int


@dataclass(frozen=True, slots=True)
class ProofSeen:
    """What the last proof of a credential's current version said. code None: it works, so its provider does."""

    provider: str
    credential: str
    code: str | None


@dataclass(frozen=True, slots=True)
class GraceExtended:
    """A version that was replaced is looked at again then. Nothing is done to it, and its other facts stay."""

    credential: str
    key_id: str
    retire_after: datetime


Note = CredentialState | Step | Sighting | ProofSeen | GraceExtended
"""What `Ledger.note` writes."""
