"""The procedures of a single slot on the real stores: encrypted files, and a real Vault over HTTP; killed on the way.

On the memory store every point is tried (`test_single_slot_crashes.py`); here every second one.
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
SINGLE = [one for one in Procedure if one.single_slot]


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
    world = World(credential(name, path=f"partners/{name}", quarantine=MINUTE, accept_gap=True), procedure=procedure)
    real: Any = stores(world.clock)
    world.store = real
    return world, world.state()


@pytest.mark.parametrize("procedure", SINGLE)
def test_a_crash_on_a_real_store_converges(procedure: Procedure, stores: Stores) -> None:
    world, state = beginning(procedure, stores, "counted")
    state.visit()
    state.ask(name="counted")
    state.tape.crossings = 0
    state.visit()
    total = state.tape.crossings
    assert total >= 20 and world.works(world.main())
    for point in range(0, total, 2):
        name = f"died-at-{point}"
        world, state = beginning(procedure, stores, name)
        state.visit()
        world.advance(HOUR)
        before = world.main()
        state.ask(name=name)
        state.tape.crossings, state.tape.die_at = 0, point
        with pytest.raises(Crash):
            state.visit()
        world.check()
        world.settle(state, visits=4)
        world.check(quiet=True)
        after = world.main()
        assert before is not None and after is not None
        assert after.secret("client_secret") != before.secret("client_secret"), "what was asked for is done"
