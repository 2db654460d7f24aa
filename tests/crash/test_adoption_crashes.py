"""Adoption: what consumers read is proved and becomes ours, and a death at any call leaves them with what works."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from rotator.adoption import adopt
from rotator.by_hand import settled
from rotator.errors import Refused, RotatorError, Unproved
from rotator.event import EventName
from rotator.model import Origin, Procedure, Reason, Version, VersionState
from rotator.planner import next_rotation
from rotator.ports import Listing, Provider
from rotator.secret import Fields, Secret
from tests.fakes.memory_issuer import Held
from tests.fakes.tape import Crash
from tests.fakes.world import APP, DAY, HOUR, MINUTE, NAME, PATH, State, World, credential


def found(world: World, *, names_key: bool = False) -> Held:
    """Let somebody put a secret of his into the store, as it was before rotator came."""
    held = world.issuer.foreign(APP)
    fields: dict[str, str | Secret] = {"client_id": APP, "client_secret": held.value, "their_own": "kept"}
    if names_key:
        fields["key_id"] = held.key_id
    world.store.consumers.write(PATH, Fields(fields), 0)
    return held


def adopted(state: State, key_id: str | None = None, issued_at: datetime | None = None) -> None:
    kit = state.kit()
    adopt(kit, settled(kit), key_id, issued_at)


def test_what_consumers_read_becomes_ours_in_one_write_and_is_replaced_and_ended_like_ours() -> None:
    world = World(credential())
    state, held = world.state(), found(world)
    made = len(world.issuer.mutations)
    adopted(state)
    fields = world.main()
    assert fields is not None and fields.text("key_id") == held.key_id and fields.text("their_own") == "kept"
    assert fields.secret("client_secret") == held.value and fields.text("expires_at")
    assert world.store.consumers.read(PATH).version == 2 and len(world.issuer.mutations) == made
    (version,) = [one for one in state.ledger.versions.values() if one.state is VersionState.CURRENT]
    assert (version.origin, version.expires_at) == (Origin.ADOPTED, held.expires_at)
    (event,) = state.events(EventName.CREDENTIAL_ADOPTED)
    assert event["key_id"] == held.key_id
    state.visit()
    assert world.main_key() == held.key_id, "it is not due yet"
    world.advance(160 * DAY)
    state.visit()
    assert world.main_key() != held.key_id
    world.advance(2 * DAY)
    world.violations.clear()
    state.visit()
    assert not held.lives(world.clock.now()) and held.removed_at is not None


def test_an_emergency_ends_it_and_names_only_what_lives_on_as_somebody_elses() -> None:
    world = World(credential())
    state, held = world.state(), found(world)
    other = world.issuer.foreign(APP)
    adopted(state, held.key_id)
    state.ask(emergency=True)
    world.violations.clear()
    report = state.visit()
    assert report.retired == (held.key_id,)
    assert report.warning is not None
    assert other.key_id in report.warning.message and held.key_id not in report.warning.message


def test_a_death_at_any_call_leaves_consumers_with_what_works_and_it_can_be_asked_again() -> None:
    world = World(credential())
    state = world.state()
    found(world)
    state.tape.crossings = 0
    adopted(state)
    total = state.tape.crossings
    assert total > 20
    for point in range(total):
        world = World(credential(quarantine=MINUTE))
        state, held = world.state(), found(world)
        state.tape.crossings, state.tape.die_at = 0, point
        with pytest.raises(Crash):
            adopted(state)
        state.tape.die_at, state.tape.dead = None, False
        assert world.works(world.main())
        world.advance(MINUTE)
        with suppress(RotatorError):
            adopted(state)
        kit = state.kit()
        tracked = kit.ledger.tracked(world.credential.name)
        if tracked is not None and tracked.rotation is not None:
            state.visit()
        world.settle(state)
        assert held.removed_at is None or world.works(world.main()), point
        world.check(quiet=True)


def test_the_document_or_the_person_says_which_key_it_is_and_several_are_named() -> None:
    world = World(credential())
    state, held = world.state(), found(world)
    other = world.issuer.foreign(APP)
    with pytest.raises(Refused) as refused:
        adopted(state)
    assert refused.value.code == "which_key"
    assert held.key_id in refused.value.message and other.key_id in refused.value.message
    with pytest.raises(Refused, match="there is no nowhere"):
        adopted(state, "nowhere")
    adopted(state, held.key_id)
    assert world.main_key() == held.key_id
    world = World(credential())
    state, held = world.state(), found(world, names_key=True)
    world.issuer.foreign(APP)
    adopted(state)
    assert world.main_key() == held.key_id


def test_what_does_not_work_is_absent_or_is_ours_is_not_adopted() -> None:
    world = World(credential())
    state = world.state()
    with pytest.raises(Refused) as refused:
        adopted(state)
    assert refused.value.code == "no_document"
    held = found(world)
    world.issuer.remove(APP, held.key_id)
    with pytest.raises(Unproved, match="does not pass"):
        adopted(state)
    world = World(credential())
    state = world.state()
    state.visit()
    with pytest.raises(Refused) as refused:
        adopted(state)
    assert refused.value.code == "already_managed"


def test_a_single_slot_is_adopted_without_a_gap() -> None:
    world = World(credential(accept_gap=True), procedure=Procedure.READ_BACK)
    state = world.state()
    held = found(world)
    world.advance(HOUR)
    adopted(state, issued_at=world.clock.now() - HOUR)
    fields = world.main()
    assert fields is not None and fields.secret("client_secret") == held.value and fields.text("key_id")
    assert world.slot is not None and not world.slot.asked
    rotation = next(iter(state.ledger.rotations.values()))
    assert rotation.reason is Reason.ADOPTED


def undated(**more: str) -> tuple[World, State]:
    """Return a world whose issuer lists nothing, with a secret of somebody in the store and what stands beside it."""
    world = World(credential(), procedure=Procedure.READ_BACK)
    state, held = world.state(), world.issuer.foreign(APP)
    world.store.consumers.write(PATH, Fields({"client_id": APP, "client_secret": held.value, **more}), 0)
    return world, state


def current(state: State) -> Version:
    (version,) = [one for one in state.ledger.versions.values() if one.state is VersionState.CURRENT]
    return version


def test_a_window_that_nobody_knows_is_asked_for_and_nothing_is_begun_without_it() -> None:
    world, state = undated()
    with pytest.raises(Refused, match="Neither its issuer nor the document says") as refused:
        adopted(state)
    assert refused.value.code == "which_window" and "issued_at" in refused.value.hint
    assert not state.ledger.rotations and world.store.consumers.read(PATH).version == 1
    with pytest.raises(Refused, match="and yet it works now"):
        adopted(state, issued_at=world.clock.now() + HOUR)
    made = world.clock.now() - 50 * DAY
    adopted(state, issued_at=made)
    assert current(state).created_at == made
    due = next_rotation(world.credential, state.ledger.tracked(NAME), world.clock.now(), timedelta(0))
    assert due is not None and due.at == made + 60 * DAY, "30 days before 90 are over"


def test_the_document_says_since_when_it_is_valid_and_what_cannot_be_is_refused() -> None:
    start = World(credential()).clock.now()
    said = (start - 2 * DAY).isoformat()
    world, state = undated(issued_at=said)
    adopted(state, issued_at=world.clock.now())
    assert current(state).created_at == start - 2 * DAY, "what is written goes before what is said"
    _, state = undated(issued_at="the day before yesterday")
    with pytest.raises(Refused, match="Neither"):
        adopted(state)
    _, state = undated(expires_at=said)
    with pytest.raises(Refused, match="is said to be ended at") as refused:
        adopted(state)
    assert refused.value.code == "wrong_window", "nobody is asked for what would not count"
    _, state = undated(expires_at=(start + 9 * DAY).isoformat())
    adopted(state)
    assert current(state).expires_at == start + 9 * DAY


class Hinting:
    """An issuer that shows how each of its versions begins, as Graph does."""

    def __init__(self, inner: Provider, hints: dict[str, str]) -> None:
        self._inner, self._hints = inner, hints

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def list(self, application: str) -> Listing:
        """Return what the issuer lists, with its hints."""
        there = self._inner.list(application)
        return replace(there, versions=tuple(replace(one, hint=self._hints[one.key_id]) for one in there.versions))


@pytest.mark.parametrize("named_by", ["person", "document"])
def test_a_key_that_begins_otherwise_is_not_adopted_whoever_names_it(named_by: str) -> None:
    world = World(credential())
    state, held, other = world.state(), world.issuer.foreign(APP), world.issuer.foreign(APP)
    fields: dict[str, str | Secret] = {"client_id": APP, "client_secret": held.value}
    if named_by == "document":
        fields["key_id"] = other.key_id
    world.store.consumers.write(PATH, Fields(fields), 0)
    kit = state.kit()
    begins = next(first for first in map(chr, range(33, 127)) if held.value.begins_with(first))
    hints = {held.key_id: begins, other.key_id: "~" if begins != "~" else "-"}
    kit = replace(kit, provider=Hinting(kit.provider, hints))  # type: ignore[arg-type]
    with pytest.raises(Refused, match="begins otherwise") as refused:
        adopt(kit, settled(kit), other.key_id if named_by == "person" else None)
    assert refused.value.code == "which_key" and held.key_id in refused.value.message
    assert world.store.consumers.read(PATH).version == 1
    adopt(kit, settled(kit), held.key_id)
    assert world.main_key() == held.key_id
