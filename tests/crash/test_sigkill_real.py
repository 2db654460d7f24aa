"""`rotator rotate` as a process, a real Vault, issuers behind TLS, and a real SIGKILL at many points of its run.

A fresh process then recovers. Whatever the point, consumers read a value that works, at most one version is unknown in
between and none afterwards, and no value stays in the staging area.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from tests.e2e.real_oracle import judge, strangers
from tests.e2e.real_world import NAME, Station, real_world
from tests.fakes.real_zygote import Ended, Zygote
from tests.servers.vault_server import VaultServer

pytestmark = [pytest.mark.vault, pytest.mark.slow]

POINTS, SLICES = 40, 8
GRACE = timedelta(seconds=1)
ROTATE = ("rotate", "--now", NAME)
LINGERING = tuple(timedelta(milliseconds=n) for n in (2, 5, 11, 23))
"""So long after a crossing every second process dies: in the middle of a call, somewhere."""


@dataclass
class Machine:
    """A station whose commands may be killed. points: at how many a whole life may die."""

    station: Station
    zygote: Zygote
    points: int = 0

    def run(self, *args: str, die_at: int | None = None, linger: timedelta | None = None) -> Ended:
        return self.zygote.run(self.station.folder, self.station.environ, *args, die_at=die_at, linger=linger)

    def calls(self) -> list[str]:
        return self.zygote.calls(self.station.folder)


@pytest.fixture(scope="module")
def machine(vault_server: VaultServer) -> Iterator[Machine]:
    with real_world(vault_server) as world, Zygote() as zygote:
        made = Machine(world.station(grace="1s"), zygote)
        made.station.edit("quarantine: 2s", "quarantine: 1s")
        made.points = 2 * len(_a_whole_life(made))
        assert made.points > POINTS
        yield made


@pytest.mark.parametrize("part", range(SLICES))
def test_a_process_killed_at_any_point_leaves_nothing_that_the_next_does_not_settle(
    machine: Machine, part: int
) -> None:
    world = machine.station.world
    for number in range(part, POINTS, SLICES):
        point = number * (machine.points - 2) // (POINTS - 1)
        linger = LINGERING[number // SLICES % len(LINGERING)] if number // SLICES % 2 else None
        time.sleep(0.5)  # by the time it looks, the grace of the round before is over: it retires, too
        ended = machine.run(*ROTATE, die_at=point, linger=linger)
        assert ended.signal == signal.SIGKILL or (linger is not None and ended.code == 0), (point, ended)
        judge(world, grace=GRACE)
        _recover(machine, point)
        judge(world, grace=GRACE, quiet=True)


def _a_whole_life(machine: Machine) -> list[str]:
    """Rotate twice, and return the calls of the second time: it retires, creates, proves and promotes."""
    assert machine.run("rotate").code == 0
    assert machine.run(*ROTATE).code == 0
    time.sleep(GRACE.total_seconds() + 1)  # a Date has whole seconds
    ended = machine.run(*ROTATE)
    assert ended.code == 0, ended.err
    calls = machine.calls()
    assert {"provider.create", "staging.write", "prover.prove", "consumers.write", "provider.retire"} <= set(calls)
    return calls


def _recover(machine: Machine, point: int) -> None:
    """Let fresh processes do what is left, as a timer would."""
    for _ in range(3):
        ended = machine.run("rotate", "-o", "json")
        assert ended.code == 0, (point, ended.err)
        if not strangers(machine.station.world):
            return
        time.sleep(1.1)  # an orphan is removed when it was seen twice, a quarantine apart
