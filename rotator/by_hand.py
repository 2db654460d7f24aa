"""What a person asks for outside of a pass: prove, retire, sweep, forget. Each does one thing to one credential.

The rules are those of a pass: nothing is retired before the version in use was proved, nothing foreign is touched, and
every mutating call is written down before it is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, StrEnum

from rotator.candidate import candidate_of
from rotator.document import moment_in, ours_in
from rotator.endings import remove, retire
from rotator.errors import Busy, Misconfigured, Refused
from rotator.event import EventName
from rotator.kit import Kit
from rotator.lifecycle import begin, live
from rotator.model import (
    Credential,
    CredentialState,
    Origin,
    Phase,
    Reason,
    Rotation,
    RotationOutcome,
    Trouble,
    Version,
    VersionState,
)
from rotator.outlook import DOES_NOT_PASS
from rotator.ports import Answer, Issued, Tracked, Verdict
from rotator.prepared import is_prepared
from rotator.proving import control, prove_current
from rotator.staging import Claim, Stage, StagingDocument, free
from rotator.survey import read, reconcile, strays
from rotator.sweeping import sight, sweep

_OWN = (Origin.OURS, Origin.ADOPTED)


class Proof(StrEnum):
    """What `rotator verify` found."""

    PROVED = "proved"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Proved:
    """What a proof of the version in use said. proofs: successes. expires_at: the end of the version, if known."""

    outcome: Proof
    proofs: int
    verdict: Verdict
    expires_at: datetime | None


def prove_now(kit: Kit) -> Proved:
    """Prove the version that consumers read, once, and change nothing outside of the ledger.

    Raises Refused with code `no_document` when consumers read nothing.
    """
    fields = kit.store.consumers.read(kit.credential.path).fields
    if fields is None:
        raise Refused(
            f"{kit.credential.path} holds no document yet, so there is nothing to prove.",
            hint=f"Make the first version: rotator rotate {kit.credential.name}",
            code="no_document",
        )
    ours = ours_in(kit, fields)
    verdict = prove_current(kit, ours.text("client_id") or kit.credential.client_id, ours)
    proved = verdict.answer is Answer.PROVED
    _remember(kit, verdict)
    outcome = Proof.PROVED if proved else Proof.UNREACHABLE if verdict.answer is Answer.SILENT else Proof.REFUSED
    return Proved(outcome, int(proved), verdict, moment_in(ours, "expires_at"))


def _remember(kit: Kit, verdict: Verdict) -> None:
    tracked, now = kit.ledger.tracked(kit.credential.name), kit.clock.now()
    if tracked is None or verdict.answer is Answer.SILENT:
        return
    if verdict.answer is Answer.PROVED:
        kit.ledger.note(replace(tracked.state, proved_at=now, error=None))
        return
    message, hint = f"{DOES_NOT_PASS}: {verdict.message}", "Mend it at the issuer, or rotate it."
    # The next pass looks again, whenever the next heartbeat would be.
    kit.ledger.note(replace(tracked.state, error=Trouble(verdict.code, message, hint, now), wake_at=None))


def retire_now(kit: Kit, key_id: str | None) -> tuple[str, ...]:
    """Retire one previous version, or all of them, before the grace is over; return the key ids.

    Raises Refused when there is none, Busy while a rotation is unfinished, and what `endings.retire` does.
    """
    tracked = settled(kit)
    replaced = (VersionState.PREVIOUS, VersionState.RETIRING)
    found = [one for one in tracked.versions if one.state in replaced and one.origin in _OWN]
    chosen = [one for one in found if key_id is None or one.key_id == key_id]
    if not chosen:
        there = ", ".join(one.key_id for one in found) or "none"
        which = "no previous version" if key_id is None else f"no previous version with key {key_id}"
        raise Refused(
            f"{kit.credential.name} has {which}; previous ones of ours: {there}.",
            hint=f"See what there is: rotator orphans, rotator status {kit.credential.name}",
            code="nothing_to_retire",
        )
    return retire(kit, chosen, Reason.REQUESTED.value)


def sweep_now(kit: Kit) -> tuple[str, ...]:
    """Remove the orphans of one credential, after the second look that is due; return the key ids."""
    settled(kit)
    wait = sight(kit, read(kit))
    if wait is None:
        return ()
    kit.tell("sweep", "tell", "waits for the second look, a quarantine after the first")
    kit.pause(wait)
    sight(kit, read(kit))
    return sweep(kit)


def settled(kit: Kit) -> Tracked:
    """Return what is known when nothing is unfinished. Raises Busy when something is."""
    tracked = kit.ledger.tracked(kit.credential.name)
    if tracked is not None and is_prepared(tracked.rotation):
        raise Busy(
            f"The next version of {kit.credential.name} is prepared and waits; until it is shown nothing else is done.",
            hint=f"Show it now, then try again: rotator rotate --now {kit.credential.name}",
            code="prepared",
        )
    if tracked is not None and tracked.rotation is not None:
        raise Busy(
            f"A rotation of {kit.credential.name} is unfinished.",
            hint=f"Finish it first: rotator rotate {kit.credential.name}",
            code="unfinished",
        )
    return reconcile(kit, read(kit))


# -------------------------------------------------------------------------------------------------------------- intake


def take_in(kit: Kit, issued: Issued, *, note: str = "") -> Rotation:
    """Stage, prove and promote a version that a person has made.

    Nothing is asked of an issuer, so there is no intent before: what was taken in is in the record before it is staged.
    Stopped before it is staged: the value is lost with this process, the rotation is given up by the next run, and the
    person gives it again. Stopped later: the next run goes on, as for any other. Raises why it was not promoted.
    """
    tracked = settled(kit)
    scene = read(kit)
    control(kit, tracked.state, issued.client_id)
    run = begin(kit, scene, Reason.INTAKE)
    version = candidate_of(run, issued.version)
    event = run.event(EventName.INTAKE_RECEIVED, key_id=version.key_id, detail=note or None)
    taken = run.put(phase=Phase.CREATING, attempt=1, key_id=version.key_id, tag=issued.version.tag, note=note)
    kit.ledger.record(event, version, taken)
    run.issued = issued
    live(run)
    if run.rotation.phase is Phase.ABANDONED and run.trouble is not None:
        raise run.trouble
    return run.rotation


# -------------------------------------------------------------------------------------------------------------- forget


class Leaving(Enum):
    """What becomes of our versions when a credential is no longer managed."""

    RETIRE = "retire"  # they are removed, the current one too
    LEAVE = "leave"  # they stay, for others to manage


def forget(kit: Kit, how: Leaving) -> None:
    """End the management of a credential; its name is free for another afterwards.

    Works on what the name stood for, whatever the configuration says by now. With RETIRE every version of ours is
    removed, the one in use included: nothing is proved, because nothing is to be left. What is unfinished or prepared
    is not finished any more; a version that nobody was shown, and that is left, is named in the record. Stopped
    anywhere: the rest is done when it is asked again.
    """
    tracked = kit.ledger.tracked(kit.credential.name)
    if tracked is None or tracked.state.forgotten_at is not None:
        raise Refused(f"{kit.credential.name} is not managed.", hint="See what is: rotator status", code="not_managed")
    kit = replace(kit, credential=_as_it_was(kit.credential, tracked.state))
    orphans = strays(kit, read(kit)) if how is Leaving.RETIRE else ()
    claim = Claim.take(kit, lambda present: _put_aside(kit, present))
    now, ended = kit.clock.now(), []
    for version in tracked.versions:
        if how is Leaving.RETIRE and version.origin in _OWN:
            claim.renew()
            remove(kit, version, Reason.FORGOTTEN.value)
        else:
            ended.append(version)
    for one in orphans:
        remove(kit, Version(kit.credential.name, one.key_id, VersionState.RETIRING, Origin.OURS, tag=one.tag),
               Reason.FORGOTTEN.value)  # fmt: skip
    if tracked.rotation is not None:
        event = kit.event(EventName.ROTATION_ABANDONED, rotation_id=tracked.rotation.id, reason=Reason.FORGOTTEN.value)
        over = replace(tracked.rotation, phase=Phase.ABANDONED, outcome=RotationOutcome.ABANDONED, finished_at=now)
        kit.ledger.record(event, over)
    unshown = ", ".join(one.key_id for one in ended if one.state is VersionState.CANDIDATE)
    detail = f"never shown to consumers, and left at its issuer: {unshown}" if unshown else None
    event = kit.event(EventName.CREDENTIAL_FORGOTTEN, reason=how.value, detail=detail)
    ended = [replace(one, state=VersionState.LEFT) for one in ended]
    state = replace(tracked.state, forgotten_at=now, parked=None, paused_at=None, error=None)
    kit.ledger.record(event, replace(state, failures=0, cause=None, same_cause=0, not_before=None), *ended)
    free(claim)


def _put_aside(kit: Kit, present: StagingDocument | None) -> StagingDocument:
    """Return the claim for the end of everything: what is unfinished, or prepared, is not finished any more."""
    nothing = present or StagingDocument(kit.credential.binding, "", 0, Stage.IDLE, kit.clock.instant())
    return replace(nothing, stage=Stage.CLAIMED, rotation_id="", key_id=None, values=None, promote_at=None)


def _as_it_was(credential: Credential, state: CredentialState) -> Credential:
    store, _, path = state.binding.store_path.partition(":")
    if store != credential.store:
        raise Misconfigured(
            f"{state.name} was kept in the store {store}, and the configuration says {credential.store} now.",
            hint=f"Put the old store back for this credential, then: rotator forget {state.name} --leave",
            code="bound_elsewhere",
        )
    return replace(credential, issuer=state.binding.issuer, application=state.binding.application, path=path)
