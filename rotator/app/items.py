"""Lays what the program knows into the items of the JSON output, with the contract's keys. Pure; prints nothing.

Times are RFC 3339 in UTC with `Z`, to the second, which is what `jq` and most shells can read. What is not known is
None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rotator import model
from rotator.due import Due
from rotator.errors import RotatorError
from rotator.finding import Finding
from rotator.model import Policy, RetireMode, Rotation, Version, VersionState
from rotator.notes import Step
from rotator.outlook import Outlook
from rotator.planner import current_version, end_of_grace
from rotator.ports import Listed, Tracked
from rotator.timing import FAR_PAST

Item = dict[str, Any]

_REPLACED = (VersionState.PREVIOUS, VersionState.RETIRING)


def moment(at: datetime | None) -> str | None:
    """Return a time as the output has it."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def failure(error: RotatorError | model.Trouble | None) -> Item | None:
    """Return what stands in the way."""
    return None if error is None else {"code": error.code, "message": error.message, "hint": error.hint}


# ----------------------------------------------------------------------------------------------------------- status


def status(
    credential: model.Credential | None, state: model.CredentialState | None, tracked: Tracked | None, seen: Outlook
) -> Item:
    """Return how one credential is doing. credential: None when it left the configuration; one of the two is given."""
    known = credential if credential is not None else state
    assert known is not None
    current = current_version(tracked) if tracked is not None else None
    previous = _previous(tracked, credential.policy if credential is not None else None)
    last = tracked.last if tracked is not None else None
    return {
        "name": known.name,
        "provider": known.provider,
        "kind": known.kind,
        "state": seen.state.value,
        "current": None if current is None else _current(current),
        "previous": previous[0] if previous else None,
        "previous_all": previous,
        "next": None if seen.next is None else _next(seen.next),
        "last_rotation": None if last is None else _last(last),
        "error": None if state is None else failure(state.parked or state.error),
    }


def _current(version: Version) -> Item:
    return {
        "key_id": version.key_id or None,
        "created_at": moment(version.created_at),
        "expires_at": moment(version.expires_at),
    }


def _previous(tracked: Tracked | None, policy: Policy | None) -> list[Item]:
    """Return the versions in grace, the one that was replaced last first."""
    replaced = [one for one in tracked.versions if one.state in _REPLACED] if tracked is not None else []
    replaced.sort(key=lambda one: one.displaced.local.wall if one.displaced else FAR_PAST, reverse=True)
    return [{"key_id": one.key_id or None, "retire_after": moment(_retire_after(one, policy))} for one in replaced]


def _retire_after(version: Version, policy: Policy | None) -> datetime | None:
    if policy is None:
        return version.retire_after
    return None if policy.retire is RetireMode.LET_EXPIRE else end_of_grace(version, policy)


def _next(due: Due) -> Item:
    return {"action": due.action.value, "at": moment(due.at), "reason": due.reason.value}


def _last(rotation: Rotation) -> Item:
    outcome = None if rotation.outcome is None else rotation.outcome.value
    return {"id": rotation.id, "outcome": outcome, "finished_at": moment(rotation.finished_at)}


# ------------------------------------------------------------------------------------------------------------- plan


def plan(due: Due) -> Item:
    """Return one thing that will happen."""
    return {"name": due.name, **_next(due), "sentence": due.sentence}


# --------------------------------------------------------------------------------------------------------- rotations


def rotation(name: str, found: Rotation | None, path: str | None) -> Item:
    """Return one rotation of a credential; found: None when there was none. path: where consumers read it."""
    outcome = found.outcome if found is not None else None
    return {
        "name": name,
        "rotation_id": found.id if found is not None else None,
        "outcome": None if outcome is None else outcome.value,
        "reason": found.reason.value if found is not None else None,
        "new_key_id": found.key_id if found is not None else None,
        "old_key_ids": list(found.old_key_ids) if found is not None else [],
        "store_path": path,
        "store_version": found.store_version if found is not None else None,
        "proofs": found.proofs if found is not None else None,
        "started_at": moment(found.started_at) if found is not None else None,
        "finished_at": moment(found.finished_at) if found is not None else None,
        "error": failure(found.error) if found is not None else None,
    }


def history(found: Rotation, steps: Iterable[Step], path: str | None) -> Item:
    """Return one rotation with its steps."""
    return {**rotation(found.credential, found, path), "steps": [_step(step) for step in steps]}


def _step(step: Step) -> Item:
    return {
        "step": step.step,
        "outcome": step.outcome,
        "at": moment(step.at),
        "attempt": step.attempt,
        "detail": step.detail or None,
        "duration_seconds": round(step.seconds, 3),
    }


# --------------------------------------------------------------------------------------------- check, verify, orphans


def check(finding: Finding) -> Item:
    """Return one finding."""
    return {
        "subject": finding.subject,
        "check": finding.check,
        "outcome": finding.outcome.value,
        "message": finding.message,
        "hint": finding.hint or None,
    }


def verification(
    name: str, outcome: str, *, proofs: int, expires_at: datetime | None, error: RotatorError | None
) -> Item:
    """Return what the proof of one current version said. expires_at: the version's end, not the token's."""
    return {
        "name": name,
        "outcome": outcome,
        "proofs": proofs,
        "expires_at": moment(expires_at),
        "error": failure(error),
    }


def orphan(provider: str, application: str, listed: Listed, kind: str) -> Item:
    """Return one version at an issuer."""
    return {
        "provider": provider,
        "application": application,
        "key_id": listed.key_id,
        "tag": listed.tag,
        "created_at": moment(listed.created_at),
        "expires_at": moment(listed.expires_at),
        "class": kind,
    }


# ------------------------------------------------------------------------------------------------------------- audit

AUDIT_KEYS = (
    "seq",
    "time",
    "event",
    "credential",
    "rotation_id",
    "actor",
    "outcome",
    "reason",
    "key_id",
    "store_path",
    "store_version",
    "request_id",
    "detail",
    "prev_hash",
    "hash",
)


def audit(record: Mapping[str, object]) -> Item:
    """Return one record as it is hashed: its time keeps its fractions."""
    return {key: record.get(key) for key in AUDIT_KEYS}
