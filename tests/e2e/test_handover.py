"""Commands beside a running daemon: it does them, they follow; in whose name, and who may, is the kernel's word."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.app import watching
from rotator.app.handover import caller, reads
from rotator.app.house import House
from rotator.cli import status
from rotator.cli.main import main
from rotator.persistence import lock
from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Weather
from tests.e2e.cli_bench import Bench, bench
from tests.e2e.daemon_bench import Service, service, until

__all__ = ["bench", "caller", "lock", "reads", "status"]

pytestmark = pytest.mark.slow

ONE, TWO = "kontrolle-plus-prod", "site-reports-prod"
NOBODY = 65534


def configured(bench: Bench, *lines: str) -> None:
    config = bench.folder / "config.yaml"
    config.write_text("\n".join([config.read_text(encoding="utf-8"), *lines, ""]), encoding="utf-8")


def spaced(bench: Bench, spacing: str) -> None:
    config = bench.folder / "config.yaml"
    text = config.read_text(encoding="utf-8").replace("spacing: 1s", f"spacing: {spacing}")
    config.write_text(text, encoding="utf-8")


@pytest.fixture
def idle(bench: Bench) -> Iterator[tuple[Bench, Service]]:
    """A daemon that has nothing to do by itself: its credentials are paused."""
    configured(bench, "service: {tick: 1s}")
    assert bench.run("pause", "--all", "--yes").code == 0
    with service(bench.folder, bench.environ) as one:
        yield bench, one.ready()


@pytest.fixture
def running(idle: tuple[Bench, Service]) -> tuple[Bench, Service]:
    """A daemon that has rotated one credential."""
    bench, one = idle
    assert bench.run("resume", ONE).code == 0
    one.has("rotation.finished", reason="promoted")
    return idle


def records(bench: Bench, *wanted: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in bench.run("audit", "list", "-o", "jsonl", *wanted).out.splitlines()]


# --------------------------------------------------------------------------------------------------- it does them


def test_a_rotation_is_done_by_the_daemon_and_followed_step_by_step(running: tuple[Bench, Service]) -> None:
    bench, one = running
    done = bench.run("rotate", "--now", ONE, "--reason", "leaver", "-o", "json", SUDO_UID="0")
    (item,) = done.items
    assert (item["outcome"], item["reason"], done.code) == ("promoted", "requested", 0)
    steps = [line.split()[1] for line in done.err.splitlines() if line.startswith(ONE)]
    assert [step for step in dict.fromkeys(steps) if step != "retire"] == [
        "baseline",
        "create",
        "stage",
        "verify",
        "promote",
    ]
    (asked,) = records(bench, "--event", "request.received", "--credential", ONE)[-1:]
    assert (asked["actor"], asked["detail"]) == ("root" if os.geteuid() == 0 else asked["actor"], "leaver")
    assert one.events("rotation.finished", reason="promoted")[-1]["rotation_id"] == item["rotation_id"]


def test_every_command_that_changes_something_or_needs_a_secret_is_done_there(running: tuple[Bench, Service]) -> None:
    bench, one = running
    assert bench.run("verify", ONE, "-o", "json").items[0]["outcome"] == "proved"
    assert bench.run("pause", ONE, "-o", "json").items[0]["state"] == "paused"
    refused = bench.run("rotate", "--now", ONE)
    assert (refused.code, "resume" in refused.err) == (1, True)
    assert bench.run("resume", ONE, "-o", "json").items[0]["state"] == "ok"
    assert bench.run("rotate", "--now", ONE).code == 0
    assert bench.run("retire", ONE, "--yes", "-o", "json").items[0]["outcome"] == "retired"
    assert bench.run("orphans", "-o", "json").code == 0
    assert bench.run("check").code == 0
    assert bench.run("audit", "accept", "--reason", "tried", "--yes").code == 0
    assert bench.run("forget", TWO, "--leave", "--yes").code == 0
    assert bench.run("rotate", "nobody").code == 2
    assert bench.run("audit", "verify").code == 0
    assert one.stopped() == 0
    assert one.stray == []


def test_a_field_is_read_through_the_socket_and_the_value_is_nowhere_else(running: tuple[Bench, Service]) -> None:
    bench, one = running
    done = bench.run("read", ONE, "--field", "client_secret", "--to", "secret")
    assert done.code == 0, done.err
    value = (bench.folder / "secret").read_text(encoding="utf-8")
    assert bench.sandbox.directory.authenticates("7f3c0c52-0000-4000-8000-000000000011", value)
    assert one.stopped() == 0
    said = repr(one.log) + repr(one.told) + done.out + done.err
    assert value not in said
    assert value.encode() not in (bench.folder / "rotator.db").read_bytes()
    (read,) = records(bench, "--event", "secret.read")
    assert read["credential"] == ONE


def test_what_is_not_waited_for_is_done_by_the_next_tick(running: tuple[Bench, Service]) -> None:
    bench, one = running
    done = bench.run("rotate", "--now", "--no-wait", ONE, "-o", "json")
    assert (done.items[0]["outcome"], done.code) == ("planned", 0)
    one.has("rotation.finished", 2, credential=ONE, reason="promoted")


# ------------------------------------------------------------------------------------------- either side may restart


def test_a_daemon_that_is_killed_in_the_middle_is_waited_for_and_the_answer_is_the_true_one(bench: Bench) -> None:
    configured(bench, "service: {tick: 1s}")
    spaced(bench, "2s")
    assert bench.run("pause", "--all", "--yes").code == 0
    with service(bench.folder, bench.environ) as one:
        assert bench.run("resume", ONE).code == 0
        one.ready().has("rotation.finished", reason="promoted")
        asking = bench.begin("rotate", "--now", ONE, "-o", "json")
        one.has("version.staged", 2, outcome="succeeded", credential=ONE)
        one.signal(signal.SIGKILL)
        one.ended()
    with service(bench.folder, bench.environ) as one:
        out, err = asking.communicate(timeout=60)
        assert asking.returncode == 0, err
        (item,) = json.loads(out)["items"]
        assert item["outcome"] == "promoted"
        assert one.has("rotation.finished", reason="promoted")[0]["rotation_id"] == item["rotation_id"]
    assert len(records(bench, "--event", "rotation.started", "--credential", ONE)) == 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_ends_in_the_middle_leaves_the_rotation_to_the_daemon(bench: Bench, how: signal.Signals) -> None:
    configured(bench, "service: {tick: 1s}")
    spaced(bench, "2s")
    assert bench.run("pause", "--all", "--yes").code == 0
    with service(bench.folder, bench.environ) as one:
        assert bench.run("resume", ONE).code == 0
        one.ready().has("rotation.finished", reason="promoted")
        asking = bench.begin("rotate", "--now", ONE)
        one.has("version.staged", 2, outcome="succeeded", credential=ONE)
        asking.send_signal(how)
        _, err = asking.communicate(timeout=60)
        if how is signal.SIGINT:
            assert asking.returncode == 75
            assert "the daemon goes on" in err
        one.has("rotation.finished", 2, credential=ONE, reason="promoted")
        assert one.stopped() == 0


# --------------------------------------------------------------------------------------------------- bad callers


def test_slow_silent_and_hostile_callers_cost_no_tick(running: tuple[Bench, Service]) -> None:
    bench, one = running
    place = str(bench.folder / "rotator.db.sock")
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(40)]
        for number, caller in enumerate(callers):
            caller.settimeout(10)
            caller.connect(place)
            garbage = [
                b"",
                b"{",
                b"\xff\xfe\n",
                b'{"rotator": 1}\n',
                b"[]\n",
                b'{"rotator":1,"act":"__import__","given":{}}\n',
            ]
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                caller.sendall(garbage[number % len(garbage)])
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
            callers[0].sendall(b"x" * (4 << 20))
        assert bench.run("rotate", "--now", ONE).code == 0
        ticks = len(one.said("STATUS="))
        until("it ticks on", lambda: len(one.said("STATUS=")) >= ticks)
    assert bench.run("verify", ONE).code == 0
    assert one.process.poll() is None


def test_a_daemon_that_cannot_listen_rotates_on_and_commands_are_told(bench: Bench) -> None:
    deep = bench.folder / ("d" * 100)
    deep.mkdir(mode=0o700)
    text = (bench.folder / "config.yaml").read_text(encoding="utf-8").replace("sqlite:///", f"sqlite:///{deep.name}/")
    (bench.folder / "config.yaml").write_text(text, encoding="utf-8")
    configured(bench, "service: {tick: 1s}")
    with service(bench.folder, bench.environ) as one:
        one.ready().has("companion.failed", 2, companion="desk")
        one.has("rotation.finished", credential=ONE, reason="promoted")
        done = bench.run("pause", ONE)
        assert (done.code, "does not listen" in done.err) == (75, True)
        assert one.stopped() == 0


def test_a_request_for_a_credential_that_was_removed_is_told_so(running: tuple[Bench, Service]) -> None:
    bench, one = running
    old = (bench.folder / "config.yaml").read_text(encoding="utf-8")
    (bench.folder / "config.yaml").write_text(old.replace(f"name: {ONE}", "name: renamed"), encoding="utf-8")
    one.signal(signal.SIGHUP)
    one.has("config.loaded", 2)
    (bench.folder / "old.yaml").write_text(old, encoding="utf-8")
    done = bench.run("--config", "old.yaml", "rotate", "--now", ONE)
    assert done.code == 2
    assert f'No credential is called "{ONE}"' in done.err


# ------------------------------------------------------------------------------------------------------ who may


@contextlib.contextmanager
def shared() -> Iterator[tuple[Bench, Path]]:
    """A bench whose configuration others may read, and a runtime folder that they may enter."""
    above = Path(tempfile.mkdtemp(prefix="rotator-shared-"))
    above.chmod(0o755)
    (above / "run").mkdir(mode=0o755)
    (above / "run").chmod(0o755)
    sandbox = Sandbox.start(above / "state", weather=Weather.calm())
    try:
        bench = Bench(above / "state", sandbox)
        configured(bench, "service: {tick: 1s}")
        yield bench, above / "run"
    finally:
        sandbox.stop()
        subprocess.run(["rm", "-r", str(above)], check=True)


def test_the_socket_is_for_its_owner_and_its_group_alone(idle: tuple[Bench, Service]) -> None:
    bench, one = idle
    facts = (bench.folder / "rotator.db.sock").stat()
    assert facts.st_mode & 0o777 == 0o660
    assert facts.st_uid == os.geteuid()
    assert one.stopped() == 0
    assert not (bench.folder / "rotator.db.sock").exists()


def test_a_member_of_the_group_is_served_in_his_own_name_and_a_stranger_is_not() -> None:
    """With two real users where this process may become another one; else the kernel's rule on modes stands alone."""
    with shared() as (bench, run):
        assert bench.run("pause", "--all", "--yes").code == 0
        with service(bench.folder, bench.environ, RUNTIME_DIRECTORY=str(run)) as one:
            one.ready()
            place = run / "rotator.sock"
            until("it listens", place.is_socket)
            if os.geteuid() != 0:
                assert place.stat().st_mode & 0o777 == 0o660
                return
            assert _ask_as(bench, place, NOBODY) == "PermissionError"
            os.chown(place, 0, NOBODY)
            assert json.loads(_ask_as(bench, place, NOBODY))["done"]["is"] == "Kept"
            assert one.stopped() == 0
        resumed = records(bench, "--event", "rotation.resumed")
        assert [(record["credential"], record["actor"]) for record in resumed] == [(ONE, "nobody")]


