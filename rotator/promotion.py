"""The one write that shows a version to consumers, and all that makes it safe. It proves before, and asks after.

Every try goes: the version of the document is read, the claim is confirmed by check-and-set with our epoch, the staged
copy is proved, the document is written from the version that was read. A rotator that took over in the meantime has
changed one of the two documents, so a process that slept between any two of these steps loses at the next write.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from rotator.candidate import fading
from rotator.clock import elapsed
from rotator.document import client_in, key_in, laid_into, ours_in, rotation_in, value_in
from rotator.errors import Broken, Denied, RotatorError, Transient, Unproved, WriteConflict
from rotator.event import EventName, Outcome
from rotator.finding import Severity
from rotator.kit import Kit, carry_out, settled
from rotator.model import Act, Displacement, Origin, Phase, Reason, RotationOutcome, Version, VersionState
from rotator.notes import Step
from rotator.ports import Answer, Change, Snapshot
from rotator.proving import Proof, prove_until
from rotator.run import Run
from rotator.secret import Fields
from rotator.staging import Previous, Stage
from rotator.survey import edited
from rotator.timing import plus, spell_moment

_AS_IT_IS: Final = (Reason.REVERTED, Reason.ADOPTED)
"""Rotations that show a value which is there already, however old it is."""

TAKEN: Final = (Answer.PROVED, Answer.UNFIT)
"""What the token endpoint says of a value that the issuer has; whether its token is as promised is another matter."""

PROOF_HOLDS: Final = timedelta(seconds=60)
"""So long after its last proof a value may be shown."""


def is_ours(run: Run, document: Snapshot) -> bool:
    """Say whether consumers already read what this rotation is to promote."""
    fields = document.fields
    return key_in(run.kit, fields) == run.rotation.key_id and rotation_in(run.kit, fields) == run.rotation.id


def conflict_of(run: Run, document: Snapshot) -> Broken | None:
    """Return the error for a document that somebody changed since this rotation began; None when nobody did.

    A new version with the same content is a fence that another rotator set, and no change.
    """
    base = run.rotation.base_version
    if document.version == base:
        return None
    before = run.kit.store.consumers.read(run.kit.credential.path, base).fields if base else None
    if before is not None and document.fields == before:
        return None
    return edited(run.kit, base, before, document)


def hindrance(run: Run, document: Snapshot) -> RotatorError | None:
    """Return why a version may not be shown any more; None when it may.

    With a single slot the version before is dead, so one that merely waited is shown even so. Where somebody has
    changed the document, the values decide: who works there stays, else ours is shown. One that the issuer has works,
    though its token is not as promised: then a person is called. Raises Transient when neither works for certain.
    """
    changed = conflict_of(run, document)
    if not run.rotation.procedure.single_slot:
        return changed or faded(run, run.claim.document.values)
    if changed is None:
        return None
    ours, theirs = says(run, run.claim.document.values), says(run, shown_in(run, document.fields))
    if theirs is Answer.PROVED or (theirs in TAKEN and ours is not Answer.PROVED):
        return changed
    if ours not in TAKEN or (ours is Answer.UNFIT and theirs is Answer.SILENT):
        raise Transient(
            f"{changed.message} Neither that value nor the new one is known to work.",
            hint="The new one is kept in the staging area; the next run looks again.",
            code=changed.code,
        )
    event = run.event(EventName.DRIFT_FOUND, store_path=run.kit.credential.path, store_version=document.version)
    run.kit.ledger.record(replace(event, detail="somebody wrote a value that does not work; ours is shown over it"))
    return None


def shown_in(run: Run, document: Fields | None) -> Fields | None:
    """Return our fields of what consumers read."""
    return None if document is None else ours_in(run.kit, document)


def says(run: Run, values: Fields | None) -> Answer:
    """Ask the token endpoint once, and return what it says of a value; what is no value is refused."""
    kit = run.kit
    if values is None or value_in(kit, values) is None:
        return Answer.REFUSED
    return kit.prover.prove(client_in(kit, values), values, kit.clock.now()).answer


def faded(run: Run, values: Fields | None) -> Unproved | None:
    """Return the error for a candidate that waited too long; what is shown again is at its end anyway."""
    return None if values is None or run.rotation.reason in _AS_IT_IS else fading(run.kit, values)


def announce_and_prove(run: Run, document: Snapshot) -> Fields | None:
    """Confirm the claim and publish what is about to be replaced, then prove; None when the proof failed.

    With a single slot one quick proof is made, and promoted is whatever it says: what consumers read is dead already.
    `previous` stays in the staging document until it is retired: a state that knows nothing of this rotation must not
    take the version in its grace for an orphan.
    """
    replaced, previous = run.replaced(), run.claim.document.previous
    ours = replaced is not None and replaced.origin is not Origin.FOREIGN and document.fields is not None
    ours = ours and not run.rotation.procedure.single_slot
    if replaced is not None and ours and replaced.key_id not in {one.key_id for one in previous}:
        previous = (*previous, Previous(replaced.key_id, document.version))
    run.claim.publish(stage=Stage.PROMOTING, base_version=document.version, previous=previous)
    values = staged_values(run)
    try:
        _see_that_it_is_another_value(run, document, values)
        if run.rotation.procedure.single_slot:
            said = says(run, values)
            run.kit.tell("promote", "tell", f"by necessity; one quick proof said: {said.value}")
        else:
            run.proof = _fresh_proof(run, values)
    except Unproved as failure:
        run.give_up(failure)
        return None
    run.claim.renew()
    return values


def _see_that_it_is_another_value(run: Run, document: Snapshot, values: Fields) -> None:
    """Raise Unproved when the issuer gave the value that consumers have already: it would end with the one before."""
    shown = value_in(run.kit, ours_in(run.kit, document.fields)) if document.fields is not None else None
    if run.rotation.reason not in _AS_IT_IS and shown is not None and shown == value_in(run.kit, values):
        raise Unproved(
            f"The issuer of {run.kit.credential.name} gave the very value again that consumers read now.",
            hint="Nothing was promoted. Look at the issuer, and at what `secret` leads to where it is described.",
            code="same_value",
        )


def _fresh_proof(run: Run, values: Fields) -> Proof:
    """Prove once more; all over again when that did not succeed at once, or when this process has not proved yet."""
    kit, client_id = run.kit, values.text("client_id") or ""
    if run.proof is not None:
        proof = prove_until(kit, client_id, values, run.claim.pause, 1)
        if proof.tries == 1:
            return proof
    proof = prove_until(kit, client_id, values, run.claim.pause, kit.credential.proof.proofs)
    event = run.event(EventName.VERSION_PROVED, key_id=run.rotation.key_id, detail=proof.sentence)
    kit.ledger.record(event, run.put(proofs=proof.proofs))
    return proof


def staged_values(run: Run) -> Fields:
    """Read the staged copy back: what is durable is what is proved and promoted, not what we remember."""
    values = run.claim.staged_values()
    if values is None:
        raise Broken(
            f"The staging document of {run.kit.credential.name} has no value, though one was staged.",
            hint="Look who else writes there.",
            code="staging_unreadable",
        )
    return values


def see_it_may_be_written(kit: Kit) -> None:
    """See that the store would let consumers have a new value, before the one they read is ended.

    Raises Denied for what the store would refuse.
    """
    for finding in kit.store.check([kit.credential.path]):
        if finding.outcome is Severity.FAIL:
            raise Denied(finding.message, hint=finding.hint, code="rehearsal_failed")


def write(run: Run, document: Snapshot, values: Fields) -> Snapshot:
    """Write the consumers' document from the version that was read. Raises WriteConflict, OutcomeUnknown, Denied."""
    kit, rotation = run.kit, run.rotation
    intent = kit.intent(Act.PROMOTE, rotation_id=rotation.id, key_id=rotation.key_id, expected=document.version)
    event = run.event(EventName.VERSION_PROMOTED, key_id=rotation.key_id, store_path=kit.credential.path)
    event = replace(event, reason=_why(run))
    after, write_it = laid_into(kit, document.fields, values), kit.store.consumers.write
    announced = run.put(phase=Phase.PROMOTING)

    def show() -> Snapshot:
        _see_that_the_proof_holds(run)
        return write_it(kit.credential.path, after, document.version)

    return carry_out(kit, intent, event, show, announced)


