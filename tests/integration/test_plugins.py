"""Plug-ins: the template is installed for real, found by its kind, and what it makes is rotated as others are."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from rotator.clock import SystemClock
from rotator.sandbox.tls import prepare_tls

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the template into a folder of its own, without the network."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", "--target", str(folder), str(TEMPLATE)], check=True)
    return folder


class Acme:
    """Acme's token endpoint, which looks into the file that the plug-in writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tls = prepare_tls(folder, SystemClock().now())
        acme = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                known = form.get("client_secret") in acme.values
                body = {"access_token": "t", "token_type": "Bearer", "expires_in": 3600} if known else {"error": "x"}
                content = json.dumps(body).encode()
                self.send_response(200 if known else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate_file, tls.key_file)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def held(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.folder / "shop.json").read_text())
        return found

    @property
    def values(self) -> list[str]:
        return [one["value"] for one in self.held]


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Acme]:
    (tmp_path / "shop.json").write_text("[]")
    (tmp_path / "token").write_text("t0ken")
    (tmp_path / "token").chmod(0o600)
    made = Acme(tmp_path)
    write(made)
    yield made
    made.server.shutdown()
    made.server.server_close()


def write(acme: Acme, settings: str = 'folder: "{folder}", token: "file:token"') -> None:
    (acme.folder / "config.yaml").write_text(
        f"""\
version: 1
state: {{url: "sqlite:///rotator.db"}}
stores: {{local: {{kind: embedded, path: secrets, key: "file:store-key"}}}}
providers:
  a: {{kind: acme, {settings.format(folder=acme.folder)}}}
credentials:
  - name: shop
    provider: {{use: a, client_id: shop}}
    store: {{use: local, path: partners/shop}}
    verify: {{token_url: "https://127.0.0.1:{acme.server.server_port}/t", ca_file: ca.pem, spacing: 0s,
              expect: {{token_type: bearer}}}}
"""
    )


def run(acme: Acme, *args: str, site: Path | None) -> tuple[int, str, str]:
    path = {"PYTHONPATH": str(site)} if site is not None else {}
    environ = {**{name: text for name, text in os.environ.items() if name != "PYTHONPATH"}, **path}
    rotator = str(Path(sys.executable).with_name("rotator"))
    command = [rotator, "--config", str(acme.folder / "config.yaml"), *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, cwd=acme.folder)
    return done.returncode, done.stdout, done.stderr


def test_a_kind_that_an_installed_package_brings_is_rotated_like_any_other(acme: Acme, site: Path) -> None:
    code, said, told = run(acme, "check", site=site)
    assert (code, "Acme knows 0 secrets" in said) == (0, True), said + told
    code, said, told = run(acme, "rotate", "--now", "shop", "--yes", "-o", "json", site=site)
    assert (code, json.loads(said)["items"][0]["outcome"]) == (0, "promoted"), told
    (first,) = acme.held
    assert first["label"].startswith("rotator/")
    code, said, told = run(acme, "rotate", "--now", "shop", "--emergency", "--yes", "-o", "json", site=site)
    assert code == 0, told
    (second,) = acme.held
    assert second["id"] != first["id"]
    assert second["value"].encode() not in (acme.folder / "rotator.db").read_bytes()
    code, said, told = run(acme, "config", "show", "-o", "json", site=site)
    assert json.loads(said)["providers"]["a"] == {"kind": "acme", "folder": str(acme.folder), "token": "file:token"}


SAFE = """
from pathlib import Path
from rotator.plugin import Fault
from rotator.stores.embedded import EmbeddedStore

def store(making):
    key = making.secret(making.settings["key"])
    return EmbeddedStore(Path(making.settings["folder"]), key(), making.clock, making.name)

store.faults = lambda settings: [] if "folder" in settings else [Fault((), "`folder` is missing", "Say where.")]
"""


