"""More than one process: on one state, or with states of their own on one Vault; and processes that are told to stop.

Whoever wins, consumers read a secret that works, and nothing is made twice.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from rotator.sandbox.records import Mutation
from tests.e2e.real_oracle import judge, strangers
from tests.e2e.real_world import APPS, NAME, RealWorld, Station, eventually, world
from tests.fakes.real_zygote import Ended, Zygote

__all__ = ["world"]

pytestmark = [pytest.mark.vault, pytest.mark.slow]

SECOND, HALF_AN_HOUR = timedelta(seconds=1), timedelta(minutes=30)
ROUNDS = 10


def made(world: RealWorld) -> list[Mutation]:
    """Return what rotator has made at the issuer."""
    return [
        one
        for one in world.sandbox.directory.mutations(APPS[NAME])
        if (one.operation, one.by != "portal") == ("add", True)
    ]


def said_until(process: subprocess.Popen[str], word: str) -> list[str]:
    """Return what a process says up to a line with this word."""
    said = []
    for line in process.stderr or ():
        said.append(line)
        if word in line:
            return said
    raise AssertionError(f"it never said {word!r}: {said}")


# ------------------------------------------------------------------------------------------------------- on one state


def test_of_two_processes_on_one_state_one_rotates_and_the_other_finds_nothing_to_do(world: RealWorld) -> None:
    station = world.station()
    both = [station.begin("rotate", "-o", "json") for _ in range(2)]
    ended = [(process.communicate(), process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], ended
    assert len(made(world)) == 1
    assert len(world.versions(f"partners/{NAME}")) == 1
    judge(world, grace=HALF_AN_HOUR, quiet=True)


def test_who_waits_too_long_for_the_state_is_75_and_is_told_who_has_it(world: RealWorld) -> None:
    station = world.station()
    world.sandbox.directory.change(APPS[NAME], fresh_lag=timedelta(minutes=5))
    station.edit("deadline: 20s", "deadline: 5m")
    with station.begin("rotate", "-v") as first:
        said_until(first, "not accepted yet")
        second = station.run("rotate", "--now", NAME)
        assert second.code == 75
        assert f"process {first.pid}" in second.err
        assert station.item("status")["state"] == "rotating", "looking needs no lock"
        first.send_signal(signal.SIGINT)
        first.communicate()
    assert len(made(world)) == 1


# ------------------------------------------------------------------------------------------------------ told to stop


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_rotation_that_is_stopped_says_what_it_left_and_the_next_run_finishes_it(
    world: RealWorld, how: signal.Signals
) -> None:
    station = world.station()
    old = station.item("rotate")["new_key_id"]
    world.sandbox.directory.change(APPS[NAME], fresh_lag=timedelta(seconds=6))
    with station.begin("rotate", "--now", NAME, "-v") as process:
        said_until(process, "not accepted yet")
        process.send_signal(how)
        _, rest = process.communicate()
    assert process.returncode == 75, rest
    assert "rotator rotate" in rest
    assert "Traceback" not in rest
    assert world.document()["key_id"] == old
    candidate = world.staging()["key_id"]
    judge(world, grace=HALF_AN_HOUR)
    assert station.item("status")["state"] == "rotating"
    assert station.item("rotate")["new_key_id"] == candidate
    assert len(made(world)) == 2
    judge(world, grace=HALF_AN_HOUR, quiet=True)


# --------------------------------------------------------------------------------------- two states, one Vault


def test_two_states_that_rotate_one_credential_at_the_same_time_never_cut_a_consumer_off(world: RealWorld) -> None:
    stations = [world.station(name, grace="1s") for name in ("first", "second")]
    stop, failures = threading.Event(), list[str]()

    def look() -> None:
        """Be a consumer: read the document and use it, all the time."""
        while not stop.wait(0.02):
            if world.vault.request("GET", f"{world.mounts.consumers}/data/partners/{NAME}").status != 200:
                continue
            value = world.document()["client_secret"]
            if (
                not world.sandbox.directory.authenticates(APPS[NAME], value)
                and value == world.document()["client_secret"]
            ):
                failures.append("what consumers read does not work")

    consumer = threading.Thread(target=look)
    consumer.start()
    try:
        with Zygote() as one, Zygote() as other, ThreadPoolExecutor(2) as pool:
            loops = [pool.submit(_rotate_often, *pair) for pair in zip(stations, (one, other), strict=True)]
            ended = [loop.result() for loop in loops]
            judge(world, grace=SECOND)
            for station, zygote in zip(stations, (one, other), strict=True):
                _settle(station, zygote)
    finally:
        stop.set()
        consumer.join()
    assert not failures
    promoted = [sum(run.items[0]["outcome"] in ("promoted", "retired") for run in runs) for runs in ended]
    assert min(promoted) >= 1 and sum(promoted) >= ROUNDS, [[(run.code, run.err) for run in runs] for runs in ended]
    assert not strangers(world)
    judge(world, grace=SECOND, quiet=True)


def _rotate_often(station: Station, zygote: Zygote) -> list[Ended]:
    runs = []
    for _ in range(ROUNDS):
        runs.append(zygote.run(station.folder, station.environ, "rotate", "--now", NAME, "-o", "json"))
        assert runs[-1].code in (0, 75), runs[-1].err
    return runs


def _settle(station: Station, zygote: Zygote) -> None:
    """Let it come to an end: its own request may be open still, and a grace running."""

    def settled() -> bool:
        zygote.run(station.folder, station.environ, "resume", NAME)
        return zygote.run(station.folder, station.environ, "rotate").code == 0

    eventually(settled)
