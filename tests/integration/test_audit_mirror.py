"""Copies of the records: a real socket and a real file get each record, whatever happens to them in between."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from rotator.app import auditing, mirroring
from rotator.app.auditing import Filter
from rotator.app.config.faults import ConfigFaults
from rotator.app.mirroring import Mirroring
from rotator.app.rotating import Wish, rotate
from rotator.app.watching import status
from rotator.exports import mirrors
from tests.fakes.app_bench import Bench


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where syslog would listen; nobody does yet."""
    monkeypatch.setattr(mirrors.SyslogMirror.__init__, "__defaults__", (tmp_path / "log",))
    return tmp_path / "log"


@pytest.fixture
def syslog(address: Path) -> Iterator[socket.socket]:
    with closing(listening(address)) as there:
        yield there


def listening(address: Path, kind: int = socket.SOCK_DGRAM) -> socket.socket:
    there = socket.socket(socket.AF_UNIX, kind)
    there.bind(str(address))
    there.settimeout(10)
    return there


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def mirrored(bench: Bench, what: str) -> None:
    text = bench.config.read_text(encoding="utf-8")
    bench.config.write_text(text.replace("stores:", f"audit: {{mirror: {what}}}\nstores:", 1), encoding="utf-8")


def rotated(bench: Bench, **wish: object) -> None:
    with bench.house() as house:
        assert rotate(house, Wish(**wish)).exit_status == 0  # type: ignore[arg-type]


def records(bench: Bench) -> list[dict[str, object]]:
    with bench.house() as house:
        return [dict(item) for item in auditing.audit_stream(house, Filter())]


def remarks(bench: Bench) -> list[str]:
    with bench.house() as house:
        return [one.message for one in status(house).remarks if one.name == "audit"]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_file_gets_every_record_once_and_is_made_anew_after_logrotate(bench: Bench, tmp_path: Path) -> None:
    mirrored(bench, '["file:audit.jsonl"]')
    rotated(bench)
    file = tmp_path / "audit.jsonl"
    assert lines(file) == records(bench)
    assert file.stat().st_mode & 0o777 == 0o600
    file.rename(tmp_path / "audit.jsonl.1")
    rotated(bench, names=("one",), now=True)
    assert lines(tmp_path / "audit.jsonl.1") + lines(file) == records(bench)


def heard(there: socket.socket) -> list[str]:
    """Return what is told from now on, as it comes: the queue of such a socket is short."""
    told: list[str] = []

    def listen() -> None:
        with suppress(OSError):
            while data := there.recv(65536):
                told.append(data.decode())

    threading.Thread(target=listen, daemon=True).start()
    return told


def wait_for(told: list[str], count: int) -> list[str]:
    deadline = time.monotonic() + 20
    while len(told) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return told


def test_syslog_gets_datagrams_of_rfc_5424(bench: Bench, syslog: socket.socket) -> None:
    mirrored(bench, "[syslog]")
    told = heard(syslog)
    rotated(bench, names=("one",), now=True)
    for line, one in zip(wait_for(told, len(records(bench))), records(bench), strict=True):
        assert line.startswith("<1") and f'hash="{one["hash"]}"' in line and not line.endswith("\n")


def test_syslog_on_a_stream_gets_a_line_each(address: Path) -> None:
    with closing(listening(address, socket.SOCK_STREAM)) as there:
        there.listen()
        mirrors.SyslogMirror().take([{"seq": 1, "time": "2026-11-24T14:01:07.123456Z", "event": "daemon.started"}] * 2)
        taken, _ = there.accept()
        with closing(taken):
            text = taken.recv(65536)
    assert text.count(b"\n") == 2


def test_a_receiver_that_is_gone_delays_nothing_is_told_of_and_gets_what_it_missed(bench: Bench, address: Path) -> None:
    mirrored(bench, "[syslog]")
    rotated(bench)
    assert remarks(bench) == ["The mirror syslog has taken no record after 0: No such file or directory."]
    with closing(listening(address)) as there:
        told = heard(there)
        rotated(bench, names=("one",), now=True)
        wait_for(told, len(records(bench)))
    assert [f'seq="{number}"' in line for number, line in enumerate(told, 1)] == [True] * len(told)
    assert remarks(bench) == []


def test_a_receiver_that_takes_nothing_is_given_up_in_time(bench: Bench, address: Path) -> None:
    """Its buffer is full: the rotation is done all the same, and no record is counted that was not taken."""
    mirrored(bench, "[syslog]")
    with closing(listening(address)) as there:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as flood:
            flood.setblocking(False)
            flood.connect(str(address))
            with pytest.raises(BlockingIOError):
                while True:
                    flood.send(b"x" * 1024)
        rotated(bench)
        assert "has taken no record after 0" in remarks(bench)[0]
        there.setblocking(False)


def test_a_pipe_that_nobody_reads_and_a_folder_that_is_missing_are_refused(bench: Bench, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    mirrored(bench, '["file:pipe/x", "file:missing/audit.jsonl"]')
    rotated(bench)
    assert len(remarks(bench)) == 2
    assert not (tmp_path / "missing").exists()


def test_a_line_that_was_cut_short_gets_an_end(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"seq": 1, "ha')
    mirrors.FileMirror(path).take([{"seq": 1}])
    assert path.read_text().splitlines()[1].startswith('{"seq":1')


def test_the_companion_hands_over_what_is_written_and_ends(bench: Bench, tmp_path: Path) -> None:
    mirrored(bench, '["file:audit.jsonl"]')
    with bench.house() as house:
        companion = Mirroring(house)
        companion.start()
        rotate(house, Wish())
        deadline = time.monotonic() + 20
        while (
            not (tmp_path / "audit.jsonl").exists() or len(lines(tmp_path / "audit.jsonl")) < house.ledger().head().seq
        ):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        companion.stop()
        assert companion.beat() is None
    assert lines(tmp_path / "audit.jsonl") == records(bench)


def test_a_long_record_is_handed_over_in_parts(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rotated(bench)
    mirrored(bench, '["file:audit.jsonl"]')
    monkeypatch.setattr(mirroring, "AT_ONCE", 3)
    with bench.house() as house:
        mirroring.hand_over(house, house.ledger(), batches=2)
        assert len(lines(tmp_path / "audit.jsonl")) == 6


@pytest.mark.parametrize("what", ["syslog", "[journal]", "[syslog, syslog]", "[7]", '["file:"]'])
def test_a_mirror_that_is_none_is_a_fault_of_the_configuration(bench: Bench, what: str) -> None:
    mirrored(bench, what)
    with pytest.raises(ConfigFaults):
        bench.house()
