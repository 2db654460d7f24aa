"""The overlap procedure in a world without faults, from the first version to the retirement of the one before."""

from __future__ import annotations

from rotator.model import RotationOutcome
from tests.fakes.world import DAY, HOUR, World


def test_the_first_version_is_made_proved_and_promoted() -> None:
    world = World()
    state = world.state()
    report = state.visit()
    assert report.error is None, report.error
    assert report.outcome is RotationOutcome.PROMOTED
    assert world.works(world.main())
    world.check(quiet=True)


def test_the_version_before_is_retired_after_its_grace() -> None:
    world = World()
    state = world.state()
    state.visit()
    first = world.main_key()
    world.advance(61 * DAY)
    report = state.visit()
    assert report.outcome is RotationOutcome.PROMOTED, report.error
    world.check(quiet=True)
    world.advance(23 * HOUR)
    state.visit()
    assert first in world.live_ours()
    world.check(quiet=True)
    world.advance(2 * HOUR)
    report = state.visit()
    assert report.outcome is RotationOutcome.RETIRED, report
    assert first not in world.live_ours()
    world.check(quiet=True)
