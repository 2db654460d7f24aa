"""The life of a secret, top to bottom: how one version is replaced by the next. Decides no *when*, touches no file.

Theory. An issuer that lets two versions live at once (*overlap*) can be rotated without any gap: the next version is
made, kept where only rotator reads, proved by real token requests, and only then shown to consumers, by one
compare-and-set write. The version before stays valid through its grace and is retired afterwards (see `endings`). A
single slot ends the old value by taking a new one; how to live with that stands in `chosen` and `single_slot`.

Four rules carry everything else (the third for overlap only: a single slot has nothing to go back to):

    Written down first. Each mutating call is in the ledger, durable, before it is made, and its outcome after it:
    succeeded, refused (certainly not done) or unknown. After unknown nothing is repeated blindly: first we look.

    Durable before shown. A value goes from the issuer to the staging document, and from there to the document that
    consumers read. What is proved and promoted is the copy that was read back from the staging document.

    Undo before the promotion, forward after it. A candidate may be removed as long as no consumer can have read it.
    A failed retirement is never made good by removing the successor.

    Fenced twice. The claim on the staging document changes by check-and-set with our epoch, the consumers' document by
    check-and-set from the version that was read before the claim was last confirmed. A process that was suspended in
    between loses at one or the other.

`LIFE`, at the end, is the table of what may follow what, by procedure; what is not in it does not exist. The same steps
run after a crash: the ledger says in which phase a rotation stands, and every step begins by asking what is already
done. How a rotation is picked up again, ours or a foreign one, stands in `recovery`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from rotator.candidate import (
    candidate_of,
    is_staged,
    keep_what_came,
    lost_before_staged,
    note_staged,
    put_there,
    remove_candidate,
    too_many,
    too_short,
    validity,
)
from rotator.chosen import choose, set_it
from rotator.document import client_in, contents, key_in, ours_in, provable
from rotator.errors import Broken, Denied, OutcomeUnknown, RotatorError, Transient, Unproved, WriteConflict
from rotator.event import EventName, Outcome
from rotator.kit import Kit, carry_out, settled
from rotator.model import Act, Phase, Procedure, Reason, Request, Rotation, RotationOutcome, Version
from rotator.ports import Answer
from rotator.promotion import (
    announce_and_prove,
    faded,
    fence,
    hindrance,
    is_ours,
    promoted,
    staged_values,
    withheld,
    write,
)
from rotator.proving import prove_until
from rotator.run import Run
from rotator.secret import Fields
from rotator.single_slot import find_out, regenerate, settle
from rotator.staging import Claim, Stage, last_seq
from rotator.survey import Scene
from rotator.timing import spell
from rotator.unclear import settle_creation

PROMOTION_TRIES: Final = 5
SETTLING_PAUSE: Final = timedelta(seconds=2)

# --------------------------------------------------------------------------------------------------------------- begin


def begin(
    kit: Kit, scene: Scene, reason: Reason, *, request: Request | None = None, back_to: Version | None = None
) -> Run:
    """Claim the staging document and write down that a rotation has begun.

    back_to: the version before, which is to be shown again; then none is created. The claim comes first: whoever holds
    it may make versions. Stopped after the claim and before the ledger's record: a claim without a value, which the
    same state takes up at once and another after two minutes. Raises Busy when another rotator holds the claim.
    """
    rotation_id, now = uuid.uuid4().hex, kit.clock.now()
    base, base_key = scene.document.version, key_in(kit, scene.document.fields)
    seq = max(kit.ledger.next_seq(kit.credential.name), last_seq(scene.staging) + 1)
    # What is adopted is there already: nothing is made, so nothing ends.
    procedure = Procedure.OVERLAP if reason is Reason.ADOPTED else scene.listing.procedure or kit.credential.procedure
    claim = Claim.begin(kit, rotation_id=rotation_id, seq=seq, attempt=0, base_version=base, procedure=procedure)
    epoch = claim.document.epoch
    phase = Phase.BEGUN if back_to is None else Phase.CREATING
    rotation = Rotation(rotation_id, kit.credential.name, seq, epoch, phase, 0, reason, kit.actor, started_at=now)
    rotation = replace(
        rotation,
        note=request.note if request else "",
        emergency=request.emergency if request else False,
        key_id=back_to.key_id if back_to else None,
        old_key_ids=(base_key,) if base_key else (),
        base_version=base,
        procedure=procedure,
    )
    run = Run(kit, claim, rotation, scene.listing)
    answered = (replace(request, answered_by=rotation_id),) if request else ()
    started = run.event(EventName.ROTATION_STARTED, reason=reason.value, detail=rotation.note or None)
    kit.ledger.record(started, rotation, *answered)
    return run


def live(run: Run) -> Rotation:
    """Go on from the phase in which the rotation stands, until it is over, or prepared for later.

    Raises what hinders it without deciding it: Transient, Denied, and others that a later run can overcome. The
    rotation then stays where it is.
    """
    rows = LIFE[run.rotation.procedure].rows
    while not (run.rotation.phase.final or run.waits):
        before = run.rotation.phase
        rows[before].act(run)
        if run.rotation.phase not in rows[before].leads_to:
            raise Broken(f"A rotation went from {before} to {run.rotation.phase}.", hint="Please report this.")
    return run.rotation


# -------------------------------------------------------------------------------------------------------------- create


def create(run: Run) -> None:
    """Ask the issuer for a version, labelled so that it can be found again.

    Stopped before the call: the intent says so, no version is found by its label, and another attempt is made. Stopped
    after it: the value is lost; the version is found by its label, removed, and made again.
    """
    kit, policy = run.kit, run.kit.credential.policy
    if kit.credential.by_hand or run.rotation.reason is Reason.ADOPTED:  # whoever made it has it still
        run.give_up(lost_before_staged(kit))
        return
    if (excess := too_many(run)) is not None:
        run.give_up(excess)
        return
    attempt = run.rotation.attempt + 1
    tag = kit.tag(run.rotation.id, attempt)
    with run.step("create") as words:
        run.claim.renew()
        intent = kit.intent(Act.CREATE, rotation_id=run.rotation.id, tag=tag, attempt=attempt)
        event = run.event(EventName.VERSION_CREATED, detail=f"asked to be valid for {spell(policy.lifetime)}")
        asked = run.put(phase=Phase.CREATING, attempt=attempt, tag=tag, key_id=None)
        ask = kit.provider.create
        try:
            issued = carry_out(kit, intent, event, lambda: ask(kit.credential.application, tag, policy.lifetime), asked)
        except OutcomeUnknown as unclear:
            run.unclear = unclear  # `stage` finds out what became of it
            words.append(unclear.message)
            return
        except Transient:
            raise  # certainly nothing was made: the next run makes another attempt
        except RotatorError as refused:
            words.append(refused.message)
            run.give_up(refused)
            return
        version = candidate_of(run, replace(issued.version, tag=tag))
        event = run.event(EventName.VERSION_CREATED, key_id=version.key_id, request_id=issued.request_id)
        done = replace(event, outcome=Outcome.SUCCEEDED, detail=validity(version, policy))
        kit.ledger.record(done, settled(intent), version, run.put(key_id=version.key_id))
        run.issued = issued
        words.append(f"key {version.key_id} at {kit.credential.provider}, {validity(version, policy)}")


# --------------------------------------------------------------------------------------------------------------- stage


def stage(run: Run) -> None:
    """Put the value where only rotator reads, and read it back.

    Stopped before the write: the value is lost, the version is removed by its key id and made again. Stopped after it:
    the staging document holds the value, and the next run goes on with it.
    """
    if is_staged(run):
        note_staged(run)
        return
    if run.rotation.reason is Reason.REVERTED:
        values = _shown_before(run)
    elif run.issued is not None:
        if (shortfall := too_short(run)) is not None:
            keep_what_came(run)
            run.give_up(shortfall)
            return
        values = contents(run.kit, run.issued, run.rotation.id)
    else:
        settle_creation(run)
        if run.trouble is None and run.issued is None:
            create(run)
        return
    with run.step("stage") as words:
        put_there(run, values)
        words.append(f"{run.kit.credential.name} v{run.claim.version} in the staging area")


def _shown_before(run: Run) -> Fields:
    """Return what consumers read before, from the history of their document."""
    kit, version = run.kit, run.version()
    number = version.store_version if version is not None else None
    fields = kit.store.consumers.read(kit.credential.path, number).fields if number is not None else None
    if fields is None or key_in(kit, fields) != run.rotation.key_id:
        raise Broken(
            f"The version of {kit.credential.path} that held key {run.rotation.key_id} cannot be read any more.",
            hint=f"It cannot be shown again. Have a new secret made: rotator rotate --now {kit.credential.name}",
            code="history_gone",
        )
    return ours_in(kit, fields).merged({"rotation_id": run.rotation.id})


# -------------------------------------------------------------------------------------------------------------- verify


def verify(run: Run) -> None:
    """Prove the staged copy: real token requests, several in a row, each on a fresh connection.

    Stopped anywhere: a proof is never remembered, the next run makes it anew.
    """
    kit = run.kit
    with run.step("verify") as words:
        values = staged_values(run)
        try:
            if (waited := faded(run, values)) is not None:
                raise waited
            client_id, proofs = values.text("client_id") or "", kit.credential.proof.proofs
            run.proof = prove_until(kit, client_id, values, run.claim.pause, proofs)
        except Unproved as failure:
            failure = _compared(run, failure)
            words.append(failure.message)
            run.give_up(failure)
            return
        words.append(run.proof.sentence)
        event = run.event(EventName.VERSION_PROVED, key_id=run.rotation.key_id, detail=run.proof.sentence)
        kit.ledger.record(event, run.put(phase=Phase.PROVED, proofs=run.proof.proofs))


def _compared(run: Run, failure: Unproved) -> Unproved:
    """Say whether the token of the version in use has the same fault: then it is not the new secret's."""
    kit = run.kit
    current = kit.store.consumers.read(kit.credential.path).fields
    if current is None or not provable(kit, current) or failure.code in ("still_refused", "candidate_faded"):
        return failure
    ours = ours_in(kit, current)
    verdict = kit.prover.prove(client_in(kit, ours), ours, kit.clock.now())
    if verdict.answer is Answer.UNFIT and verdict.code == failure.code:
        told = "The old secret's token has the same fault, so it comes from the issuer and not from this rotation."
    elif verdict.answer is Answer.PROVED:
        told = "The old secret's token is as expected."
    else:
        return failure
    return Unproved(f"{failure.message} {told}", hint=failure.hint, code=failure.code)


