"""Issuers with a single slot: a new value ends the old one at once. How one comes to be, and is proved afterwards.

Undoing is not possible here, so the order is another one: what is at the issuer is shown to consumers *by necessity*,
as soon as it is durable, and proved in full only then. The one question is how a value survives a crash:

    chosen      we choose it. It lies in the staging document before the issuer hears of it; see `chosen`.
    read-back   the issuer chooses, and shows it again. A lost answer is settled by reading, once the request can no
                longer take effect.
    blind       the issuer chooses, and shows it once. The way to the staging area is rehearsed right before; the value
                goes there before anything else happens. One that is lost all the same is replaced by another.

A version may have no key id of the issuer's; then it has one of ours, made of rotation and attempt.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Final

from rotator.candidate import (
    candidate_of,
    is_staged,
    note_staged,
    put_there,
    row_of_staged,
    see_it_there,
    staged,
    too_many,
    too_short,
    validity,
)
from rotator.clock import elapsed
from rotator.document import client_in, contents, value_in
from rotator.errors import Broken, OutcomeUnknown, Refused, RotatorError, Transient, Unproved
from rotator.event import Event, EventName, Outcome
from rotator.kit import Kit, carry_out, settled
from rotator.model import (
    Act,
    Intent,
    Phase,
    Procedure,
    Reason,
    RotationOutcome,
    Trouble,
)
from rotator.ports import Answer, Change, Issued, Verdict
from rotator.promotion import TAKEN, says, see_it_may_be_written, shown_in, staged_values
from rotator.proving import prove_until
from rotator.run import Run
from rotator.secret import Fields, Secret
from rotator.timing import FAR_PAST, spell
from rotator.unclear import unanswered

UNREADABLE: Final = "unreadable"
"""What an issuer's error is called when it has no value, or none that could be used."""

_NOTHING: Final = timedelta(0)

# ----------------------------------------------------------------------------------------------------------- beforehand


def see_it_may_end(kit: Kit, procedure: Procedure, verdict: Verdict) -> None:
    """See, before the only version is ended, that the next one could be proved.

    verdict: what the token endpoint said of the one in use. Raises Unproved when its token is not as promised: the next
    one's would not be either, and nothing could be taken back.
    """
    if procedure.single_slot and verdict.answer is Answer.UNFIT:
        name = kit.credential.name
        raise Unproved(
            f"The token of the secret of {name} in use is not as promised, and the next one's would not be: "
            f"{verdict.message}",
            hint="Nothing was changed. Mend it at the issuer, or what `verify.expect` asks for. "
            f"To end that secret all the same: rotator rotate --now --emergency {name}",
            code=verdict.code,
        )


def _unreadable(run: Run) -> Refused | None:
    """Return the error for an issuer that does not show what is in use: a lost answer would be a lost value.

    None when it does, when somebody has accepted that, or when what consumers read is dead anyway.
    """
    kit, shown = run.kit, _shown(run)
    name, accepted = kit.credential.name, kit.credential.policy.accept_gap or run.rotation.emergency
    # Where each answer brings what the next request needs, none is asked for without cause.
    if run.rotation.procedure is not Procedure.READ_BACK or accepted or shown is None or kit.keeping is not None:
        return None
    try:
        found = _read(run)
    except Refused as refused:
        return refused
    same = found is not None and found.values.secret("client_secret") == value_in(kit, shown)
    if same or says(run, shown) not in TAKEN:
        return None
    return Refused(
        f"The issuer of {name} does not show the secret in use, so a new one could be lost with the answer.",
        hint="Nothing was changed. Look at what `read` leads to, and at what rotator may read; "
        f"or say `accept_gap: true` in the policy of {name}.",
        code="not_shown",
    )


# ---------------------------------------------------------------------------------------------------------- regenerate