def withheld(run: Run, refused: Denied) -> Denied:
    """Return the error for a promotion that the store does not permit, with what that means for the consumers."""
    kit, replaced = run.kit, run.replaced()
    if run.rotation.procedure.single_slot and replaced is not None:
        return Denied(
            f"{refused.message.rstrip('.')}. Consumers are without a valid secret: what they read ended when the new "
            "one was made, and that is kept in the staging area.",
            hint=f"{refused.hint.rstrip('.')}, and at once: rotator rotate {kit.credential.name}",
            code=refused.code,
        )
    ends = replaced.expires_at if replaced is not None else None
    works = f", which works until {spell_moment(ends)}" if ends is not None else ""
    serves = f"Consumers still read the old secret{works}." if replaced is not None else "Consumers have none yet."
    return Denied(
        f"{refused.message.rstrip('.')}. {serves}",
        hint=f"{refused.hint.rstrip('.')}. The new secret stays staged and is promoted when the policy allows it: "
        f"rotator rotate {kit.credential.name}",
        code=refused.code,
    )


def _see_that_the_proof_holds(run: Run) -> None:
    """Raise WriteConflict, so that all is done again, when this process slept since the value was proved."""
    if run.rotation.procedure.single_slot:
        return
    age = elapsed(run.proof.at, run.kit.clock.instant()) if run.proof is not None else None
    if age is None or age > PROOF_HOLDS:
        raise WriteConflict(
            f"The proof of {run.kit.credential.name} is too old to show it to consumers.",
            hint="It is proved again.",
            code="proof_too_old",
        )


