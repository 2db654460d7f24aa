"""Issuers with a single slot that take a value of our choice: it is durable before they hear of it. Reads none back.

The value lies in the staging document first. Setting it a second time changes nothing, so a lost answer is settled by
the same call again. What follows (shown by necessity, proved afterwards) is as for every issuer with a single slot.
"""

from __future__ import annotations

from dataclasses import replace

from rotator.candidate import (
    LISTS_APART,
    TRIES,
    candidate_of,
    is_staged,
    note_staged,
    put_there,
    row_of_staged,
    too_many,
)
from rotator.document import contents
from rotator.errors import OutcomeUnknown, RotatorError, Transient
from rotator.event import EventName, Outcome
from rotator.kit import carry_out, same_call, settled
from rotator.model import Act, Phase
from rotator.ports import Answer, Issued, Listed
from rotator.promotion import TAKEN, says, see_it_may_be_written, shown_in, staged_values
from rotator.run import Run
from rotator.secret import Fields, Secret
from rotator.staging import Stage

# -------------------------------------------------------------------------------------------------------------- choose


def choose(run: Run) -> None:
    """Choose a value and put it where only rotator reads, before the issuer hears of it.

    Stopped before the write: nothing happened, another one is chosen. Stopped after it: the staging document has it.
    """
    kit = run.kit
    if is_staged(run):
        note_staged(run, *row_of_staged(run), phase=Phase.CHOSEN)
        return
    run.settle(Outcome.REFUSED, "the staging document does not have it")
    excess = too_many(run)
    if excess is not None:
        run.give_up(excess)
        return
    see_it_may_be_written(kit)
    attempt = run.rotation.attempt + 1
    with run.step("stage") as words:
        run.put(attempt=attempt, tag=kit.tag(run.rotation.id, attempt), key_id=run.own_key_id(attempt))
        listed = Listed(run.rotation.key_id or "", run.rotation.tag, kit.clock.now(), None)
        issued = Issued(listed, "", Fields({"client_secret": kit.slot.choose()}), None)
        values = contents(kit, issued, run.rotation.id)
        put_there(run, values, candidate_of(run, listed), phase=Phase.CHOSEN)
        words.append(f"{kit.credential.name} v{run.claim.version} in the staging area, not yet set")


# ----------------------------------------------------------------------------------------------------------------- set


def set_it(run: Run) -> None:
    """Have the issuer take the value that lies in the staging document.

    The same call may be repeated. Stopped anywhere: the next run makes it again, with the same value.
    """
    kit, values = run.kit, staged_values(run)
    value = values.secret("client_secret")
    assert value is not None
    with run.step("set") as words:
        for tries_left in reversed(range(TRIES)):
            run.claim.renew()
            facts = {"tag": run.rotation.tag, "key_id": run.rotation.key_id, "attempt": run.rotation.attempt}
            intent = kit.intent(Act.CREATE, rotation_id=run.rotation.id, **facts)
            run.sent = run.sent or intent.sent
            event = run.event(EventName.VERSION_CREATED, key_id=run.rotation.key_id, detail="set to the value we chose")
            try:
                issued = carry_out(kit, intent, event, lambda: _set(run, value))
            except OutcomeUnknown:
                if not tries_left:
                    raise
                kit.tell("set", "tell", "the answer was lost; the same value is set again")
                run.claim.pause(LISTS_APART)
                continue
            except Transient:
                raise
            except RotatorError as refused:
                words.append(refused.message)
                _refused(run, refused, values)
                return
            done = replace(event, outcome=Outcome.SUCCEEDED, request_id=issued.request_id)
            _taken(run, issued, values, (done, settled(intent), *same_call(kit, intent)))
            words.append(f"at {kit.credential.provider}, the one before is dead")
            return


def _set(run: Run, value: Secret) -> Issued:
    credential = run.kit.credential
    return run.kit.slot.set(credential.application, run.rotation.tag or "", value, credential.policy.lifetime)


def _taken(run: Run, issued: Issued, values: Fields, told: tuple[object, ...]) -> None:
    """Record that the issuer has it; the times that it named come into the staged copy first."""
    version = replace(candidate_of(run, issued.version), key_id=run.rotation.key_id or "", tag=run.rotation.tag)
    times = contents(run.kit, replace(issued, version=replace(issued.version, key_id=version.key_id)), run.rotation.id)
    named = {name: text for name in ("issued_at", "expires_at") if (text := times.text(name)) is not None}
    if issued.client_id:
        named["client_id"] = issued.client_id
    if any(values.text(name) != text for name, text in named.items()):
        run.claim.publish(stage=Stage.STAGED, values=values.merged(named))
    event, *changes = told
    run.kit.ledger.record(event, *changes, version, run.put(phase=Phase.STAGED))  # type: ignore[arg-type]


def _refused(run: Run, refused: RotatorError, values: Fields) -> None:
    """Give up, unless an earlier call without an answer has set it after all.

    A call that is still on its way is waited for first: it would set a value that is in no document any more.
    """
    kit, unclear = run.kit, [one for one in run.unsettled() if one.act is Act.CREATE]
    if unclear:
        run.claim.pause(kit.credential.policy.quarantine)
        if (how := _was_set(run, values)) is not None:
            event = run.event(EventName.VERSION_CREATED, key_id=run.rotation.key_id, outcome=Outcome.SUCCEEDED)
            told = replace(event, detail=f"resolved: {how}")
            kit.ledger.record(told, *(settled(one) for one in unclear), run.put(phase=Phase.STAGED))
            return
        run.settle(Outcome.REFUSED, "the token endpoint does not take it")
    run.give_up(refused)


def _was_set(run: Run, values: Fields) -> str | None:
    """Return how it is known that the issuer has our value; None when it has not.

    Given up, the value is gone for good. So it is kept while nothing is known (Transient is raised then), and where
    what consumers read is refused as well: a new value may take longer to be known everywhere than an old one to end.
    """
    kit = run.kit
    if (ours := says(run, values)) in TAKEN:
        return "the token endpoint takes it"
    shown = shown_in(run, kit.store.consumers.read(kit.credential.path).fields)
    theirs = says(run, shown) if shown is not None else Answer.PROVED
    if theirs in TAKEN:
        return None
    if Answer.SILENT in (ours, theirs):
        raise Transient(
            f"Whether the issuer of {kit.credential.name} has the new value is unknown: the token endpoint is silent.",
            hint="The value is kept in the staging area; the next run sets it again.",
            code="set_unanswered",
        )
    return "the token endpoint takes neither it nor the one before"
