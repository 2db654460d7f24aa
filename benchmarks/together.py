"""What runs at the same time, and who waits for whom: as the issuers see it, and by when each provider is done.

Every run is a process of its own that rotates all its credentials once before it is measured, so that there is a secret
in use to be proved.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.grounds import configuration
from benchmarks.issuer import Issuer, Visit, app_id, most_at_once
from benchmarks.measuring import Table, in_a_process, middle, seconds, times
from rotator.app.house import House
from rotator.app.rotating import Wish, rotate

APPS: Final = 50
LATENCY: Final = 0.08
SLOW: Final = 1.0
SLOW_APPS: Final = 8
TURNS: Final = 3
VENDORS: Final = 10
EACH: Final = 10
STEP: Final = 0.05
_RUNS: Final = ((1, "0s"), (4, "0s"), (16, "0s"), (4, "2s"))


def measure(folder: Path) -> Iterator[Table]:
    """Yield three tables: one provider with more and fewer at work, a slow one beside another, and ten of them."""
    with Issuer.start(folder / "fast", apps=APPS, latency=LATENCY) as fast:
        yield _at_once(folder, fast)
        with Issuer.start(folder / "slow", apps=SLOW_APPS, latency=SLOW) as slow:
            yield _side_by_side(folder, fast, slow)
    yield _ten(folder)


# ------------------------------------------------------------------------------------------------------- one provider


def _at_once(folder: Path, issuer: Issuer) -> Table:
    rows = []
    for at_once, spacing in _RUNS:
        place = _place(folder / f"at-once-{at_once}-{spacing}", {"fast": (issuer, APPS)}, at_once, spacing)
        told = in_a_process("benchmarks.together", str(place))
        visits = [one for one in issuer.seen() if one.app and one.begins >= told["began"]]
        rows.append(
            (
                f"concurrency {at_once}, spacing {spacing}",
                seconds(told["took"]),
                f"{APPS / told['took']:.2f}",
                str(most_at_once((one.begins, one.ends) for one in visits)),
                str(most_at_once(_proving(visits))),
            )
        )
    return Table(
        f"{APPS} rotations due at once, {LATENCY * 1000:g} ms on every answer",
        ("", "time", "rotations/s", "requests at once", "being proved at once"),
        rows,
        (
            "At once: the most that the issuers saw. Being proved: from the first to the last proof of the new secret.",
            "Whoever waits between two proofs gives up its turn, so more are being proved than are at work.",
        ),
    )


def _proving(visits: Sequence[Visit]) -> Iterator[tuple[float, float]]:
    """Yield from when to when the new secret of each application was proved."""
    made = {one.app: one.ends for one in visits if one.route == "add_password"}
    for app, at in made.items():
        proofs = [one for one in visits if one.app == app and one.route == "token" and one.begins >= at]
        yield min(one.begins for one in proofs), max(one.ends for one in proofs)


# ------------------------------------------------------------------------------------------------------- two providers


def _side_by_side(folder: Path, fast: Issuer, slow: Issuer) -> Table:
    alone: list[float] = []
    beside: list[dict[str, float]] = []
    for turn in range(TURNS):
        place = _place(folder / f"alone-{turn}", {"fast": (fast, APPS)}, 4, "0s")
        alone.append(in_a_process("benchmarks.together", str(place))["ended"]["fast"])
        both = {"slow": (slow, SLOW_APPS), "fast": (fast, APPS)}
        place = _place(folder / f"beside-{turn}", both, 4, "0s")
        beside.append(in_a_process("benchmarks.together", str(place))["ended"])
    without, with_it = middle(alone), middle(one["fast"] for one in beside)
    rows = [
        (f"the fast one, {APPS} rotations, alone", seconds(without), "1.00 x"),
        ("the fast one, beside the slow one", seconds(with_it), times(with_it, without)),
        (f"the slow one, {SLOW_APPS} rotations", seconds(middle(one["slow"] for one in beside)), ""),
    ]
    return Table(
        f"Two providers, one with {SLOW:g} s on every answer",
        ("", "done after", "of alone"),
        rows,
        (f"Median of {TURNS} runs by turns, concurrency 4, the slow one first in the configuration.",),
    )


# ------------------------------------------------------------------------------------------------------ ten providers


def _ten(folder: Path) -> Table:
    latencies = {f"vendor-{number}": number * STEP for number in range(1, VENDORS + 1)}
    slowest = f"vendor-{VENDORS}"
    alone, together = list[float](), list[float]()
    with ExitStack() as stack:
        issuers = {
            name: (stack.enter_context(Issuer.start(folder / name, apps=EACH, latency=latency)), EACH)
            for name, latency in latencies.items()
        }
        for turn in range(TURNS):
            place = _place(folder / f"slowest-{turn}", {slowest: issuers[slowest]}, 4, "0s")
            alone.append(in_a_process("benchmarks.together", str(place))["took"])
            place = _place(folder / f"ten-{turn}", issuers, 4, "0s")
            together.append(in_a_process("benchmarks.together", str(place))["took"])
    without, with_it = middle(alone), middle(together)
    rows = [
        (f"the slowest alone, {EACH} rotations", seconds(without), "1.00 x"),
        (f"all, {VENDORS * EACH} rotations", seconds(with_it), times(with_it, without)),
    ]
    return Table(
        f"{VENDORS} providers, {STEP * 1000:g} ms on every answer of the first to {VENDORS * STEP:g} s of the last",
        ("", "time", "of the slowest"),
        rows,
        (f"Median of {TURNS} runs by turns, concurrency 4 for each provider.",),
    )


def _place(place: Path, issuers: Mapping[str, tuple[Issuer, int]], at_once: int, spacing: str) -> Path:
    """Make a folder with a configuration for some applications of each issuer."""
    place.mkdir(mode=0o700)
    apps = [
        (f"{provider}-{number:03d}", provider, app_id(number))
        for provider, (_, many) in issuers.items()
        for number in range(many)
    ]
    facts = {provider: issuer.facts for provider, (issuer, _) in issuers.items()}
    (place / "config.yaml").write_text(configuration(facts, apps, at_once, spacing), encoding="utf-8")
    return place


# --------------------------------------------------------------------------------------------------- the other process


def main(place: Path) -> None:
    """Rotate every credential twice, and print of the second time when it began and by when each provider was done."""
    with House.open(str(place / "config.yaml"), environ={}, argv=("rotator", "rotate")) as house:
        _rotated(house)
        wall, began, started = house.clock.now(), time.monotonic(), time.perf_counter()
        items = _rotated(house)
        took = time.perf_counter() - started
        ended: dict[str, float] = {}
        for item in items:
            provider = house.config.named[item["name"]].provider.use
            after = (datetime.fromisoformat(item["finished_at"]) - wall).total_seconds()
            ended[provider] = max(after, ended.get(provider, 0.0))
    print(json.dumps({"took": took, "began": began, "ended": ended}))


def _rotated(house: House) -> Sequence[Mapping[str, Any]]:
    rotated = rotate(house, Wish(everything=True, now=True))
    outcomes = Counter(item["outcome"] for item in rotated.items)
    if set(outcomes) != {"promoted"}:
        raise ValueError(f"{dict(outcomes)}: {rotated.troubles[:1]}")
    return rotated.items


if __name__ == "__main__":
    main(Path(sys.argv[1]))
