"""How versions end: the grace of the one that was replaced, and its retirement. It never removes a working successor.

Grace is measured by every clock there is, and the slowest counts: the store's Date, the issuer's Date, and the boot
clock of this machine within one boot. A difference of wall clocks alone never ends it.

A version is retired by its recorded id only, when it is ours, after a fresh proof that the document names another,
working one, and after the end was published in the staging document: from then on nobody may bring it back. "Already
gone" is success.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from rotator.brake import brake
from rotator.clock import elapsed
from rotator.document import client_in, key_in, ours_in
from rotator.errors import Busy, Refused, RotatorError
from rotator.event import EventName, Outcome
from rotator.kit import Kit, carry_out, same_call, settled
from rotator.model import Act, Origin, Policy, Reason, RetireMode, Rotation, RotationOutcome, Version, VersionState
from rotator.notes import Step
from rotator.planner import current_version
from rotator.ports import Answer, Retired, Tracked
from rotator.proving import prove_current, silence
from rotator.staging import NO_KEEPSAKE, Claim, Stage, StagingDocument, look, retire_at_issuer
from rotator.survey import Scene, full_grace, seen_now
from rotator.timing import FAR_PAST

_NOTHING: Final = timedelta(0)
_NO_EVIDENCE: Final[Mapping[str, str]] = MappingProxyType({})

# --------------------------------------------------------------------------------------------------------------- grace


def grace_left(version: Version, policy: Policy, scene: Scene) -> timedelta | None:
    """Return what is left of a grace by the slowest clock; None when no clock can tell, so that it must begin anew."""
    moment = version.displaced
    if moment is None:
        return None
    grace = policy.grace if version.retire_after is None else version.retire_after - moment.local.wall
    if grace <= _NOTHING:
        return _NOTHING
    spent = [elapsed(moment.local, scene.at)]
    if moment.store is not None and scene.document.store_now is not None:
        spent.append(scene.document.store_now - moment.store)
    if moment.issuer is not None and scene.listing.issuer_now is not None:
        spent.append(scene.listing.issuer_now - moment.issuer)
    known = [one for one in spent if one is not None]
    return grace - min(known) if known else None


def cut_short(kit: Kit, version: Version) -> bool:
    """Say whether a version has no grace because it was replaced in an emergency."""
    rotation = kit.ledger.rotation(version.displaced.by) if version.displaced is not None else None
    return rotation is not None and rotation.emergency


def begin_grace_anew(kit: Kit, version: Version, scene: Scene) -> None:
    """Record that nobody can tell how long a version has been in its grace, so that it begins now."""
    event = kit.event(EventName.STATE_REBUILT, key_id=version.key_id)
    event = replace(event, detail="its grace begins anew: this machine was restarted, and no other clock can tell")
    kit.ledger.record(event, replace(version, displaced=seen_now(scene), retire_after=full_grace(kit, scene)))


# -------------------------------------------------------------------------------------------------------------- retire


def retire(
    kit: Kit, versions: Sequence[Version], reason: str, evidence: Mapping[str, str] = _NO_EVIDENCE
) -> tuple[str, ...]:
    """Retire versions that were replaced; return their key ids. evidence: why nobody misses one, by key id.

    Stopped before the end is published: nothing happened. Stopped after it: `finish_retiring` does the rest. Raises
    what hinders it, with the versions left as they are.
    """
    _see_the_brake(kit)
    claim = Claim.begin(kit, rotation_id="")
    try:
        _see_successor_works(kit, [one.key_id for one in versions])
        claim.publish(stage=Stage.RETIRING, retiring=_with(claim.document.retiring, versions))
    except RotatorError:
        if claim.document.stage is Stage.CLAIMED:
            claim.release()
        raise
    return _remove_published(kit, claim, versions, reason, evidence)


def finish_retiring(kit: Kit, tracked: Tracked, scene: Scene) -> tuple[str, ...]:
    """Finish what a run before has published and not done, ours or another's."""
    if scene.staging is None or not scene.staging.retiring:
        return ()
    claim = Claim.take(kit, _same_retiring)
    if _withdrawn(kit, claim):
        return ()
    known = {one.key_id: one for one in tracked.versions}
    over = kit.ledger.known_key_ids(kit.credential.name, FAR_PAST) - known.keys()
    if over.intersection(claim.document.retiring) and _is_over(claim, over):  # only the claim was not given up
        return ()
    versions = [known.get(key_id) or _unknown(kit, key_id, scene) for key_id in claim.document.retiring]
    _see_successor_works(kit, claim.document.retiring)
    return _remove_published(kit, claim, versions, _why_ended(kit, versions, scene))


