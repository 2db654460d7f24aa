"""Items as the use cases answer them, for the screens: one of each kind of day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rotator.cli.page import Page
from rotator.cli.times import When

NOW = datetime(2026, 11, 24, 13, 2, 0, tzinfo=UTC)
WHEN = When(NOW, zone=ZoneInfo("Europe/Zurich"))
EXACT = When(NOW, exact=True, zone=ZoneInfo("Europe/Zurich"))

PIPE = Page(None, colour=False, unicode=True)
NARROW = Page(80, colour=False, unicode=True)
WIDE = Page(140, colour=False, unicode=True)
ASCII = Page(80, colour=False, unicode=False)

KEY = "4c1e0000-0000-4000-8000-000000009a02"
OLD_KEY = "88b00000-0000-4000-8000-00000000117c"


def at(**offset: float) -> str:
    """Return a moment that far from now, as items hold it."""
    return (NOW + timedelta(**offset)).strftime("%Y-%m-%dT%H:%M:%SZ")


def status_item(name: str, state: str = "ok", **more: Any) -> dict[str, Any]:
    """Return an item of `StatusList`."""
    item: dict[str, Any] = {
        "name": name,
        "provider": "contoso",
        "kind": "entra",
        "state": state,
        "current": {"key_id": KEY, "created_at": at(days=-29), "expires_at": at(days=61, hours=1)},
        "previous": None,
        "previous_all": [],
        "next": {"action": "rotate", "at": at(days=31, hours=1), "reason": "near_expiry"},
        "last_rotation": {"id": "7f3a", "outcome": "promoted", "finished_at": at(days=-29)},
        "error": None,
    }
    return {**item, **more}


STATUS = [
    status_item("kontrolle-plus-prod"),
    status_item(
        "screening-eagle", "grace", next={"action": "retire", "at": at(hours=21, minutes=1), "reason": "grace_over"}
    ),
    status_item("netwrix-aa", "due", next={"action": "remind", "at": at(hours=1), "reason": "near_expiry"}),
    status_item(
        "fieldops-cert",
        "parked",
        next=None,
        last_rotation={"id": "1", "outcome": "abandoned", "finished_at": at(hours=-2)},
    ),
    status_item(
        "brand-new",
        "due",
        current=None,
        last_rotation=None,
        next={"action": "rotate", "at": at(hours=-1), "reason": "never_rotated"},
    ),
]
REMARKS = [
    (
        "fieldops-cert",
        (
            "Token lacks role FieldOps.Write (found: FieldOps.Read). The old secret's token lacks it too, so the grant "
            "was removed at the issuer, not by this rotation."
        ),
        "Restore it, then: rotator resume fieldops-cert",
    )
]

CHECK = [
    {"subject": subject, "check": "x", "outcome": outcome, "message": message, "hint": hint}
    for subject, outcome, message, hint in (
        ("configuration", "ok", "3 credentials, 2 providers, 1 store", "never shown"),
        ("vault", "ok", "1.21.2, unsealed; token may read and write kv/data/partners/*, renew; 10 versions kept", ""),
        (
            "contoso",
            "fail",
            "the application may not be read (403)",
            "Grant Application.ReadWrite.OwnedBy, then: rotator check",
        ),
        (
            "kontrolle-plus-prod",
            "warn",
            "endpoint reachable; 19 h left",
            "Rotate it: rotator rotate kontrolle-plus-prod",
        ),
    )
]

PLAN = [
    {
        "name": "screening-eagle",
        "action": "retire",
        "at": at(hours=19, minutes=18),
        "reason": "grace_over",
        "sentence": "its grace of 24 h ends",
    },
    {
        "name": "kontrolle-plus-prod",
        "action": "rotate",
        "at": "2026-12-24T08:00:00Z",
        "reason": "near_expiry",
        "sentence": "30 d are left of 90 d; the window opens mon-fri 09:00 Europe/Zurich",
    },
    {
        "name": "brand-new",
        "action": "rotate",
        "at": at(hours=-1),
        "reason": "never_rotated",
        "sentence": "it has no version yet",
    },
]


def rotation_item(name: str, outcome: str = "promoted", **more: Any) -> dict[str, Any]:
    """Return an item of `RotationList`."""
    item: dict[str, Any] = {
        "name": name,
        "rotation_id": "7f3a",
        "outcome": outcome,
        "reason": "requested",
        "new_key_id": KEY,
        "old_key_ids": [OLD_KEY],
        "store_path": "partners/kontrolle-plus/prod",
        "store_version": 8,
        "proofs": 3,
        "started_at": at(seconds=-41),
        "finished_at": at(),
        "error": None,
    }
    return {**item, **more}


def step(name: str, outcome: str = "done", detail: str = "", seconds: float = 0.0, attempt: int = 1) -> dict[str, Any]:
    """Return one step of a history item."""
    return {
        "step": name,
        "outcome": outcome,
        "at": at(seconds=-30),
        "attempt": attempt,
        "detail": detail,
        "duration_seconds": seconds,
    }


HISTORY = [
    {
        **rotation_item("kontrolle-plus-prod"),
        "steps": [step("create", seconds=0.8), step("stage"), step("verify", seconds=39), step("promote")],
    },
    {
        **rotation_item(
            "kontrolle-plus-prod", "abandoned", rotation_id="4b77", reason="near_expiry", finished_at=at(days=-2)
        ),
        "steps": [
            step("create", seconds=0.7),
            step("verify", "failed", "roles lacks ProviderApi.Access"),
            step("undo"),
        ],
    },
]

ORPHANS = [
    {
        "provider": "contoso",
        "application": "7f3c0c52-0000-4000-8000-000000000011",
        "key_id": key,
        "tag": tag,
        "created_at": at(days=-1),
        "expires_at": at(days=89),
        "class": kind,
    }
    for kind, key, tag in (
        ("current", KEY, "rotator/i/kontrolle-plus-prod/7f3a/1"),
        ("foreign", OLD_KEY, None),
        ("orphan", "aaaa0000-0000-4000-8000-00000000bbbb", "rotator/i/kontrolle-plus-prod/51d0/1"),
    )
]


def audit_item(seq: int, event: str, **more: Any) -> dict[str, Any]:
    """Return an item of `AuditList`."""
    item: dict[str, Any] = {
        "seq": seq,
        "time": at(seconds=seq),
        "event": event,
        "credential": "kontrolle-plus-prod",
        "rotation_id": "7f3a",
        "actor": "dana",
        "outcome": None,
        "reason": None,
        "key_id": None,
        "store_path": None,
        "store_version": None,
        "request_id": None,
        "detail": None,
        "prev_hash": "0" * 64,
        "hash": "9b1f" + "0" * 60,
    }
    return {**item, **more}


AUDIT = [
    audit_item(1841, "version.created", outcome="intended", detail="key asked for 90 d"),
    audit_item(1842, "version.created", outcome="succeeded", key_id=KEY),
    audit_item(
        1843, "version.promoted", outcome="succeeded", reason="proved", store_path="kv/partners/x", store_version=8
    ),
]
