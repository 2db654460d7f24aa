"""Ticks of the daemon over issuers and stores in memory and a real state, with a clock that is moved by hand."""

from __future__ import annotations

import io
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.app.daemon import Daemon
from rotator.app.house import House
from rotator.app.keeping import pause
from rotator.app.logging import speaker
from rotator.app.notify_socket import Manager
from rotator.app.rotating import Wish, rotate
from rotator.app.servicelog import ServiceLog
from rotator.errors import StateUnusable
from tests.fakes.app_bench import DAY, Bench

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
YEARS = timedelta(days=3653)


@dataclass
class Ticking:
    """A daemon whose loop is turned by hand."""

    bench: Bench
    house: House
    daemon: Daemon
    log: io.StringIO

    def tick(self, times: int = 1) -> None:
        """Tick, and wait each time until what was begun is over."""
        for _ in range(times):
            self.daemon.tick()
            while self.daemon.crew.in_flight:
                time.sleep(0.001)
            while self.daemon.loop._asked:
                self.daemon.loop._asked.popleft()[1]()

    @property
    def made(self) -> int:
        """How many changes were made at the issuer."""
        return len(self.bench.issuer.mutations)


@pytest.fixture
def ticking(tmp_path: Path) -> Iterator[Ticking]:
    bench = Bench(tmp_path, {f"c{n}": ("prod", "contoso", "vault") for n in range(7)})
    log = io.StringIO()
    with bench.house() as house:
        house.ledger("daemon")
        daemon = Daemon(house, ServiceLog(speaker(log, bench.clock, plain=False)), Manager({}, 1))
        yield Ticking(bench, house, daemon, log)
        daemon.loop.close()
        daemon.crew.close()


def state(bench: Bench) -> bytes:
    return (bench.folder / "state/rotator.db").read_bytes()


def test_the_first_start_begins_with_one_credential(ticking: Ticking) -> None:
    grown = []
    for _ in range(4):
        before = ticking.made
        ticking.tick()
        grown.append(ticking.made - before)
    assert grown == [1, 2, 4, 0]


def test_a_tick_that_finds_nothing_writes_nothing(ticking: Ticking) -> None:
    ticking.tick(4)
    before = state(ticking.bench)
    reads = len(ticking.bench.store.consumers.truth)
    ticking.bench.clock.advance(MINUTE)
    ticking.tick()
    assert state(ticking.bench) == before
    assert (len(ticking.bench.store.consumers.truth), ticking.made) == (reads, 7)


def test_everything_that_comes_due_over_a_year_is_done_once(ticking: Ticking) -> None:
    ticking.tick(4)
    for _ in range(185):
        ticking.bench.clock.advance(2 * DAY)
        ticking.tick()
    kept = [len(ticking.bench.issuer.truth(ticking.bench.app(f"c{n}"))) for n in range(7)]
    assert all(1 <= count <= 2 for count in kept)
    rotations = {name: len(ticking.house.reader().rotations(name, 100)) for name in ticking.bench.credentials}
    assert set(rotations.values()) == {7}, "one when it began, then one in each 60 days"


@pytest.mark.parametrize("away", [YEARS, -YEARS])
def test_a_clock_that_is_years_off_starts_nothing_and_put_right_nothing_is_lost(
    ticking: Ticking, away: timedelta
) -> None:
    ticking.tick(4)
    ticking.bench.clock.jump(away)
    ticking.bench.issuer.skew = -away
    for _ in range(10):
        ticking.bench.clock.advance(MINUTE)
        ticking.tick()
    assert ticking.made == 7
    ticking.bench.clock.jump(-away)
    ticking.bench.issuer.skew = timedelta(0)
    ticking.bench.clock.advance(61 * DAY)
    for _ in range(60):
        ticking.bench.clock.advance(HOUR)
        ticking.tick()
    rotations = [len(ticking.house.reader().rotations(name, 100)) for name in ticking.bench.credentials]
    assert rotations == [2] * 7