def test_a_store_that_an_installed_package_brings_holds_what_consumers_read(
    acme: Acme, site: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    both = tmp_path_factory.mktemp("both")
    for one in site.iterdir():
        (both / one.name).symlink_to(one)
    (both / "rotator_safe.py").write_text(SAFE)
    told = both / "rotator_safe-2.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: rotator-safe\nVersion: 2.0\n")
    (told / "entry_points.txt").write_text("[rotator.stores]\nsafe = rotator_safe:store\n")
    (acme.folder / "safe-key").write_text("c2FmZS1rZXktb2YtMzItYnl0ZXMtZm9yLXRlc3RzIT8=")
    (acme.folder / "safe-key").chmod(0o600)
    config = acme.folder / "config.yaml"
    before = '{kind: embedded, path: secrets, key: "file:store-key"}'
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, f'{{kind: safe, folder: "{acme.folder}/safe", key: "file:safe-key"}}'))
    code, said, told_us = run(acme, "rotate", "--now", "shop", "--yes", "-o", "json", site=both)
    assert (code, json.loads(said)["items"][0]["outcome"]) == (0, "promoted"), told_us
    code, said, told_us = run(acme, "verify", "shop", site=both)
    assert code == 0, told_us
    assert (acme.folder / "safe").is_dir() and not (acme.folder / "secrets").exists()
    config.write_text(text.replace(before, '{kind: safe, key: "file:safe-key"}'))
    code, _, told_us = run(acme, "check", "--offline", site=both)
    assert code == 78 and "stores.local: `folder` is missing" in told_us


def test_a_kind_that_nobody_brings_is_refused_and_an_installed_one_is_named(acme: Acme, site: Path) -> None:
    code, _, told = run(acme, "check", "--offline", site=None)
    assert code == 78 and "config.yaml:5:13: providers.a.kind: must be one of entra, http, keycloak, manual" in told
    write(acme, "kind: acmee")
    (acme.folder / "config.yaml").write_text((acme.folder / "config.yaml").read_text().replace("kind: acme, ", ""))
    code, _, told = run(acme, "check", "--offline", site=site)
    assert code == 78 and 'keycloak, manual, dynamic_registration, acme. Did you mean "acme"?' in told


def test_what_a_plug_in_says_of_its_settings_has_a_place_in_the_file(acme: Acme, site: Path) -> None:
    write(acme, 'folder: "{folder}", colour: red')
    code, _, told = run(acme, "check", "--offline", site=site)
    assert code == 78
    assert "config.yaml:5:6: providers.a: `token` is missing" in told
    assert "providers.a.colour: is not a setting of acme" in told


def test_the_template_passes_the_suite_and_one_that_breaks_a_promise_does_not(site: Path, tmp_path: Path) -> None:
    for broken in ("", "sleepy"):
        folder = tmp_path / (broken or "sound")
        shutil.copytree(TEMPLATE / "tests", folder)
        if broken:
            text = (folder / "test_conformance.py").read_text()
            lost = 'raise OutcomeUnknown("Acme did not answer.", hint="Look what it has.")'
            assert text.count(lost) == 1
            (folder / "test_conformance.py").write_text(text.replace(lost, "raise Refused('x', hint='y')"))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(folder)]
        environ = {**os.environ, "PYTHONPATH": str(site)}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environ, cwd=folder, timeout=100
        )
        assert done.returncode == (1 if broken else 0), done.stdout[-3000:]
        assert ("passed" in done.stdout) and ("failed" in done.stdout) is bool(broken)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (
            "raise RuntimeError('t0p-s3cret')",
            "rotator-acme 0.1.0, which brings `acme`, cannot be imported (RuntimeError)",
        ),
        ("def provider(making): raise ValueError('t0p-s3cret')", "failed at making a (ValueError)"),
        ("def provider(making): return object()", "lacks create, list, retire, check, close, procedure"),
    ],
)
def test_a_broken_plug_in_is_named_and_nothing_of_it_is_shown(
    acme: Acme, site: Path, tmp_path_factory: pytest.TempPathFactory, broken: str, says: str
) -> None:
    other = tmp_path_factory.mktemp("broken")
    for one in site.iterdir():
        (other / one.name).symlink_to(one)
    (other / "rotator_acme").unlink()
    (other / "rotator_acme.py").write_text(broken)
    code, said, told = run(acme, "check", site=other)
    assert code in (69, 78) and says in said + told, said + told
    assert "t0p-s3cret" not in said + told
