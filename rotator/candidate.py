"""A version in the making: how it gets into the staging document, what bounds it, and how it is removed again.

A value is shown once, with the answer to the creation; what became of one whose answer was lost is found out in
`unclear.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from rotator.document import key_in, moment_in
from rotator.ends import too_far
from rotator.errors import Broken, OutcomeUnknown, Refused, Transient, Unproved
from rotator.event import Event, EventName, Outcome
from rotator.kit import Kit, carry_out, same_call, settled
from rotator.model import Act, Displacement, Origin, Phase, Policy, Reason, Version, VersionState
from rotator.ports import Change, Listed, Retired
from rotator.run import Run
from rotator.secret import Fields
from rotator.staging import NO_KEEPSAKE, Stage, retire_at_issuer
from rotator.survey import in_history
from rotator.timing import plus, spell, spell_moment

UNCLEAR = "create_unanswered"
AGAIN = " The next run tries again."

LISTS_APART = timedelta(seconds=10)
DAY = timedelta(hours=24)
TRIES = 3


def is_staged(run: Run) -> bool:
    """Say whether the staging document already holds the value of this attempt, though the ledger does not say so."""
    document, rotation = run.claim.document, run.rotation
    here = document.stage in (Stage.STAGED, Stage.PROMOTING) and document.values is not None
    return here and document.rotation_id == rotation.id and document.attempt == rotation.attempt


def put_there(run: Run, values: Fields, *changes: Change, phase: Phase = Phase.STAGED) -> None:
    """Put a value where only rotator reads, and read it back. changes, phase: what that makes true.

    What came with it, and is needed to remove it, exists nowhere else: then it is offered until the store is there.
    """
    kit, rotation = run.kit, run.rotation
    put = run.claim.publish if run.issued is None or run.issued.keepsake is None else run.claim.keep
    intent = kit.intent(Act.STAGE, rotation_id=rotation.id, key_id=rotation.key_id, attempt=rotation.attempt)
    event = run.event(EventName.VERSION_STAGED, key_id=rotation.key_id, store_path=kit.credential.name)
    carry_out(kit, intent, event, lambda: put(**staged(run, values)), rotation)
    see_it_there(run, values)
    done = replace(event, outcome=Outcome.SUCCEEDED, store_version=run.claim.version)
    kit.ledger.record(done, settled(intent), *changes, run.put(phase=phase))
    run.issued = None


def staged(run: Run, values: Fields) -> dict[str, object]:
    """Return what the staging document says of a rotation whose value it holds."""
    rotation = run.rotation
    facts: dict[str, object] = {"attempt": rotation.attempt, "base_version": rotation.base_version}
    facts |= {"key_id": rotation.key_id, "keepsakes": _keepsakes(run), "promote_at": rotation.promote_at}
    return {"stage": Stage.STAGED, "values": values, **facts}


def _keepsakes(run: Run) -> tuple[tuple[str, Fields], ...]:
    kept, came = run.claim.document.keepsakes, run.issued.keepsake if run.issued is not None else None
    return kept if came is None or run.rotation.key_id is None else (*kept, (run.rotation.key_id, came))


def keep_what_came(run: Run) -> None:
    """Keep what is needed to remove a version again of which nothing else is kept."""
    if run.issued is not None and run.issued.keepsake is not None:
        run.claim.keep(keepsakes=_keepsakes(run))


def see_it_there(run: Run, values: Fields) -> None:
    """Raise Broken unless the staging area gives back what was written."""
    if run.claim.staged_values() != values:
        name = run.kit.credential.name
        raise Broken(
            f"The staging area gave back another value for {name} than was written.",
            hint="Look who else writes there, and at the store itself.",
            code="staging_differs",
        )


def note_staged(run: Run, *changes: Change, phase: Phase = Phase.STAGED) -> None:
    """Record that the staging document holds the value, though the ledger did not say so."""
    key_id = run.claim.document.key_id
    event = run.event(EventName.VERSION_STAGED, key_id=key_id, detail="resolved: the staging document has it")
    done = [settled(intent) for intent in run.unsettled()]
    event = replace(event, outcome=Outcome.SUCCEEDED, store_version=run.claim.version)
    run.kit.ledger.record(event, *done, *changes, run.put(phase=phase, key_id=key_id))


def row_of_staged(run: Run) -> tuple[Version, ...]:
    """Return the row of what the staging document holds, unless the ledger has it."""
    document, values = run.claim.document, run.claim.document.values
    if document.key_id is None or any(one.key_id == document.key_id for one in run.tracked().versions):
        return ()

    def moment(name: str) -> datetime | None:
        return moment_in(values, name) if values is not None else None

    state, name = VersionState.CANDIDATE, run.kit.credential.name
    tag, rotation_id = run.kit.tag(run.rotation.id, document.attempt), run.rotation.id
    return (
        Version(name, document.key_id, state, Origin.OURS, moment("issued_at"), moment("expires_at"), tag, rotation_id),
    )


def candidate_of(run: Run, listed: Listed, origin: Origin = Origin.OURS) -> Version:
    """Return the row of a version that this rotation made, or adopts."""
    return Version(
        run.kit.credential.name,
        listed.key_id,
        VersionState.CANDIDATE,
        origin,
        created_at=listed.created_at,
        expires_at=listed.expires_at,
        tag=listed.tag,
        rotation_id=run.rotation.id,
    )


def remove_candidate(run: Run) -> str:
    """Remove the version of this rotation at the issuer, if no consumer ever read it; return what became of it.

    By key id, which may be repeated. Stopped before the call: the version stays, named by the ledger, until the next
    run. Stopped after it: it is gone, and the next run hears so. One that consumers read until somebody wrote over it
    stays through a grace. Raises Broken when they still read it.
    """
    kit, candidate = run.kit, run.candidate()
    if candidate is None:
        return "no new version was made"
    key_id = candidate.key_id
    if run.rotation.reason is Reason.ADOPTED:
        told = run.event(EventName.STATE_REBUILT, key_id=key_id, detail="it is not adopted, and left as it was")
        kit.ledger.record(told, replace(candidate, state=VersionState.LEFT, origin=Origin.FOREIGN))
        return "what was to be adopted is left as it was"
    if key_in(kit, kit.store.consumers.read(kit.credential.path).fields) == key_id:
        raise Broken(
            f"Consumers of {kit.credential.name} read key {key_id}, which was to be removed.",
            hint="Nothing was removed. Please report this with the output of `rotator audit list`.",
            code="in_use",
        )
    if run.rotation.procedure.single_slot:
        _hand_over(run, key_id)
        over = replace(candidate, state=VersionState.ABANDONED, retired_at=kit.clock.now())
        kit.ledger.record(replace(run.event(EventName.VERSION_RETIRED, reason=Reason.ABANDONED.value, key_id=key_id),
                                  detail="nobody was shown it; the only slot is left as it is"), over)  # fmt: skip
        return "the only slot is left as it is"
    number = in_history(kit).get(key_id)
    if number is not None:
        _leave_its_grace(run, candidate, number)
        return "the new version, which consumers have read, has its grace"
    event = run.event(EventName.VERSION_RETIRED, reason=Reason.ABANDONED.value, key_id=key_id)
    if kit.credential.by_hand:
        left = "nobody was shown it; it is left to its maker, who may remove it, and to its end"
        over = replace(candidate, state=VersionState.ABANDONED, retired_at=kit.clock.now())
        kit.ledger.record(replace(event, detail=left), over)
        return "the new version is left to its maker"
    return _remove_at_issuer(run, candidate, event)


def _remove_at_issuer(run: Run, candidate: Version, event: Event) -> str:
    kit, key_id = run.kit, candidate.key_id
    for tries_left in reversed(range(TRIES)):
        run.claim.renew()
        intent = kit.intent(Act.RETIRE, rotation_id=run.rotation.id, key_id=key_id)
        try:
            gone = carry_out(kit, intent, event, lambda: retire_at_issuer(kit, key_id))
        except Refused as refused:
            if refused.code != NO_KEEPSAKE:
                raise
            left = "what is needed to remove it was lost before it was staged: it is left at its issuer"
            kit.ledger.record(replace(event, detail=left), replace(candidate, state=VersionState.LEFT))
            return "the new version is left at its issuer"
        except (OutcomeUnknown, Transient):
            if not tries_left:
                raise
            run.claim.pause(LISTS_APART)  # a version just made may not be known everywhere yet
            continue
        detail = "it was gone already" if gone is Retired.ALREADY_GONE else None
        done = replace(event, outcome=Outcome.SUCCEEDED, detail=detail)
        removed = replace(candidate, state=VersionState.ABANDONED, retired_at=kit.clock.now())
        kit.ledger.record(done, settled(intent), removed, *same_call(kit, intent))
        break
    return "the new version is gone"


def _hand_over(run: Run, key_id: str) -> None:
    """Keep what came with a version that is given up for the one that serves: that is in the same slot."""
    kept, serving = run.claim.document.keepsakes, run.replaced()
    if serving is not None and kept and kept[-1][0] == key_id:
        others = (one for one in kept if one[0] not in (key_id, serving.key_id))
        run.claim.publish(keepsakes=(*others, (serving.key_id, kept[-1][1])))


def _leave_its_grace(run: Run, candidate: Version, number: int) -> None:
    now = run.kit.clock.instant()
    moment = Displacement("", now, None, run.listing.issuer_now)
    after = plus(now.wall, run.kit.credential.policy.grace)
    read = replace(candidate, state=VersionState.PREVIOUS, store_version=number, displaced=moment, retire_after=after)
    event = run.event(EventName.STATE_REBUILT, key_id=candidate.key_id, store_version=number)
    run.kit.ledger.record(replace(event, detail="consumers read it for a while; it is in its grace from now"), read)


def validity(version: Version, policy: Policy) -> str:
    """Return until when a version is valid, for people."""
    if version.expires_at is None:
        return "valid without end"
    said = f"valid until {spell_moment(version.expires_at)}"
    return f"{said} (not believed: {spell(policy.lifetime)} were asked)" if too_far(version, policy) else said


def too_many(run: Run) -> Broken | None:
    """Return the error for a credential for which too many versions were made in a day; None when one more may be."""
    kit = run.kit
    made = kit.ledger.creations_since(kit.credential.name, plus(kit.clock.now(), -DAY))
    limit = kit.credential.policy.max_creations
    if made < limit:
        return None
    last, before = run.unclear, run.tracked().state.error
    if last is None and before is not None and before.code == UNCLEAR:  # what an earlier run has said of it
        last = OutcomeUnknown(before.message, hint=before.hint.removesuffix(AGAIN))
    why = (f" {last.message}", last.hint) if last is not None else ("", "Find out why they are not kept.")
    return Broken(
        f"{made} versions of {kit.credential.name} were made within 24 h; {limit} are allowed (policy.max_creations)."
        f"{why[0]}",
        hint=f"{why[1]} Then: rotator resume {kit.credential.name}",
        code="too_many_creations",
    )


def lost_before_staged(kit: Kit) -> Refused:
    """Return the error for a version that a person gave, and whose value went with the process that had it."""
    if not kit.credential.by_hand:
        return Refused(
            f"The adoption for {kit.credential.name} was stopped before anything was done.",
            hint="What somebody made at the issuer is taken by the next run. "
            f"Who asked for an adoption asks once more: rotator adopt {kit.credential.name}",
            code="adoption_stopped",
        )
    return Refused(
        f"What was given for {kit.credential.name} was lost: rotator was stopped before it was staged.",
        hint=f"Give it once more: rotator intake {kit.credential.name}",
        code="intake_lost",
    )


def too_short(run: Run) -> Unproved | None:
    """Return the error for a version that would be due for rotation as soon as it is promoted; None when it is not."""
    policy, version = run.kit.credential.policy, run.version()
    if version is None or version.expires_at is None or version.created_at is None:
        return None
    if version.origin is Origin.ADOPTED:  # it is replaced as soon as it is ours
        return None
    granted = version.expires_at - version.created_at
    if granted > policy.rotate_before:
        return None
    what = f"granted {spell(granted)}" if granted > timedelta(0) else "gave a version that had ended already,"
    return Unproved(
        f"The issuer {what} where {spell(policy.lifetime)} was asked; a version is replaced "
        f"{spell(policy.rotate_before)} before its end.",
        hint="Have the issuer grant more (an app management policy may cap it), or lower policy.rotate_before.",
        code="lifetime_too_short",
    )


def fading(kit: Kit, values: Fields) -> Unproved | None:
    """Return the error for a candidate that waited so long that it nears its own end; None when it does not."""
    expires = moment_in(values, "expires_at")
    if expires is None or expires - kit.clock.now() > kit.credential.policy.rotate_before:
        return None
    return Unproved(
        f"The new secret of {kit.credential.name} waited so long that it nears its own end ({spell_moment(expires)}).",
        hint="Another one is made at the next run.",
        code="candidate_faded",
    )