# ------------------------------------------------------------------------------------------------------------- promote


def promote(run: Run) -> None:
    """Show the version to consumers, by one check-and-set write; by necessity, when what they read is dead already.

    Each try: read the document, confirm the claim by check-and-set, prove, write from the version that was read.
    Stopped before the write: nothing is shown, the next run proves again and tries again. Stopped after it: the next
    run finds its own rotation in the document.
    """
    kit = run.kit
    with run.step("promote") as words:
        for _ in range(PROMOTION_TRIES):
            if is_ours(run, document := kit.store.consumers.read(kit.credential.path)):
                promoted(run, document)
                break
            run.settle(Outcome.REFUSED, f"the document is at version {document.version}, and not ours")
            if (hindered := hindrance(run, document)) is not None:
                words.append(hindered.message)
                run.give_up(hindered)
                return
            if (values := announce_and_prove(run, document)) is None:
                return
            try:
                promoted(run, write(run, document, values))
                break
            except (WriteConflict, OutcomeUnknown):
                run.claim.pause(SETTLING_PAUSE)  # then look: it may be our own success
            except Denied as refused:
                raise withheld(run, refused) from None
        else:
            raise Transient(
                f"Whether {kit.credential.path} was written is still not known.",
                hint="Nothing is lost; the next run looks again.",
            )
        words.append(f"{kit.credential.path} v{run.rotation.store_version}")


