"""`/readyz`: a rotation that came due now could be made, or why not."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.app import readiness
from rotator.app.house import House
from rotator.app.installs import INSTALL
from rotator.app.readiness import FRESH, Readiness, state_ailment
from rotator.app.rotating import Wish, rotate
from rotator.errors import Denied, Misconfigured, RotatorError, Transient
from rotator.ports import Snapshot
from rotator.web.health import Ailment
from tests.fakes.app_bench import Bench
from tests.fakes.memory_store import MemoryDocuments


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path, {"one": ("prod", "contoso", "vault"), "two": ("test", "contoso", "second")})
    with made.house() as first:
        rotate(first, Wish())
    return made


@pytest.fixture
def house(bench: Bench) -> Iterator[House]:
    with bench.house() as made:
        yield made


@pytest.fixture
def ready(house: House) -> Iterator[Readiness]:
    made = Readiness(house, lambda: None)
    yield made
    made.close()


def codes(ready: Readiness) -> list[str]:
    return [one.code for one in ready.look()]


class Failing(MemoryDocuments):
    """A staging area that answers what it is told, and counts how often it was asked."""

    error: RotatorError | None = None
    asked = 0
    hold: threading.Event | None = None

    def read(self, path: str, version: int | None = None) -> Snapshot:
        """Count, wait, and fail."""
        if path == INSTALL:
            self.asked += 1
            if self.hold is not None:
                self.hold.wait()
            if self.error is not None:
                raise self.error
        return super().read(path, version)


@pytest.fixture
def staging(bench: Bench) -> Failing:
    """Put another staging area into the first store."""
    made = Failing(bench.clock, 10)
    bench.store.staging = made
    return made


def test_all_is_well_where_stores_answer_and_the_state_can_be_written(ready: Readiness) -> None:
    assert ready.look() == []


def test_a_store_that_refuses_is_named_with_what_to_do(staging: Failing, ready: Readiness) -> None:
    staging.error = Denied("403 on rotator/data/_install", hint="Look at its policy.")
    (found,) = ready.look()
    assert found == Ailment("denied", "Store vault: 403 on rotator/data/_install", "Look at its policy.")


def test_a_store_is_asked_again_only_after_a_while(bench: Bench, staging: Failing, ready: Readiness) -> None:
    staging.error = Transient("It is sealed.", hint="Unseal it.", code="sealed", retry_after=timedelta(hours=1))
    assert [codes(ready) for _ in range(5)] == [["sealed"]] * 5
    assert staging.asked == 1
    staging.error = None
    bench.clock.advance(FRESH)
    assert codes(ready) == []
    assert staging.asked == 2


def test_a_clock_that_is_set_does_not_make_an_old_answer_fresh(
    bench: Bench, staging: Failing, ready: Readiness
) -> None:
    assert codes(ready) == []
    staging.error = Denied("no", hint="Look.")
    bench.clock.jump(timedelta(days=-3650))
    bench.clock.advance(FRESH)
    assert codes(ready) == ["denied"]


def test_a_store_that_does_not_answer_keeps_nobody_waiting_and_is_asked_once(
    staging: Failing, ready: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "PATIENCE", timedelta(milliseconds=20))
    staging.hold = threading.Event()
    assert [codes(ready) for _ in range(3)] == [["store_slow"]] * 3
    assert staging.asked == 1
    staging.hold.set()
    while codes(ready):
        pass
    assert staging.asked == 1


def test_a_store_that_cannot_be_made_is_a_reason(bench: Bench) -> None:
    bench.broken["second"] = Misconfigured("There is no key.", hint="Make it.", code="no_key")
    with bench.house() as house:
        ready = Readiness(house, lambda: None)
        assert codes(ready) == ["no_key"]
        ready.close()


def test_what_the_loop_has_found_out_about_the_state_comes_first(house: House) -> None:
    ready = Readiness(house, lambda: Ailment("state_unwritable", "disk I/O error"))
    assert codes(ready) == ["state_unwritable"]
    ready.close()


def test_a_state_that_was_deleted_under_the_daemon_is_a_reason(house: House, ready: Readiness) -> None:
    house.database.unlink()
    assert codes(ready) == ["state_missing"]


def test_a_state_that_is_damaged_is_a_reason(house: House, ready: Readiness) -> None:
    house.database.write_bytes(b"no database at all" * 1000)
    (found,) = ready.look()
    assert found.code.startswith("state_")


def test_looking_changes_nothing(bench: Bench, house: House, ready: Readiness) -> None:
    before = house.database.read_bytes()
    written = [list(store.staging.truth) for store in bench.stores.values()]
    ready.look()
    assert house.database.read_bytes() == before
    assert [list(store.staging.truth) for store in bench.stores.values()] == written


def test_a_file_system_without_room_or_without_leave_to_write_is_a_reason(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facts are those of statvfs(3) and access(2), which a test that runs as root cannot bring about."""
    real = os.statvfs(house.database)
    facts = list(real)
    facts[4] = 0  # f_bavail
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(facts))
    assert state_ailment(house.database).code == "disk_full"
    facts[8] |= os.ST_RDONLY
    assert state_ailment(house.database).code == "state_read_only"
    monkeypatch.setattr(os, "statvfs", lambda _: real)
    assert state_ailment(house.database) is None
    monkeypatch.setattr(os, "access", lambda path, _: path != house.database)
    assert state_ailment(house.database).code == "state_read_only"
