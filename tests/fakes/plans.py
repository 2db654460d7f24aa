"""Credentials and what the ledger says of them, as the planner's tests need them: sound unless told otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from rotator.clock import Instant
from rotator.model import (
    Credential,
    CredentialState,
    Displacement,
    Origin,
    Phase,
    Policy,
    ProofPlan,
    Reason,
    Request,
    Rotation,
    Trouble,
    Version,
    VersionState,
    Window,
)
from rotator.ports import Tracked

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)  # a Tuesday
NAME = "kontrolle-plus-prod"
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
WORKDAYS = frozenset(range(5))
OFFICE = Window(WORKDAYS, time(9), time(16), "Europe/Zurich")


def credential(*, proof: ProofPlan | None = None, name: str = NAME, **policy: Any) -> Credential:
    """Return a credential with 90 d of lifetime, rotated 30 d before its end, unless `policy` says otherwise."""
    terms = {"lifetime": 90 * DAY, "rotate_before": 30 * DAY, "grace": DAY, **policy}
    return Credential(name, "contoso", "entra", "iss", "app", "vault", "p/x", Policy(**terms), proof or ProofPlan())


def version(key_id: str = "k1", state: VersionState = VersionState.CURRENT, **facts: Any) -> Version:
    """Return a version of ours, issued ten days ago for 90 d."""
    born = facts.pop("created_at", NOW - 10 * DAY)
    given = {
        "origin": Origin.OURS,
        "created_at": born,
        "expires_at": None if born is None else born + 90 * DAY,
        "promoted_at": born,
        **facts,
    }
    return Version(NAME, key_id, state, **given)


def previous(key_id: str = "k0", *, at: datetime = NOW - HOUR, grace: timedelta = DAY, **facts: Any) -> Version:
    """Return a version of ours that was replaced at that moment."""
    given = {"created_at": NOW - 70 * DAY, "displaced": displaced(at), "retire_after": at + grace, **facts}
    return version(key_id, given.pop("state", VersionState.PREVIOUS), **given)


def displaced(at: datetime) -> Displacement:
    """Return the moment of a replacement, seen by our clock alone."""
    return Displacement("r0", Instant(at, "boot-1", HOUR), None, None)


def tracked(
    *versions: Version, rotation: Rotation | None = None, request: Request | None = None, **state: Any
) -> Tracked:
    """Return what the ledger knows; `state` changes fields of the credential's state."""
    binding = credential().binding
    return Tracked(CredentialState(NAME, binding, "contoso", "entra", **state), versions, rotation, None, request)


def rotation(**facts: Any) -> Rotation:
    """Return a rotation that stopped after staging."""
    started = facts.pop("started_at", NOW - MINUTE)
    given = {"phase": Phase.STAGED, "attempt": 1, "reason": Reason.NEAR_EXPIRY, "actor": "daemon", **facts}
    return Rotation("7f3a", NAME, seq=1, epoch=1, started_at=started, **given)


def request(**facts: Any) -> Request:
    """Return what Dana asked for a minute ago."""
    given = {"actor": "dana", "note": "leaver process", "at": NOW - MINUTE, **facts}
    return Request("q1", NAME, **given)


def trouble(at: datetime = NOW - HOUR) -> Trouble:
    """Return what stands in the way of a parked credential."""
    return Trouble("missing_role", "Token lacks role A.", "Restore it.", at)
