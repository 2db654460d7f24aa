"""An issuer that removes a version only for who shows what came with it: that is kept as long as the version lives."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import timedelta

import pytest

from rotator.clock import Clock
from rotator.errors import Refused
from rotator.model import Act, RotationOutcome
from rotator.ports import Issued, Listing, Retired
from rotator.secret import Fields, Secret
from rotator.testing.providers import Fate
from tests.fakes.memory_issuer import MemoryIssuer
from tests.fakes.tape import Crash
from tests.fakes.world import APP, DAY, HOUR, MINUTE, NAME, State, World, credential


class MemoryRegistrations(MemoryIssuer):
    """Lists nothing, and removes nothing without its token."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.tokens: dict[str, Secret] = {}

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        issued = super().create(application, tag, lifetime)
        token = self.tokens[issued.version.key_id] = Secret(f"registration~{secrets.token_urlsafe(20)}")
        kept = Fields({"registration_access_token": token, "registration_client_uri": "https://i/1"})
        return Issued(issued.version, issued.client_id, issued.values, issued.issuer_now, issued.request_id, kept)

    def list(self, application: str) -> Listing:
        return Listing((), self._date())

    def retire(self, application: str, key_id: str) -> Retired:
        raise Refused("Not without its token.", hint="Show it.")

    def retire_with(self, application: str, key_id: str, keepsake: Fields, *, again: bool) -> Retired:
        if keepsake.secret("registration_access_token") != self.tokens[key_id]:
            raise Refused("That is another's token.", hint="Show its own.")
        return super().retire(application, key_id)


def beginning() -> tuple[World, State]:
    world = World(credential(quarantine=MINUTE, labelled=False))
    world.issuer = MemoryRegistrations(world.clock)
    world.application = world.issuer.add(APP, client_id=APP)
    world.prover.issuer = world.issuer
    return world, world.state()


def kept(world: World) -> set[str]:
    """Return the key ids of which something is kept."""
    fields = world.store.staging.read(NAME).fields
    names = [name for name in fields or () if name.endswith(".of")]
    return {str(fields.text(name)) for name in names} if fields is not None else set()


def living(world: World) -> set[str]:
    return {one.key_id for one in world.issuer.truth(APP)}


def life(world: World, state: State) -> None:
    """Make the first version, replace it, and end the one before."""
    state.visit()
    world.advance(61 * DAY)
    state.visit()
    world.advance(25 * HOUR)
    state.visit()


def test_what_came_with_a_version_is_kept_as_long_as_it_lives_and_consumers_never_see_it() -> None:
    world, state = beginning()
    state.visit()
    first = living(world)
    assert kept(world) == first
    world.advance(61 * DAY)
    state.visit()
    assert kept(world) == living(world) and len(living(world)) == 2
    world.advance(25 * HOUR)
    report = state.visit()
    assert report.outcome is RotationOutcome.RETIRED and len(living(world)) == 1
    assert kept(world) == living(world)
    for one in world.store.consumers.truth:
        assert not [name for name in one.fields if "registration" in name]
    assert not [one for one in state.ledger.events if "registration~" in str(one)]


def test_a_candidate_that_is_not_fit_is_removed_by_what_came_with_it() -> None:
    world, state = beginning()
    state.visit()
    world.advance(61 * DAY)
    world.application.roles.clear()
    before = living(world)
    state.visit()
    assert living(world) == before and kept(world) == before


def test_a_crash_at_any_point_leaves_at_most_the_one_whose_answer_was_lost() -> None:
    world, state = beginning()
    life(world, state)
    total = state.tape.crossings
    assert total > 60
    for point in range(total):
        world, state = beginning()
        state.tape.die_at = point
        with suppress(Crash):
            life(world, state)
        state.tape.die_at, state.tape.dead = None, False
        for _ in range(4):
            state.visit()
            world.advance(30 * HOUR)
        state.visit()
        assert world.works(world.main()), point
        current = world.main_key()
        strangers = living(world) - {current}
        assert len(strangers) <= 1, (point, state.tape.calls[-3:])
        assert kept(world) == {current}, point
        tracked = state.ledger.tracked(NAME)
        assert tracked is not None and tracked.rotation is None and tracked.state.parked is None


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.NEVER])
def test_a_deletion_whose_answer_is_lost_is_asked_again(fate: Fate) -> None:
    world, state = beginning()
    state.visit()
    world.advance(61 * DAY)
    state.visit()
    world.advance(25 * HOUR)
    world.issuer.fate(Act.RETIRE, fate)
    state.visit()
    for _ in range(3):
        world.advance(HOUR)
        state.visit()
    assert len(living(world)) == 1 and kept(world) == living(world)
