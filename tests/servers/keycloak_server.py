"""A real Keycloak for tests, over TLS, in memory; and what an administrator does there. It dies with the tests.

Where there is none the tests marked `keycloak` are left out, and the last lines of the run say so; with CI=true they
fail instead. See `keycloak.py`.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.clock import SystemClock
from rotator.sandbox.tls import prepare_tls
from tests.servers.keycloak import environment, home, java, needed, usable

PATIENCE = 180.0
_ADMIN = "admin"
_REALMS = itertools.count(1)


class KeycloakServer:
    """One server. address: over TLS. ca_file: who signed its certificate."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="keycloak-"))
        tls = prepare_tls(self.folder, SystemClock().now())
        self.ca_file = tls.ca_file
        self._password = secrets.token_urlsafe(24)
        port = _free_port()
        self.address = f"https://127.0.0.1:{port}"
        self.log_file = self.folder / "log"
        command = [
            str(home() / "bin" / "kc.sh"), "start", "--optimized", "--hostname-strict=false",
            "--http-enabled=false", "--http-host=127.0.0.1", f"--https-port={port}",
            f"--https-certificate-file={tls.certificate_file}", f"--https-certificate-key-file={tls.key_file}",
        ]  # fmt: skip
        surroundings = {
            **environment(),
            "KC_BOOTSTRAP_ADMIN_USERNAME": _ADMIN,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": self._password,
            "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx256m",
            "JAVA": str(_mortal_java(self.folder)),
        }
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=surroundings, preexec_fn=_die_with_parent
            )

    def wait(self) -> None:
        """Wait until it answers. Raises with the end of its log when it does not."""
        ends = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < ends:
            try:
                if self.ask("GET", "/realms/master")[0] == 200:
                    return
            except OSError:
                time.sleep(0.3)
        raise AssertionError("Keycloak did not start:\n" + self.log_file.read_text("utf-8", "replace")[-3000:])

    def stop(self) -> None:
        """End it and remove what it left."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, method: str, path: str, body: Any = None, *, token: str = "", form: bool = False) -> tuple[int, Any]:
        """Make one request and return status and answer. body: as JSON, or as a form."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        content = None
        if body is not None:
            content = urllib.parse.urlencode(body).encode() if form else json.dumps(body).encode()
            headers |= {} if form else {"Content-Type": "application/json"}
        request = urllib.request.Request(self.address + path, content, headers, method=method)
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        try:
            with urllib.request.urlopen(request, context=trust, timeout=60) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        return status, json.loads(text) if text.startswith((b"{", b"[")) else text

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Do something as the administrator; return the answer. Raises AssertionError when it is refused."""
        login = {"grant_type": "password", "client_id": "admin-cli", "username": _ADMIN, "password": self._password}
        _, told = self.ask("POST", "/realms/master/protocol/openid-connect/token", login, form=True)
        status, answer = self.ask(method, f"/admin/realms{path}", body, token=told["access_token"])
        assert status < 300, (method, path, status, answer)
        return answer

    def new_realm(self) -> Realm:
        """Return a fresh realm with a client `shop`, and `manager`, which may manage clients and see policies."""
        return Realm(self, f"realm{next(_REALMS)}")


class Realm:
    """One realm, and what a person with a console does in it."""

    def __init__(self, server: KeycloakServer, name: str) -> None:
        self.server, self.name = server, name
        server.admin("POST", "", {"realm": name, "enabled": True})
        for client in ("shop", "manager"):
            said = {"clientId": client, "serviceAccountsEnabled": True, "standardFlowEnabled": False}
            server.admin("POST", f"/{name}/clients", said)
        self.allow("manager", "manage-clients")

    @property
    def token_url(self) -> str:
        """Return the token endpoint."""
        return f"{self.server.address}/realms/{self.name}/protocol/openid-connect/token"

    def client(self, client_id: str) -> dict[str, Any]:
        """Return a client as the administrator sees it."""
        found = self.server.admin("GET", f"/{self.name}/clients?clientId={client_id}")
        assert isinstance(found, list)
        return dict(found[0])

    def allow(self, client_id: str, *roles: str) -> None:
        """Give a client's service account roles of realm-management."""
        account = self.server.admin("GET", f"/{self.name}/clients/{self.client(client_id)['id']}/service-account-user")
        theirs = self.client("realm-management")["id"]
        known = self.server.admin("GET", f"/{self.name}/clients/{theirs}/roles")
        chosen = [one for one in known if one["name"] in roles]
        self.server.admin("POST", f"/{self.name}/users/{account['id']}/role-mappings/clients/{theirs}", chosen)

    def keep_two(self, *, expire: int = 3600, rotated: int = 600, remaining: int = 30) -> None:
        """Turn on the policy by which the secret before lives on. All in seconds.

        remaining: so long before the end of a secret an update of the registration brings a new one.
        """
        times = {
            "expiration-period": expire,
            "rotated-expiration-period": rotated,
            "remaining-rotation-period": remaining,
        }
        profile = {"name": "two", "executors": [{"executor": "secret-rotation", "configuration": times}]}
        self.server.admin("PUT", f"/{self.name}/client-policies/profiles", {"profiles": [profile]})
        every = {"condition": "client-access-type", "configuration": {"type": ["confidential"]}}
        policy = {"name": "two", "enabled": True, "conditions": [every], "profiles": ["two"]}
        self.server.admin("PUT", f"/{self.name}/client-policies/policies", {"policies": [policy]})

    def regenerate(self, client_id: str) -> str:
        """Make a new secret in the console."""
        return str(
            self.server.admin("POST", f"/{self.name}/clients/{self.client(client_id)['id']}/client-secret")["value"]
        )

    def accepts(self, client_id: str, value: str) -> bool:
        """Say whether a token is given for this secret."""
        asked = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": value}
        path = f"/realms/{self.name}/protocol/openid-connect/token"
        return self.server.ask("POST", path, asked, form=True)[0] == 200


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


