"""One suite for every store: what the port promises is seen in memory, in encrypted files and on the real Vault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from rotator.clock import SystemClock
from rotator.ports import Documents, Store
from rotator.stores.embedded import EmbeddedStore, new_key
from rotator.testing.stores import *  # noqa: F403  the suite
from rotator.testing.stores import Bench
from tests.fakes.memory_store import MemoryStore
from tests.integration.vault_bench import VaultBench


@dataclass
class MemoryBench:
    store: MemoryStore
    tells_time: bool = True

    def another(self) -> Store:
        return self.store

    def lose_latest(self, documents: Documents, path: str) -> None:
        self.store.consumers.delete_latest(path)


@dataclass
class EmbeddedBench:
    store: EmbeddedStore
    opened: Callable[[], EmbeddedStore]
    tells_time: bool = False

    def another(self) -> Store:
        return self.opened()

    def lose_latest(self, documents: Documents, path: str) -> None:
        documents.erase_before(path, documents.read(path).version + 1)


@dataclass
class VaultSide:
    store: Store
    vault: VaultBench
    tells_time: bool = True

    def another(self) -> Store:
        return self.vault.store()

    def lose_latest(self, documents: Documents, path: str) -> None:
        self.vault.root("delete", f"{self.vault.consumers}/data/{path}")


@pytest.fixture(params=["memory", "embedded", pytest.param("vault", marks=pytest.mark.vault)])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as opened:
        made: Bench
        if request.param == "memory":
            made = MemoryBench(MemoryStore(SystemClock()))
        elif request.param == "embedded":
            open_it = partial(EmbeddedStore, tmp_path / "store", new_key(), SystemClock())
            made = EmbeddedBench(open_it(), open_it)
        else:
            vault = VaultBench(request.getfixturevalue("vault_server"))
            opened.callback(vault.close)
            made = VaultSide(vault.store(), vault)
        opened.callback(made.store.close)
        yield made
