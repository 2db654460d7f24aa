"""A visit that failed is followed by another, whatever is due by the plan: something may be left to tidy up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rotator.errors import Transient
from tests.fakes.world import DAY, MINUTE, NAME, PATH, State, World


def fail_at(state: State, name: str, number: int) -> None:
    """Let the store fail from the n-th call of this name on, until the hooks are cleared."""
    seen: list[str] = []

    def hook(called: str) -> None:
        seen.append(called)
        if called.partition(".")[0] in ("staging", "consumers") and seen.count(name) >= number:
            raise Transient("The store is sealed.", hint="Unseal it.")

    state.tape.hooks.append(hook)


def writes_of_a_rotation() -> int:
    world = World()
    state = world.state()
    state.visit()
    world.advance(61 * DAY)
    before = state.tape.calls.count("staging.write")
    state.visit()
    return state.tape.calls.count("staging.write") - before


@pytest.mark.parametrize("number", range(1, writes_of_a_rotation() + 1))
def test_what_a_failure_left_in_the_staging_area_is_settled_by_the_next_visit(number: int) -> None:
    world = World()
    state = world.state()
    state.visit()
    world.advance(61 * DAY)
    fail_at(state, "staging.write", number)
    assert state.visit().error is not None
    state.tape.hooks.clear()
    world.advance(MINUTE)
    assert state.visit().error is None
    world.check(quiet=True)


def test_a_visit_that_went_well_lets_the_credential_sleep() -> None:
    world = World()
    state = world.state()
    state.visit()
    world.advance(timedelta(minutes=59))
    assert state.visit().reason == "nothing_due"


def test_every_credential_is_looked_at_each_hour_whatever_is_due() -> None:
    """An edit of the document at rest is noticed then."""
    world = World()
    state = world.state()
    state.visit()
    fields = world.main()
    assert fields is not None
    world.store.consumers.put(PATH, fields.merged({"client_secret": "by hand"}))
    world.advance(timedelta(hours=1))
    error = state.visit().error
    assert error is not None
    assert error.code == "edited"


def test_after_a_failed_tidying_no_older_staging_document_can_be_read_for_long() -> None:
    """The claim was given up, and the answer, or the process, was lost before the older versions were erased (I22)."""
    world = World()
    world.store.staging._kept = 10
    state = world.state()
    fail_at(state, "staging.erase", 1)
    assert state.visit().error is not None
    readable = world.store.staging.history(NAME)
    values = [world.store.staging.read(NAME, number).fields for number in readable]
    assert any(name.startswith("value.") for fields in values if fields for name in fields), "nothing was left behind"
    state.tape.hooks.clear()
    world.advance(MINUTE)
    assert state.visit().error is None
    assert len(world.store.staging.history(NAME)) == 1
