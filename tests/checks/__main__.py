"""Runs every check of this folder and says what is wrong; exit status 1 when anything is. It repairs nothing."""

from __future__ import annotations

import importlib
import pkgutil
import sys

from tests import checks


def main() -> int:
    """Run them all, the broken ones too: one run shows everything."""
    found = 0
    for name in sorted(info.name for info in pkgutil.iter_modules(checks.__path__) if not info.name.startswith("_")):
        check = importlib.import_module(f"tests.checks.{name}")
        print(f"== {check.__doc__.partition(chr(10))[0].rstrip('.').lower()}", flush=True)
        for fault in check.faults():
            found += 1
            print(f"   {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
