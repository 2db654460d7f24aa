"""A certificate through the whole program: rotated twice by processes, proved over TLS, and its key nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509

from rotator.app.config import load
from rotator.app.house import House, Use
from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Route, Weather
from rotator.sandbox.world import KONTROLLE_PROD, Federated
from rotator.secret import Fields

pytestmark = pytest.mark.slow  # the first certificate waits until two lists agree

NAME = "kontrolle-cert"
CREDENTIALS = f"""credentials:
  - name: {NAME}
    provider: {{use: contoso, app_id: {KONTROLLE_PROD}, credential: certificate}}
    store: {{path: partners/kontrolle-cert, fields: {{certificate: tls.crt, private_key: tls.key}}}}
    verify:
      scope: api://kontrolle-provider/.default
      expect: {{aud: api://kontrolle-provider, roles: [ProviderApi.Access], min_lifetime: 5m}}
    policy: {{grace: 0s}}
"""


@dataclass
class Machine:
    """Where commands run, and all that they print."""

    sandbox: Sandbox
    folder: Path
    printed: list[str] = field(default_factory=list)

    def run(self, *args: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "rotator.cli.main", "-v", "--config", str(self.folder / "config.yaml"), *args]
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
        self.printed += [done.stdout, done.stderr]
        assert done.returncode == code, done.stderr
        return done.stdout

    def items(self, *args: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.run(*args, "-o", "json"))["items"]
        return found

    def field(self, name: str) -> str:
        target = self.folder / "read"
        self.run("read", NAME, "--field", name, "--to", str(target))
        text = target.read_text(encoding="utf-8")
        target.unlink()
        return text


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Sandbox.start(tmp_path / "sb", weather=Weather.calm(), seed=7) as sandbox:
        path = tmp_path / "sb" / "config.yaml"
        text = path.read_text(encoding="utf-8")
        path.write_text(text[: text.index("credentials:\n")] + CREDENTIALS, encoding="utf-8")
        yield Machine(sandbox, tmp_path / "sb")


def test_a_certificate_is_rotated_read_and_ended_and_its_key_is_in_the_store_alone(machine: Machine) -> None:
    federated = Federated("github", "https://token.actions.githubusercontent.com", "repo:acme/site")
    machine.sandbox.directory.change(KONTROLLE_PROD, federated=(federated,))
    secrets = [one.key_id for one in machine.sandbox.directory.live(KONTROLLE_PROD)]
    (first,) = machine.items("rotate")
    keys = [machine.field("private_key")]
    (second,) = machine.items("rotate", "--now", NAME, "--yes")
    keys.append(machine.field("private_key"))
    machine.run("rotate")
    assert (first["outcome"], second["outcome"]) == ("promoted", "promoted")
    assert second["old_key_ids"] == [first["new_key_id"]]
    (live,) = machine.sandbox.keys.live(KONTROLLE_PROD)
    assert live.key_id == second["new_key_id"] == machine.field("key_id")
    text = machine.field("certificate")
    certificate = x509.load_pem_x509_certificate(text.encode())
    assert certificate.not_valid_after_utc == live.expires_at
    seen = machine.sandbox.directory.requests(KONTROLLE_PROD)
    writes = (Route.UPDATE_APPLICATION, Route.ADD_KEY, Route.REMOVE_KEY)
    assert [one.route for one in seen if one.route in writes] == ["update_application", "add_key", "remove_key"]
    assert [one.key_id for one in machine.sandbox.directory.live(KONTROLLE_PROD)] == secrets
    (status,) = machine.items("status")
    assert status["current"]["key_id"] == live.key_id and status["state"] == "ok"
    assert [one["outcome"] for one in machine.items("verify", NAME)] == ["proved"]
    assert {one["class"] for one in machine.items("orphans")} <= {"current"}
    checked = machine.items("check")
    assert not [one for one in checked if one["outcome"] == "fail"]
    assert [one for one in checked if one["check"] == "federated" and "repo:acme/site" in str(one["message"])]
    machine.run("history", NAME)
    machine.run("audit", "export", "--format", "jsonl")
    _nowhere(machine, keys)


def _nowhere(machine: Machine, keys: list[str]) -> None:
    """Look for each key, by a line of its PEM, in everything printed and in every file."""
    files = [path for path in machine.folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    planted = machine.folder / "planted"
    for key in keys:
        canary = key.splitlines()[3]
        assert len(canary) == 64
        assert not [text for text in machine.printed if canary in text]
        assert not [path for path in files if canary.encode() in path.read_bytes()]
        planted.write_text(f"x{canary}", encoding="utf-8")
        assert canary.encode() in planted.read_bytes(), "the search finds what is there"
    assert not [text for text in machine.printed if "PRIVATE KEY" in text]


def test_a_name_that_was_a_secret_is_not_taken_over_by_a_certificate(machine: Machine) -> None:
    path = machine.folder / "config.yaml"
    text = path.read_text(encoding="utf-8")
    secret = text.replace(", credential: certificate", "").replace(
        ", fields: {certificate: tls.crt, private_key: tls.key}", ""
    )
    path.write_text(secret, encoding="utf-8")
    machine.run("rotate")
    path.write_text(text, encoding="utf-8")
    machine.run("rotate", code=78)
    assert machine.sandbox.keys.truth(KONTROLLE_PROD) == []


@pytest.mark.parametrize("kind", ["certificate", "secret"])
def test_a_placeholder_in_the_store_is_replaced(machine: Machine, kind: str) -> None:
    path, values = machine.folder / "config.yaml", {"tls.crt": "to be replaced", "tls.key": "to be replaced"}
    if kind == "secret":
        text = path.read_text(encoding="utf-8").replace(", credential: certificate", "")
        path.write_text(text.replace("certificate: tls.crt, private_key: tls.key", ""), encoding="utf-8")
        values = {"client_secret": ""}
    with House(load(path), environ={}, argv=("rotator", "test")) as house:
        (one,) = house.config.models
        documents = house.store(one.store, Use.CHANGE).consumers
        documents.write(one.path, Fields({"client_id": KONTROLLE_PROD, **values}), 0)
    (done,) = machine.items("rotate")
    assert done["outcome"] == "promoted"
    assert [one["outcome"] for one in machine.items("verify", NAME)] == ["proved"]
