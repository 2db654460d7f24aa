"""What a rotation would do, from state and configuration alone; it contacts nobody and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rotator.app.house import House
from rotator.due import Due
from rotator.model import Credential, Origin, Procedure, Reason, RetireMode, RotationOutcome, Version, VersionState
from rotator.planner import current_version, must_ask, next_rotation, procedure_of, retirements, why_idle
from rotator.ports import Tracked
from rotator.timing import spell

_OWN = (Origin.OURS, Origin.ADOPTED)
_ONCE = "the issuer shows a new secret once, and ends the one in use by making it"


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
    procedure = procedure_of(credential, tracked)
    current = current_version(tracked) if tracked is not None else None
    if must_ask(credential, tracked, Reason.REQUESTED if reason is Reason.EMERGENCY else reason):
        outcome, no = (RotationOutcome.PLANNED, "no rotation") if said else (RotationOutcome.SKIPPED, "nothing")
        said.append(f"{no}, unless `accept_gap: true` stands in the policy of {credential.name}: {_ONCE}")
        return Rehearsal(outcome, None, (), tuple(said))
    if reason is Reason.EMERGENCY and tracked is not None:
        in_grace = (one for one in tracked.versions if one.state is VersionState.PREVIOUS and one.origin in _OWN)
        said.extend(f"retire key {one.key_id}, which is in its grace" for one in in_grace)
    if current is not None:
        said.append(f"prove that the current {credential.noun} works")
    said += (
        _side_by_side(house, credential) if procedure is Procedure.OVERLAP else _in_place(house, credential, procedure)
    )
    if current is not None and not procedure.single_slot:
        said.append(_farewell(credential, current, reason))
    old = (current.key_id,) if current is not None and current.key_id else ()
    return Rehearsal(RotationOutcome.PLANNED, reason.value, old, tuple(said))


def _side_by_side(house: House, credential: Credential) -> list[str]:
    application, lifetime = credential.application.removeprefix("certificate:"), spell(credential.policy.lifetime)
    ahead = credential.policy.prepare
    promoted = f"promote it to {house.place(credential)}"
    return [
        f"create a {credential.noun} for {application}, valid for {lifetime}",
        f"stage it, prove it {_times(credential)}",
        promoted if ahead is None else f"{promoted}, at once: policy.prepare is for rotations that come due",
    ]


def _in_place(house: House, credential: Credential, procedure: Procedure) -> list[str]:
    """Return the steps where the new secret ends the one before, in their order."""
    place = house.place(credential)
    begins = {
        Procedure.CHOSEN: [f"choose a secret and stage it, then set it for {credential.application}"],
        Procedure.READ_BACK: [f"have the issuer make a new secret for {credential.application}, and stage it"],
        Procedure.BLIND: [
            "rehearse: write a value to the staging area and read it back",
            f"have the issuer make a new secret for {credential.application}, which is shown once, and stage it",
        ],
    }[procedure]
    begins[-1] += "; the one in use ends with it"
    return [
        *begins,
        f"promote it to {place} after one quick proof, whatever that says: until then what consumers read is dead",
        f"prove it {_times(credential)}",
    ]


def _times(credential: Credential) -> str:
    plan = credential.proof
    return f"{plan.proofs} times within {spell(plan.deadline)}"


def _farewell(credential: Credential, current: Version, reason: Reason) -> str:
    key, policy = current.key_id or "without an id", credential.policy
    if current.origin not in _OWN:
        return f"leave key {key}: rotator did not issue it"
    if reason is Reason.EMERGENCY:
        return f"retire key {key} at once, without grace"
    if policy.retire is RetireMode.AFTER_GRACE:
        return f"retire key {key} after a grace of {spell(policy.grace)}"
    if policy.retire is RetireMode.WHEN_UNUSED:
        return f"retire key {key} after a grace of {spell(policy.grace)}, as soon as nobody uses it"
    if policy.retire is RetireMode.MANUAL:
        return f"leave key {key} until a person retires it: rotator retire {credential.name} --key-id {key}"
    return f"leave key {key} until it expires"


def _nothing(tracked: Tracked | None, due: Due | None) -> str:
    idle = why_idle(tracked) if tracked is not None else None
    if idle is not None:
        return idle
    return "nothing is due" if due is None else f"not due yet: {due.sentence}"