def promoted(run: Run, written: Snapshot) -> None:
    """Record the promotion and what it displaced, then give up the claim; no value stays in the staging document.

    With a single slot the claim is kept, and the value with it, until the proofs that came too late are made.
    Stopped before the record: the next run finds its own rotation in the document and records it then, with a grace
    that begins then. Stopped before the claim is given up: the next run gives it up.
    """
    kit, rotation = run.kit, run.rotation
    now = kit.clock.instant()
    issuer_now = run.proof.issuer_now if run.proof is not None else run.listing.issuer_now
    moment = Displacement(rotation.id, now, written.written_at or written.store_now, issuer_now)
    current = _current(run, written, moment)
    replaced = run.replaced()
    changes: list[Change] = [current]
    if replaced is not None and replaced.key_id != current.key_id:
        changes.append(_displaced(run, replaced, moment))
    client_id = written.fields.text(kit.field("client_id")) if written.fields is not None else None
    state = run.tracked().state
    state = replace(state, client_id=client_id or state.client_id, error=None, failures=0, cause=None, same_cause=0)
    single = run.rotation.procedure.single_slot
    changes.append(replace(state, not_before=None, proved_at=state.proved_at if single else now.wall))
    changes.extend(settled(one) for one in run.unsettled())
    event = run.event(
        EventName.VERSION_PROMOTED,
        outcome=Outcome.SUCCEEDED,
        reason=_why(run),
        key_id=rotation.key_id,
        store_path=kit.credential.path,
        store_version=written.version,
        request_id=written.request_id,
    )
    run.put(store_version=written.version, error=None)
    if single:
        gap = _gap(run)
        shown = run.put(phase=Phase.SHOWN, base_version=written.version)  # what may be shown next is laid over our own
        kit.ledger.record(replace(event, detail=gap), shown, *changes)
        return
    run.finish(RotationOutcome.PROMOTED, *changes, phase=Phase.PROMOTED, first=event)
    run.claim.release(previous=tuple(one for one in run.claim.document.previous if one.key_id != current.key_id))


