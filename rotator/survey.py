"""Looks at what is really there and brings the ledger to terms with it; changes nothing outside of the ledger.

Three places know something of a credential: the issuer's list, the document that consumers read and the staging
document. The ledger is only what this state remembers of them. It may be new, restored from an old copy, or one of two
that work on one staging area, so what it does not know is first explained from the other three, and only what nobody
names is an orphan:

    its key id is in the staging document           it is in its grace, or in the making
    a version of the consumers' document names it   it was current once: previous, with a full grace from first sight
    consumers read it, and its label is ours        it is current, whoever promoted it
    consumers read it, and its label is not ours    foreign: it serves until it is replaced, and is never touched
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from rotator.clock import Instant
from rotator.document import key_in, moment_in, our_fields, ours_in, rotation_in
from rotator.ends import corrected
from rotator.errors import Broken, ClockWrong, Refused
from rotator.event import EventName
from rotator.kit import Kit
from rotator.model import (
    CredentialState,
    Displacement,
    Origin,
    Phase,
    Version,
    VersionState,
)
from rotator.planner import current_version
from rotator.ports import Listed, Listing, Snapshot, Tracked
from rotator.secret import Fields
from rotator.staging import StagingDocument, look
from rotator.timing import clock_skew, plus

_LISTS_LAG = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Scene:
    """What was there a moment ago. at: our clocks then."""

    at: Instant
    listing: Listing
    staging: StagingDocument | None
    document: Snapshot

    def listed(self, key_id: str | None) -> Listed | None:
        """Return a version as the issuer lists it."""
        return next((one for one in self.listing.versions if one.key_id == key_id), None)

    def require_time(self) -> None:
        """Raise ClockWrong when this machine's clock is not to be trusted: nothing may start because of time."""
        skew = clock_skew(self.at.wall, self.listing.issuer_now, self.document.store_now)
        if skew is not None:
            hint = "Correct the clock of this machine (see timedatectl), or find out whose is wrong, then try again."
            raise ClockWrong(skew.sentence, hint=hint)


def read(kit: Kit) -> Scene:
    """Look at issuer, staging document and consumers' document, in this order.

    The list comes first: a version that is staged in the meantime is then missing from the list, and not from the
    documents that would explain it. Raises what the ports raise, and Misconfigured when the name stands for something
    else in the staging area.
    """
    at = kit.clock.instant()
    listing = kit.provider.list(kit.credential.application)
    staging, _ = look(kit)
    return Scene(at, listing, staging, kit.store.consumers.read(kit.credential.path))


def reconcile(kit: Kit, scene: Scene) -> Tracked:
    """Bring the ledger to terms with the scene and return what it knows then. Called when no rotation is unfinished.

    Stopped anywhere: the next look finds the same and does the rest. Raises Broken when somebody has changed or deleted
    what consumers read.
    """
    before = kit.ledger.tracked(kit.credential.name) or first_sight(kit)
    if scene.listing.procedure is not before.state.procedure:
        before = replace(before, state=replace(before.state, procedure=scene.listing.procedure))
        kit.ledger.note(before.state)
    _renew_graces(kit, before, scene)
    tracked = _find_current(kit, before, scene)
    return _find_previous(kit, tracked, scene)


def strays(kit: Kit, scene: Scene) -> tuple[Listed, ...]:
    """Return the versions with our label that neither the ledger nor a document names now."""
    named = kit.ledger.known_key_ids(kit.credential.name, _lists_lag_since(kit, scene))
    if scene.staging is not None:
        named |= scene.staging.names
    current = key_in(kit, scene.document.fields)
    found = [one for one in scene.listing.versions if kit.owns(one.tag) and one.key_id not in named | {current}]
    if found:
        past = in_history(kit)
        found = [one for one in found if one.key_id not in past]
    return tuple(found)


def _lists_lag_since(kit: Kit, scene: Scene) -> datetime:
    """Return since when a version may have been removed and still be listed."""
    return plus(scene.at.wall, -max(3 * kit.credential.policy.quarantine, _LISTS_LAG))


class Kind(StrEnum):
    """What a version at the issuer is to us."""

    ORPHAN = "orphan"
    FOREIGN = "foreign"
    CURRENT = "current"
    PREVIOUS = "previous"


