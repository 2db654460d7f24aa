"""`rotator demo` as a process: what it shows, what it leaves, and what it says when something is not so."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rotator.sandbox import demo
from rotator.sandbox.world import FIELDOPS_PROD, World, demo_world

ROTATOR = Path(sys.executable).with_name("rotator")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return what the program gets to see; its temporary folders come to lie in `folder`."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8", **more}


def run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROTATOR), *words], cwd=folder, env=environment(folder, **more), capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def shown(folder: Path) -> str:
    """Run the demo once for all tests of this file."""
    ended = run(folder, "demo")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    return ended.stdout


def line_with(text: str, words: str) -> str:
    return next(line for line in text.splitlines() if words in line)


@pytest.mark.slow
def test_all_that_the_demo_claims_holds(shown: str) -> None:
    claims = re.findall(r"^[✓✗] .*$", shown, re.MULTILINE)
    assert not [claim for claim in claims if claim.startswith("✗")]
    assert f"All {len(claims)} claims hold" in shown


@pytest.mark.slow
def test_no_consumer_was_ever_refused(shown: str) -> None:
    told = re.search(r"(\d+) token requests of consumers, with (\d+) versions of 3 documents; none failed", shown)
    assert told is not None
    assert int(told[1]) > 20
    assert int(told[2]) > 3


@pytest.mark.slow
def test_one_credential_goes_through_its_whole_life(shown: str) -> None:
    steps = re.findall(r"kontrolle-plus-prod +✓ (\w+)", shown)
    promoted = ["baseline", "create", "stage", "verify", "promote"]
    assert steps == [*promoted, *promoted, "retire"]


@pytest.mark.slow
def test_a_fresh_secret_is_refused_for_a_while_and_then_promoted(shown: str) -> None:
    refused = re.findall(r"site-reports-prod +verify +not accepted yet: .*AADSTS7000215", shown)
    told = re.search(r"site-reports-prod: refused (\d+) times in the 8 s", shown)
    assert told is not None
    assert int(told[1]) == len(refused) > 0
    assert "✓ site-reports-prod: promoted" in shown


@pytest.mark.slow
def test_a_missing_role_is_named_and_keeps_the_secret_from_being_promoted(shown: str) -> None:
    assert "Token lacks role FieldOps.Write (found: FieldOps.Read)." in line_with(shown, "✗ verify")
    assert "✓ fieldops-prod: abandoned (missing_role)" in shown
    assert not re.search(r"fieldops-prod +✓ promote", shown)


@pytest.mark.slow
def test_two_other_vendors_are_served_one_by_its_description_and_one_by_a_person(shown: str) -> None:
    assert re.findall(r"screening-eagle-prod +✓ (\w+)", shown) == ["baseline", "create", "stage", "verify", "promote"]
    assert "✓ screening-eagle-prod: 2 live: 1 in use, 1 made by hand, 0 unknown" in shown
    assert re.findall(r"netwrix-prod +✓ (\w+)", shown) == ["stage", "verify", "promote"]
    assert "✓ netwrix-prod: 1 live: 1 in use (made by hand), 0 unknown" in shown


@pytest.mark.slow
def test_every_command_that_it_names_at_the_end_works_without_the_issuers(shown: str, folder: Path) -> None:
    _, _, end = shown.partition("Where to look next\n")
    typed = [shlex.split(line, comments=True) for line in end.splitlines() if line.startswith("  ")]
    config = typed[0][1].removeprefix("ROTATOR_CONFIG=")
    commands = [words[1:] for words in typed if words[0].endswith("rotator")]
    assert commands == [["history", "kontrolle-plus-prod"], ["history", "fieldops-prod"], ["audit", "list"]]
    for words in (*commands, ["audit", "verify"], ["status"]):
        ended = run(folder, *words, ROTATOR_CONFIG=config)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout


@pytest.mark.slow
def test_no_value_is_shown_and_none_lies_in_clear_in_what_it_leaves(shown: str, folder: Path, tmp_path: Path) -> None:
    (left,) = folder.glob("rotator-demo-*")
    for name in ("kontrolle-plus-prod", "site-reports-prod", "fieldops-prod"):
        target = tmp_path / name
        ended = run(
            folder, "--config", str(left / "config.yaml"), "read", name, "--field", "client_secret", "--to", str(target)
        )
        assert ended.returncode == 0, ended.stderr
        value = target.read_bytes().strip()
        assert len(value) == 40
        assert value.decode() not in shown
        assert not [path for path in left.rglob("*") if path.is_file() and value in path.read_bytes()]


@pytest.mark.slow
def test_what_it_leaves_is_for_its_owner_only_and_one_command_removes_it(shown: str, folder: Path) -> None:
    (left,) = folder.glob("rotator-demo-*")
    assert not left.stat().st_mode & 0o077
    assert not [path for path in left.rglob("*") if path.stat().st_mode & 0o077]
    assert f"rm -r {left}" in shown


@pytest.mark.slow
def test_a_claim_that_is_not_so_is_named_and_ends_it_with_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def generous() -> World:
        world = demo_world()
        granted = {"api://fieldops": ("FieldOps.Read", "FieldOps.Write")}
        apps = [replace(app, roles=granted) if app.app_id == FIELDOPS_PROD else app for app in world.apps]
        return replace(world, apps=tuple(apps))

    monkeypatch.setattr("rotator.sandbox.server.demo_world", generous)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    said: list[str] = []
    assert demo.run(said.append) == 1
    text = "\n".join(said)
    assert "✗ fieldops-prod: promoted (None)" in text
    assert "1 of 18 claims do NOT hold" in text


@pytest.mark.slow
def test_ctrl_c_ends_it_after_the_step_in_hand(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [str(ROTATOR), "demo"], cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "✓ stage" in line:
            process.send_signal(signal.SIGINT)
            break
    rest, _ = process.communicate()
    assert process.returncode == 130
    assert "Stopped. What was done until then lies in" in rest