def regenerate(run: Run) -> None:
    """Have the issuer put a new value in its slot, and put that into the staging area before anything else.

    Both calls are written down before the first is made, so that nothing has to be written between them. Stopped
    between them: a value that can be read again is read, another is lost and replaced; see `find_out`.
    """
    kit, credential = run.kit, run.kit.credential
    if run.rotation.reason is Reason.REFUSED and run.rotation.attempt == 0 and _found_another(run):
        return
    hindered = too_many(run) or (_unreadable(run) if run.rotation.attempt == 0 else None)
    if hindered is not None:
        run.give_up(_lost(run, hindered, run.rotation.attempt))
        return
    see_it_may_be_written(kit)
    if run.rotation.procedure is Procedure.BLIND:
        _rehearse(run)
    attempt = run.rotation.attempt + 1
    tag = kit.tag(run.rotation.id, attempt)
    with run.step("regenerate") as words:
        run.claim.renew()
        kept = kit.intent(Act.STAGE, rotation_id=run.rotation.id, attempt=attempt)
        made = kit.intent(Act.CREATE, rotation_id=run.rotation.id, tag=tag, attempt=attempt)
        event = run.event(EventName.VERSION_CREATED, detail="regenerated; the one before ends with it")
        keeping = run.event(EventName.VERSION_STAGED, store_path=credential.name, outcome=Outcome.INTENDED)
        asked = run.put(phase=Phase.CREATING, attempt=attempt, tag=tag, key_id=None)
        run.sent = run.sent or made.sent
        try:
            issued = carry_out(kit, made, event, lambda: _made_and_kept(run, tag), keeping, kept, asked)
        except OutcomeUnknown as unclear:
            run.unclear = unclear  # `find_out` does
            words.append(unclear.message)
            return
        except Transient:
            raise
        except RotatorError as refused:
            words.append(refused.message)
            run.give_up(_lost(run, refused, attempt - 1))
            return
        version = candidate_of(run, issued.version)
        done = replace(event, outcome=Outcome.SUCCEEDED, key_id=version.key_id, request_id=issued.request_id)
        there = replace(keeping, outcome=Outcome.SUCCEEDED, key_id=version.key_id, store_version=run.claim.version)
        told = run.put(phase=Phase.STAGED, key_id=version.key_id)
        kit.ledger.record(done, there, settled(made), settled(kept), version, told)
        until = validity(version, credential.policy)
        words.append(f"at {credential.provider}, {until}; v{run.claim.version} in the staging area")


def _made_and_kept(run: Run, tag: str) -> Issued:
    """Regenerate and stage, with nothing in between. Raises OutcomeUnknown when a value was made and not kept."""
    kit, credential = run.kit, run.kit.credential
    issued = _named(run, kit.slot.regenerate(credential.application, tag, credential.policy.lifetime))
    values, key_id = contents(kit, issued, run.rotation.id), issued.version.key_id
    came = () if issued.keepsake is None else ((key_id, issued.keepsake),)
    kept = (*run.claim.document.keepsakes, *came)
    try:
        run.claim.keep(**{**staged(run, values), "key_id": key_id, "keepsakes": kept})
        see_it_there(run, values)
    except RotatorError as hindered:
        raise OutcomeUnknown(
            f"{credential.name} has a new value that could not be kept: {hindered.message}",
            hint="The next run finds out what is left of it.",
            code=hindered.code,
        ) from None
    return issued


def _named(run: Run, issued: Issued) -> Issued:
    """Return it under a key id that no other version of ours has: the issuer's own may be that of its slot."""
    key_id, known = issued.version.key_id, run.kit.ledger.known_key_ids(run.kit.credential.name, FAR_PAST)
    if not key_id or key_id in known:
        key_id = run.own_key_id(run.rotation.attempt)
    while key_id in known:  # read back, and not the value that this attempt brought
        key_id = f"{key_id}-read"
    return replace(issued, version=replace(issued.version, key_id=key_id, tag=run.rotation.tag))


def _rehearse(run: Run) -> None:
    """See that a value would find its way: written to the staging area and read back.

    Stopped anywhere: nothing has happened yet. Raises what hinders it.
    """
    with run.step("rehearse") as words:
        rehearsal = Fields({"rehearsal": Secret(secrets.token_urlsafe(24))})
        run.claim.publish(values=rehearsal)
        see_it_there(run, rehearsal)
        run.claim.publish(values=None)
        words.append("a value written to the staging area came back; consumers' document may be written")


