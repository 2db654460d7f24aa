"""Each procedure on the real stores, encrypted files and a real Vault over HTTP, with a death at each point.

The oracle of the memory store sees more (`test_overlap_crashes.py`, `test_single_slot_crashes.py`); here it is whether
all converges: what consumers read works, it is what was asked for, and nothing of ours is left that nobody names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.clock import Clock
from rotator.model import Procedure
from rotator.ports import Store
from rotator.stores.embedded import EmbeddedStore, new_key
from tests.fakes.tape import Crash
from tests.fakes.world import HOUR, MINUTE, State, World, credential
from tests.integration.vault_bench import VaultBench

Stores = Callable[[Clock], Store]


@pytest.fixture(params=["embedded", pytest.param("vault", marks=[pytest.mark.vault, pytest.mark.slow])])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Return what opens the store, as each process would."""
    if request.param == "embedded":
        key = new_key()
        yield lambda clock: EmbeddedStore(tmp_path / "store", key, clock)
        return
    vault = VaultBench(request.getfixturevalue("vault_server"))
    yield lambda clock: vault.store()
    vault.close()


def beginning(procedure: Procedure, stores: Stores, name: str) -> tuple[World, State]:
    said = credential(name, path=f"partners/{name}", quarantine=MINUTE, accept_gap=True)
    world = World(said, procedure=procedure if procedure.single_slot else None)
    real: Any = stores(world.clock)
    world.store = real
    return world, world.state()


@pytest.mark.parametrize("procedure", Procedure)
def test_a_crash_on_a_real_store_converges(procedure: Procedure, stores: Stores) -> None:
    world, state = beginning(procedure, stores, "counted")
    state.visit()
    state.ask(name="counted")
    state.tape.crossings = 0
    state.visit()
    total = state.tape.crossings
    assert total >= 20 and world.works(world.main())
    for point in range(total):
        name = f"died-at-{point}"
        world, state = beginning(procedure, stores, name)
        state.visit()
        world.advance(HOUR)
        before = world.main()
        state.ask(name=name)
        state.tape.crossings, state.tape.die_at = 0, point
        with pytest.raises(Crash):
            state.visit()
        world.settle(state, visits=4)
        if procedure.single_slot:
            world.check(quiet=True)
        tracked = state.ledger.tracked(name)
        assert tracked is not None and tracked.rotation is None and tracked.state.parked is None
        assert world.works(world.main()), f"died at {point}"
        named = {one.key_id for one in tracked.versions}
        assert procedure.single_slot or world.live_ours() <= named, f"died at {point}"
        after = world.main()
        assert before is not None and after is not None
        assert after.secret("client_secret") != before.secret("client_secret"), "what was asked for is done"
