"""Takes up what is unfinished: a rotation of ours after a crash, or one whose rotator fell silent. Starts none.

Two records say where a rotation stands: our ledger, and the staging document, which outlives the ledger and is the only
one that another state on the same staging area can read.

    ledger        staging document             what is done
    unfinished    the same rotation            the claim is taken again, the steps go on from the phase in the ledger,
                                               or it is undone, when whoever had taken it over had begun to
    unfinished    idle, gone, or another one   overtaken: ours is closed, nothing is touched; what is left is swept
    finished      the same rotation            only the claim was not given up: it is now
    unknown       claimed, without a value     given up; what its holder may have made is swept as an orphan
    unknown       staged or later              taken over from the staged copy, from the phase that it shows; what is
                                               prepared is left waiting before, see `prepared`
    any           retiring                     see `endings.finish_retiring`
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rotator.document import moment_in
from rotator.errors import Busy
from rotator.event import EventName, Outcome
from rotator.kit import Kit
from rotator.model import (
    Origin,
    Phase,
    Procedure,
    Reason,
    Rotation,
    RotationOutcome,
    Version,
    VersionState,
)
from rotator.planner import current_version
from rotator.ports import Tracked
from rotator.run import Run
from rotator.staging import Claim, Stage, StagingDocument
from rotator.survey import Scene, reconcile
from rotator.timing import FAR_PAST

_PHASE_OF: Final = {
    Stage.STAGED: Phase.STAGED,
    Stage.PROMOTING: Phase.PROMOTING,
    Stage.ABANDONING: Phase.ABANDONING,
}


def _phase_of(document: StagingDocument) -> Phase:
    """Return the phase that a staging document shows. A value that we chose may not be at its issuer yet."""
    if document.stage is Stage.STAGED and document.procedure is Procedure.CHOSEN:
        return Phase.CHOSEN
    return _PHASE_OF[document.stage]


def resume(kit: Kit, tracked: Tracked | None, scene: Scene) -> Run | None:
    """Return the run that must be finished before anything else; None when nothing is left to finish.

    Raises Busy when another rotator is at work on it.
    """
    rotation, staging = tracked.rotation if tracked else None, scene.staging
    held = staging is not None and staging.stage not in (Stage.IDLE, Stage.RETIRING)
    if rotation is not None:
        if staging is not None and held and staging.rotation_id == rotation.id:
            return _go_on(kit, rotation, scene)
        _close_overtaken(kit, rotation, scene)
    if staging is None or not held:
        return None
    known = kit.ledger.rotation(staging.rotation_id)
    if staging.stage is Stage.CLAIMED or (known is not None and known.phase.final):
        _give_up_claim(kit, staging, known)
        return None
    return _take_over(kit, staging, scene)


def _take_again(kit: Kit, rotation_id: str) -> Claim:
    """Take the claim on a rotation that is under way, as it stands."""

    def same(present: StagingDocument | None) -> StagingDocument:
        if present is None or present.rotation_id != rotation_id or present.stage is Stage.IDLE:
            raise Busy(
                f"The staging document of {kit.credential.name} was changed by another rotator just now.",
                hint="Nothing is lost; the next run looks again.",
                code="claim_lost",
            )
        return present

    return Claim.take(kit, same)


def _go_on(kit: Kit, rotation: Rotation, scene: Scene) -> Run:
    claim = _take_again(kit, rotation.id)
    kit.tell("recover", "tell", f"goes on with rotation {rotation.id[:8]}, which stopped at {rotation.phase}")
    rotation = _caught_up(kit, replace(rotation, epoch=claim.document.epoch), claim.document, scene)
    run = Run(kit, claim, rotation, scene.listing, resumed=True)
    if claim.document.stage is Stage.ABANDONING and rotation.phase is not Phase.ABANDONING:
        run.give_up(
            Busy(
                f"Another rotator had begun to undo rotation {rotation.id[:8]} of {kit.credential.name}.",
                hint="It is undone; the next run makes another version if one is due.",
                code="overtaken",
            )
        )
    return run


def _caught_up(kit: Kit, rotation: Rotation, document: StagingDocument, scene: Scene) -> Rotation:
    """Return the rotation as the staging document has it, when the ledger is an older copy that lacks its version."""
    known = kit.ledger.known_key_ids(rotation.credential, FAR_PAST)
    if document.stage not in _PHASE_OF or document.key_id is None or document.key_id in known:
        return rotation
    phase, tag = _phase_of(document), kit.tag(rotation.id, document.attempt)
    rotation = replace(rotation, phase=phase, attempt=document.attempt, tag=tag, key_id=document.key_id)
    event = kit.event(EventName.STATE_REBUILT, rotation_id=rotation.id, key_id=rotation.key_id)
    event = replace(event, detail=f"the staging document knows more than the ledger: it stopped at {phase}")
    kit.ledger.record(event, rotation, *_its_version(kit, rotation, document, scene))
    return rotation


def _close_overtaken(kit: Kit, rotation: Rotation, scene: Scene) -> None:
    """Close a rotation of ours that somebody else has finished, undone or replaced, and touch nothing.

    What it made is either named by a document, and then found as current or previous, or an orphan.
    """
    now = kit.clock.now()
    tracked = kit.ledger.tracked(rotation.credential)
    versions = tracked.versions if tracked else ()
    left = [one for one in versions if one.rotation_id == rotation.id and one.state is VersionState.CANDIDATE]
    lost = [replace(one, state=VersionState.ABANDONED, retired_at=now) for one in left]
    intents = [one for one in kit.ledger.unsettled(rotation.credential) if one.rotation_id == rotation.id]
    for intent in intents:
        event = kit.event(_RESOLVED, rotation_id=rotation.id, key_id=intent.key_id, outcome=Outcome.UNKNOWN)
        event = replace(event, detail=f"resolved: {intent.act}: another rotator has taken over since")
        kit.ledger.record(event, replace(intent, outcome=Outcome.REFUSED))
    event = kit.event(EventName.ROTATION_ABANDONED, rotation_id=rotation.id, reason="overtaken")
    over = replace(rotation, phase=Phase.ABANDONED, outcome=RotationOutcome.ABANDONED, finished_at=now)
    kit.ledger.record(replace(event, detail="another rotator on this staging area has taken it over"), over, *lost)


_RESOLVED: Final = EventName.ROTATION_ABANDONED


def _give_up_claim(kit: Kit, staging: StagingDocument, known: Rotation | None) -> None:
    claim = _take_again(kit, staging.rotation_id)
    promoted = known.key_id if known is not None and known.phase is Phase.PROMOTED else None
    claim.release(previous=tuple(one for one in claim.document.previous if one.key_id != promoted))


def _take_over(kit: Kit, staging: StagingDocument, scene: Scene) -> Run:
    """Make a rotation that the ledger does not know our own.

    What consumers read is looked at first: it is what this rotation replaces, and its holder may have seen it change.
    """
    current = current_version(reconcile(kit, scene))
    claim = _take_again(kit, staging.rotation_id)
    document = claim.document
    rotation = Rotation(
        document.rotation_id,
        kit.credential.name,
        document.seq,
        document.epoch,
        _phase_of(document),
        document.attempt,
        Reason.INTERRUPTED,
        kit.actor,
        kit.clock.now(),
        tag=kit.tag(document.rotation_id, document.attempt),
        key_id=document.key_id,
        old_key_ids=(current.key_id,) if current is not None and current.key_id != document.key_id else (),
        base_version=document.base_version,
        procedure=document.procedure,
    )
    event = kit.event(EventName.STATE_REBUILT, rotation_id=rotation.id, key_id=rotation.key_id)
    event = replace(event, detail=f"took over a rotation that stopped at {rotation.phase}")
    kit.ledger.record(event, rotation, *_its_version(kit, rotation, document, scene))
    return Run(kit, claim, rotation, scene.listing, resumed=True)


def _its_version(kit: Kit, rotation: Rotation, document: StagingDocument, scene: Scene) -> tuple[Version, ...]:
    """Return the row of the version that is being promoted, unless the ledger has one."""
    tracked = kit.ledger.tracked(kit.credential.name)
    if document.key_id is None or (tracked and any(one.key_id == document.key_id for one in tracked.versions)):
        return ()
    before = next((one for one in document.previous if one.key_id == document.key_id), None)
    listed, values = scene.listed(document.key_id), document.values
    version = Version(
        kit.credential.name,
        document.key_id,
        VersionState.PREVIOUS if before is not None else VersionState.CANDIDATE,
        Origin.OURS,
        created_at=listed.created_at if listed else moment_in(values, "issued_at") if values else None,
        expires_at=listed.expires_at if listed else moment_in(values, "expires_at") if values else None,
        tag=rotation.tag,
        rotation_id=rotation.id,
        store_version=before.base_version if before is not None else None,
    )
    return (version,)