def test_a_machine_that_slept_for_months_goes_on_where_it_was(ticking: Ticking) -> None:
    ticking.tick(4)
    ticking.bench.clock.advance(70 * DAY)
    ticking.tick()
    ticking.bench.clock.advance(HOUR)
    ticking.tick(2)
    assert [len(ticking.house.reader().rotations(name, 100)) for name in ticking.bench.credentials] == [2] * 7


def test_what_has_left_the_configuration_is_left_alone_and_costs_no_tick(ticking: Ticking) -> None:
    ticking.tick(4)
    ticking.bench.write(without=("c3",))
    ticking.daemon.reload()
    ticking.bench.clock.advance(61 * DAY)
    ticking.tick(2)
    assert [len(ticking.house.reader().rotations(f"c{n}", 9)) for n in (2, 3)] == [2, 1]
    assert "c3" not in {one.name for one in ticking.house.ledger().waking(ticking.bench.clock.now(), 100)}


def test_a_credential_that_comes_with_a_reload_is_begun(ticking: Ticking) -> None:
    ticking.bench.write(without=("c5", "c6"))
    ticking.daemon.reload()
    ticking.tick(4)
    assert ticking.made == 5
    ticking.bench.write()
    ticking.daemon.reload()
    ticking.tick(2)
    assert ticking.made == 7


def test_a_paused_one_is_left_alone_and_its_alerts_go_on(ticking: Ticking) -> None:
    ticking.tick(4)
    pause(ticking.house, ["c1"])
    for _ in range(34):
        ticking.bench.clock.advance(3 * DAY)
        ticking.tick()
    events = [one["event"] for one in ticking.house.reader().audit() if one["credential"] == "c1"]
    assert events.count("credential.expiring") == 1
    assert events.count("credential.expired") == 1
    assert len(ticking.house.reader().rotations("c1", 9)) == 1


def test_requests_by_the_hundred_are_answered_by_one_rotation_each(ticking: Ticking) -> None:
    ticking.tick(4)
    for number in range(400):
        rotate(ticking.house, Wish(names=(f"c{number % 7}",), now=True, no_wait=True))
    ticking.tick(2)
    assert ticking.made == 14
    assert [len(ticking.house.reader().rotations(f"c{n}", 9)) for n in range(7)] == [2] * 7


def test_a_state_that_is_gone_ends_it_before_a_call_is_made(ticking: Ticking) -> None:
    ticking.tick(4)
    ticking.bench.clock.advance(61 * DAY)
    (ticking.bench.folder / "state/rotator.db").unlink()
    with pytest.raises(StateUnusable, match="was removed"):
        ticking.daemon.tick()
    assert ticking.made == 7


def test_a_write_that_failed_ends_it_at_the_next_tick_whoever_had_asked_for_it(ticking: Ticking) -> None:
    ticking.tick(4)
    with sqlite3.connect(ticking.bench.folder / "state/rotator.db") as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(FAIL, 'no more'); END")
    other.close()
    with pytest.raises(StateUnusable):
        pause(ticking.house, ["c1"])
    with pytest.raises(StateUnusable, match="Nothing more is written"):
        ticking.daemon.tick()
    assert ticking.made == 7


def test_a_loop_that_does_not_look_is_stuck(ticking: Ticking) -> None:
    assert ticking.daemon.stuck() is None
    ticking.tick()
    ticking.bench.clock.advance(HOUR)
    assert "360" in str(ticking.daemon.stuck())
    assert ticking.daemon.pulse().last_tick is not None


def test_its_log_says_once_what_hinders_a_credential(ticking: Ticking) -> None:
    del ticking.bench.issuer.applications[ticking.bench.app("c0")]
    for _ in range(3):
        ticking.tick()
        ticking.bench.clock.advance(HOUR)
    lines = [line for line in ticking.log.getvalue().splitlines() if "attempt.failed" in line]
    assert len(lines) == 1
    assert '"credential": "c0"' in lines[0]
