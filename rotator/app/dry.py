"""What a rotation would do, from state and configuration alone; it contacts nobody and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rotator.app.house import House
from rotator.due import Due
from rotator.model import Credential, Origin, Reason, RetireMode, RotationOutcome, Version, VersionState
from rotator.planner import current_version, next_rotation, retirements, why_idle
from rotator.ports import Tracked
from rotator.timing import spell

_OWN = (Origin.OURS, Origin.ADOPTED)


class Asked(Enum):
    """How a rotation is asked for."""

    IF_DUE = "if due"
    NOW = "requested"
    EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What would be done with one credential, in sentences. outcome: planned, or skipped when nothing is due."""

    outcome: RotationOutcome
    reason: str | None
    old_key_ids: tuple[str, ...]
    sentences: tuple[str, ...]


def dry_run(house: House, credential: Credential, tracked: Tracked | None, asked: Asked) -> Rehearsal:
    """Return what `rotate` would do now."""
    now, jitter = house.clock.now(), house.config.service.jitter
    due = next_rotation(credential, tracked, now, jitter)
    rotates = due is not None and due.at <= now
    ended = [one for one in retirements(credential, tracked, now) if one.at <= now] if tracked is not None else []
    said: list[str] = []
    if due is not None and due.reason is Reason.INTERRUPTED:
        said.append(f"finish or undo what is unfinished: {due.sentence}")
    said.extend(f"retire key {one.key_id or 'without an id'}: {one.sentence}" for one in ended)
    if asked is not Asked.IF_DUE:
        reason = Reason.EMERGENCY if asked is Asked.EMERGENCY else Reason.REQUESTED
        return _rotation(house, credential, tracked, said, reason)
    if rotates and due is not None and due.reason is not Reason.INTERRUPTED:
        return _rotation(house, credential, tracked, said, due.reason)
    if said:
        reason = due.reason if rotates and due is not None else Reason.GRACE_OVER
        ids = tuple(one.key_id for one in ended if one.key_id)
        return Rehearsal(RotationOutcome.PLANNED, reason.value, ids, tuple(said))
    return Rehearsal(RotationOutcome.SKIPPED, None, (), (_nothing(tracked, due),))


def _rotation(
    house: House, credential: Credential, tracked: Tracked | None, said: list[str], reason: Reason
) -> Rehearsal:
    plan = credential.proof
    current = current_version(tracked) if tracked is not None else None
    if reason is Reason.EMERGENCY and tracked is not None:
        in_grace = (one for one in tracked.versions if one.state is VersionState.PREVIOUS and one.origin in _OWN)
        said.extend(f"retire key {one.key_id}, which is in its grace" for one in in_grace)
    if current is not None:
        said.append(f"prove that the current {credential.noun} works")
    application, lifetime = credential.application.removeprefix("certificate:"), spell(credential.policy.lifetime)
    said.append(f"create a {credential.noun} for {application}, valid for {lifetime}")
    said.append(f"stage it, prove it {plan.proofs} times within {spell(plan.deadline)}")
    said.append(f"promote it to {house.place(credential)}")
    if current is not None:
        said.append(_farewell(credential, current, reason))
    old = (current.key_id,) if current is not None and current.key_id else ()
    return Rehearsal(RotationOutcome.PLANNED, reason.value, old, tuple(said))


def _farewell(credential: Credential, current: Version, reason: Reason) -> str:
    key, policy = current.key_id or "without an id", credential.policy
    if current.origin not in _OWN:
        return f"leave key {key}: rotator did not issue it"
    if reason is Reason.EMERGENCY:
        return f"retire key {key} at once, without grace"
    if policy.retire is RetireMode.AFTER_GRACE:
        return f"retire key {key} after a grace of {spell(policy.grace)}"
    if policy.retire is RetireMode.MANUAL:
        return f"leave key {key} until a person retires it: rotator retire {credential.name} --key-id {key}"
    return f"leave key {key} until it expires"


def _nothing(tracked: Tracked | None, due: Due | None) -> str:
    idle = why_idle(tracked) if tracked is not None else None
    if idle is not None:
        return idle
    return "nothing is due" if due is None else f"not due yet: {due.sentence}"