# ---------------------------------------------------------------------------------------------------------------- undo


def undo(run: Run) -> None:
    """Take everything back: the value leaves the staging document, then the version is removed at the issuer.

    Where the promotion was announced, a write of it may still be on its way, ours or that of a process we took over
    from; hence the fence before anything is removed. Stopped anywhere: the next run does the rest. The version in use
    is not touched.
    """
    kit = run.kit
    with run.step("undo") as words:
        document = kit.store.consumers.read(kit.credential.path)
        if is_ours(run, document):
            promoted(run, document)
            return
        if run.claim.document.stage is Stage.PROMOTING and document.version == run.claim.document.base_version:
            fence(run, document)
        if run.claim.document.stage is not Stage.ABANDONING:
            replaced = run.replaced()
            serving = replaced.key_id if replaced is not None else None
            previous = tuple(one for one in run.claim.document.previous if one.key_id != serving)
            run.claim.publish(stage=Stage.ABANDONING, values=None, previous=previous)
        if run.rotation.key_id is None:
            settle_creation(run)
        gone = remove_candidate(run)
        words.append(f"{gone}, the old one serves" if document.fields else gone)
        run.settle(Outcome.REFUSED, "it did not take effect")
        run.finish(run.rotation.outcome or RotationOutcome.ABANDONED, phase=Phase.ABANDONED)
        run.claim.release()


