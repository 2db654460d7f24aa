"""An issuer that removes a version only for who shows what came with it: that is kept as long as the version lives."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.clock import Clock
from rotator.errors import Refused
from rotator.model import Act, Procedure, RotationOutcome
from rotator.ports import Issued, Listing, Retired
from rotator.secret import Fields, Secret
from rotator.staging import decode
from rotator.testing.providers import Fate
from tests.fakes.memory_issuer import MemoryIssuer
from tests.fakes.memory_slot import MemorySlot
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

    def recall(self, kept: Callable[[str], Fields | None]) -> None:
        """It is shown at each removal."""

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


def test_registrations_whose_answers_are_lost_are_made_so_often_and_no_more() -> None:
    world, state = beginning()
    world.credential = replace(world.credential, policy=replace(world.credential.policy, max_creations=3))
    world.issuer.fate(Act.CREATE, *[Fate.LOST] * 12)
    report = state.visit()
    for _ in range(4):
        world.advance(HOUR)
        report = state.visit()
    assert len(living(world)) == 3, "each of them stays there, and nobody has its token"
    assert report.error is not None and report.error.code == "too_many_creations"


# ------------------------------------------------------------------------------------------------------------- in place


class MemoryInPlace(MemorySlot):
    """One registration, whose token is another after each change, and after each look if `always`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.names_keys = False
        self.always = False
        self.registered = 0
        self._token: Secret | None = None
        self._kept: Callable[[str], Fields | None] = lambda _: None

    def recall(self, kept: Callable[[str], Fields | None]) -> None:
        self._kept = kept

    def retire_with(self, application: str, key_id: str, keepsake: Fields, *, again: bool) -> Retired:
        raise Refused("It is updated, not removed.", hint="Update it.")

    def regenerate(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        if not self._known(application):  # register anew
            self.registered += 1
        self._token = Secret(f"registration~{secrets.token_urlsafe(20)}")  # changed, whatever becomes of the answer
        return self._with_token(super().regenerate(application, tag, lifetime))

    def read(self, application: str) -> Issued:
        if not self._known(application):
            raise Refused("That token is not known.", hint="Register.", code="unreadable")
        if self.always:
            self._token = Secret(f"registration~{secrets.token_urlsafe(20)}")
        return self._with_token(super().read(application))

    def _known(self, application: str) -> bool:
        kept = self._kept(application)
        return kept is not None and self._token is not None and kept.secret("token") == self._token

    def _with_token(self, issued: Issued) -> Issued:
        assert self._token is not None
        return replace(issued, keepsake=Fields({"token": self._token}))


def in_place(*, always: bool) -> tuple[World, State, MemoryInPlace]:
    world = World(credential(quarantine=MINUTE, accept_gap=True), procedure=Procedure.READ_BACK)
    issuer = MemoryInPlace(world.clock)
    issuer.always = always
    world.issuer = world.slot = world.prover.issuer = issuer
    world.application = issuer.add(APP, client_id=APP)

    def kept(_: str) -> Fields | None:
        fields = world.store.staging.read(NAME).fields
        keepsakes = decode(fields, NAME).keepsakes if fields is not None else ()
        return keepsakes[-1][1] if keepsakes else None

    issuer.recall(kept)
    return world, world.state(), issuer


@pytest.mark.parametrize("always", [False, True])
def test_a_token_that_changes_at_each_use_is_kept_through_many_updates(always: bool) -> None:
    world, state, issuer = in_place(always=always)
    for _ in range(4):
        state.visit()
        world.check(quiet=True)
        world.advance(61 * DAY)
    assert issuer.registered == 1, "the same registration all the time"
    assert len(issuer.asked) == 4
    assert not [one for one in world.store.consumers.truth if "token" in one.fields]


@pytest.mark.parametrize("always", [False, True])
def test_a_token_that_was_lost_with_an_answer_costs_a_new_registration_and_nothing_else(always: bool) -> None:
    world, state, _ = in_place(always=always)
    state.visit()
    world.advance(61 * DAY)
    state.tape.crossings = 0
    state.visit()
    total = state.tape.crossings
    for fate in (None, Fate.LOST, Fate.NEVER):
        for point in range(total):
            world, state, issuer = in_place(always=always)
            state.visit()
            world.advance(61 * DAY)
            if fate is not None:
                issuer.fate(Act.CREATE, fate)
            state.tape.crossings, state.tape.die_at = 0, point
            with suppress(Crash):
                state.visit()
            state.tape.die_at = None
            world.settle(state)
            world.check(quiet=True)
            assert issuer.registered <= (2 if fate is None else 3), (fate, point)