def classify(kit: Kit) -> tuple[tuple[Listed, Kind], ...]:
    """Return every version at the issuer and what it is. A candidate that is being proved is left out. Reads only."""
    scene = read(kit)
    tracked = kit.ledger.tracked(kit.credential.name)
    orphans = strays(kit, scene)
    states = {one.key_id: one.state for one in tracked.versions} if tracked else {}
    current = key_in(kit, scene.document.fields)
    found: list[tuple[Listed, Kind]] = []
    for one in scene.listing.versions:
        if one in orphans:
            found.append((one, Kind.ORPHAN))
        elif one.key_id == current or states.get(one.key_id) is VersionState.CURRENT:
            found.append((one, Kind.CURRENT))
        elif not kit.owns(one.tag) and one.key_id not in states:
            found.append((one, Kind.FOREIGN))
        elif states.get(one.key_id) is not VersionState.CANDIDATE:
            found.append((one, Kind.PREVIOUS))
    return tuple(found)


# ------------------------------------------------------------------------------------------------------- first sight


def first_sight(kit: Kit) -> Tracked:
    """Begin to track a credential. Its first version, if there is one, is found by the first look."""
    credential = kit.credential
    state = CredentialState(credential.name, credential.binding, credential.provider, credential.kind)
    kit.ledger.note(state)
    return Tracked(state, (), None, None, None)


# ----------------------------------------------------------------------------------------------------------- current


def _find_current(kit: Kit, tracked: Tracked, scene: Scene) -> Tracked:
    """Compare what consumers read with what the ledger remembers that they do."""
    current, document = current_version(tracked), scene.document
    if document.fields is None:
        return tracked if current is None else _gone(kit, tracked, current, scene)
    if current is None:
        return _take_as_current(kit, tracked, scene, "it is what consumers read")
    if current.store_version == document.version and (key_in(kit, document.fields) or "") == current.key_id:
        return _updated(kit, tracked, current, scene)
    if current.store_version is None:  # a person has looked, and let it go on
        return _take_as_current(kit, tracked, scene, "a person resumed with it")
    return _changed(kit, tracked, current, scene)


def _changed(kit: Kit, tracked: Tracked, current: Version, scene: Scene) -> Tracked:
    """Judge a document that was written since, and not by this state."""
    assert scene.document.fields is not None and current.store_version is not None
    now, key_id = scene.document.fields, key_in(kit, scene.document.fields)
    if key_id != current.key_id and _another_rotator_promoted(kit, tracked, scene, key_id):
        return _take_as_current(kit, tracked, scene, "another rotator on this staging area promoted it")
    before = kit.store.consumers.read(kit.credential.path, current.store_version).fields
    touched = _certain_changes(kit, current, now) | (before.differing(now) if before is not None else frozenset())
    mine = {kit.field(name) for name in our_fields(kit)}
    if touched & mine:
        raise edited(kit, current.store_version, before, scene.document)
    if touched:
        names = ", ".join(sorted(touched))
        event = kit.event(EventName.DRIFT_FOUND, store_path=kit.credential.path, store_version=scene.document.version)
        kit.ledger.record(replace(event, detail=f"somebody changed fields that are not ours: {names}"))
    return _replaced(kit, tracked, replace(current, store_version=scene.document.version))


def _another_rotator_promoted(kit: Kit, tracked: Tracked, scene: Scene, key_id: str | None) -> bool:
    """Tell another state's promotion from a person who put an older version back.

    The former is of ours by its label, its end is not published, and it comes from a rotation that this state has not
    promoted itself.
    """
    listed, rotation_id = scene.listed(key_id), rotation_in(kit, scene.document.fields)
    owned = not kit.credential.labelled or (listed is not None and kit.owns(listed.tag))
    if not owned or rotation_id is None:
        return False
    dying = {one.key_id for one in tracked.versions if one.state is VersionState.RETIRING}
    dying |= set(scene.staging.retiring) if scene.staging else set()
    rotation = kit.ledger.rotation(rotation_id)
    return key_id not in dying and (rotation is None or rotation.phase is not Phase.PROMOTED)


def _certain_changes(kit: Kit, current: Version, now: Fields) -> frozenset[str]:
    """Return what must have changed, whether the version that we wrote can still be read or not."""
    found = set()
    if key_in(kit, now) != (current.key_id or None):
        found.add(kit.field("key_id"))
    if current.rotation_id is not None and rotation_in(kit, now) != current.rotation_id:
        found.add(kit.field("rotation_id"))
    return frozenset(found)


