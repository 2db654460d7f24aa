"""Finds orphans and removes them: versions that carry our label and that nobody names. Never touches any other.

Nobody: no row of the ledger, no staging document, no version of the document that consumers read. An orphan is swept
when two lists had it, the first of them a quarantine ago, and only while we hold the claim, so that no other rotator is
about to name it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rotator.clock import elapsed
from rotator.event import EventName, Outcome
from rotator.kit import Kit, carry_out, same_call, settled
from rotator.model import Act, Reason
from rotator.notes import Sighting
from rotator.ports import Listed, Retired
from rotator.staging import Claim
from rotator.survey import Scene, read, strays


def sight(kit: Kit, scene: Scene) -> timedelta | None:
    """Take note of the strays that are there; return when the first may be swept, None when there is none."""
    found = strays(kit, scene)
    name, seen = kit.credential.name, {one.key_id: one for one in kit.ledger.sightings(kit.credential.name)}
    gone = [key_id for key_id in seen if key_id not in {one.key_id for one in found}]
    if gone:
        kit.ledger.forget_sightings(name, gone)
    _settle_what_is_gone(kit, scene)
    waits = []
    for one in found:
        before = seen.get(one.key_id)
        age = elapsed(before.first, scene.at) if before is not None else None
        if before is None or age is None:
            _first_seen(kit, one, scene, known=before is not None)
            age = timedelta(0)
        else:
            kit.ledger.note(replace(before, times=before.times + 1))
        waits.append(max(kit.credential.policy.quarantine - age, timedelta(0)))
    return min(waits, default=None)


def _settle_what_is_gone(kit: Kit, scene: Scene) -> None:
    """Record the end of orphans whose removal was asked for by a run that did not hear the answer."""
    for intent in kit.ledger.unsettled(kit.credential.name):
        of_an_orphan = intent.act is Act.RETIRE and intent.rotation_id is None and intent.tag is not None
        if of_an_orphan and scene.listed(intent.key_id) is None:
            event = kit.event(EventName.ORPHAN_RETIRED, key_id=intent.key_id, reason=Reason.ORPHAN.value)
            event = replace(event, outcome=Outcome.SUCCEEDED, detail="resolved: it is not listed any more")
            kit.ledger.record(event, settled(intent))


def _first_seen(kit: Kit, one: Listed, scene: Scene, *, known: bool) -> None:
    if not known:
        event = kit.event(EventName.ORPHAN_FOUND, key_id=one.key_id, detail=f"labelled {one.tag}; nothing names it")
        kit.ledger.record(event)
    kit.ledger.note(Sighting(kit.credential.name, one.key_id, one.tag or "", scene.at, 1))


def sweep(kit: Kit) -> tuple[str, ...]:
    """Remove the orphans that are ripe, and return their key ids.

    Looks again once the claim is held: only what is a stray then is removed. Stopped anywhere: the sightings stay, and
    the next run sweeps what is left. Raises Busy when another rotator is at work on the credential.
    """
    ripe = _ripe(kit)
    if not ripe:
        return ()
    claim = Claim.begin(kit, rotation_id="")
    swept = []
    try:
        scene = read(kit)
        for one in strays(kit, scene):
            if one.key_id in ripe:
                claim.renew()
                _remove(kit, one)
                swept.append(one.key_id)
    finally:
        kit.ledger.forget_sightings(kit.credential.name, swept)
    claim.release()
    return tuple(swept)


def _ripe(kit: Kit) -> frozenset[str]:
    now, quarantine = kit.clock.instant(), kit.credential.policy.quarantine
    ages = {one.key_id: elapsed(one.first, now) for one in kit.ledger.sightings(kit.credential.name) if one.times > 1}
    return frozenset(key_id for key_id, age in ages.items() if age is not None and age >= quarantine)


def _remove(kit: Kit, one: Listed) -> None:
    kit.tell("sweep", "begin", f"key {one.key_id}")
    intent = kit.intent(Act.RETIRE, key_id=one.key_id, tag=one.tag)
    event = kit.event(EventName.ORPHAN_RETIRED, key_id=one.key_id, reason=Reason.ORPHAN.value)
    event = replace(event, detail=f"labelled {one.tag}")
    gone = carry_out(kit, intent, event, lambda: kit.provider.retire(kit.credential.application, one.key_id))
    detail = "it was gone already" if gone is Retired.ALREADY_GONE else event.detail
    done = replace(event, outcome=Outcome.SUCCEEDED, detail=detail)
    kit.ledger.record(done, settled(intent), *same_call(kit, intent))
    kit.tell("sweep", "done", f"key {one.key_id} is gone")
