"""The service as a process beside a real Vault, with AppRole and exactly the policy of the documentation."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest

from tests.e2e.daemon_bench import service, until
from tests.e2e.real_oracle import judge
from tests.e2e.real_world import NAME, RealWorld, Station, world

__all__ = ["world"]

pytestmark = [pytest.mark.vault, pytest.mark.slow]

GRACE = timedelta(seconds=6)


def ticking(world: RealWorld, *names: str) -> Station:
    station = world.station(credentials=names or (NAME,), grace=f"{GRACE.seconds}s")
    station.edit("service: {jitter: 0s}", "service: {jitter: 0s, tick: 1s}")
    return station


def test_a_whole_life_is_lived_by_itself(world: RealWorld) -> None:
    station = ticking(world, NAME, "reports")
    with service(station.folder, station.environ) as one:
        one.ready().has("rotation.finished", 2, reason="promoted")
        before = world.live()
        assert station.done("rotate", "--now", NAME).code == 0
        one.has("version.retired", outcome="succeeded", credential=NAME)
        assert one.stopped() == 0
        assert one.stray == []
    assert len(world.live() & before) < len(before)
    judge(world, NAME, "reports", grace=GRACE, quiet=True)


def test_it_starts_and_stays_up_while_vault_is_not_to_be_had(world: RealWorld) -> None:
    station = ticking(world)
    address = world.vault.address
    station.edit(address, "https://127.0.0.1:9")
    with service(station.folder, station.environ) as one:
        one.ready().has("attempt.failed")
        station.edit("https://127.0.0.1:9", address)
        one.signal(signal.SIGHUP)
        station.done("rotate", "--now", NAME)
        assert one.has("rotation.finished", reason="promoted")
        assert one.stopped() == 0
    judge(world, NAME, grace=GRACE)


def test_killed_at_any_moment_the_next_start_settles_it(world: RealWorld) -> None:
    station = ticking(world)
    for event in ("version.created", "version.staged", "version.promoted"):
        with service(station.folder, station.environ) as one:
            one.ready()
            station.run("rotate", "--now", "--no-wait", NAME)
            one.has(event, outcome="intended")
            one.signal(signal.SIGKILL)
            one.ended()
    with service(station.folder, station.environ) as one:
        one.ready()
        until("it has come to rest", lambda: station.item("status", NAME)["state"] == "ok")
        assert one.stopped() == 0
    judge(world, NAME, grace=GRACE, quiet=True)