def _lost(run: Run, refused: RotatorError, before: int) -> RotatorError:
    """Return the error where no other value is made, and one of those `before` may have been lost."""
    if before == 0 or says(run, _shown(run)) in TAKEN:
        return refused
    return Broken(
        f"A new value of {run.kit.credential.name} was lost, and no other is made: {refused.message}",
        hint=f"Consumers may be without a valid secret. See: rotator verify {run.kit.credential.name}; "
        f"then have the issuer make one, put it into the store, and: rotator resume {run.kit.credential.name}",
        code="value_lost",
    )


# ------------------------------------------------------------------------------------------------------------ find out


def find_out(run: Run) -> None:
    """Find out what became of a value whose answer, or whose way to the staging area, was lost.

    Never are two made within one quarantine: a request that is still on its way would end what the next one brings.
    """
    if is_staged(run):
        note_staged(run, *row_of_staged(run))
        return
    unclear = [one for one in run.unsettled() if one.act is Act.CREATE]
    if unclear:
        run.sent = run.sent or unclear[0].sent
        _wait_out(run, unclear)
        if run.rotation.procedure is Procedure.READ_BACK and _found_another(run):
            return
        _note_lost(run, unclear)
        run.unanswered += any(one.outcome is Outcome.UNKNOWN for one in unclear)
    run.settle(Outcome.REFUSED, "the staging document does not have it")
    if run.unanswered > 1:
        raise unanswered(run)
    regenerate(run)


def _note_lost(run: Run, unclear: list[Intent]) -> None:
    """Record that a value was lost, if one was made: it counts as made, unless what consumers read works still."""
    if says(run, _shown(run)) in TAKEN:
        run.settle(Outcome.REFUSED, "what consumers read works still")
        return
    again = run.rotation.procedure is Procedure.READ_BACK
    detail = "unclear: the issuer shows no other that works" if again else "unclear: nobody has its value"
    event = run.event(EventName.VERSION_CREATED, outcome=Outcome.UNKNOWN, detail=detail)
    run.kit.ledger.record(event, *(settled(one) for one in unclear))


def _wait_out(run: Run, unclear: list[Intent]) -> None:
    since = elapsed(unclear[-1].sent, run.kit.clock.instant()) or _NOTHING
    left = run.kit.credential.policy.quarantine - since
    if left > _NOTHING:
        run.kit.tell("regenerate", "tell", f"the answer was lost; looking in {spell(left)} what the issuer has")
        run.claim.pause(left)


def _found_another(run: Run, looks: int = 1) -> bool:
    """Take what the issuer shows, when consumers read another value: then say so. Only where it can be read again."""
    kit, found = run.kit, _another(run, looks)
    if found is None:
        return False
    attempt = run.rotation.attempt or 1
    run.put(attempt=attempt, tag=kit.tag(run.rotation.id, attempt))
    issued = _named(run, found)
    with run.step("stage") as words:
        run.put(key_id=issued.version.key_id)
        run.issued = issued
        done = [settled(one) for one in run.unsettled()]
        put_there(run, contents(kit, issued, run.rotation.id), candidate_of(run, issued.version), *done)
        words.append("read back from the issuer, in the staging area")
    return True


def _another(run: Run, looks: int) -> Issued | None:
    """Return what the issuer shows, if that is another value than consumers read, and to be believed.

    looks: how often, a quarantine apart, before one that is not is left.
    """
    if run.rotation.procedure is not Procedure.READ_BACK:
        return None
    kit = run.kit
    for looks_left in reversed(range(looks)):
        run.claim.renew()
        found, shown = _read(run), _shown(run)
        if found is None or found.values.secret("client_secret") == value_in(kit, shown):
            return None
        if _to_be_believed(run, found, shown):
            return found
        kit.tell("regenerate", "tell", "the issuer shows another value, which does not work")
        if looks_left:
            run.claim.pause(kit.credential.policy.quarantine)
    return None


def _read(run: Run) -> Issued | None:
    """Return what the issuer shows; None when there is no value in it that could be used."""
    kit = run.kit
    try:
        found = kit.slot.read(kit.credential.application)
    except Refused as nothing:
        if nothing.code != UNREADABLE:
            raise
        return None
    _remember(run, found)
    return found


def _to_be_believed(run: Run, found: Issued, shown: Fields | None) -> bool:
    """Say whether what was read is the value in use. It may be a mask, or older than the last change."""
    said = says(run, found.values.merged({"client_id": found.client_id or run.kit.credential.client_id}))
    return said in TAKEN or (said is Answer.SILENT and says(run, shown) not in TAKEN)