# kc.sh is a shell that waits for a Java of its own, and who ends the shell does not end that one. A process can ask for
# its own end only (prctl(2): no child inherits it), so Java is started by something that asks and then becomes Java.
# Had its parent, kc.sh or the owner of kc.sh, gone before it asked, nothing would end it any more: it does not begin.
_MORTAL = """\
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    shell = next(one for one in sys.argv if one.startswith("-Dkc.script.pid=")).partition("=")[2]
    if str(os.getppid()) not in (shell, sys.argv[1]):
        sys.exit("whoever started this Java is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""


def _mortal_java(folder: Path) -> Path:
    """Write a command that is Java and dies with whoever started it, for kc.sh to take; return its path."""
    words = [sys.executable, "-I", "-c", _MORTAL, str(os.getpid()), java()]
    path = folder / "java"
    path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
    path.chmod(0o700)
    return path


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG of prctl(2)


# ------------------------------------------------------------------------------------------------------------ fixtures


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs it where it is not, and remember how much that is."""
    if needed() or usable():
        return
    left = [one for one in items if one.get_closest_marker("keycloak")]
    if left:
        items[:] = [one for one in items if one not in left]
        config.hook.pytest_deselected(items=left)
        config.stash[_LEFT_OUT] = len(left)


_LEFT_OUT = pytest.StashKey[int]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say loudly what was not run."""
    if not usable() and not needed():
        words = "NOT RUN: the tests against a real Keycloak. They need a JDK of 17 or newer and Maven: make servers"
        terminalreporter.write_line(words, red=True, bold=True)


@pytest.fixture(scope="session")
def keycloak_server() -> Iterator[KeycloakServer]:
    """The server of this session (with xdist: of this worker); 20 s and 430 MB."""
    server = KeycloakServer()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture
def realm(keycloak_server: KeycloakServer) -> Realm:
    """A fresh realm."""
    return keycloak_server.new_realm()
