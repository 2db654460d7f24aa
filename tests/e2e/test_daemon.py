"""The service as a process: what it tells its manager, what signals do to it, and what it survives."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator

import pytest

from rotator.clock import SystemClock
from rotator.persistence.lock import StateLock
from tests.e2e.cli_bench import COMMAND, Bench, bench
from tests.e2e.daemon_bench import Service, service, until
from tests.servers.rude_server import answering, rude_server

__all__ = ["bench"]

pytestmark = pytest.mark.slow

ONE, TWO = "kontrolle-plus-prod", "site-reports-prod"
TICK = "service: {tick: 1s}"


def configured(bench: Bench, *lines: str) -> None:
    config = bench.folder / "config.yaml"
    config.write_text("\n".join([config.read_text(encoding="utf-8"), *lines, ""]), encoding="utf-8")


def changed(bench: Bench, old: str, new: str) -> None:
    config = bench.folder / "config.yaml"
    text = config.read_text(encoding="utf-8")
    assert old in text
    config.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def running(bench: Bench) -> Iterator[tuple[Bench, Service]]:
    configured(bench, TICK)
    with service(bench.folder, bench.environ) as made:
        yield bench, made.ready()


# ----------------------------------------------------------------------------------------------------- a life


def test_it_rotates_what_is_due_one_after_the_other_and_ends_when_it_is_told(running: tuple[Bench, Service]) -> None:
    bench, one = running
    one.has("rotation.finished", 2, reason="promoted")
    first, second = (record["credential"] for record in one.events("rotation.started"))
    assert {first, second} == {ONE, TWO}
    order = [record for record in one.log if record["event"] in ("rotation.started", "rotation.finished")]
    assert [record["event"] for record in order] == ["rotation.started", "rotation.finished"] * 2, (
        "the first start ramps"
    )
    until("its status counts", lambda: one.said("STATUS=2 tracked, 0 under way, 0 parked"))
    assert one.stopped() == 0
    assert one.said("STOPPING=1") == ["STOPPING=1"]
    assert one.stray == []
    assert one.log[0]["event"] == "daemon.started"
    assert one.events("daemon.stopped")[0]["reason"] == "stopped"
    assert bench.run("audit", "verify").code == 0
    assert "daemon.stopped" in bench.run("audit", "list", "--event", "daemon.stopped").out
    assert bench.run("status", "--check").code == 0


def test_the_log_shows_no_value(running: tuple[Bench, Service]) -> None:
    bench, one = running
    one.has("rotation.finished", credential=ONE)
    assert one.stopped() == 0
    assert bench.run("read", ONE, "--field", "client_secret", "--to", "secret").code == 0
    value = (bench.folder / "secret").read_text(encoding="utf-8").strip()
    assert len(value) > 20
    assert value not in repr(one.log) + repr(one.told) + repr(one.stray)


# ------------------------------------------------------------------------------------------------- one at a time


def test_a_second_daemon_ends_at_once_and_asks_nobody(running: tuple[Bench, Service]) -> None:
    bench, one = running
    one.has("rotation.finished")
    with rude_server(None, answering(200, b"{}")) as nobody:
        changed(bench, bench.sandbox.base_url, f"https://127.0.0.1:{nobody.port}")
        began = time.monotonic()
        done = bench.run("daemon")
        assert time.monotonic() - began < 10, "it does not wait for the other"
        assert nobody.connections == 0
    assert done.code == 75
    assert f"process {one.process.pid}" in done.err
    assert "status" in done.err


def test_a_command_that_holds_the_state_is_waited_for_and_the_manager_hears_of_it(bench: Bench) -> None:
    configured(bench, TICK)
    bench.run("pause", ONE)
    lock = StateLock(bench.folder / "rotator.db", SystemClock(), "rotate --now")
    lock.acquire()
    with service(bench.folder, bench.environ) as one:
        until("it says that it waits", lambda: one.said("STATUS=waiting"))
        assert f"process {os.getpid()} (rotate --now)" in one.said("STATUS=waiting")[0]
        one.has("daemon.waiting")
        assert one.said("READY") == []
        lock.release()
        one.ready()
        assert one.stopped() == 0


def test_who_is_told_to_end_while_it_waits_ends(bench: Bench) -> None:
    bench.run("pause", ONE)
    with StateLock(bench.folder / "rotator.db", SystemClock(), "rotate"), service(bench.folder, bench.environ) as one:
        until("it says that it waits", lambda: one.said("STATUS=waiting"))
        assert one.stopped() == 0
        assert one.said("READY") == []


# -------------------------------------------------------------------------------------------------------- reload


def test_a_good_configuration_is_taken_whole_and_a_bad_one_not_at_all(running: tuple[Bench, Service]) -> None:
    bench, one = running
    one.has("rotation.finished")
    good = (bench.folder / "config.yaml").read_text(encoding="utf-8")
    configured(bench, "nonsense: true")
    one.signal(signal.SIGHUP)
    (refused,) = one.has("config.refused", level="error")
    assert 'unknown key "nonsense"' in refused["detail"]
    until("the status says so", lambda: [said for said in one.said("STATUS=") if "the old one is in force" in said])
    (bench.folder / "config.yaml").write_text(good.replace("name: " + TWO, "name: another-name"), encoding="utf-8")
    one.signal(signal.SIGHUP)
    one.has("config.loaded", 2)
    assert [line for line in one.said("RELOADING") if line] == ["RELOADING=1"] * 2
    assert all(int(line.partition("=")[2]) > 0 for line in one.said("MONOTONIC_USEC"))
    until("it is ready again after each", lambda: len(one.said("READY=1")) == 3)
    assert one.stopped() == 0


def test_a_storm_of_reloads_is_a_few(running: tuple[Bench, Service]) -> None:
    _, one = running
    for _ in range(200):
        one.signal(signal.SIGHUP)
    one.has("config.loaded", 2)
    one.has("rotation.finished")
    assert one.stopped() == 0
    assert one.said("READY=1")


def test_another_state_needs_a_restart(running: tuple[Bench, Service]) -> None:
    bench, one = running
    changed(bench, "rotator.db", "other.db")
    one.signal(signal.SIGHUP)
    (refused,) = one.has("config.refused", level="error")
    assert "restart" in one.events("config.refused", level="warning")[0]["hint"]
    assert refused["reason"] == "other_state"
    assert one.stopped() == 0


# ----------------------------------------------------------------------------------------------------------- the end


def test_it_ends_in_time_in_the_middle_of_a_rotation_and_the_next_start_finishes_it(bench: Bench) -> None:
    configured(bench, TICK)
    changed(bench, "spacing: 1s", "spacing: 30s")
    with service(bench.folder, bench.environ) as one:
        one.ready().has("version.staged", outcome="succeeded")
        began = time.monotonic()
        assert one.stopped() == 0
        assert time.monotonic() - began < 15
    changed(bench, "spacing: 30s", "spacing: 0s")
    with service(bench.folder, bench.environ) as one:
        (finished, *_) = one.ready().has("rotation.finished")
        assert one.stopped() == 0
    assert finished["reason"] == "promoted"
    assert bench.run("orphans", "--check").code == 0


def test_killed_in_the_middle_it_leaves_what_the_next_start_finishes(bench: Bench) -> None:
    configured(bench, TICK)
    with service(bench.folder, bench.environ) as one:
        one.ready().has("version.created", outcome="succeeded")
        one.signal(signal.SIGKILL)
        one.ended()
    with service(bench.folder, bench.environ) as one:
        one.ready()
        one.has("rotation.finished", reason="promoted")
        assert one.stopped() == 0
    assert bench.run("orphans", "--check").code == 0


# -------------------------------------------------------------------------------------------------------- bad days


def test_a_loop_that_hangs_is_not_said_to_live(bench: Bench) -> None:
    """A pipe that nobody writes to stands where the configuration includes a file."""
    configured(bench, TICK, "include: [more.yaml]")
    (bench.folder / "more.yaml").write_text("credentials: []\n", encoding="utf-8")
    with service(bench.folder, bench.environ, WATCHDOG_USEC="900000") as one:
        one.ready()
        until("it is said to live, again and again", lambda: len(one.said("WATCHDOG=1")) > 4)
        (bench.folder / "more.yaml").unlink()
        os.mkfifo(bench.folder / "more.yaml")
        one.signal(signal.SIGHUP)
        until("it reads the pipe", lambda: one.said("RELOADING"))
        fed = len(one.said("WATCHDOG=1"))
        time.sleep(2)  # a manager would have killed it by now
        assert len(one.said("WATCHDOG=1")) == fed


def test_a_state_that_is_taken_away_ends_it_before_anything_is_made(running: tuple[Bench, Service]) -> None:
    bench, one = running
    one.has("rotation.finished")
    (bench.folder / "rotator.db").rename(bench.folder / "elsewhere.db")
    assert one.ended() == 1
    assert any("was removed" in line for line in one.stray)
    assert not (bench.folder / "rotator.db").exists()


def test_a_port_that_is_taken_is_told_and_rotations_go_on(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        configured(bench, f'service: {{tick: 1s, listen: "127.0.0.1:{taken.getsockname()[1]}"}}')
        with service(bench.folder, bench.environ) as one:
            one.ready().has("rotation.finished", reason="promoted")
            (failed,) = one.has("companion.failed")
            until("the status says so", lambda: [said for said in one.said("STATUS=") if "web does not work" in said])
            assert one.stopped() == 0
    assert failed["companion"] == "web"


def test_a_log_that_nobody_reads_any_more_ends_no_rotation(bench: Bench) -> None:
    configured(bench, TICK)
    hears, says = os.pipe()
    os.close(hears)
    process = subprocess.Popen([*COMMAND, "daemon"], cwd=bench.folder, env=bench.environ, stdout=says, stderr=says)
    os.close(says)
    try:
        until("it has rotated", lambda: "promoted" in bench.run("history", ONE).out)
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_it_stays_up_while_the_issuer_is_away(bench: Bench) -> None:
    configured(bench, TICK)
    changed(bench, bench.sandbox.base_url, "https://127.0.0.1:9")
    with service(bench.folder, bench.environ) as one:
        one.ready().has("attempt.failed", 2)
        changed(bench, "https://127.0.0.1:9", bench.sandbox.base_url)
        one.signal(signal.SIGHUP)
        one.has("config.loaded", 2)
        assert one.stopped() == 0


def test_a_wrong_configuration_is_78_and_the_manager_is_not_told_that_it_is_ready(bench: Bench) -> None:
    configured(bench, "nonsense: true")
    with service(bench.folder, bench.environ) as one:
        assert one.ended() == 78
        assert one.told == []
    assert not (bench.folder / "rotator.db").exists()


def test_a_hook_that_hangs_delays_no_rotation_and_the_next_start_tells_it_again(bench: Bench) -> None:
    ran = bench.folder / "ran"
    hook = bench.folder / "hook"
    hook.write_text(f"#!/bin/sh\ncat >> {ran}\nexec sleep 30\n", encoding="utf-8")
    hook.chmod(0o755)
    configured(
        bench, TICK, f"notifications: [{{kind: exec, command: ['{hook}'], events: [rotation.started], timeout: 60s}}]"
    )
    with service(bench.folder, bench.environ) as one:
        one.ready().has("rotation.started")
        until("the hook runs", ran.exists)
        one.has("rotation.finished", credential=ONE, reason="promoted")
        one.signal(signal.SIGKILL)
        one.ended()
    hook.write_text(f"#!/bin/sh\ncat >> {ran}\n", encoding="utf-8")
    with service(bench.folder, bench.environ) as one:
        one.ready().has("notification.sent", reason="rotation.started")
        assert one.stopped() == 0
    told = [json.loads(line)["id"] for line in ran.read_text(encoding="utf-8").splitlines()]
    assert told[0] == told[1]


def test_a_pass_of_cron_leaves_its_metrics_in_a_file(bench: Bench) -> None:
    done = bench.run("daemon", "--once", ROTATOR_METRICS_FILE="rotator.prom")
    assert done.code == 0, done.err
    text = (bench.folder / "rotator.prom").read_text(encoding="utf-8")
    assert 'rotator_rotations_total{outcome="promoted"} 2' in text
    with sqlite3.connect(bench.folder / "rotator.db") as state:
        assert state.execute("SELECT count(*) FROM rotations").fetchone() == (2,)
    state.close()