def _is_over(claim: Claim, gone: frozenset[str]) -> bool:
    """Let go of what the ledger knows to be gone, and of the claim if that was all; say whether it was.

    It is not removed once more: an issuer that knows it no longer may call that a failure.
    """
    document = claim.document
    left = tuple(one for one in document.retiring if one not in gone)
    change = claim.publish if left else claim.release
    change(retiring=left, previous=tuple(one for one in document.previous if one.key_id not in gone))
    return not left


def _why_ended(kit: Kit, versions: Sequence[Version], scene: Scene) -> str:
    """Return why an interrupted retirement had begun; the staging document does not say."""
    for version in versions:
        if cut_short(kit, version):
            return Reason.EMERGENCY.value
        left = grace_left(version, kit.credential.policy, scene)
        if left is not None and left > _NOTHING:
            return Reason.REQUESTED.value
    by_use = kit.credential.policy.retire is RetireMode.WHEN_UNUSED
    return (Reason.UNUSED if by_use else Reason.GRACE_OVER).value


def _withdrawn(kit: Kit, claim: Claim) -> bool:
    """Take back the end of a version that a person has put before consumers again; say whether there was one."""
    key_id = key_in(kit, kit.store.consumers.read(kit.credential.path).fields)
    if key_id not in claim.document.retiring:
        return False
    for intent in kit.ledger.unsettled(kit.credential.name):
        if intent.act is Act.RETIRE and intent.key_id == key_id:
            event = kit.event(EventName.VERSION_RETIRED, key_id=key_id, outcome=Outcome.REFUSED)
            event = replace(event, rotation_id=intent.rotation_id, detail="resolved: consumers read it again")
            kit.ledger.record(event, settled(intent, Outcome.REFUSED))
    claim.release(retiring=tuple(one for one in claim.document.retiring if one != key_id))
    return True


def put_off_retiring(kit: Kit) -> None:
    """Give up the claim of a retirement that cannot go on, so that a rotation can; its end stays published."""
    staging, _ = look(kit)
    if staging is not None and staging.stage is Stage.RETIRING:
        Claim.take(kit, _same_retiring).release()


def _same_retiring(present: StagingDocument | None) -> StagingDocument:
    if present is None or present.stage not in (Stage.RETIRING, Stage.IDLE) or not present.retiring:
        raise Busy("Another rotator goes on with it.", hint="The next run looks again.", code="claim_lost")
    return replace(present, stage=Stage.RETIRING)


def _with(retiring: tuple[str, ...], versions: Sequence[Version]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*retiring, *(one.key_id for one in versions))))


def _unknown(kit: Kit, key_id: str, scene: Scene) -> Version:
    listed = scene.listed(key_id)
    tag = listed.tag if listed is not None else None
    return Version(kit.credential.name, key_id, VersionState.RETIRING, Origin.OURS, tag=tag)


def _see_the_brake(kit: Kit) -> None:
    provider = kit.credential.provider
    on = brake(provider, kit.ledger.ailing(provider))
    if on is not None:
        raise Busy(on.message, hint=on.hint, code="brake")


def _see_successor_works(kit: Kit, ending: Sequence[str]) -> None:
    """Raise unless consumers read another version than those that are to end, and it gets a token now."""
    name, path = kit.credential.name, kit.credential.path
    fields = kit.store.consumers.read(path).fields
    key_id = key_in(kit, fields)
    tracked = kit.ledger.tracked(name)
    current = current_version(tracked) if tracked else None
    if fields is None or key_id is None or key_id in ending or current is None or current.key_id != key_id:
        raise Busy(
            f"{path} names key {key_id or 'none'}, and {current.key_id if current else 'none'} should be current.",
            hint=f"Nothing was retired; the next run looks what happened: rotator rotate {name}",
            code="no_successor",
        )
    ours = ours_in(kit, fields)
    verdict = prove_current(kit, client_in(kit, ours), ours)
    if verdict.answer is Answer.PROVED:
        return
    message = f"The current secret of {name} does not pass, so the one before is kept: {verdict.message}"
    if verdict.answer is Answer.SILENT:
        raise silence(verdict, message, hint="It is asked again at the next run.")
    raise Refused(message, hint=f"See what is wrong: rotator verify {name}", code=verdict.code)