# --------------------------------------------------------------------------------------------------------------- table


@dataclass(frozen=True, slots=True)
class Row:
    """One phase. means: what is true in it. act: what is done. leads_to: what may follow."""

    means: str
    act: Callable[[Run], None]
    leads_to: tuple[Phase, ...]


@dataclass(frozen=True, slots=True)
class Course:
    """One procedure. steps: as people see them. rows: what is done in each phase. PROMOTED and ABANDONED end it."""

    steps: tuple[str, ...]
    rows: Mapping[Phase, Row]


_BEGUN, _CREATING, _CHOSEN, _STAGED, _PROVED, _PROMOTING, _SHOWN, _ABANDONING, _PROMOTED, _ABANDONED = Phase

_CLAIMED: Final = "claimed; nothing was asked of the issuer"
_IN_STAGING: Final = "the value is in the staging document"
_ANY_MOMENT: Final = "consumers may read it any moment"
_NOT_SHOWN: Final = "it will not be promoted"

_OVERLAP: Final = {
    _BEGUN: Row(_CLAIMED, create, (_CREATING, _ABANDONING)),
    _CREATING: Row("a version may exist; its value is not durable", stage, (_CREATING, _STAGED, _ABANDONING)),
    _STAGED: Row(_IN_STAGING, verify, (_PROVED, _ABANDONING)),
    _PROVED: Row("proved, as this process knows", promote, (_PROMOTED, _ABANDONING)),
    _PROMOTING: Row(_ANY_MOMENT, promote, (_PROMOTED, _ABANDONING)),
    _ABANDONING: Row(_NOT_SHOWN, undo, (_ABANDONED, _PROMOTED)),
}
_BY_NECESSITY: Final = {
    _STAGED: Row(f"{_IN_STAGING}, and what consumers read is dead", promote, (_SHOWN, _ABANDONING)),
    _PROMOTING: Row(_ANY_MOMENT, promote, (_SHOWN, _ABANDONING)),
    _SHOWN: Row("consumers read it; it is not proved yet", settle, (_STAGED, _PROMOTED)),
    _ABANDONING: Row(_NOT_SHOWN, undo, (_ABANDONED, _SHOWN)),
}
_MADE_THERE: Final = {
    _BEGUN: Row(_CLAIMED, regenerate, (_CREATING, _STAGED, _ABANDONING)),
    _CREATING: Row("what consumers read may be dead", find_out, (_CREATING, _STAGED, _ABANDONING)),
    **_BY_NECESSITY,
}
_MADE_HERE: Final = {
    _BEGUN: Row(_CLAIMED, choose, (_CHOSEN, _ABANDONING)),
    _CHOSEN: Row(f"{_IN_STAGING}; the issuer may have it", set_it, (_STAGED, _ABANDONING)),
    **_BY_NECESSITY,
}

LIFE: Final[Mapping[Procedure, Course]] = MappingProxyType(
    {
        Procedure.OVERLAP: Course(("create", "stage", "verify", "promote", "grace", "retire"), _OVERLAP),
        Procedure.CHOSEN: Course(("stage", "set", "promote", "verify", "settle"), _MADE_HERE),
        Procedure.READ_BACK: Course(("regenerate", "stage", "promote", "verify", "settle"), _MADE_THERE),
        Procedure.BLIND: Course(("rehearse", "regenerate", "stage", "promote", "verify", "settle"), _MADE_THERE),
    }
)
"""What is done in each phase, and what may follow it, by procedure. What was displaced goes through its grace
afterwards; with a single slot there is none. PROMOTING is written down by `promote` itself, with its intent."""
