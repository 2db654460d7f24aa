"""How long a scrape of ten thousand credentials takes, over HTTP, and what the process that serves it weighs.

A daemon's process, but for the work that it does: the configuration, the state open for reading, and the web server.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.grounds import credential, fill
from benchmarks.measuring import Table, count, in_a_process, megabytes, middle, resident, seconds
from rotator.app.config import load
from rotator.app.figures import Gatherer, Pulse
from rotator.app.house import House
from rotator.app.serving import Serving

MANY: Final = 10_000
TURNS: Final = 5
SCRAPES: Final = 9

_HEAD: Final = """\
version: 1
state: {url: "sqlite:///rotator.db"}
service: {listen: "127.0.0.1:0"}
stores: {local: {kind: embedded, path: secrets, key: "file:key"}}
providers: {contoso: {kind: entra, tenant: 11111111-2222-3333-4444-555555555555, auth: {method: managed_identity}}}
defaults:
  store: {use: local}
  verify: {scope: x/.default, expect: {aud: x}}
  policy: {lifetime: 90d, rotate_before: 30d, grace: 24h}
credentials:
"""
_ENTRY: Final = """\
  - name: {name}
    provider: {{use: contoso, app_id: 7f3c0c52-0000-4000-8000-{number:012d}}}
    store: {{path: p/{name}}}
"""


class _Loop:
    """A loop that is always well."""

    def pulse(self) -> Pulse:
        return Pulse(None, reloaded=True)

    def stuck(self) -> str | None:
        return None

    def unwritable(self) -> str | None:
        return None


def measure(folder: Path) -> Iterator[Table]:
    """Yield one table. folder: to work in."""
    fill(folder / "rotator.db", MANY)
    names = [credential(number).name for number in range(MANY)]
    entries = [_ENTRY.format(name=name, number=number) for number, name in enumerate(names)]
    (folder / "config.yaml").write_text(_HEAD + "".join(entries), encoding="utf-8")
    found = [in_a_process("benchmarks.scraping", str(folder)) for _ in range(TURNS)]

    def middle_of(what: str) -> float:
        return middle(one[what] for one in found)

    weight = f"{megabytes(middle_of('before'))} before the first scrape, {megabytes(middle_of('after'))} after the last"
    yield Table(
        f"Scraping {count(MANY)} credentials",
        ("", "time", "at most"),
        (
            ("the first scrape of a process", seconds(middle_of("first")), ""),
            ("a later one, nothing changed", seconds(middle_of("later")), "0.2 s"),
            ("a later one, every credential read anew", seconds(middle_of("cold")), ""),
        ),
        (
            f"Median of {TURNS} fresh processes, {SCRAPES} scrapes each; the page has {megabytes(found[0]['page'])}.",
            f"The process weighs {weight}.",
        ),
    )


def main(folder: Path) -> None:
    """Do it once, and print what it took as JSON."""
    house = House(load(folder / "config.yaml"), environ={}, argv=("rotator", "daemon"))
    assert len(house.config.models) == MANY
    before = resident()
    serving = Serving(house, _Loop())
    serving.start()
    first, page = _scraped(serving.port)
    later = [_scraped(serving.port)[0] for _ in range(SCRAPES)]
    cold = []
    for _ in range(SCRAPES):
        serving._gatherer = Gatherer(house)
        cold.append(_scraped(serving.port)[0])
    after = resident()
    serving.stop()
    told: dict[str, Any] = {"first": first, "later": middle(later), "cold": middle(cold), "page": len(page)}
    print(json.dumps({**told, "before": before, "after": after}))


def _scraped(port: int | None) -> tuple[float, bytes]:
    started = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        page: bytes = answer.read()
    return time.perf_counter() - started, page


if __name__ == "__main__":
    main(Path(sys.argv[1]))