def edited(kit: Kit, version: int, before: Fields | None, document: Snapshot) -> Broken:
    """Return the error for a document that somebody else has written, with both versions named."""
    path, was, now = kit.credential.path, key_in(kit, before), key_in(kit, document.fields)
    names = "" if before is None or document.fields is None else ", ".join(sorted(before.differing(document.fields)))
    return Broken(
        f"Somebody else has written {path}: version {version} held key {was or 'unknown'}, version {document.version} "
        f"holds key {now or 'none'}" + (f" (changed: {names})." if names else "."),
        hint="Nothing was overwritten. Put the right version back or leave the new one, then: "
        f"rotator resume {kit.credential.name}",
        code="edited",
    )


def _gone(kit: Kit, tracked: Tracked, current: Version, scene: Scene) -> Tracked:
    if current.store_version is None:  # a person has looked, and let it go on
        state = VersionState.LEFT if current.origin is Origin.FOREIGN else VersionState.PREVIOUS
        left = replace(current, state=state, displaced=seen_now(scene), retire_after=full_grace(kit, scene))
        event = kit.event(EventName.STATE_REBUILT, detail="consumers read no version; a new one is due")
        kit.ledger.record(event, left)
        return _known(kit)
    raise Broken(
        f"The document {kit.credential.path} of the consumers is gone; its last version was {current.store_version}.",
        hint="Restore it in the store (vault kv undelete, or rollback), or have a new secret made: "
        f"rotator resume {kit.credential.name}",
        code="document_gone",
    )


def _take_as_current(kit: Kit, tracked: Tracked, scene: Scene, why: str) -> Tracked:
    """Take the version that consumers read as current. What the ledger took for it before is in its grace from now."""
    assert scene.document.fields is not None
    key_id = key_in(kit, scene.document.fields) or ""
    listed, ours = scene.listed(key_id), ours_in(kit, scene.document.fields)
    owned = listed is not None and kit.owns(listed.tag)
    if not kit.credential.labelled:  # no list could tell; that it came from a rotation of ours is what can be known
        owned = rotation_in(kit, scene.document.fields) is not None
    known = next((one for one in tracked.versions if one.key_id == key_id), None)
    origin = Origin.OURS if owned else known.origin if known is not None else Origin.FOREIGN
    version = Version(
        kit.credential.name,
        key_id,
        VersionState.CURRENT,
        origin,
        created_at=listed.created_at if listed else moment_in(ours, "issued_at"),
        expires_at=listed.expires_at if listed else moment_in(ours, "expires_at"),
        tag=listed.tag if listed and owned else None,
        rotation_id=rotation_in(kit, scene.document.fields) if owned else None,
        store_version=scene.document.version,
        promoted_at=scene.document.written_at,
    )
    changes = [version]
    before = current_version(tracked)
    if before is not None and before.key_id != key_id:
        changes.append(_displaced(kit, before, scene))
    event = kit.event(
        EventName.STATE_REBUILT,
        key_id=key_id or None,
        store_path=kit.credential.path,
        store_version=scene.document.version,
        detail=f"taken as current: {why}" + ("" if owned else "; rotator did not issue it"),
    )
    client_id = ours.text("client_id") or tracked.state.client_id
    kit.ledger.record(event, *changes, replace(_known(kit).state, client_id=client_id))
    return _known(kit)


def _displaced(kit: Kit, before: Version, scene: Scene) -> Version:
    if before.origin is Origin.FOREIGN:
        return replace(before, state=VersionState.LEFT, displaced=seen_now(scene))
    after, last = full_grace(kit, scene), max(before.store_version or 0, _bases(scene).get(before.key_id, 0))
    left = replace(before, state=VersionState.PREVIOUS, displaced=seen_now(scene), retire_after=after)
    return replace(left, store_version=last or None)


def _updated(kit: Kit, tracked: Tracked, current: Version, scene: Scene) -> Tracked:
    """Take over an end of validity that the ledger did not know, or for which it knew a later one."""
    known = corrected(current, scene.listed(current.key_id), kit.credential.policy, scene.at.wall)
    return tracked if known == current else _replaced(kit, tracked, known)


def _replaced(kit: Kit, tracked: Tracked, version: Version) -> Tracked:
    event = kit.event(EventName.STATE_REBUILT, key_id=version.key_id or None, store_version=version.store_version)
    kit.ledger.record(replace(event, detail="what is known of the current version was renewed"), version)
    return _known(kit)


# ---------------------------------------------------------------------------------------------------------- previous


