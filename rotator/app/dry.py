"""What a rotation would do, from state and configuration alone; it contacts nobody and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from rotator.app.house import House
from rotator.due import Action, Due
from rotator.model import Credential, Origin, Procedure, Reason, RetireMode, RotationOutcome, Version, VersionState
from rotator.planner import (
    begins_at,
    current_version,
    must_ask,
    next_rotation,
    prepared_until,
    procedure_of,
    retirements,
    why_idle,
)
from rotator.ports import Tracked
from rotator.prepared import is_prepared
from rotator.timing import spell, spell_moment

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
    if tracked is not None and is_prepared(tracked.rotation) and why_idle(tracked) is None:
        return _prepared(house, credential, tracked, asked)
    ended = [one for one in retirements(credential, tracked, now) if one.at <= now] if tracked is not None else []
    said: list[str] = []
    interrupted = due is not None and due.reason is Reason.INTERRUPTED and due.at <= now
    if due is not None and due.reason is Reason.INTERRUPTED:
        said.append(f"finish or undo what is unfinished: {due.sentence}")
    said.extend(_ending(credential, one) for one in ended)
    if asked is not Asked.IF_DUE:
        reason = Reason.EMERGENCY if asked is Asked.EMERGENCY else Reason.REQUESTED
        return _rotation(house, credential, tracked, said, reason)
    if due is not None and not interrupted and due.action is Action.ROTATE:
        begins = begins_at(credential, tracked, due)
        if begins <= now:
            hurry = tracked is not None and tracked.request is not None and tracked.request.emergency
            reason = Reason.EMERGENCY if hurry and due.reason is Reason.REQUESTED else due.reason
            return _rotation(house, credential, tracked, said, reason, due.at if due.at > now else None)
    if said:
        reason = due.reason if interrupted and due is not None else Reason.GRACE_OVER
        ids = tuple(one.key_id for one in ended if one.key_id)
        return Rehearsal(RotationOutcome.PLANNED, reason.value, ids, tuple(said))
    return Rehearsal(RotationOutcome.SKIPPED, None, (), (_nothing(tracked, due, now),))


def _ending(credential: Credential, due: Due) -> str:
    key = due.key_id or "without an id"
    if credential.by_hand:
        return f"take key {key} for retired, which its maker removes: {due.sentence}"
    if credential.policy.retire is RetireMode.WHEN_UNUSED:
        return f"retire key {key} if its issuer saw nobody use it: {due.sentence}"
    return f"retire key {key}: {due.sentence}"


def _rotation(
    house: House,
    credential: Credential,
    tracked: Tracked | None,
    said: list[str],
    reason: Reason,
    later: datetime | None = None,
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
    said += _steps(house, credential, procedure, later)
    if current is not None and not procedure.single_slot:
        said.append(_farewell(credential, current, reason))
    old = (current.key_id,) if current is not None and current.key_id else ()
    return Rehearsal(RotationOutcome.PLANNED, reason.value, old, tuple(said))


def _steps(house: House, credential: Credential, procedure: Procedure, later: datetime | None = None) -> list[str]:
    if procedure is Procedure.OVERLAP:
        return _side_by_side(house, credential, later)
    return _in_place(house, credential, procedure)


def _side_by_side(house: House, credential: Credential, later: datetime | None) -> list[str]:
    application, lifetime = credential.application.removeprefix("certificate:"), spell(credential.policy.lifetime)
    ahead = credential.policy.prepare
    promoted = f"promote it to {house.place(credential)}"
    when = f", at {spell_moment(later)}" if later is not None else ", at once: policy.prepare is for what comes due"
    return [
        f"create a {credential.noun} for {application}, valid for {lifetime}",
        f"stage it, prove it {_times(credential)}",
        promoted if ahead is None else f"{promoted}{when}",
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


def _prepared(house: House, credential: Credential, tracked: Tracked, asked: Asked) -> Rehearsal:
    """Return what becomes of a version that is proved already and waits for its time."""
    rotation, current = tracked.rotation, current_version(tracked)
    assert rotation is not None
    until = prepared_until(tracked, house.clock.now())
    if asked is Asked.IF_DUE and until is not None:
        waits = f"not due yet: key {rotation.key_id} is proved and is promoted at {spell_moment(until)}"
        return Rehearsal(RotationOutcome.SKIPPED, None, (), (f"{waits} (policy.prepare)",))
    said = [f"verify once more key {rotation.key_id}, which is prepared", f"promote it to {house.place(credential)}"]
    emergency = asked is Asked.EMERGENCY or (tracked.request is not None and tracked.request.emergency)
    wanted = asked is not Asked.IF_DUE or tracked.request is not None
    reason = Reason.EMERGENCY if emergency else Reason.REQUESTED if wanted else rotation.reason
    if emergency:
        replaced = [one for one in tracked.versions if one.state in (VersionState.CURRENT, VersionState.PREVIOUS)]
        said.extend(f"retire key {one.key_id} at once" for one in replaced if one.origin in _OWN)
        said.extend(_steps(house, credential, procedure_of(credential, tracked)))
        said.append(f"retire key {rotation.key_id} at once, without grace")
    else:
        now = house.clock.now()
        said.extend(_ending(credential, one) for one in retirements(credential, tracked, now) if one.at <= now)
        said.extend([_farewell(credential, current, reason)] if current is not None else [])
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
    if policy.retire is RetireMode.WHEN_UNUSED:
        return f"retire key {key} after a grace of {spell(policy.grace)}, as soon as nobody uses it"
    if policy.retire is RetireMode.MANUAL:
        return f"leave key {key} until a person retires it: rotator retire {credential.name} --key-id {key}"
    if current.expires_at is None:
        return f"leave key {key}, which has no end: rotator retire {credential.name} --key-id {key}"
    return f"leave key {key} until it expires"


def _nothing(tracked: Tracked | None, due: Due | None, now: datetime) -> str:
    idle = why_idle(tracked) if tracked is not None else None
    if idle is not None:
        return idle
    if due is None:
        return "nothing is due"
    return f"not due yet: {due.sentence}" if due.at > now else f"left to a person: {due.sentence}"
