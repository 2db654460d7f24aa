"""A version that is proved ahead (`policy.prepare`): who leaves it waiting, and what is seen before it is shown.

Makes none and shows none. While it waits the credential is at rest: what somebody writes into the consumers' document
is judged as at any other time, and another state on the same staging area leaves it alone.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from rotator.document import ours_in
from rotator.event import EventName
from rotator.kit import Kit
from rotator.model import Phase, Reason, Rotation
from rotator.planner import postponed_until, prepared_until
from rotator.ports import Tracked
from rotator.run import Run
from rotator.staging import Stage
from rotator.survey import Scene
from rotator.timing import clock_skew, spell_moment


def waits(kit: Kit, tracked: Tracked | None, scene: Scene) -> bool:
    """Say whether a prepared version is to be left waiting; nobody asks for it, and its time has not come.

    A clock that others contradict does not make its time come. A window that was missed is waited for again.
    """
    now = kit.clock.now()
    if tracked is None or tracked.rotation is None:
        asked, elsewhere = tracked is not None and tracked.request is not None, _elsewhere(scene)
        return not asked and elsewhere is not None and now < elsewhere
    if prepared_until(tracked, now) is not None:
        return True
    if not is_prepared(tracked.rotation) or tracked.request is not None:
        return False
    if clock_skew(scene.at.wall, scene.listing.issuer_now, scene.document.store_now) is not None:
        return True
    later = postponed_until(kit.credential, tracked, now)
    if later is not None:
        event = kit.event(EventName.ROTATION_STARTED, rotation_id=tracked.rotation.id, key_id=tracked.rotation.key_id)
        detail = f"what is prepared waits for the next opening of the window, {spell_moment(later)}"
        kit.ledger.record(replace(event, detail=detail), replace(tracked.rotation, promote_at=later))
    return later is not None


def is_prepared(rotation: Rotation | None) -> bool:
    """Say whether a rotation waits, or waited until now, with a version that is proved."""
    return rotation is not None and rotation.phase is Phase.PROVED and rotation.promote_at is not None


def _elsewhere(scene: Scene) -> datetime | None:
    """Return until when a version waits that another state has prepared, or one that is lost."""
    staging = scene.staging
    return staging.promote_at if staging is not None and staging.stage is Stage.STAGED else None


def waited_elsewhere(kit: Kit, tracked: Tracked | None, scene: Scene) -> bool:
    """Say whether another state has prepared it, and nobody has changed our fields since consumers were to read it."""
    staging, rotation = scene.staging, tracked.rotation if tracked is not None else None
    taken_over = rotation is None or rotation.reason is Reason.INTERRUPTED
    if not taken_over or staging is None or _elsewhere(scene) is None:
        return False
    before, now = kit.store.consumers.read(kit.credential.path, staging.base_version).fields, scene.document.fields
    return before is not None and now is not None and ours_in(kit, before) == ours_in(kit, now)


def at_rest_until_now(run: Run, scene: Scene) -> None:
    """Let it be shown over the document as it was found and accepted a moment ago: what came before was judged."""
    run.put(base_version=scene.document.version)
