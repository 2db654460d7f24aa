"""Turns the nouns of the program into rows and back, and nothing else. Rows are read by position: walks must be quick.

Reading raises ValueError, KeyError, TypeError or OverflowError for a row that nobody here has written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rotator.chain import KEYS, Value, spell_time
from rotator.clock import Instant
from rotator.event import Outcome
from rotator.model import (
    Act,
    Binding,
    CredentialState,
    Displacement,
    Intent,
    Origin,
    Phase,
    Procedure,
    Reason,
    Request,
    Rotation,
    RotationOutcome,
    Trouble,
    Version,
    VersionState,
)
from rotator.notes import ProofSeen, Sighting, Step

Row = Sequence[Any]
Cells = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_read_json: Final = json.JSONDecoder().raw_decode  # a fourth of what json.loads takes for a short list

_VERSION_STATES: Final = {str(one): one for one in VersionState}
_ORIGINS: Final = {str(one): one for one in Origin}
_PHASES: Final = {str(one): one for one in Phase}
_PROCEDURES: Final = {str(one): one for one in Procedure}
_REASONS: Final = {str(one): one for one in Reason}
_OUTCOMES: Final = {str(one): one for one in RotationOutcome}

# ------------------------------------------------------------------------------------------------------------ moments


def micros(time: datetime) -> int:
    """Return an aware time in microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def moment(count: int) -> datetime:
    """Return the time of so many microseconds since 1970, UTC."""
    return _EPOCH + count * _MICROSECOND


