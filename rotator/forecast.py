"""What will happen to a credential, and which version works when, if all goes as planned. A simulation, no promise.

It asks the planner what is next, pretends that it was done at that moment, and asks again. Versions that do not exist
yet have the lifetime of the policy and no key id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from rotator.clock import Instant
from rotator.due import Action, Due
from rotator.model import (
    Credential,
    CredentialState,
    Displacement,
    Origin,
    Request,
    RetireMode,
    Version,
    VersionState,
)
from rotator.planner import NO_JITTER, current_version, next_action, procedure_of, reminders
from rotator.ports import Tracked
from rotator.timing import FAR_FUTURE, plus

MOST_DUES: Final = 1000
"""A forecast ends after so many: a lifetime of seconds would otherwise fill a quarter with millions."""


class Validity(StrEnum):
    """What a version is to its consumers during a span."""

    CURRENT = "current"
    GRACE = "grace"  # replaced, and still valid
    EXPIRED = "expired"  # consumers read it, and it no longer works


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a version is what `kind` says. key_id: None for one that does not exist yet."""

    start: datetime
    end: datetime
    kind: Validity
    key_id: str | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What happens in order, the spans in the order they begin, and up to when this was worked out."""

    dues: tuple[Due, ...]
    spans: tuple[Span, ...]
    until: datetime


def project(
    credential: Credential, tracked: Tracked | None, now: datetime, until: datetime, jitter: timedelta = NO_JITTER
) -> Forecast:
    """Return what is planned from now to `until`. What is overdue happens now, and keeps its own, earlier `at`."""
    world, moment = tracked or _unseen(credential), now
    dues: list[Due] = []
    spans: list[Span] = []
    serving_since = now
    while len(dues) < MOST_DUES:
        due = _next(credential, world, moment, jitter)
        if due is None or max(due.at, moment) > until:
            moment = until
            break
        moment = max(due.at, moment)
        dues.append(due)
        if due.replaces:
            spans.extend(_served(world, serving_since, moment))
            serving_since = moment
            world = _rotated(credential, world, moment)
        else:
            (ended,) = (one for one in world.versions if one is due.version)
            spans.extend(_in_grace(ended, now, moment if due.action is Action.RETIRE else until))
            world = replace(world, versions=tuple(one for one in world.versions if one is not ended))
    spans.extend(_served(world, serving_since, moment))
    for version in world.versions:
        if version.state in (VersionState.PREVIOUS, VersionState.RETIRING):
            spans.extend(_in_grace(version, now, moment))
    return Forecast(tuple(dues), tuple(sorted(spans, key=lambda span: (span.start, span.end))), moment)


def _unseen(credential: Credential) -> Tracked:
    state = CredentialState(credential.name, credential.binding, credential.provider, credential.kind)
    return Tracked(state, (), None, None, None)


def _next(credential: Credential, world: Tracked, moment: datetime, jitter: timedelta) -> Due | None:
    """Return what is next, of rotator and of persons."""
    due = next_action(credential, world, moment, jitter)
    told = reminders(credential, world, moment)
    if told and (due is None or max(told[0].at, moment) <= max(due.at, moment)):
        return told[0]
    return due


def _rotated(credential: Credential, world: Tracked, moment: datetime) -> Tracked:
    """Return the world after a rotation at that moment, everything that asked for it answered."""
    policy = credential.policy
    emergency = (world.rotation is not None and world.rotation.emergency) or (
        world.rotation is None and world.request is not None and world.request.emergency
    )
    versions = [one for one in world.versions if one.state in (VersionState.PREVIOUS, VersionState.RETIRING)]
    old = current_version(world)
    if old is not None and old.origin is not Origin.FOREIGN and not procedure_of(credential, world).single_slot:
        displaced = Displacement("", Instant(moment, "", timedelta(0)), None, None)
        if emergency:
            old = replace(old, state=VersionState.RETIRING, displaced=displaced, retire_after=moment)
        else:
            ends = None if policy.retire is RetireMode.LET_EXPIRE else plus(moment, policy.grace)
            old = replace(old, state=VersionState.PREVIOUS, displaced=displaced, retire_after=ends)
        versions.append(old)
    new = Version(
        credential.name,
        key_id="",
        state=VersionState.CURRENT,
        origin=Origin.OURS,
        created_at=moment,
        expires_at=plus(moment, policy.lifetime),
        promoted_at=moment,
    )
    state = replace(world.state, not_before=None, failures=0)
    # A request that an interrupted rotation does not answer is still waiting.
    request: Request | None = world.request if world.rotation is not None else None
    return Tracked(state, (*versions, new), None, world.last, request)


def _served(world: Tracked, start: datetime, end: datetime) -> Iterator[Span]:
    """Yield what consumers read from start to end, and from when it no longer works."""
    version = current_version(world)
    if version is None:
        return
    dies = max(version.expires_at or FAR_FUTURE, start)
    if start < min(end, dies):
        yield Span(start, min(end, dies), Validity.CURRENT, version.key_id or None)
    if dies < end:
        yield Span(dies, end, Validity.EXPIRED, version.key_id or None)


def _in_grace(version: Version, now: datetime, end: datetime) -> Iterator[Span]:
    start = max(now, version.displaced.local.wall) if version.displaced else now
    end = min(end, version.expires_at or end)
    if start < end:
        yield Span(start, end, Validity.GRACE, version.key_id or None)
