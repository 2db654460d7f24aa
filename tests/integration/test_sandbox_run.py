"""`rotator sandbox`: what it leaves in its folder, what a second start knows, and when it refuses."""

from __future__ import annotations

import json
import re
import shlex
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rotator.app.config import load
from rotator.errors import Busy, Misconfigured, RotatorError
from rotator.sandbox.control import Remote
from rotator.sandbox.run import serve
from rotator.sandbox.server import HOST
from rotator.sandbox.world import KONTROLLE_PROD


@pytest.fixture(autouse=True)
def usual_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Stands for 8443, for which two runs of the tests on one machine would fight."""
    port = _free_port()
    monkeypatch.setattr("rotator.sandbox.run.PORT", port)
    return port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path) -> Iterator[list[str]]:
    """Run a sandbox in a thread until the block ends; give what it said."""
    said: list[str] = []
    ready, stop = threading.Event(), threading.Event()
    failure: list[RotatorError] = []

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("Ctrl-C"):
            ready.set()

    def body() -> None:
        try:
            serve(folder, say, stop)
        except RotatorError as fault:
            failure.append(fault)
        ready.set()

    thread = threading.Thread(target=body)
    thread.start()
    ready.wait()
    try:
        if failure:
            raise failure[0]
        yield said
    finally:
        stop.set()
        thread.join()


def port_in(folder: Path) -> int:
    return int((folder / "control").read_text().splitlines()[0].rpartition(":")[2])


def test_the_folder_and_all_in_it_are_for_its_owner_only(tmp_path: Path) -> None:
    with serving(tmp_path / "box"):
        pass
    assert stat.S_IMODE((tmp_path / "box").stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "box").iterdir()}
    assert modes == dict.fromkeys(modes, 0o600)
    assert {"ca.pem", "graph.pem", "config.yaml", ".gitignore"} <= modes.keys()


def test_git_ignores_the_folder_wherever_it_is(tmp_path: Path) -> None:
    with serving(tmp_path):
        assert "*" in (tmp_path / ".gitignore").read_text().splitlines()


def test_its_configuration_loads_and_names_files_that_exist(tmp_path: Path) -> None:
    with serving(tmp_path):
        loaded = load(tmp_path / "config.yaml")
    assert loaded.warnings == ()
    provider = loaded.config.providers["contoso"]
    assert provider.ca_file is not None and provider.ca_file.is_file()
    assert f":{port_in(tmp_path)}" in provider.issuer


def test_it_says_commands_that_can_be_typed_as_they_stand(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    with serving(folder) as said:
        typed = [shlex.split(line) for line in said if line.startswith("  ")]
    assert [words[:2] for words in typed[1:]] == [["rotator", "check"], ["rotator", "rotate"], ["rotator", "status"]]
    (export, setting) = typed[0]
    assert export == "export"
    assert Path(setting.removeprefix("ROTATOR_CONFIG=")).samefile(folder / "config.yaml")


def test_a_second_start_knows_what_the_first_one_issued_and_lives_on_the_same_port(tmp_path: Path) -> None:
    with serving(tmp_path):
        port = port_in(tmp_path)
        made = {secret.text for secret in Remote.of(tmp_path).live(KONTROLLE_PROD)}
    with serving(tmp_path) as said:
        assert port_in(tmp_path) == port
        assert {secret.text for secret in Remote.of(tmp_path).live(KONTROLLE_PROD)} == made
    assert any(re.fullmatch(r"It knows the \d+ secrets of before\.", line) for line in said)


def test_a_folder_without_memory_says_that_it_is_new(tmp_path: Path) -> None:
    with serving(tmp_path) as said:
        held = json.loads((tmp_path / "issuer-state.json").read_text())["secrets"]
        assert held
    assert any(line.startswith("New: ") for line in said)


def test_a_second_sandbox_in_the_same_folder_is_told_where_the_first_one_is(tmp_path: Path) -> None:
    with serving(tmp_path), pytest.raises(Busy) as refused:
        serve(tmp_path, lambda line: None, threading.Event())
    assert f"https://{HOST}:{port_in(tmp_path)}" in refused.value.message
    assert "--dir" in refused.value.hint
    assert refused.value.exit_status == 75


def test_a_new_folder_takes_a_free_port_when_the_usual_one_is_taken_and_keeps_it(
    tmp_path: Path, usual_port: int
) -> None:
    with socket.socket() as stranger:
        stranger.bind((HOST, usual_port))
        stranger.listen()
        with serving(tmp_path) as said:
            port = port_in(tmp_path)
        assert port != usual_port
        assert any(f"Port {usual_port} is taken" in line and str(port) in line for line in said)
    with serving(tmp_path):
        assert port_in(tmp_path) == port


def test_a_folder_whose_own_port_is_taken_refuses_to_move(tmp_path: Path) -> None:
    with serving(tmp_path):
        port = port_in(tmp_path)
    with socket.socket() as stranger:
        stranger.bind((HOST, port))
        stranger.listen()
        with pytest.raises(Misconfigured) as refused:
            serve(tmp_path, lambda line: None, threading.Event())
    assert refused.value.code == "port_taken"
    assert f"{HOST}:{port}" in refused.value.message


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(Misconfigured) as refused:
        serve(tmp_path, lambda line: None, threading.Event())
    assert "thesis.tex" in refused.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_in_which_rotator_has_worked_before_is_taken(tmp_path: Path) -> None:
    (tmp_path / "rotator.db").touch()
    tmp_path.chmod(0o755)
    with serving(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_an_edited_configuration_is_kept_and_it_says_so(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text() + "# mine\n")
    with serving(tmp_path) as said:
        assert config.read_text().endswith("# mine\n")
    assert f"{config} was edited, so it stays as it is." in said


def test_a_path_that_is_no_folder_is_refused_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot use") as refused:
        serve(tmp_path / "file", lambda line: None, threading.Event())
    assert "--dir" in refused.value.hint
