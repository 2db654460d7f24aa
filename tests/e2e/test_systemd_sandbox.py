"""Rotates inside the sandbox that the unit describes, made by hand where there is no systemd to make it.

What the machine cannot enforce is not claimed: `confined` says what it could, and a probe inside tries to break out.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Weather
from rotator.sandbox.world import KONTROLLE_PROD
from tests.e2e.cli_bench import COMMAND
from tests.e2e.confined import NOBODY
from tests.e2e.daemon_bench import Service, until

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "rotator.service"

PROBE = """
import ctypes, json, mmap, os, pathlib, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p

def failure(act):
    try:
        act()
    except OSError as error:
        return error.errno
    return 0

def calling(result):
    return ctypes.get_errno() if result != 0 else 0

def writable_code():
    there = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, 0x22, -1, ctypes.c_long(0))
    return ctypes.get_errno() if there in (None, 2**64 - 1) else 0

status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps({
    "uid": os.getuid(),
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no_new_privileges": int(status["NoNewPrivs"]),
    "write_state": failure(lambda: pathlib.Path(sys.argv[1], "probe").write_text("x")),
    "write_etc": failure(lambda: pathlib.Path("/etc/rotator-probe").write_text("x")),
    "write_program": failure(lambda: pathlib.Path(sys.argv[2], "rotator-probe").write_text("x")),
    "chroot": calling(libc.chroot(b"/")),
    "unshare": calling(libc.unshare(0x20000)),
    "priority": calling(libc.setpriority(0, 0, 0)),
    "packets": failure(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
    "netlink": failure(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()),
    "code": writable_code(),
    "boot_id": pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    "boot_clock": time.clock_gettime(time.CLOCK_BOOTTIME),
    "core": __import__("resource").getrlimit(__import__("resource").RLIMIT_CORE),
}))
"""
EPERM, EACCES, EROFS = 1, 13, 30


@dataclass
class Cell:
    """A folder of its own and the issuers that its configuration names."""

    folder: Path
    sandbox: Sandbox
    enforced: frozenset[str] = frozenset()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command confined; take note of what was enforced."""
        self._hand_over()
        said = self.folder.parent / "enforced"
        done = subprocess.run(
            [sys.executable, "-m", "tests.e2e.confined", str(UNIT), str(self.folder), *command],
            cwd=self.folder,
            env=self._environ(said),
            capture_output=True,
            text=True,
            check=False,
        )
        self.enforced = frozenset(said.read_text(encoding="ascii").split())
        return done

    def service(self) -> Service:
        """Return the service, confined; a context manager."""
        self._hand_over()
        command = [sys.executable, "-m", "tests.e2e.confined", str(UNIT), str(self.folder), *COMMAND, "daemon"]
        return Service(self.folder, self._environ(self.folder.parent / "enforced"), command)

    def _environ(self, said: Path) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.folder),
            "ROTATOR_CONFIG": str(self.folder / "config.yaml"),
            "CONFINED_BY": str(said),
        }

    def _hand_over(self) -> None:
        if os.geteuid() == 0:
            for one in (self.folder, *self.folder.rglob("*")):
                os.chown(one, NOBODY, NOBODY)


@pytest.fixture
def cell() -> Iterator[Cell]:
    # Not below pytest's own folder: nobody else may pass through that one.
    above = Path(tempfile.mkdtemp(prefix="rotator-cell-"))
    above.chmod(0o755)
    folder = above / "state"
    sandbox = Sandbox.start(folder, weather=Weather.calm())
    try:
        yield Cell(folder, sandbox)
    finally:
        sandbox.stop()
        shutil.rmtree(above)


