"""How quickly the audit records are walked, checked and filtered: a million of them, in fresh processes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.grounds import NOW, fill_audit
from benchmarks.measuring import (
    Table,
    count,
    forget_peak,
    in_a_process,
    megabytes,
    middle,
    peak,
    resident,
    seconds,
    times,
)
from rotator.clock import SystemClock
from rotator.event import Event, EventName
from rotator.exports import Form, Origin, lines
from rotator.persistence.ledger import SqlLedger
from rotator.persistence.reading import AuditFilter, Reader

MANY: Final = 1_000_000
TURNS: Final = 3
_NAME: Final = "partner-000500-prod"
_WAYS: Final = {
    "bare": "read every row with sqlite3, and nothing else",
    "verify": "verify: every hash and every link",
    "export": "export as jsonl",
    "ocsf": "export as OCSF",
    "all": "list without a filter",
    "name": "list of one credential in a thousand",
    "event": "list of one event in ten",
    "day": "list of one day",
    "tail": "the newest 50",
    "tail of name": "the newest 50 of one credential",
}


def measure(folder: Path) -> Iterator[Table]:
    """Yield one table. folder: to work in."""
    database = folder / "rotator.db"
    fill_audit(database, MANY)
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in _WAYS}
    for _ in range(TURNS):
        for way, told in found.items():
            told.append(in_a_process("benchmarks.audit", str(database), way))
    took = {way: middle(one["took"] for one in told) for way, told in found.items()}
    rows = [
        (
            what,
            count(found[way][0]["found"]),
            seconds(took[way]),
            times(took[way], took["bare"]),
            count(MANY / took[way]),
            megabytes(max(one["grew"] for one in found[way])),
            {"verify": "20 s"}.get(way, ""),
        )
        for way, what in _WAYS.items()
    ]
    yield Table(
        f"Reading {count(MANY)} audit records",
        ("", "found", "time", "of bare reading", "records/s", "memory", "at most"),
        rows,
        (
            f"Median of {TURNS} fresh processes each, each record given up after it was seen.",
            f"The file: {megabytes(database.stat().st_size)}. Records/s: of the million, however few fit.",
        ),
    )

    waits = beside_a_writer(database)
    yield Table(
        "One append, while nobody reads and beside a walk along all records",
        ("appends", "alone", "beside verify"),
        [
            (f"{what} took at most", *(f"{waits[f'{what} {way}'] * 1000:.1f} ms" for way in ("alone", "beside")))
            for what in ("half of", "99 of 100", "all")
        ],
        ("A transaction that is on the disk each; 20 ms between them while the walk goes on.",),
    )


def main(database: Path, way: str) -> None:
    """Do it once, and print what it took as JSON."""
    forget_peak()
    before, started = resident(), time.perf_counter()
    found = _bare(database) if way == "bare" else _asked(database, way)
    took = time.perf_counter() - started
    print(json.dumps({"took": took, "found": found, "grew": peak() - before}))


def _bare(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return sum(1 for _ in connection.execute("SELECT * FROM audit ORDER BY seq"))


def _asked(database: Path, way: str) -> int:
    ways: Mapping[str, Callable[[Reader], int]] = {
        "verify": _verified,
        "export": lambda reader: _exported(reader, Form.JSONL),
        "ocsf": lambda reader: _exported(reader, Form.OCSF),
        "all": lambda reader: _number(reader.audit()),
        "name": lambda reader: _number(reader.audit(AuditFilter(credential=_NAME))),
        "event": lambda reader: _number(reader.audit(AuditFilter(event="version.promoted", outcome="succeeded"))),
        "day": lambda reader: _number(reader.audit(AuditFilter(since=NOW - timedelta(days=1)))),
        "tail": lambda reader: len(reader.audit_tail()),
        "tail of name": lambda reader: len(reader.audit_tail(AuditFilter(credential=_NAME))),
    }
    with Reader(database) as reader:
        return ways[way](reader)


def _verified(reader: Reader) -> int:
    verified = reader.verify()
    if verified.broken is not None:
        raise ValueError(verified.broken.reason)
    return verified.last


def _exported(reader: Reader, form: Form) -> int:
    return _number(lines(form, reader.audit(), Origin("0", "host", "")))


def beside_a_writer(database: Path) -> dict[str, float]:
    """Let a writer append all the time, first alone and then beside a walk; return what one append took, in seconds."""
    event = Event(EventName.CONFIG_LOADED, "benchmark")
    took: dict[str, list[float]] = {"alone": [], "beside": []}
    with SqlLedger(database, SystemClock()) as ledger:
        for _ in range(200):
            took["alone"].append(_timed(lambda: ledger.record(event)))
        words = [sys.executable, "-m", "benchmarks.audit", str(database), "verify"]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL) as walk:
            while walk.poll() is None:
                took["beside"].append(_timed(lambda: ledger.record(event)))
                time.sleep(0.02)
        if walk.returncode != 0:
            raise ValueError("the walk failed")
    return {
        f"{what} {way}": ordered[place]
        for way, found in took.items()
        if (ordered := sorted(found))
        for what, place in (("half of", len(ordered) // 2), ("99 of 100", len(ordered) * 99 // 100), ("all", -1))
    }


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _number(records: Iterator[object]) -> int:
    return sum(1 for _ in records)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
