"""A version in the making: what became of a creation whose answer was lost, and how a candidate is removed again.

A value is shown once, with the answer to the creation. When the answer is lost, the version is useless wherever it is:
it is looked for by its label, removed, and another one is made under another label.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from rotator.clock import elapsed
from rotator.document import key_in, moment_in
from rotator.ends import too_far
from rotator.errors import Broken, OutcomeUnknown, Refused, Transient, Unproved
from rotator.event import Event, EventName, Outcome
from rotator.kept_labels import may_be_ours
from rotator.kit import Kit, carry_out, same_call, settled
from rotator.model import Act, Displacement, Intent, Origin, Phase, Policy, Reason, Version, VersionState
from rotator.ports import Change, Listed, Listing, Retired
from rotator.run import Run
from rotator.secret import Fields
from rotator.staging import NO_KEEPSAKE, Stage, retire_at_issuer
from rotator.survey import in_history
from rotator.timing import CLOCK_LIMIT, plus, spell, spell_moment

UNCLEAR = "create_unanswered"
MADE_IN_VAIN = 3
"""So many versions are made in a run whose values never arrive; as many again would end the same way."""

_AGAIN = " The next run tries again."

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


def settle_creation(run: Run) -> None:
    """Find out what became of a creation without an answer, and remove what it made.

    Absence is believed when two lists agree, the second after the quarantine of the request. Stopped anywhere: the
    next run does the same again. A request that takes effect even later is an orphan, and swept as such. Raises
    Transient when an issuer has answered unclearly and made nothing for the second time in a run, or for the third
    time at all.
    """
    kit = run.kit
    for intent in kit.ledger.unsettled(kit.credential.name):
        if intent.act is Act.CREATE and intent.rotation_id == run.rotation.id:
            _settle(run, intent)
        elif intent.act is Act.STAGE and intent.rotation_id == run.rotation.id:
            _note_unstaged(run, intent)
    if run.rotation.key_id is not None and run.issued is None:
        remove_candidate(run)
    if run.unanswered >= MADE_IN_VAIN and run.rotation.phase is not Phase.ABANDONING:
        raise unanswered(run, ", and what it made was removed again")


def _settle(run: Run, intent: Intent) -> None:
    kit = run.kit
    since = elapsed(intent.sent, kit.clock.instant()) or timedelta(0)
    quarantine = kit.credential.policy.quarantine
    listing, found = _labelled(run, intent.tag)
    if found is None:
        wait = max(quarantine - since, min(LISTS_APART, quarantine))
        kit.tell("create", "tell", "the answer was lost; looking whether a version was made")
        run.claim.pause(wait)
        listing, found = _labelled(run, intent.tag)
    event = run.event(EventName.VERSION_CREATED, detail="resolved: two lists of the issuer do not have it")
    strange = may_be_ours(kit, intent, None if run.resumed else run.listing, listing) if found is None else []
    if found is None and _read_again(run, intent, strange):
        return
    if strange:
        told = replace(event, detail=f"unclear: {', '.join(strange)} appeared meanwhile, without the label")
        kit.ledger.record(replace(told, outcome=Outcome.UNKNOWN), settled(intent, Outcome.REFUSED))
        if run.rotation.phase is not Phase.ABANDONING:
            run.give_up(_cannot_tell(run, strange))
        return
    if found is None:
        if kit.keeping is not None:
            event = replace(event, detail=f"unclear: nothing is listed there; what was made is labelled {intent.tag}")
        outcome = Outcome.REFUSED if kit.keeping is None else Outcome.UNKNOWN
        counts = Outcome.REFUSED if kit.keeping is None else Outcome.SUCCEEDED  # it may live, so it counts as made
        kit.ledger.record(replace(event, outcome=outcome), settled(intent, counts))
        run.unanswered += intent.outcome is Outcome.UNKNOWN
        if run.unanswered > 1:  # the issuer is not well: another try at once would end the same way
            raise _nothing_made(run, intent)
        return
    run.unanswered += intent.outcome is Outcome.UNKNOWN
    event = replace(event, outcome=Outcome.SUCCEEDED, key_id=found.key_id)
    event = replace(event, detail="resolved: found by its label; its value was lost with the answer")
    version = candidate_of(run, found)
    kit.ledger.record(event, settled(intent), version, run.put(key_id=found.key_id))


def _nothing_made(run: Run, intent: Intent) -> Transient:
    if run.kit.keeping is not None:
        return unanswered(run, hint=f"What was made stays there, labelled {intent.tag}: delete it.")
    return unanswered(run, ", and no version was made", "Nothing is left behind.")


def unanswered(run: Run, made: str = "", hint: str = "") -> Transient:
    """Return the error for an issuer that has answered unclearly too often. made: what became of it."""
    why, last = ".", run.unclear
    if last is not None:
        why, hint = f": {last.message}", f"{last.hint} {hint}".rstrip()
    message = f"The issuer of {run.kit.credential.name} gave no clear answer{made}{why}"
    return Transient(message, hint=f"{hint}{_AGAIN}".lstrip(), code=UNCLEAR)


def _read_again(run: Run, intent: Intent, strange: list[str]) -> bool:
    """Take what appeared, where its value can be read again; say whether that was so.

    After a crash it is in the list from the beginning; then it is known by the time at which it was made.
    """
    kit = run.kit
    if kit.credential.labelled or kit.single is None or kit.keeping is not None:  # the latter reads what it kept only
        return False
    issued = kit.single.read(kit.credential.application)
    if issued.version.key_id not in strange and not _is_new(run, intent, issued.version):
        return False
    version = candidate_of(run, replace(issued.version, tag=run.rotation.tag))
    event = run.event(EventName.VERSION_CREATED, outcome=Outcome.SUCCEEDED, key_id=version.key_id)
    told = replace(event, detail="resolved: read back from the issuer")
    kit.ledger.record(told, settled(intent), version, run.put(key_id=version.key_id))
    run.issued = issued
    return True


def _is_new(run: Run, intent: Intent, listed: Listed) -> bool:
    known, made = {one.key_id for one in run.tracked().versions}, listed.created_at
    since = plus(intent.sent.wall, -CLOCK_LIMIT)
    return bool(listed.key_id) and listed.key_id not in known and made is not None and made >= since


def _cannot_tell(run: Run, strange: list[str]) -> Broken:
    name, last = run.kit.credential.name, run.unclear
    why, look = (f" {last.message}", f"{last.hint} ") if last is not None else ("", "")
    return Broken(
        f"The answer to a creation was lost, and {', '.join(strange)} appeared at the issuer of {name}; "
        f"no label says whether that is ours.{why}",
        hint=f"{look}If nobody else made it, remove it at the issuer; then: rotator resume {name}",
        code="cannot_tell",
    )


def _note_unstaged(run: Run, intent: Intent) -> None:
    event = run.event(EventName.VERSION_STAGED, outcome=Outcome.REFUSED, key_id=intent.key_id)
    event = replace(event, detail="resolved: the staging document does not have it")
    run.kit.ledger.record(event, settled(intent, Outcome.REFUSED))


def _labelled(run: Run, tag: str | None) -> tuple[Listing, Listed | None]:
    listing = run.kit.provider.list(run.kit.credential.application)
    return listing, next((one for one in listing.versions if one.tag == tag), None)


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
        last = OutcomeUnknown(before.message, hint=before.hint.removesuffix(_AGAIN))
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
