"""An issuer that does not keep our labels though its description says so: no label found does not mean "not made"."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.event import EventName, Outcome
from rotator.model import Act, RotationOutcome
from rotator.ports import Listing
from rotator.testing.providers import Fate
from tests.fakes.memory_issuer import MemoryIssuer
from tests.fakes.tape import Crash
from tests.fakes.world import APP, DAY, NAME, State, World, credential


class Forgetful(MemoryIssuer):
    """keeps: so many characters of a label; 0: the list does not show it at all. capitals: it is kept, in capitals."""

    keeps = 30
    capitals = False

    def list(self, application: str) -> Listing:
        """Return what there is, with what is left of the labels."""
        listing = super().list(application)
        told = [(one.tag or "").upper() if self.capitals else (one.tag or "")[: self.keeps] for one in listing.versions]
        seen = tuple(replace(one, tag=tag or None) for one, tag in zip(listing.versions, told, strict=True))
        return replace(listing, versions=seen)


def beginning(*, labelled: bool = True) -> tuple[World, State, Forgetful]:
    world = World(credential(labelled=labelled))
    issuer = Forgetful(world.clock)
    world.issuer = issuer
    world.application = issuer.add(APP, client_id=APP)
    world.prover.issuer = issuer
    return world, world.state(), issuer


def made(world: World) -> set[str]:
    return {one.key_id for one in world.issuer.truth(APP)}


@pytest.mark.parametrize("keeps", [0, 12, 60])
@pytest.mark.parametrize("first", [True, False])
def test_a_lost_answer_calls_a_person_when_what_appeared_may_be_ours(keeps: int, first: bool) -> None:
    world, state, issuer = beginning()
    issuer.keeps = keeps
    if not first:
        state.visit()
        world.advance(61 * DAY)
    before = made(world)
    issuer.fate(Act.CREATE, Fate.LOST)
    report = state.visit()
    (stranger,) = made(world) - before
    assert report.outcome is RotationOutcome.PARKED and report.error is not None
    assert report.error.code == "cannot_tell" and stranger in report.error.message
    assert "The answer to create was lost." in report.error.message, "what could not be read is told"
    assert report.error.hint.startswith("List before anything else.")
    assert "two lists" not in str(state.events(EventName.VERSION_CREATED))
    assert first or world.works(world.main())


def test_labels_that_are_kept_otherwise_are_not_believed_once_that_was_seen() -> None:
    world, state, issuer = beginning()
    issuer.capitals = True
    state.visit()
    world.advance(61 * DAY)
    issuer.fate(Act.CREATE, Fate.LOST)
    report = state.visit()
    assert report.error is not None and report.error.code == "cannot_tell"


@pytest.mark.parametrize("labelled", [True, False])
def test_what_a_process_made_that_died_is_named_by_the_next_one(labelled: bool) -> None:
    world, state, issuer = beginning(labelled=labelled)
    issuer.keeps = 0
    issuer.foreign(APP)
    before = made(world)

    def die(call: str) -> None:
        if call == "provider.create":
            raise Crash

    state.tape.after.append(die)
    with pytest.raises(Crash):
        state.visit()
    state.tape.after.clear()
    report = state.visit()
    (stranger,) = made(world) - before
    assert report.error is not None and report.error.code == "cannot_tell"
    assert stranger in report.error.message


def test_what_somebody_else_labelled_meanwhile_hinders_nothing() -> None:
    world = World()
    state = world.state()
    world.issuer.fate(Act.CREATE, Fate.NEVER)

    def portal(call: str) -> None:
        if call == "provider.create" and len(made(world)) == 0:
            world.issuer.foreign(APP, tag="made in the portal")

    state.tape.hooks.append(portal)
    assert state.visit().outcome is RotationOutcome.PROMOTED
    found = [one for one in state.events(EventName.VERSION_CREATED) if one["outcome"] == Outcome.REFUSED.value]
    assert len(found) == 1
    world.check(quiet=True)


def test_a_label_that_is_not_kept_is_told_before_an_answer_is_lost() -> None:
    world, state, _ = beginning()
    assert state.visit().outcome is RotationOutcome.PROMOTED
    world.advance(2 * DAY)
    state.visit()
    tracked = state.ledger.tracked(NAME)
    assert tracked is not None and tracked.state.error is not None
    assert tracked.state.error.code == "label_not_kept"
    assert str(world.main_key()) in tracked.state.error.message
