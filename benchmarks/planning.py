"""How long it takes to plan a hundred thousand credentials, in a fresh process: from the file to a decision for each.

The configuration is left aside: its credentials are made before the clock starts.
"""

from __future__ import annotations

import gc
import json
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.grounds import NOW, credential, fill
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
from rotator.outlook import outlook
from rotator.persistence.reading import Reader
from rotator.planner import next_action

MANY: Final = 100_000
TURNS: Final = 5
JITTER: Final = timedelta(minutes=5)
_SAME_ROWS: Final = (
    "SELECT * FROM credentials ORDER BY name",
    "SELECT * FROM versions WHERE state NOT IN ('retired', 'abandoned', 'left')",
    "SELECT * FROM rotations WHERE phase NOT IN ('promoted', 'abandoned')",
    "SELECT * FROM rotations WHERE n IN (SELECT max(n) FROM rotations GROUP BY credential)",
    "SELECT * FROM requests WHERE answered_by IS NULL",
)
_WAYS: Final = {
    "bare": "read the same rows with sqlite3, and nothing else",
    "read": "read them through the ledger",
    "plan": "read them and plan: outlook for each, which tells its state and its next action",
    "both": "the same, and next_action once more",
    "kept": "read and plan, all kept at once (as `status` does)",
}


def measure(folder: Path) -> Iterator[Table]:
    """Yield one table. folder: to work in."""
    database = folder / "rotator.db"
    fill(database, MANY)
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in _WAYS}
    for _ in range(TURNS):
        for way, told in found.items():
            told.append(in_a_process("benchmarks.planning", str(database), way))
    took = {way: middle(one["took"] for one in told) for way, told in found.items()}
    rows = [
        (
            what,
            seconds(took[way]),
            times(took[way], took["bare"]),
            megabytes(max(one["grew"] for one in found[way])),
            {"plan": "2 s, 200 MB"}.get(way, ""),
        )
        for way, what in _WAYS.items()
    ]
    states = ", ".join(f"{many} {state}" for state, many in found["both"][0]["states"].items())
    yield Table(
        f"Planning {count(MANY)} credentials",
        ("", "time", "of bare reading", "memory", "at most"),
        rows,
        (
            f"Median of {TURNS} fresh processes each; memory: the highest growth of any. {states}.",
            f"The file: {megabytes(database.stat().st_size)}; four rotations and some twelve intents a credential.",
        ),
    )


def main(database: Path, way: str) -> None:
    """Do it once, and print what it took as JSON."""
    credentials = {one.name: one for one in map(credential, range(MANY))}
    gc.collect()
    gc.set_threshold(100_000)  # as every command of rotator does
    forget_peak()
    before, started = resident(), time.perf_counter()
    states, kept = _bare(database) if way == "bare" else _planned(database, way, credentials)
    took = time.perf_counter() - started
    grew = peak() - before
    print(json.dumps({"took": took, "grew": grew, "states": states, "kept": len(kept)}))


def _bare(database: Path) -> tuple[Counter[str], list[Any]]:
    with closing(sqlite3.connect(database)) as connection:
        for question in _SAME_ROWS:
            for _ in connection.execute(question):
                pass
    return Counter(), []


def _planned(database: Path, way: str, credentials: dict[str, Any]) -> tuple[Counter[str], list[Any]]:
    states: Counter[str] = Counter()
    kept: list[Any] = []
    with Reader(database) as reader:
        for tracked in reader.every():
            one = credentials[tracked.state.name]
            if way == "both":
                next_action(one, tracked, NOW, JITTER)
            if way != "read":
                seen = outlook(one, tracked, NOW, JITTER)
                states[seen.state] += 1
                if way == "kept":
                    kept.append((tracked, seen))
    return states, kept


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
