"""Rotations a second, with 80 ms on every answer of the issuers, beside a script that makes only the needed calls.

Both are processes of their own, and the issuers a third one. Each rotates every application once before it is measured,
so that there is a secret in use to be proved, and takes its token for Graph before the clock starts.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.grounds import configuration
from benchmarks.issuer import Issuer, app_id
from benchmarks.measuring import Table, in_a_process, middle, seconds
from rotator.app.house import House
from rotator.app.rotating import Wish, rotate

APPS: Final = 50
LATENCY: Final = 0.08
AT_ONCE: Final = 4
TURNS: Final = 5


def measure(folder: Path) -> Iterator[Table]:
    """Yield two tables: how quick it is, and what the issuers were asked. folder: to work in."""
    took: dict[str, list[float]] = {"raw": [], "rotator": []}
    asked: dict[str, Counter[str]] = {}
    with Issuer.start(folder / "issuer", apps=APPS, latency=LATENCY) as issuer:
        for turn in range(TURNS):
            took["raw"].append(
                in_a_process("benchmarks.raw", json.dumps(issuer.facts), str(APPS), str(AT_ONCE))["took"]
            )
            asked["raw"] = Counter(one.route for one in issuer.seen())
            place = folder / str(turn)
            prepare(place, issuer, AT_ONCE)
            took["rotator"].append(in_a_process("benchmarks.rotations", str(place))["took"])
            asked["rotator"] = Counter(one.route for one in issuer.seen())
    yield _speed(took)
    yield _requests(asked)


def prepare(place: Path, issuer: Issuer, at_once: int) -> None:
    """Make a folder with a configuration for all applications of an issuer."""
    place.mkdir(mode=0o700)
    apps = [(f"partner-{number:03d}", "contoso", app_id(number)) for number in range(APPS)]
    (place / "config.yaml").write_text(configuration({"contoso": issuer.facts}, apps, at_once), encoding="utf-8")


def _speed(took: dict[str, list[float]]) -> Table:
    middles = {name: middle(found) for name, found in took.items()}
    share = middle(raw / ours for raw, ours in zip(took["raw"], took["rotator"], strict=True))
    rows = [
        ("the script", seconds(middles["raw"]), f"{APPS / middles['raw']:.2f}", "1.00", ""),
        ("rotator", seconds(middles["rotator"]), f"{APPS / middles['rotator']:.2f}", f"{share:.2f}", "0.60"),
    ]
    return Table(
        f"{APPS} rotations, {AT_ONCE} in flight, {LATENCY * 1000:g} ms on every answer",
        ("", "time", "rotations/s", "of the script's", "at least"),
        rows,
        (f"Median of {TURNS} runs by turns. Embedded store, SQLite, three proofs without a pause.",),
    )


def _requests(asked: dict[str, Counter[str]]) -> Table:
    routes = sorted(set().union(*asked.values()))
    rows = [(route, str(asked["raw"][route]), str(asked["rotator"][route])) for route in routes]
    return Table(
        "What the issuers were asked in one run",
        ("route", "the script", "rotator"),
        rows,
        (f"Both rotate {APPS} applications twice; the second time is measured.",),
    )


def main(place: Path) -> None:
    """Rotate every credential twice, and print how long the second time took."""
    with House.open(str(place / "config.yaml"), environ={}, argv=("rotator", "rotate")) as house:
        _all_promoted(house)
        started = time.perf_counter()
        _all_promoted(house)
        print(json.dumps({"took": time.perf_counter() - started}))


def _all_promoted(house: House) -> None:
    rotated = rotate(house, Wish(everything=True, now=True))
    outcomes: Counter[Any] = Counter(item["outcome"] for item in rotated.items)
    if outcomes != Counter(promoted=APPS):
        raise ValueError(f"{dict(outcomes)}: {rotated.troubles[:1]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
