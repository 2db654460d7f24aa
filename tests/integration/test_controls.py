"""`report --controls`: each answer comes from the live state, and changes with it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from rotator.app.controls import CONTROLS, Evidence, controls
from rotator.app.rotating import Wish, rotate
from rotator.errors import StateUnusable
from tests.fakes.app_bench import DAY, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    rotated(bench)
    return bench


def rotated(bench: Bench) -> None:
    with bench.house() as house:
        assert rotate(house, Wish()).exit_status == 0


def evidence(bench: Bench) -> Evidence:
    with bench.house() as house:
        return controls(house)


def gaps(bench: Bench) -> set[str]:
    return {str(item["control"]) for item in evidence(bench).items if item["outcome"] == "gap"}


def test_what_is_missing_is_a_gap_until_it_is_there(bench: Bench) -> None:
    assert gaps(bench) == {"AU-10", "10.3", "A.8.15"}, "nobody signs, and no copy is kept"
    text = bench.config.read_text(encoding="utf-8")
    audit = 'audit: {signing_key: "file:key.pem", mirror: ["file:audit.jsonl"]}\n'
    bench.config.write_text(text.replace("stores:", audit + "stores:", 1), encoding="utf-8")
    assert "AU-10" in gaps(bench), "a key that has signed nothing yet"
    rotated(bench)
    with bench.house() as house:
        rotate(house, Wish(names=("one",), now=True))
    assert gaps(bench) == set()


def test_a_broken_chain_is_a_gap_that_names_the_record_and_ends_with_4(bench: Bench) -> None:
    with sqlite3.connect(bench.folder / "state/rotator.db") as database:
        database.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 3")
    database.close()
    found = evidence(bench)
    assert found.exit_status == 4
    (item,) = [one for one in found.items if one["control"] == "AU-9"]
    assert item["outcome"] == "gap" and "Record 3 was changed" in str(item["evidence"])


def test_an_expired_secret_and_a_long_one_are_gaps(bench: Bench) -> None:
    text = bench.config.read_text(encoding="utf-8")
    bench.config.write_text(text.replace("lifetime: 90d", "lifetime: 365d"), encoding="utf-8")
    assert "5.1.5.4" in gaps(bench)
    bench.clock.advance(100 * DAY)
    assert {"IA-5", "8.6.3"} <= gaps(bench)


def test_without_a_state_there_is_no_evidence(tmp_path: Path) -> None:
    with pytest.raises(StateUnusable):
        evidence(Bench(tmp_path))


def test_the_frameworks_that_were_asked_for_are_there() -> None:
    numbers = {one.number for one in CONTROLS}
    assert numbers >= {
        "AU-2",
        "AU-3",
        "AU-9",
        "AU-10",
        "AU-11",
        "IA-5",
        "8.6.3",
        "10.2",
        "10.3",
        "10.4",
        "10.5",
        "A.8.15",
    }
    assert all(one.shows.__doc__ for one in CONTROLS)


def test_it_prints_them_as_text_and_as_json_and_says_what_comes_later(bench: Bench) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("rotator")
        words = ("--config", str(bench.config), "report", *words)
        return subprocess.run([program, *words], capture_output=True, text=True, check=False)

    done = run("--controls", "--offline", "-o", "json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["kind"] == "ControlList"
    assert [item["control"] for item in found["items"]] == [one.number for one in CONTROLS]
    text = run("--controls", "--offline").stdout
    assert "AU-9" in text and "See: rotator audit verify" in text
    later = run()
    assert later.returncode == 2 and "later release" in later.stderr
