"""An issuer whose answer says a wrong end, or is read wrongly: the secret is replaced in time all the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rotator.ends import BEYOND, corrected, too_far
from rotator.event import EventName
from rotator.model import Origin, RotationOutcome, Version, VersionState
from rotator.planner import next_action
from rotator.ports import Issued, Listed, Listing
from rotator.timing import FAR_FUTURE
from tests.fakes.memory_issuer import MemoryIssuer
from tests.fakes.world import APP, DAY, HOUR, NAME, State, World

YEAR = 365 * DAY
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Misread(MemoryIssuer):
    """told: how much later than the truth an answer says that a version ends. lists: whether the list says an end."""

    told = 56 * YEAR
    lists = True

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Issue a version, and say another end."""
        issued = super().create(application, tag, lifetime)
        ends = issued.version.expires_at
        assert ends is not None
        return replace(issued, version=replace(issued.version, expires_at=ends + self.told))

    def list(self, application: str) -> Listing:
        """List what there is, perhaps without ends."""
        there = super().list(application)
        if self.lists:
            return there
        return replace(there, versions=tuple(replace(one, expires_at=None) for one in there.versions))


def beginning() -> tuple[World, State, Misread]:
    world = World()
    issuer = Misread(world.clock)
    world.issuer = issuer
    world.application = issuer.add(APP, client_id=APP)
    world.prover.issuer = issuer
    return world, world.state(), issuer


def live(world: World, state: State, days: int) -> None:
    """Visit each half day, and see that consumers always have one that works."""
    for _ in range(2 * days):
        world.advance(12 * HOUR)
        state.visit()
        assert world.works(world.main()), "the secret died unreplaced"


@pytest.mark.parametrize("told", [YEAR, 56 * YEAR, FAR_FUTURE - datetime(2026, 12, 1, tzinfo=UTC)])
def test_the_end_that_is_listed_counts_when_the_answer_said_a_later_one(told: timedelta) -> None:
    world, state, issuer = beginning()
    issuer.told = told
    assert state.visit().outcome is RotationOutcome.PROMOTED
    live(world, state, 200)
    ends = [one.expires_at - one.created_at for one in state.ledger.versions.values()]  # type: ignore[operator]
    assert len(ends) == 4 and all(abs(one - 90 * DAY) < HOUR for one in ends)


def test_an_end_beyond_belief_counts_as_none_and_is_said_at_once() -> None:
    world, state, issuer = beginning()
    issuer.lists = False
    state.visit()
    (made,) = [one for one in state.events(EventName.VERSION_CREATED) if one["outcome"] == "succeeded"]
    assert "(not believed: 90 d were asked)" in made["detail"]
    due = next_action(world.credential, state.ledger.tracked(NAME), world.clock.now())
    assert due is not None and "not believed" in due.sentence and "the 90 d that were meant" in due.sentence
    assert due.at - world.clock.now() < 61 * DAY
    live(world, state, 200)


def test_an_end_that_is_shorter_than_asked_leads_to_no_chain_of_rotations_and_to_no_dead_secret() -> None:
    world, state, issuer = beginning()
    issuer.max_lifetime = 20 * DAY  # and 30 days before the end it would be due
    state.visit()
    for _ in range(100):
        world.advance(HOUR)
        state.visit()
    assert len(state.ledger.rotations) == 1
    live(world, state, 60)
    assert len(state.ledger.rotations) <= 6


def test_an_end_before_the_beginning_or_nearly_the_same_changes_nothing() -> None:
    version = Version(NAME, "k", VersionState.CURRENT, Origin.OURS, NOW, NOW + 90 * DAY)
    for ends in (NOW - DAY, NOW, NOW + 90 * DAY - timedelta(minutes=4), NOW + 91 * DAY, None):
        assert corrected(version, Listed("k", None, NOW, ends), World().credential.policy, NOW + DAY) == version
    assert corrected(version, None, World().credential.policy, NOW + DAY) == version


def test_only_an_end_that_we_asked_for_can_be_beyond_belief() -> None:
    policy = World().credential.policy
    version = Version(NAME, "k", VersionState.CURRENT, Origin.OURS, NOW, NOW + policy.lifetime + BEYOND)
    assert not too_far(version, policy)
    later = replace(version, expires_at=NOW + policy.lifetime + BEYOND + DAY)
    assert too_far(later, policy) and not too_far(replace(later, origin=Origin.ADOPTED), policy)
