"""`python -m benchmarks [NAME…]` runs the named benchmarks, or all of them, and prints their tables as they come."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks.measuring import Table, machine

NAMES: Final = {
    "start": "how soon commands answer, and what they import",
    "planning": "planning a hundred thousand credentials",
    "scraping": "a scrape of ten thousand credentials",
    "service": "the service with ten thousand credentials, and a tick with a million",
    "rotations": "rotations a second, beside a script that makes only the needed calls",
    "together": "what runs at the same time, and who waits for whom",
    "audit": "walking and filtering a million audit records",
}


def main(asked: Sequence[str]) -> int:
    """Run what is asked for. Returns 2 for a name that is none."""
    unknown = [name for name in asked if name not in NAMES]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}. There are:", file=sys.stderr)
        for name, what in NAMES.items():
            print(f"  {name:<10} {what}", file=sys.stderr)
        return 2
    print(f"On {machine()}")
    for name in asked or NAMES:
        measure: Callable[[Path], Iterable[Table]] = import_module(f"benchmarks.{name}").measure
        with tempfile.TemporaryDirectory(prefix="rotator-bench-") as folder:
            for table in measure(Path(folder)):
                print(*("", *table.lines()), sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