def _find_previous(kit: Kit, tracked: Tracked, scene: Scene) -> Tracked:
    """Take versions into the ledger that another state, or a lost one, has left in their grace."""
    known = {one.key_id for one in tracked.versions}
    current = key_in(kit, scene.document.fields)
    bases = _bases(scene)
    retiring = set(scene.staging.retiring) if scene.staging else set()
    unknown = [one for one in scene.listing.versions if kit.owns(one.tag) and one.key_id not in known | {current}]
    if unknown and any(one.key_id not in bases for one in unknown):
        bases = {**in_history(kit, scene.document.version), **bases}
    found = [one for one in unknown if one.key_id in bases and one.key_id not in retiring]
    settled = kit.ledger.known_key_ids(kit.credential.name, _lists_lag_since(kit, scene)) if found else frozenset()
    for one in found:
        if one.key_id in settled:
            continue
        version = Version(
            kit.credential.name,
            one.key_id,
            VersionState.PREVIOUS,
            Origin.OURS,
            created_at=one.created_at,
            expires_at=one.expires_at,
            tag=one.tag,
            store_version=bases[one.key_id],
            displaced=seen_now(scene),
            retire_after=full_grace(kit, scene),
        )
        event = kit.event(EventName.STATE_REBUILT, key_id=one.key_id, store_path=kit.credential.path)
        kit.ledger.record(replace(event, detail="consumers read it before; it is in its grace from now"), version)
    return _known(kit)


def _bases(scene: Scene) -> dict[str, int]:
    """Return what is in its grace by the staging document, with the version of the consumers' document that has it."""
    return {one.key_id: one.base_version for one in scene.staging.previous} if scene.staging else {}


def _renew_graces(kit: Kit, tracked: Tracked, scene: Scene) -> None:
    """Begin the grace anew of what was shown again and replaced again since this state last looked.

    Of what was to be retired only when its end was taken back meanwhile: then the staging document names it as in its
    grace, and not as ending.
    """
    current, bases = current_version(tracked), _bases(scene)
    dying = scene.staging.retiring if scene.staging else ()
    replaced = [one for one in tracked.versions if one.key_id not in dying and scene.listed(one.key_id) is not None]
    replaced = [one for one in replaced if one.state is VersionState.PREVIOUS
                or (one.state is VersionState.RETIRING and one.key_id in bases)]  # fmt: skip
    if not replaced or current is None or current.store_version == scene.document.version:
        return
    shown = {**bases, **in_history(kit, scene.document.version)}
    for one in replaced:
        number = shown.get(one.key_id, 0)
        if one.key_id != key_in(kit, scene.document.fields) and number > (one.store_version or 0):
            event = kit.event(EventName.STATE_REBUILT, key_id=one.key_id, store_version=number)
            event = replace(event, detail="consumers read it again meanwhile; it is in its grace from now")
            again = replace(one, state=VersionState.PREVIOUS, store_version=number, displaced=seen_now(scene))
            kit.ledger.record(event, replace(again, retire_after=full_grace(kit, scene)))


def in_history(kit: Kit, until: int | None = None) -> dict[str, int]:
    """Return every key id in the readable versions of the consumers' document, with the newest version that has it.

    until: the version of the scene. What was written since is perhaps current, and in no case in its grace already.
    """
    found: dict[str, int] = {}
    for number in kit.store.consumers.history(kit.credential.path):
        if until is not None and number > until:
            break
        key_id = key_in(kit, _old_fields(kit, number))
        if key_id is not None:
            found[key_id] = number
    return found


def _old_fields(kit: Kit, number: int) -> Fields | None:
    """Return a version of the consumers' document; None for one that holds anything but texts.

    Somebody else wrote that one and it was replaced since; nothing may stop because it is still in the history.
    """
    try:
        return kit.store.consumers.read(kit.credential.path, number).fields
    except Refused as strange:
        if strange.code != "not_text":
            raise
        return None


def seen_now(scene: Scene) -> Displacement:
    """Return the moment of first sight, by every clock: when it was really replaced nobody knows."""
    return Displacement("", scene.at, scene.document.store_now, scene.listing.issuer_now)


def full_grace(kit: Kit, scene: Scene) -> datetime:
    return plus(scene.at.wall, kit.credential.policy.grace)


def _known(kit: Kit) -> Tracked:
    tracked = kit.ledger.tracked(kit.credential.name)
    assert tracked is not None
    return tracked
