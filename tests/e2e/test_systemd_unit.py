"""The unit in systemd/: what it promises, read strictly here, and by systemd itself where its tools are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rotator.app.handover.caller import READERS
from tests.e2e.unit_file import Unit, read_unit, seconds

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT = FOLDER / "rotator.service"

HARDENING = {
    "AmbientCapabilities": "",
    "CapabilityBoundingSet": "",
    "DevicePolicy": "closed",
    "KeyringMode": "private",
    "LimitCORE": "0",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "MemorySwapMax": "0",
    "NoNewPrivileges": "yes",
    "PrivateDevices": "yes",
    "PrivateIPC": "yes",
    "PrivateMounts": "yes",
    "PrivateTmp": "yes",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHome": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectProc": "invisible",
    "ProtectSystem": "strict",
    "RemoveIPC": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
}


@pytest.fixture
def unit() -> Unit:
    return read_unit(UNIT)


def one(unit: Unit, name: str, section: str = "Service") -> str:
    (value,) = unit[section][name]
    return value


def test_nothing_of_the_hardening_is_missing(unit: Unit) -> None:
    assert {name: one(unit, name) for name in HARDENING} == HARDENING
    assert unit["Service"]["SystemCallFilter"] == ("@system-service", "~@privileged @resources")


def test_the_boot_clock_is_left_in_sight(unit: Unit) -> None:
    assert one(unit, "ProcSubset") == "all"


def test_the_callers_of_its_socket_can_be_told_apart(unit: Unit) -> None:
    assert one(unit, "PrivateUsers") == "no"


def test_systemd_never_gives_up_but_for_a_wrong_configuration(unit: Unit) -> None:
    assert one(unit, "StartLimitIntervalSec", "Unit") == "0"
    assert one(unit, "Restart") == "on-failure"
    assert one(unit, "RestartPreventExitStatus").split() == ["78"]


def test_a_foreground_run_of_fifteen_minutes_is_outwaited(unit: Unit) -> None:
    assert seconds(one(unit, "TimeoutStartSec")) > 15 * 60


def test_a_stop_has_time_for_the_step_in_hand_and_a_stuck_loop_is_noticed(unit: Unit) -> None:
    assert seconds(one(unit, "TimeoutStopSec")) > 15
    assert 30 < seconds(one(unit, "WatchdogSec")) <= 300
    assert (one(unit, "Type"), one(unit, "NotifyAccess")) == ("notify", "main")


def test_the_folders_are_where_the_defaults_of_the_configuration_expect_them(unit: Unit) -> None:
    folders = {one(unit, f"{kind}Directory") for kind in ("State", "Runtime", "Logs")}
    assert folders == {"rotator"}
    assert one(unit, "StateDirectoryMode") == "0700"
    assert one(unit, "ExecStart").split()[1:] == ["--config", "/etc/rotator/config.yaml", "daemon"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("MemoryDenyWriteExecute=yes", "MemoryDenyWriteExecuted=yes"), "unknown directive"),
        (("ProtectSystem=strict", "ProtectSystem=stict"), "a value"),
        (("PrivateTmp=yes", "PrivateTmp=yes\nPrivateTmp=no"), "twice"),
        (("[Install]", "[Instal]"), "section"),
    ],
)
def test_a_slip_of_the_pen_is_found(tmp_path: Path, change: tuple[str, str], what: str) -> None:
    wrong = tmp_path / "rotator.service"
    text = UNIT.read_text(encoding="ascii")
    assert change[0] in text
    wrong.write_text(text.replace(*change), encoding="ascii")
    with pytest.raises(ValueError, match=what):
        read_unit(wrong)


def test_systemd_finds_nothing_wrong_and_little_exposed(tmp_path: Path, unit: Unit) -> None:
    """Where its tools are not installed, the other tests here are what is known of the unit."""
    if shutil.which("systemd-analyze") is None:
        assert unit
        return
    # The program is not installed where the unit says; that is the only thing that may be different.
    there = tmp_path / "rotator.service"
    there.write_text(UNIT.read_text(encoding="ascii").replace("/opt/rotator/bin/rotator", "/bin/true"))
    verified = _run("systemd-analyze", "verify", "--man=no", str(there))
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    judged = _run("systemd-analyze", "security", "--offline=true", "--no-pager", str(there))
    exposure = re.search(r"Overall exposure level for rotator.service: ([0-9.]+)", judged.stdout)
    assert exposure is not None
    assert float(exposure[1]) <= 1.5


def test_user_and_folders_are_made_as_the_unit_needs_them(tmp_path: Path, unit: Unit) -> None:
    user = _lines("rotator.sysusers")
    name = one(unit, "User")
    assert [line.split()[:3] for line in user] == [["g", READERS, "-"], ["u", name, "-"], ["m", name, READERS]]
    made = {line.split()[1]: line.split()[2:5] for line in _lines("rotator.tmpfiles")}
    assert made["/etc/rotator"] == ["0750", "root", one(unit, "Group")]
    assert made["/etc/credstore.encrypted"] == ["0700", "root", "root"]
    if shutil.which("systemd-sysusers") is not None:
        (tmp_path / "etc").mkdir()
        done = _run("systemd-sysusers", "--dry-run", f"--root={tmp_path}", str(FOLDER / "rotator.sysusers"))
        assert done.returncode == 0
        assert "Would create user 'rotator'" in done.stderr or "Creating user 'rotator'" in done.stderr


def _lines(name: str) -> list[str]:
    text = (FOLDER / name).read_text(encoding="ascii")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/sbin:/usr/bin:/bin"})
