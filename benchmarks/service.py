"""What the service costs when nothing is due: its start, its memory, its wake-ups, and a tick at any size.

The process is the real one, under a service manager of ours; ten thousand credentials sleep for the next hour.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.grounds import credential, fill
from benchmarks.measuring import Table, count, megabytes, middle, seconds, times
from benchmarks.scraping import _ENTRY, _HEAD
from rotator.clock import SystemClock
from rotator.persistence import rows
from rotator.persistence.ledger import SqlLedger

MANY: Final = 10_000
FEW: Final = 1_000
MILLION: Final = 1_000_000
TURNS: Final = 3
WATCHED: Final = 20
"""Seconds for which the sleeping process is watched; its tick is one second."""


def measure(folder: Path) -> Iterator[Table]:
    """Yield two tables. folder: to work in."""
    yield _process(folder)
    yield _ticks(folder)


def _process(folder: Path) -> Table:
    now = datetime.now(UTC)
    fill(folder / "rotator.db", MANY, now)
    with closing(sqlite3.connect(folder / "rotator.db")) as state, state:
        state.execute("UPDATE credentials SET wake_at = ?", (rows.micros(now + timedelta(minutes=50)),))
        state.execute("DELETE FROM requests")
    entries = [_ENTRY.format(name=credential(number).name, number=number) for number in range(MANY)]
    head = _HEAD.replace('service: {listen: "127.0.0.1:0"}', "service: {tick: 1s}")
    (folder / "config.yaml").write_text(head + "".join(entries), encoding="utf-8")
    with closing(sqlite3.connect(folder / "rotator.db")) as state, state:  # they are what the configuration says
        state.execute("UPDATE credentials SET store_path = 'local:p/' || name")
    found = [_one(folder) for _ in range(TURNS)]
    ready, weight, wakes, wrote = (middle(one[part] for one in found) for part in range(4))
    return Table(
        f"The service with {count(MANY)} credentials, of which none is due",
        ("", "measured", "at most"),
        (
            ("from its start to READY", seconds(ready), "3 s"),
            ("resident memory after some ticks", megabytes(weight), "120 MB"),
            ("wake-ups of the loop per tick", f"{wakes:.2f}", "1"),
            ("bytes written to the state by its ticks", count(wrote), "0"),
        ),
        (f"Median of {TURNS} processes, each watched for {WATCHED} ticks of a second; no metrics are served.",),
    )


def _one(folder: Path) -> tuple[float, float, float, float]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        place = folder / "notify"
        place.unlink(missing_ok=True)
        ear.bind(str(place))
        ear.settimeout(60)
        environ = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(place), "HOME": str(folder)}
        began = time.perf_counter()
        command = [sys.executable, "-m", "rotator.cli.main", "--config", "config.yaml", "daemon"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
        try:
            while b"READY=1" not in ear.recv(4096):
                pass
            ready = time.perf_counter() - began
            time.sleep(5)
            before = (folder / "rotator.db").read_bytes()
            woken, ticked = _woken(process.pid), time.perf_counter()
            time.sleep(WATCHED)
            ticks = time.perf_counter() - ticked
            wakes = (_woken(process.pid) - woken) / ticks
            after = (folder / "rotator.db").read_bytes()
            wrote = sum(one != other for one, other in zip(before, after, strict=False)) + abs(len(after) - len(before))
            return ready, float(_resident(process.pid)), wakes, float(wrote)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _woken(pid: int) -> int:
    """Return how often the main thread gave up the processor to wait: once for each time it was woken."""
    status = Path(f"/proc/{pid}/task/{pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("voluntary_ctxt_switches")))


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def _ticks(folder: Path) -> Table:
    found = {many: _asked(folder / f"{many}.db", many) for many in (FEW, MILLION)}
    return Table(
        "What a tick asks of the ledger when nothing is due",
        ("tracked", "time", "at most"),
        (
            (count(FEW), _us(found[FEW]), ""),
            (count(MILLION), _us(found[MILLION]), "1.5x"),
            ("the one by the other", times(found[MILLION], found[FEW]), "1.5x"),
        ),
        ("Is the file still there, who can need something now, how many wait for a person? Median of 200.",),
    )


def _us(duration: float) -> str:
    return f"{duration * 1e6:.0f} µs"


def _asked(database: Path, many: int) -> float:
    """Return the seconds that the questions of a tick take with so many sleeping credentials."""
    fill(database, 1)
    now = datetime.now(UTC)
    with closing(sqlite3.connect(database)) as state, state:
        state.execute("DELETE FROM requests")
        names = [name for _, name, *_ in state.execute("PRAGMA table_info(credentials)")]
        others = ", ".join(name for name in names if name != "name")
        state.execute(
            f"INSERT INTO credentials (name, {others}) WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k "
            f"LIMIT ?) SELECT 'c' || k.n, {others} FROM k, (SELECT * FROM credentials LIMIT 1)",
            (many - 1,),
        )
        state.execute("UPDATE credentials SET parked = NULL, wake_at = ?", (rows.micros(now + timedelta(minutes=50)),))
    taken = []
    with SqlLedger(database, SystemClock()) as ledger:
        for _ in range(200):
            began = time.perf_counter()
            ledger.see_that_it_is_there()
            assert ledger.waking(now, many + 1000) == ()
            assert ledger.parked_count() == 0
            taken.append(time.perf_counter() - began)
    return middle(taken)
