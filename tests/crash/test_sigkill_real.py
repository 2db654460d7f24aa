"""`rotator rotate` as a process, a real Vault, issuers behind TLS, and a real SIGKILL at many points of its run.

A fresh process then recovers. Whatever the point, consumers read a value that works, at most one version is unknown in
between and none afterwards, and no value stays in the staging area.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.e2e.real_oracle import judge, strangers
from tests.e2e.real_world import NAME, Station, real_world
from tests.fakes.real_zygote import Ended, Zygote
from tests.servers.vault_server import VaultServer

pytestmark = [pytest.mark.vault, pytest.mark.slow]

SLICES = 8
GRACE = timedelta(0)  # so that a single run does everything: it makes, proves and shows a version, and retires another
ROTATE = ("rotate", "--now", NAME)
LINGERING = tuple(timedelta(milliseconds=n) for n in (1, 3, 6, 12, 25))
"""So long after the beginning of a call that changes something a process dies: somewhere in the middle of it."""

CHANGES = ("provider.create", "provider.retire", "staging.write", "consumers.write", "ledger.record")


@dataclass(frozen=True)
class Death:
    """Before the n-th call, or so long after its beginning."""

    call: int
    linger: timedelta | None = None

    @property
    def crossing(self) -> int:
        """Return the number of the crossing."""
        return 2 * self.call


@dataclass
class Machine:
    """A station whose commands may be killed. deaths: how."""

    station: Station
    zygote: Zygote
    deaths: list[Death] = field(default_factory=list)

    def run(self, *args: str, death: Death | None = None) -> Ended:
        at, linger = (death.crossing, death.linger) if death else (None, None)
        return self.zygote.run(self.station.folder, self.station.environ, *args, die_at=at, linger=linger)


@pytest.fixture(scope="module")
def machine(vault_server: VaultServer) -> Iterator[Machine]:
    with real_world(vault_server) as world, Zygote() as zygote:
        made = Machine(world.station(grace="0s"), zygote)
        made.station.edit("quarantine: 2s", "quarantine: 1s")
        calls = _calls_of_a_whole_life(made)
        made.deaths = [Death(number) for number in range(len(calls))]
        changes = [number for number, call in enumerate(calls) if call.startswith(CHANGES)]
        made.deaths += [Death(number, LINGERING[number % len(LINGERING)]) for number in changes]
        yield made


def _calls_of_a_whole_life(machine: Machine) -> list[str]:
    """Rotate twice, and return the calls of the second time."""
    assert machine.run("rotate").code == 0
    ended = machine.run(*ROTATE)
    assert ended.code == 0, ended.err
    calls = machine.zygote.calls(machine.station.folder)
    assert {"provider.create", "staging.write", "prover.prove", "consumers.write", "provider.retire"} <= set(calls)
    assert len(calls) > 40
    return calls


@pytest.mark.parametrize("part", range(SLICES))
def test_a_process_killed_at_any_point_leaves_nothing_that_the_next_does_not_settle(
    machine: Machine, part: int
) -> None:
    world = machine.station.world
    for death in machine.deaths[part::SLICES]:
        ended = machine.run(*ROTATE, death=death)
        assert ended.signal == signal.SIGKILL or (death.linger and ended.code == 0), (death, ended)
        judge(world, grace=GRACE)
        _recover(machine, death)
        judge(world, grace=GRACE, quiet=True)


def _recover(machine: Machine, death: Death) -> None:
    """Let fresh processes do what is left, as a timer would."""
    for _ in range(3):
        ended = machine.run("rotate", "-o", "json")
        assert ended.code == 0, (death, ended.err)
        if not strangers(machine.station.world):
            return
        time.sleep(1.1)  # an orphan is removed when it was seen twice, a quarantine apart