def _micros(time: datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // _MICROSECOND


def _moment(count: int | None) -> datetime | None:
    return None if count is None else _EPOCH + count * _MICROSECOND


def _instant_cells(name: str, instant: Instant | None) -> Cells:
    if instant is None:
        return {f"{name}_wall": None, f"{name}_boot_id": None, f"{name}_since_boot": None}
    return {
        f"{name}_wall": micros(instant.wall),
        f"{name}_boot_id": instant.boot_id,
        f"{name}_since_boot": instant.since_boot // _MICROSECOND,
    }


def _instant(wall: int, boot_id: str, since_boot: int) -> Instant:
    return Instant(moment(wall), boot_id, since_boot * _MICROSECOND)


def _trouble_text(trouble: Trouble | None) -> str | None:
    if trouble is None:
        return None
    at = micros(trouble.at)
    return json.dumps({"at": at, "code": trouble.code, "hint": trouble.hint, "message": trouble.message})


def _trouble(text: str | None) -> Trouble | None:
    if text is None:
        return None
    told = json.loads(text)
    return Trouble(told["code"], told["message"], told["hint"], moment(told["at"]))


# --------------------------------------------------------------------------------------------------------- into rows


def _of_state(state: CredentialState) -> Cells:
    return {
        "name": state.name,
        "issuer": state.binding.issuer,
        "application": state.binding.application,
        "store_path": state.binding.store_path,
        "provider": state.provider,
        "kind": state.kind,
        "client_id": state.client_id,
        "paused_at": _micros(state.paused_at),
        "parked": _trouble_text(state.parked),
        "error": _trouble_text(state.error),
        "failures": state.failures,
        "cause": state.cause,
        "same_cause": state.same_cause,
        "not_before": _micros(state.not_before),
        "proved_at": _micros(state.proved_at),
        "control_at": _micros(state.control_at),
        "wake_at": _micros(state.wake_at),
        "alerted_at": _micros(state.alerted_at),
        "forgotten_at": _micros(state.forgotten_at),
        "procedure": state.procedure.value if state.procedure else None,
    }


def _of_version(version: Version) -> Cells:
    displaced = version.displaced
    return {
        "credential": version.credential,
        "key_id": version.key_id,
        "state": version.state.value,
        "origin": version.origin.value,
        "created_at": _micros(version.created_at),
        "expires_at": _micros(version.expires_at),
        "tag": version.tag,
        "rotation_id": version.rotation_id,
        "store_version": version.store_version,
        "promoted_at": _micros(version.promoted_at),
        "displaced_by": displaced.by if displaced else None,
        **_instant_cells("displaced", displaced.local if displaced else None),
        "displaced_store": _micros(displaced.store) if displaced else None,
        "displaced_issuer": _micros(displaced.issuer) if displaced else None,
        "retire_after": _micros(version.retire_after),
        "retired_at": _micros(version.retired_at),
    }


def _of_rotation(rotation: Rotation) -> Cells:
    return {
        "id": rotation.id,
        "credential": rotation.credential,
        "seq": rotation.seq,
        "epoch": rotation.epoch,
        "phase": rotation.phase.value,
        "attempt": rotation.attempt,
        "reason": rotation.reason.value,
        "actor": rotation.actor,
        "started_at": micros(rotation.started_at),
        "note": rotation.note,
        "emergency": int(rotation.emergency),
        "tag": rotation.tag,
        "key_id": rotation.key_id,
        "old_key_ids": json.dumps(rotation.old_key_ids),
        "base_version": rotation.base_version,
        "store_version": rotation.store_version,
        "proofs": rotation.proofs,
        "outcome": rotation.outcome.value if rotation.outcome else None,
        "finished_at": _micros(rotation.finished_at),
        "error": _trouble_text(rotation.error),
        "procedure": rotation.procedure.value if rotation.procedure.single_slot else None,
        "promote_at": _micros(rotation.promote_at),
    }


def _of_intent(intent: Intent) -> Cells:
    return {
        "id": intent.id,
        "credential": intent.credential,
        "act": intent.act.value,
        **_instant_cells("sent", intent.sent),
        "rotation_id": intent.rotation_id,
        "tag": intent.tag,
        "key_id": intent.key_id,
        "attempt": intent.attempt,
        "expected": intent.expected,
        "outcome": intent.outcome.value if intent.outcome else None,
    }


def _of_request(request: Request) -> Cells:
    return {
        "id": request.id,
        "credential": request.credential,
        "actor": request.actor,
        "note": request.note,
        "at": micros(request.at),
        "emergency": int(request.emergency),
        "answered_by": request.answered_by,
    }


def _of_step(step: Step) -> Cells:
    return {
        "rotation_id": step.rotation_id,
        "step": step.step,
        "outcome": step.outcome,
        "at": micros(step.at),
        "attempt": step.attempt,
        "detail": step.detail,
        "seconds": float(step.seconds),
    }


def _of_sighting(sighting: Sighting) -> Cells:
    return {
        "credential": sighting.credential,
        "key_id": sighting.key_id,
        "tag": sighting.tag,
        **_instant_cells("first", sighting.first),
        "times": sighting.times,
    }


_HOMES: Final[dict[type, tuple[str, tuple[str, ...], Callable[[Any], Cells]]]] = {
    CredentialState: ("credentials", ("name",), _of_state),
    Version: ("versions", ("credential", "key_id"), _of_version),
    Rotation: ("rotations", ("id",), _of_rotation),
    Intent: ("intents", ("id",), _of_intent),
    Request: ("requests", ("id",), _of_request),
    Step: ("steps", (), _of_step),
    Sighting: ("sightings", ("credential", "key_id"), _of_sighting),
    ProofSeen: ("proofs_seen", ("provider", "credential"), asdict),
}

KINDS: Final = tuple(_HOMES)
"""The nouns that have a table."""


def home_of(kind: type) -> tuple[str, tuple[str, ...]]:
    """Return the table of a noun, and the columns that tell its rows apart; without any, every one is a new row."""
    table, key, _ = _HOMES[kind]
    return table, key


def cells_of(thing: object) -> Cells:
    """Return the row of a noun."""
    return {name: storable(value) for name, value in _HOMES[type(thing)][2](thing).items()}


def storable(value: Any) -> Any:
    """Return a text as UTF-8 can hold it: issuers answer in JSON, where half of a surrogate pair can stand alone."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "replace").decode()
    return value


def cells_of_record(record: dict[str, Value], time: datetime) -> Cells:
    """Return the row of an audit record, whose time is kept as a number."""
    return {**record, "time": micros(time)}


# --------------------------------------------------------------------------------------------------------- from rows


def state_of(row: Row) -> CredentialState:
    """Return what a row of `credentials` says."""
    # fmt: off
    (
        name, issuer, application, path, provider, kind, client_id, paused, parked, error, failures, cause, same_cause,
        not_before, proved, control, wake, alerted, forgotten, procedure,
    ) = row
    # fmt: on
    return CredentialState(
        name,
        Binding(issuer, application, path),
        provider,
        kind,
        client_id,
        None if paused is None else _EPOCH + paused * _MICROSECOND,
        None if parked is None else _trouble(parked),
        None if error is None else _trouble(error),
        failures,
        cause,
        same_cause,
        None if not_before is None else _EPOCH + not_before * _MICROSECOND,
        None if proved is None else _EPOCH + proved * _MICROSECOND,
        None if control is None else _EPOCH + control * _MICROSECOND,
        None if wake is None else _EPOCH + wake * _MICROSECOND,
        None if alerted is None else _EPOCH + alerted * _MICROSECOND,
        None if forgotten is None else _EPOCH + forgotten * _MICROSECOND,
        None if procedure is None else _PROCEDURES[procedure],
    )


def version_of(row: Row) -> Version:
    """Return what a row of `versions` says."""
    # fmt: off
    (
        credential, key_id, state, origin, created, expires, tag, rotation_id, store_version, promoted,
        by, wall, boot_id, since_boot, store, issuer, retire_after, retired,
    ) = row
    # fmt: on
    return Version(
        credential,
        key_id,
        _VERSION_STATES[state],
        _ORIGINS[origin],
        None if created is None else _EPOCH + created * _MICROSECOND,
        None if expires is None else _EPOCH + expires * _MICROSECOND,
        tag,
        rotation_id,
        store_version,
        None if promoted is None else _EPOCH + promoted * _MICROSECOND,
        None if by is None else Displacement(by, _instant(wall, boot_id, since_boot), _moment(store), _moment(issuer)),
        None if retire_after is None else _EPOCH + retire_after * _MICROSECOND,
        None if retired is None else _EPOCH + retired * _MICROSECOND,
    )


def rotation_of(row: Row) -> Rotation:
    """Return what a row of `rotations` says."""
    # fmt: off
    (
        _, rotation_id, credential, seq, epoch, phase, attempt, reason, actor, started, note, emergency, tag, key_id,
        old, base_version, store_version, proofs, outcome, finished, error, procedure, promote_at,
    ) = row
    # fmt: on
    return Rotation(
        rotation_id,
        credential,
        seq,
        epoch,
        _PHASES[phase],
        attempt,
        _REASONS[reason],
        actor,
        _EPOCH + started * _MICROSECOND,
        note,
        emergency != 0,
        tag,
        key_id,
        () if old == "[]" else tuple(_read_json(old)[0]),
        base_version,
        store_version,
        proofs,
        None if outcome is None else _OUTCOMES[outcome],
        None if finished is None else _EPOCH + finished * _MICROSECOND,
        None if error is None else _trouble(error),
        Procedure.OVERLAP if procedure is None else _PROCEDURES[procedure],
        _moment(promote_at),
    )


def intent_of(row: Row) -> Intent:
    """Return what a row of `intents` says."""
    (_, intent_id, credential, act, wall, boot_id, since_boot, rotation_id, tag, key_id, attempt, expected, out) = row
    return Intent(
        intent_id,
        credential,
        Act(act),
        _instant(wall, boot_id, since_boot),
        rotation_id,
        tag,
        key_id,
        attempt,
        expected,
        None if out is None else Outcome(out),
    )


def request_of(row: Row) -> Request:
    """Return what a row of `requests` says."""
    (_, request_id, credential, actor, note, at, emergency, answered_by) = row
    return Request(request_id, credential, actor, note, moment(at), bool(emergency), answered_by)


def step_of(row: Row) -> Step:
    """Return what a row of `steps` says."""
    (_, rotation_id, step, outcome, at, attempt, detail, seconds) = row
    return Step(rotation_id, step, outcome, moment(at), attempt, detail, seconds)


def sighting_of(row: Row) -> Sighting:
    """Return what a row of `sightings` says."""
    (credential, key_id, tag, wall, boot_id, since_boot, times) = row
    return Sighting(credential, key_id, tag, _instant(wall, boot_id, since_boot), times)


def record_of(row: Row) -> dict[str, Value]:
    """Return an audit record as it stands, even when somebody has put a time into it that none can be."""
    record = dict(zip(KEYS, row, strict=True))
    try:
        record["time"] = spell_time(moment(row[1]))
    except (OverflowError, TypeError):
        record["time"] = str(row[1])
    return record
