"""What must be true of a real world whatever happened in it, judged by the issuer's and the store's own records.

The numbers are those of the invariants in ARCHITECTURE.md. It asks rotator for nothing but its ledger.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

from rotator.model import VersionState
from rotator.sandbox.world import ROTATOR
from tests.e2e.real_world import APPS, NAME, RealWorld, Station, Written

_AT_ONCE = ("emergency", "requested", "forgotten")
"""Reasons for which a person ends a grace."""


def judge(world: RealWorld, *names: str, grace: timedelta, quiet: bool = False) -> None:
    """Assert all that holds at any time; quiet: that too which holds once everything has settled."""
    found = [one for name in names or (NAME,) for one in _findings(world, name, grace, quiet=quiet)]
    assert not found, "\n".join(found)


def strangers(world: RealWorld, name: str = NAME) -> set[str]:
    """Return the key ids of ours that work and that neither a document nor a ledger names."""
    return {one.key_id for one in world.live_ours(name)} - _named(world, name, quiet=False)


def _findings(world: RealWorld, name: str, grace: timedelta, *, quiet: bool) -> Iterator[str]:
    written = world.versions(f"partners/{name}")
    yield from _consumers(world, name, written, grace)
    yield from _records(world, name)
    yield from _foreign(world, name)
    lost = {one.key_id for one in world.live_ours(name)} - _named(world, name, quiet=quiet)
    if len(lost) > (0 if quiet else 1):
        yield f"I7: nobody names {sorted(lost)}"
    if quiet:
        yield from _settled(world, name)


def _consumers(world: RealWorld, name: str, written: list[Written], grace: timedelta) -> Iterator[str]:
    """I1, I3, I5: what consumers read works, what they read before works through its grace; one change a rotation."""
    truth = {one.key_id: one for one in world.sandbox.directory.truth(APPS[name])}
    readable = [one for one in written if one.fields is not None]
    if readable and not world.sandbox.directory.authenticates(APPS[name], readable[-1].fields["client_secret"]):
        yield f"I3: what consumers of {name} read does not work"
    at_once = {one["key_id"] for station in world.stations for one in _retired(station) if one["reason"] in _AT_ONCE}
    changed = []
    for before, after in pairwise([None, *readable]):
        assert after is not None
        if before is not None and before.fields["client_secret"] == after.fields["client_secret"]:
            continue
        if after.version not in world.by_hand:
            changed.append(after.fields.get("rotation_id"))
        held = truth.get(before.fields.get("key_id", "")) if before is not None else None
        if held is None or held.removed_at is None or held.removed_by != ROTATOR or held.key_id in at_once:
            continue
        if held.removed_at < after.at + grace:
            yield f"I1: key {held.key_id} was read until {after.at} and removed at {held.removed_at}"
    doubles = {one for one in changed if one and changed.count(one) > 1}
    if doubles:
        yield f"I5: a rotation changed the value twice: {doubles}"
    for one in readable:
        named = truth.get(one.fields.get("key_id", ""))
        if named is not None and named.text != one.fields["client_secret"]:
            yield f"version {one.version} names a key that is not the one of its value"


def _retired(station: Station) -> list[dict[str, Any]]:
    return station.records(event="version.retired") if station.database.exists() else []


def _records(world: RealWorld, name: str) -> Iterator[str]:
    """I4, I6, I26: every change was intended and every promotion proved before; the chains are whole."""
    made, removed, proved = 0, set(), set()
    for station in world.stations:
        if not station.database.exists():
            continue
        with station.reading() as reader:
            broken = reader.verify().broken
        if broken is not None:
            yield f"I26: {station.folder.name}: {broken.reason}"
        for record in station.records(credential=name):
            kind = (record["event"], record["outcome"])
            if kind == ("version.created", "intended"):
                made += 1
            elif kind in (("version.retired", "intended"), ("orphan.retired", "intended")):
                removed.add(record["key_id"])
            elif record["event"] == "version.proved":
                proved.add(record["rotation_id"])
            elif kind == ("version.promoted", "intended") and record["rotation_id"] not in proved:
                yield f"I4: rotation {record['rotation_id']} was promoted without a proof"
    ours = [one for one in world.sandbox.directory.mutations(APPS[name]) if one.by == ROTATOR]
    created = [one for one in ours if one.operation == "add" and one.key_id not in world.planted]
    if len(created) > made:
        yield f"I6: {len(created)} versions were made and {made} were intended"
    unmeant = {one.key_id for one in ours if one.operation == "remove"} - removed
    if unmeant:
        yield f"I6: {unmeant} were removed and nobody had written that down"


def _foreign(world: RealWorld, name: str) -> Iterator[str]:
    """I2, I8: what was removed by us is of ours, and not what consumers read."""
    for held in world.sandbox.directory.truth(APPS[name]):
        if held.removed_by == ROTATOR and held.created_by != ROTATOR:
            yield f"I8: {held.key_id} is foreign and was removed"


def _named(world: RealWorld, name: str, *, quiet: bool) -> set[str]:
    """Return the key ids that somebody accounts for; quiet: as current or as replaced, and not in the making."""
    reply = world.vault.request("GET", f"{world.mounts.staging}/data/{name}")
    staging = reply.body["data"]["data"] if reply.status == 200 else {}
    previous = {key_id for key_id, _ in json.loads(staging.get("previous", "[]"))}
    retiring = set(json.loads(staging.get("retiring", "[]")))
    named = previous | retiring | {staging.get("key_id", "")}
    named |= {one.fields.get("key_id", "") for one in world.versions(f"partners/{name}")[-1:] if one.fields}
    for station in world.stations:
        if station.database.exists():
            with station.reading() as reader:
                tracked = reader.tracked(name)
            versions = tracked.versions if tracked is not None else ()
            named |= {one.key_id for one in versions if not (quiet and one.state is VersionState.CANDIDATE)}
    return named


def _settled(world: RealWorld, name: str) -> Iterator[str]:
    """I10, I22, I26: nothing is unfinished or without outcome, the claim is free, no version of it holds a value."""
    for station in world.stations:
        with station.reading() as reader:
            tracked, left = reader.tracked(name), reader.unsettled(name)
        if tracked is not None and tracked.rotation is not None:
            yield f"I10: {station.folder.name}: rotation {tracked.rotation.id} is unfinished"
        for one in left:
            yield f"I26: {station.folder.name}: {one.act} of {one.key_id or one.tag} is {one.outcome or 'open'}"
    values = {one.text for one in world.sandbox.directory.truth(APPS[name])}
    staged = world.versions(name, staging=True)
    for version in staged:
        if version.fields is not None and values & set(version.fields.values()):
            yield f"I22: version {version.version} of the staging document holds a value"
    if staged and (staged[-1].fields or {}).get("stage") != "idle":
        yield f"the claim on {name} was not given up: {(staged[-1].fields or {}).get('stage')}"
