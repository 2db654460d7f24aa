"""What the service manager is told, on a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.app.notify_socket import Manager


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(tmp_path / "notify"))
        one.settimeout(5)
        yield one, str(tmp_path / "notify")


def test_it_is_told_what_sd_notify_describes(ear: tuple[socket.socket, str]) -> None:
    one, address = ear
    manager = Manager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 7)
    manager.ready()
    manager.reloading()
    manager.more_time(timedelta(seconds=2))
    manager.status("a\nb")
    manager.status("a  b")
    manager.alive()
    manager.stopping()
    said = [one.recv(1000).decode() for _ in range(6)]
    assert said[0] == "READY=1"
    reloading, _, since = said[1].partition("\nMONOTONIC_USEC=")
    assert reloading == "RELOADING=1"
    assert since.isdigit()
    assert said[2:] == ["EXTEND_TIMEOUT_USEC=2000000", "STATUS=a b", "WATCHDOG=1", "STOPPING=1"]
    assert manager.watchdog == timedelta(seconds=3)


def test_an_abstract_address_begins_with_an_at(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(f"\0rotator-test-{tmp_path.name}")
        one.settimeout(5)
        Manager({"NOTIFY_SOCKET": f"@rotator-test-{tmp_path.name}"}, 7).ready()
        assert one.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    "environ",
    [
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"},
        {},
    ],
)
def test_a_watchdog_that_is_not_ours_is_not_fed(ear: tuple[socket.socket, str], environ: dict[str, str]) -> None:
    one, address = ear
    manager = Manager({"NOTIFY_SOCKET": address, **environ}, 7)
    manager.alive()
    manager.ready()
    assert (manager.watchdog, one.recv(100)) == (None, b"READY=1")


def test_without_a_manager_nobody_is_told_and_nothing_fails(tmp_path: Path) -> None:
    Manager({}, 7).ready()
    gone = Manager({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, 7)
    gone.status("x")