def _remove_published(
    kit: Kit, claim: Claim, versions: Sequence[Version], reason: str, evidence: Mapping[str, str] = _NO_EVIDENCE
) -> tuple[str, ...]:
    left: list[Refused] = []
    for version in versions:
        claim.renew()
        try:
            remove(kit, version, reason, evidence.get(version.key_id))
        except Refused as hindered:
            if hindered.code != NO_KEEPSAKE:
                raise
            _leave(kit, version, reason, hindered)
            left.append(hindered)
    done = tuple(one.key_id for one in versions)
    document = claim.document
    claim.release(
        previous=tuple(one for one in document.previous if one.key_id not in done),
        retiring=tuple(one for one in document.retiring if one not in done),
    )
    if left:  # said once: nobody can do more about it here
        raise left[0]
    return done


def _leave(kit: Kit, version: Version, reason: str, why: Refused) -> None:
    """Record that a version stays at its issuer, since what is needed to remove it is not there."""
    by = version.displaced.by if version.displaced is not None else ""
    event = kit.event(EventName.VERSION_RETIRED, rotation_id=by or None, reason=reason, key_id=version.key_id)
    event = replace(event, outcome=Outcome.REFUSED, detail=f"left at its issuer: {why.message}")
    kit.ledger.record(event, replace(version, state=VersionState.LEFT), *_completed(kit, by, version.key_id))


def remove(kit: Kit, version: Version, reason: str, evidence: str | None = None) -> None:
    """Remove one version whose end is published. evidence: why nobody misses it, for the record."""
    began, key_id = kit.clock.instant(), version.key_id
    by = version.displaced.by if version.displaced is not None else ""
    kit.tell("retire", "begin", f"key {key_id}")
    intent = kit.intent(Act.RETIRE, rotation_id=by or None, key_id=key_id)
    event = kit.event(EventName.VERSION_RETIRED, rotation_id=by or None, reason=reason, key_id=key_id, detail=evidence)
    dying = replace(version, state=VersionState.RETIRING)
    gone = carry_out(kit, intent, event, lambda: retire_at_issuer(kit, key_id), dying)
    detail = "it was gone already" if gone is Retired.ALREADY_GONE else evidence
    done = replace(event, outcome=Outcome.SUCCEEDED, detail=detail)
    dead = replace(dying, state=VersionState.RETIRED, retired_at=kit.clock.now())
    kit.ledger.record(done, settled(intent), dead, *same_call(kit, intent), *_completed(kit, by, key_id))
    if by:
        took = (elapsed(began, kit.clock.instant()) or _NOTHING).total_seconds()
        kit.ledger.note(Step(by, "retire", "done", began.wall, 0, detail or f"key {key_id}", took))
    kit.tell("retire", "done", f"key {key_id} is gone")


def _completed(kit: Kit, rotation_id: str, key_id: str) -> tuple[Rotation, ...]:
    """Return the rotation that displaced a version, done now, when all that it displaced is gone."""
    rotation = kit.ledger.rotation(rotation_id) if rotation_id else None
    if rotation is None or rotation.outcome is not RotationOutcome.PROMOTED:
        return ()
    tracked = kit.ledger.tracked(kit.credential.name)
    alive = {one.key_id for one in tracked.versions} if tracked else set()
    left = [one for one in rotation.old_key_ids if one in alive and one != key_id]
    return () if left else (replace(rotation, outcome=RotationOutcome.RETIRED),)


def note_expired(kit: Kit, version: Version, scene: Scene) -> None:
    """Record that a version that was left to expire has done so, by the issuer's word and Date."""
    issuer_now, listed = scene.listing.issuer_now, scene.listed(version.key_id)
    if kit.credential.by_hand:  # no issuer is asked, so there is no other clock
        issuer_now = scene.at.wall
    ends = listed.expires_at if listed is not None else version.expires_at
    if ends is None or issuer_now is None or ends > issuer_now:
        return
    event = kit.event(EventName.VERSION_RETIRED, key_id=version.key_id, reason=Reason.EXPIRED.value)
    by = version.displaced.by if version.displaced is not None else ""
    gone = replace(version, state=VersionState.RETIRED, retired_at=kit.clock.now())
    kit.ledger.record(replace(event, rotation_id=by or None), gone, *_completed(kit, by, version.key_id))