def test_who_may_only_look_is_answered_and_can_change_nothing() -> None:
    with shared() as (bench, run):
        assert bench.run("pause", "--all", "--yes").code == 0
        with service(bench.folder, bench.environ, RUNTIME_DIRECTORY=str(run)) as one:
            one.ready()
            place = run / "rotator.read.sock"
            until("it listens", place.is_socket)
            assert place.stat().st_mode & 0o777 == 0o660
            looking = {"RUNTIME_DIRECTORY": str(run)}
            if os.geteuid() == 0:
                os.chown(place, 0, NOBODY)
                answer = _ask_as(bench, place, NOBODY, act="status", given={"names": [], "check": False})
                assert json.loads(answer)["done"]["is"] == "Watched"
                refused = json.loads(_ask_as(bench, place, NOBODY))["failed"]["of"]
                assert refused["code"] == "other_version", "it is none of the questions that are answered here"
                bench.folder.chmod(0o700)
                done = _run_as(bench, NOBODY, "status", "-o", "json", **looking)
                assert [item["state"] for item in json.loads(done)["items"]] == ["paused", "paused"]
            assert one.stopped() == 0
        assert not records(bench, "--event", "rotation.resumed")


def _run_as(bench: Bench, uid: int, *args: str, **environ: str) -> str:
    """Run the command line in a fork, as another user who may read the configuration and nothing else of it."""
    config = bench.folder.parent / "config.yaml"
    config.write_text((bench.folder / "config.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    config.write_text(
        config.read_text(encoding="utf-8").replace("sqlite:///", f"sqlite:///{bench.folder}/"), encoding="utf-8"
    )
    config.chmod(0o644)
    with House.open(str(config), environ={}, argv=()) as house:  # whoever it becomes cannot import anything later
        watching.status(house, [])
        assert house.builder is not None
    hears, says = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os.dup2(says, 1)
            sys.stdout = os.fdopen(1, "w", closefd=False)
            os.environ.update(environ, ROTATOR_CONFIG=str(config))
            main(["--config", str(config), *args])
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(says)
    with os.fdopen(hears, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(child, 0)
    return said


def _ask_as(bench: Bench, place: Path, uid: int, *, act: str = "resume", given: object = None) -> str:
    """Ask over the socket as another user, who claims to be root still. Returns the answer, or the kind of refusal.

    A fork: another user can perhaps not even read the interpreter's files.
    """
    given = {"is": "map", "of": given or {"names": [ONE], "note": ""}}
    state = str(bench.folder / "rotator.db")
    question = {"rotator": 1, "act": act, "given": given, "state": state, "sudo_uid": "0"}
    hears, says = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(str(place))
                one.sendall(json.dumps(question).encode() + b"\n")
                os.write(says, one.makefile("rb").readline())
        except Exception as error:  # noqa: BLE001  it is told to the parent
            os.write(says, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(says)
    os.waitpid(child, 0)
    with os.fdopen(hears, "rb") as answer:
        return answer.read().decode()