def fence(run: Run, document: Snapshot) -> None:
    """Write the consumers' document as it is, so that a promotion still on its way finds another version than it wants.

    Where there is none yet, one is written that names the rotation and holds no value. Raises Transient when the
    document changed meanwhile: then the next run looks again.
    """
    kit = run.kit
    fields = document.fields if document.fields is not None else Fields({kit.field("rotation_id"): run.rotation.id})
    intent = kit.intent(Act.PROMOTE, rotation_id=run.rotation.id, expected=document.version)
    event = run.event(EventName.ROTATION_ABANDONED, store_path=kit.credential.path, reason="fence")
    event = replace(event, detail="the consumers' document is written unchanged, so that no late promotion fits")
    if document.fields is None:
        event = replace(event, detail="a document without a value is written, so that no late promotion fits")
    write_it = kit.store.consumers.write
    try:
        written = carry_out(kit, intent, event, lambda: write_it(kit.credential.path, fields, document.version))
    except WriteConflict:
        raise Transient("The document was written meanwhile.", hint="The next run looks who did.") from None
    done = replace(event, outcome=Outcome.SUCCEEDED, store_version=written.version)
    replaced = run.replaced()
    moved = (replace(replaced, store_version=written.version),) if replaced is not None else ()
    kit.ledger.record(done, settled(intent), *moved)


def _gap(run: Run) -> str:
    """Return how long consumers had a value that was dead, and keep it with the steps of the rotation."""
    if run.sent is None:
        return "consumers were without a valid secret from the interrupted run until now"
    gap = elapsed(run.sent, run.kit.clock.instant()) or timedelta(0)
    words = f"consumers were without a valid secret for at most {gap.total_seconds():.1f} s"
    step = Step(run.rotation.id, "gap", "done", run.sent.wall, run.rotation.attempt, words, gap.total_seconds())
    run.kit.ledger.note(step)
    run.kit.tell("promote", "tell", words)
    return words


def _why(run: Run) -> str:
    if run.rotation.procedure.single_slot:
        return Reason.BY_NECESSITY.value
    return (Reason.REVERTED if run.rotation.reason is Reason.REVERTED else Reason.PROVED).value


def _current(run: Run, written: Snapshot, moment: Displacement) -> Version:
    version = run.version()
    assert version is not None
    version = replace(version, state=VersionState.CURRENT, promoted_at=moment.local.wall)
    return replace(version, store_version=written.version, displaced=None, retire_after=None)


def _displaced(run: Run, replaced: Version, moment: Displacement) -> Version:
    """Return the version before, in its grace. Only the issuer's own word and Date end a grace before its time."""
    wall = moment.local.wall
    if replaced.origin is Origin.FOREIGN:
        return replace(replaced, state=VersionState.LEFT, displaced=moment)
    if run.rotation.procedure.single_slot:
        return replace(replaced, state=VersionState.RETIRED, displaced=moment, retired_at=wall)
    if run.rotation.emergency:
        return replace(replaced, state=VersionState.RETIRING, displaced=moment, retire_after=wall)
    after = wall if _expired_there(run, replaced) else plus(wall, run.kit.credential.policy.grace)
    return replace(replaced, state=VersionState.PREVIOUS, displaced=moment, retire_after=after)


def _expired_there(run: Run, version: Version) -> bool:
    """Say whether the issuer itself lists a version as expired, by its own Date."""
    issuer_now = run.listing.issuer_now
    ends = next((one.expires_at for one in run.listing.versions if one.key_id == version.key_id), None)
    return ends is not None and issuer_now is not None and ends <= issuer_now