def _remember(run: Run, found: Issued) -> None:
    """Keep what came with the answer, where it is another than before: what was kept is of no use any more."""
    kept = run.claim.document.keepsakes
    if found.keepsake is not None and kept and kept[-1][1] != found.keepsake:
        run.claim.publish(keepsakes=(*kept[:-1], (kept[-1][0], found.keepsake)))


def _shown(run: Run) -> Fields | None:
    return shown_in(run, run.kit.store.consumers.read(run.kit.credential.path).fields)


# -------------------------------------------------------------------------------------------------------------- settle


def settle(run: Run) -> None:
    """Prove in full what consumers read by now, and look whether the issuer still has it; then the rotation is over.

    Stopped anywhere: the next run proves anew. A value that is refused to the end stays, for there is no other: a
    person is called. Raises Transient when the token endpoint says nothing of it.
    """
    kit, values = run.kit, staged_values(run)
    with run.step("verify") as words:
        try:
            proof = prove_until(kit, client_in(kit, values), values, run.claim.pause, kit.credential.proof.proofs)
            words.append(proof.sentence)
        except Unproved as failure:
            words.append(failure.message)
            if _replaced_there(run):
                return
            _end_unproved(run, failure)
            return
    with run.step("settle") as words:
        if _replaced_there(run, looks=2):
            words.append("the issuer has another value by now, which is shown next")
            return
        event = run.event(EventName.VERSION_PROVED, key_id=run.rotation.key_id, detail=proof.sentence)
        state = replace(run.tracked().state, proved_at=kit.clock.now())
        run.put(proofs=proof.proofs)
        if (shortfall := too_short(run)) is not None:
            words.append(shortfall.message)
            _end_parked(run, _not_again(run, shortfall), event, state)
            return
        run.finish(RotationOutcome.PROMOTED, state, phase=Phase.PROMOTED, first=event)
        run.claim.release()
        words.append("done")


def _replaced_there(run: Run, looks: int = 1) -> bool:
    """Stage what the issuer has, when that is not what consumers read: a late request, or a person, replaced it."""
    if not _found_another(run, looks):
        return False
    event = run.event(EventName.DRIFT_FOUND, key_id=run.rotation.key_id, detail="the issuer has another value by now")
    run.kit.ledger.record(event)
    return True


def _end_unproved(run: Run, failure: Unproved) -> None:
    """End with a value that does not pass and that consumers read. A person is told which of the two works."""
    kit, name = run.kit, run.kit.credential.name
    why, hint = "the one before ended when it was made", f"Mend it at the issuer and see: rotator verify {name}"
    before = run.claim.document.base_version
    fields = kit.store.consumers.read(kit.credential.path, before).fields if before else None
    if says(run, shown_in(run, fields)) is Answer.PROVED:
        why = f"the one before works still, in version {before} of {kit.credential.path}"
        hint = f"The issuer did not do what it said. Put version {before} back in the store, or mend it at the issuer"
    message = f"{failure.message.rstrip('.')}. Consumers read it all the same: {why}."
    trouble = Broken(message, hint=f"{hint}; then: rotator resume {name}", code=failure.code)
    event = run.event(EventName.VERSION_PROVED, key_id=run.rotation.key_id, outcome=Outcome.REFUSED)
    _end_parked(run, trouble, replace(event, detail=failure.message))


def _not_again(run: Run, shortfall: Unproved) -> Broken:
    """Return the error for a value that is due to be replaced as soon as it is there: each time there is a gap."""
    return Broken(
        f"{shortfall.message} Consumers read it, and it works; to replace it now would leave them without one again.",
        hint=f"{shortfall.hint} Then: rotator resume {run.kit.credential.name}",
        code=shortfall.code,
    )


def _end_parked(run: Run, trouble: Broken, event: Event, *changes: Change) -> None:
    run.trouble = trouble
    run.put(error=Trouble(trouble.code, trouble.message, trouble.hint, run.kit.clock.now()))
    run.finish(RotationOutcome.PARKED, *changes, phase=Phase.PROMOTED, first=event)
    run.claim.release()
