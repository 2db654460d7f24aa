"""The Keycloak of the tests leaves no process behind: neither when it is stopped nor when its owner is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.keycloak_server import KeycloakServer

pytestmark = [pytest.mark.keycloak, pytest.mark.slow, pytest.mark.timeout(300)]
OWNER = """\
import time
from tests.servers.keycloak_server import KeycloakServer
print(KeycloakServer().address, flush=True)
time.sleep(600)
"""


def machines(address: str) -> list[str]:
    """Return the process ids of the Java machines that serve, or are about to serve, at this address."""
    wanted = f"--https-port={address.rpartition(':')[2]}".encode()
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = one.read_bytes().split(b"\0")
        except OSError:  # it ended while we looked
            continue
        if wanted in words and b"io.quarkus.bootstrap.runner.QuarkusEntryPoint" in words:
            found.append(one.parent.name)
    return found


def becomes(address: str, *, there: bool) -> bool:
    """Wait, at most half a minute, until a machine is there, or none is; say whether that came."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        if bool(machines(address)) is there:
            return True
        time.sleep(0.05)
    return False


def test_a_server_that_is_stopped_leaves_no_java_behind() -> None:
    server = KeycloakServer()
    try:
        server.wait()
        assert machines(server.address)
    finally:
        server.stop()
    assert becomes(server.address, there=False), machines(server.address)


def test_a_server_whose_owner_is_killed_leaves_no_java_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # nobody is left to remove its files
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        assert owner.stdout is not None
        address = owner.stdout.readline().strip()
        came = becomes(address, there=True)
        owner.send_signal(signal.SIGKILL)
    assert came
    assert becomes(address, there=False), machines(address)
