"""`audit list`, `follow` and `export` as processes: what they print is whole, and what they hold is little."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.app import auditing
from rotator.app.auditing import Filter
from rotator.app.results import Item
from rotator.app.rotating import Wish, rotate
from rotator.exports import Form
from tests.fakes.app_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    again(bench)
    return bench


def again(bench: Bench, **wish: object) -> None:
    with bench.house() as house:
        assert rotate(house, Wish(**wish)).exit_status == 0  # type: ignore[arg-type]


def command(bench: Bench, *words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("rotator")), "--config", str(bench.config), "audit", *words]


def run(bench: Bench, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(bench, *words), capture_output=True, text=True, check=False)


def test_all_forms_are_printed_or_written_to_a_file_which_is_private(bench: Bench, tmp_path: Path) -> None:
    printed = {}
    for form in Form:
        done = subprocess.run(command(bench, "export", "--format", form), capture_output=True, check=True)
        printed[form] = done.stdout
        out = tmp_path / f"export.{form}"
        assert run(bench, "export", "--format", form, "--out", str(out)).returncode == 0
        assert out.read_bytes() == done.stdout
        assert out.stat().st_mode & 0o777 == 0o600
    assert b"\r\n" in printed[Form.CSV] and b"\r" not in printed[Form.JSONL]


def test_an_export_takes_the_filters_of_list(bench: Bench) -> None:
    done = run(bench, "export", "--event", "version.promoted", "--outcome", "succeeded", "--credential", "one")
    assert [json.loads(line)["credential"] for line in done.stdout.splitlines()] == ["one"]
    assert run(bench, "export", "--event", "no.such").returncode == 2


def test_an_export_to_a_folder_that_is_missing_says_so_and_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    done = run(bench, "export", "--out", str(tmp_path / "missing/x.jsonl"))
    assert done.returncode == 1 and "--out FILE" in done.stderr
    assert not (tmp_path / "missing").exists()


def test_a_list_is_the_same_in_every_form_streamed_or_not(bench: Bench) -> None:
    lines = [json.loads(line) for line in run(bench, "list", "-o", "jsonl").stdout.splitlines()]
    whole = json.loads(run(bench, "list", "-o", "json").stdout)
    assert whole["kind"] == "AuditList" and whole["items"] == lines
    assert len(run(bench, "list").stdout.splitlines()) == len(lines) + 1
    nothing = run(bench, "list", "--credential", "nobody", "-o", "json").stdout
    assert json.loads(nothing)["items"] == []


def test_follow_tells_what_comes_until_it_is_stopped(bench: Bench) -> None:
    stop, told = threading.Event(), list[Item]()
    bench.clock.advance(auditing.LOOK_EVERY)
    since = bench.clock.now()

    def listen() -> None:
        with bench.house() as house:
            told.extend(auditing.audit_follow(house, Filter(since=since), stop))

    with bench.house() as house:
        before = auditing.audit_list(house, Filter()).items[-1]["seq"]
    stop.set()
    listen()
    assert told == [], "nothing has happened since"
    again(bench, names=("one",), now=True)
    listen()
    assert [item["seq"] for item in told] == list(range(before + 1, before + 1 + len(told)))
    assert told[0]["event"] == "request.received"


def test_follow_ends_at_the_moment_that_was_named(bench: Bench) -> None:
    until = bench.clock.now()
    with bench.house() as house:
        wanted = Filter(since=until - timedelta(days=1), until=until)
        told = list(auditing.audit_follow(house, wanted, threading.Event()))
        assert told == list(auditing.audit_list(house, wanted).items)
    assert told, "and it has ended"


def test_follow_as_a_process_ends_with_0_on_ctrl_c(bench: Bench) -> None:
    words = command(bench, "follow", "--since", "2020-01-01")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline())["seq"] == 1
        process.send_signal(signal.SIGINT)
        rest = [json.loads(line)["seq"] for line in process.stdout]
        said = process.stderr.read()
    assert (process.returncode, said) == (0, "")
    assert rest == list(range(2, len(rest) + 2))
