"""`retire: when_unused`: the grace is the floor, the version's own end the ceiling, sign-ins decide in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from rotator.errors import Denied, RotatorError
from rotator.event import EventName
from rotator.kit import Kit
from rotator.model import RetireMode
from tests.fakes.world import APP, DAY, HOUR, NAME, State, World, credential


class Report:
    """What the issuer's report has of the use of keys."""

    def __init__(self) -> None:
        self.rows: dict[str, datetime] = {}
        self.error: RotatorError | None = None

    def last_used(self, application: str) -> dict[str, datetime]:
        """Return the rows."""
        if self.error is not None:
            raise self.error
        return self.rows


class Watching(State):
    """A state whose issuer tells of sign-ins."""

    report: Report | None = None

    def told(self) -> list[str]:
        """Return what was said about the grace of the version before."""
        return [text for step, _, text in self.said if step == "retire" and text.startswith("its grace goes on: ")]

    def kit(self, credential: object = None) -> Kit:
        return replace(super().kit(), activity=self.report)


def replaced() -> tuple[World, Watching, Report, str, str]:
    """Return a world in which a version was replaced an hour before its grace ends, its report, and both key ids."""
    world = World(credential(retire=RetireMode.WHEN_UNUSED))
    state = world.state()
    state.__class__ = Watching
    assert isinstance(state, Watching)
    state.report = report = Report()
    state.visit()
    old = world.main_key()
    world.advance(61 * DAY)
    state.visit()
    new = world.main_key()
    assert old is not None and new is not None and old != new
    world.advance(23 * HOUR)
    return world, state, report, old, new


def test_one_that_nobody_uses_is_ended_after_its_grace_and_the_evidence_is_in_the_record() -> None:
    world, state, report, old, new = replaced()
    report.rows = {old: world.clock.now() - 30 * HOUR, new: world.clock.now() - HOUR}
    state.visit()
    assert old in world.live_ours(), "the grace is the floor"
    world.advance(8 * HOUR)
    report.rows[new] = world.clock.now() - HOUR
    state.visit()
    assert world.live_ours() == {new}
    intended, retired = state.events(EventName.VERSION_RETIRED)[-2:]
    assert (retired["reason"], retired["key_id"]) == ("unused", old)
    assert str(intended["detail"]).startswith("it was last used at"), "before the call is made"
    assert retired["detail"] == intended["detail"]
    assert not state.events(EventName.STATE_REBUILT), "nothing was found that the ledger did not know"
    world.check()


def test_one_that_is_used_lives_until_it_is_not_or_until_its_own_end() -> None:
    world, state, report, old, new = replaced()
    for _ in range(8):
        world.advance(12 * HOUR)
        report.rows = {old: world.clock.now() - HOUR, new: world.clock.now() - HOUR}
        state.visit()
        assert old in world.live_ours()
    assert any("it was used at" in one for one in state.told())
    last = world.clock.now()
    world.advance(25 * HOUR)
    report.rows = {old: last - HOUR, new: world.clock.now() - HOUR}
    world.advance(7 * HOUR)
    state.visit()
    assert old not in world.live_ours()
    world, state, report, old, new = replaced()
    for _ in range(60):
        world.advance(12 * HOUR)
        report.rows = {old: world.clock.now() - HOUR, new: world.clock.now() - HOUR}
        state.visit()
    retired = state.events(EventName.VERSION_RETIRED)
    assert retired and retired[-1]["key_id"] == old, "its own end is the ceiling"
    assert "end of its own validity" in str(retired[-1]["detail"])


def test_a_report_that_stopped_after_the_promotion_is_no_evidence() -> None:
    world, state, report, old, _ = replaced()
    promoted = world.clock.now() - 23 * HOUR
    report.rows = {old: promoted - HOUR, world.main_key() or "": promoted + HOUR}
    for _ in range(6):
        world.advance(DAY)
        state.visit()
        assert old in world.live_ours()
    assert any("is known to reach" in one for one in state.told())


def test_a_job_with_long_pauses_keeps_its_secret_though_the_report_lags() -> None:
    world, state, report, old, new = replaced()
    lag, every = 5 * HOUR, 20 * HOUR
    start = world.clock.now() - 43 * HOUR
    for _ in range(150):
        world.advance(HOUR)
        shown = world.clock.now() - lag
        report.rows = {old: start + (shown - start) // every * every, new: shown}
        state.visit()
        assert old in world.live_ours()


@pytest.mark.parametrize("doubt", ["denied", "empty", "no_report"])
def test_where_nobody_can_tell_it_is_kept_to_its_end(doubt: str) -> None:
    world, state, report, old, new = replaced()
    if doubt == "denied":
        report.error = Denied("AuditLog.Read.All is missing.", hint="Grant it.")
    elif doubt == "empty":
        report.rows = {old: world.clock.now() - 10 * DAY}
    else:
        state.report = None
    for _ in range(6):
        world.advance(DAY)
        state.visit()
    assert {old, new} <= world.live_ours()
    told = state.told()
    words = {"denied": "AuditLog.Read.All", "empty": "does not show its successor", "no_report": "keeps no record"}
    assert any(words[doubt] in one for one in told)
    assert len(told) < 40, "it is said now and then, not at each look"
    for _ in range(30):
        world.advance(DAY)
        state.visit()
    assert old not in world.live_ours()


def test_an_emergency_does_not_wait_for_evidence() -> None:
    world, state, report, old, _ = replaced()
    report.rows = {old: world.clock.now()}
    state.ask(emergency=True)
    state.visit()
    assert old not in world.live_ours()


def test_one_that_has_no_end_is_ended_a_lifetime_after_it_was_replaced() -> None:
    world, state, report, old, _ = replaced()
    for held in world.issuer.applications[APP].versions:
        held.expires_at += 900 * DAY
    endless = state.ledger.versions[NAME, old]
    state.ledger.record(state.kit().event(EventName.STATE_REBUILT), replace(endless, expires_at=None))
    for _ in range(80):
        world.advance(DAY)
        report.rows = {old: world.clock.now() - HOUR, world.main_key() or "": world.clock.now() - HOUR}
        state.visit()
        assert old in world.live_ours()
    for _ in range(30):
        world.advance(DAY)
        report.rows = {old: world.clock.now() - HOUR, world.main_key() or "": world.clock.now() - HOUR}
        state.visit()
    (retired,) = [one for one in state.events(EventName.VERSION_RETIRED) if one["outcome"] == "succeeded"][:1]
    assert retired["key_id"] == old
    assert "policy.lifetime after it was replaced" in str(retired["detail"])