def test_the_cell_is_closed(cell: Cell) -> None:
    done = cell.run(sys.executable, "-c", PROBE, str(cell.folder), str(ROOT))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["no_new_privileges"] == 1
    assert found["write_state"] == 0
    assert found["core"] == [0, 0]
    assert found["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    assert found["boot_clock"] > 0
    if "mounts" in cell.enforced:
        assert (found["write_etc"], found["write_program"]) == (EROFS, EROFS)
    if "user" in cell.enforced:
        assert (found["uid"], found["capabilities"]) == (NOBODY, 0)
    if "calls" in cell.enforced:
        denied = ("chroot", "unshare", "priority", "packets", "netlink")
        assert {name: found[name] for name in denied} == dict.fromkeys(denied, EPERM)
    if "memory" in cell.enforced:
        assert found["code"] == EACCES
    if os.geteuid() == 0 and shutil.which("systemd-analyze") is not None:
        assert {"mounts", "user", "calls"} <= cell.enforced  # what is asked of a machine that can


def test_it_rotates_in_there(cell: Cell) -> None:
    before = {one.key_id for one in cell.sandbox.directory.live(KONTROLLE_PROD)}
    done = cell.run(*COMMAND, "rotate", "kontrolle-plus-prod", "-o", "json")
    assert done.returncode == 0, done.stderr
    (item,) = json.loads(done.stdout)["items"]
    assert item["outcome"] == "promoted"
    assert item["new_key_id"] not in before
    assert item["new_key_id"] in {one.key_id for one in cell.sandbox.directory.live(KONTROLLE_PROD)}


def test_the_service_rotates_in_there_under_a_manager(cell: Cell) -> None:
    config = cell.folder / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "service: {tick: 1s}\n", encoding="utf-8")
    with cell.service() as one:
        one.ready().has("rotation.finished", credential="kontrolle-plus-prod", reason="promoted")
        until("it is said what it does", lambda: one.said("STATUS=2 tracked"))
        one.signal(signal.SIGHUP)
        one.has("config.loaded", 2)
        assert one.stopped() == 0
    assert one.said("STOPPING=1") == ["STOPPING=1"]


def test_it_remembers_the_boot_it_rotated_in_so_that_a_grace_survives_a_restart(cell: Cell) -> None:
    cell.run(*COMMAND, "rotate", "kontrolle-plus-prod")
    done = cell.run(sys.executable, "-c", _BOOTS, str(cell.folder / "rotator.db"))
    assert done.returncode == 0, done.stderr
    boots = set(json.loads(done.stdout))
    assert boots == {Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()}


def test_what_it_leaves_behind_is_for_its_owner_alone(cell: Cell) -> None:
    cell.run(*COMMAND, "rotate", "kontrolle-plus-prod")
    left = [cell.folder / "rotator.db", cell.folder / "store-key", *(cell.folder / "secrets").rglob("*")]
    assert {one.name: one.stat().st_mode & 0o077 for one in left} == {one.name: 0 for one in left}


_BOOTS = """
import json, sqlite3, sys
with sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True) as state:
    print(json.dumps([boot for (boot,) in state.execute("SELECT sent_boot_id FROM intents")]))
"""


_SERVE = """
import os, sys, urllib.request
from rotator.app.figures import Pulse
from rotator.app.house import House
from rotator.app.serving import Serving

class Loop:
    def pulse(self): return Pulse(None, reloaded=True)
    def stuck(self): return None
    def unwritable(self): return None

with House.open(None, environ=os.environ, argv=("rotator", "daemon")) as house:
    serving = Serving(house, Loop())
    serving.start()
    for page in ("metrics", "healthz", "readyz"):
        with urllib.request.urlopen(f"http://127.0.0.1:{serving.port}/{page}") as answer:
            print(page, answer.status, b"rotator_build_info" in answer.read())
    serving.stop()
"""


def test_it_serves_metrics_and_health_in_there(cell: Cell) -> None:
    config = cell.folder / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("\nstores:", '\nservice: {listen: "127.0.0.1:0"}\n\nstores:', 1), encoding="utf-8")
    assert cell.run(*COMMAND, "rotate", "kontrolle-plus-prod").returncode == 0
    done = cell.run(sys.executable, "-c", _SERVE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["metrics 200 True", "healthz 200 False", "readyz 200 False"]
