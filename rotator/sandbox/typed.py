"""What a person must type to call this program again, as it was called this time; runs nothing."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path


def program(argv: Sequence[str] | None = None) -> str:
    """Return `rotator` where that name finds this program, else the path by which it was called, quoted for a shell.

    argv: for tests; None for `sys.argv`.
    """
    called = Path((sys.argv if argv is None else argv)[0])
    if called.name != "rotator" or not called.is_file():  # python -m, or a test
        return "rotator"
    found = shutil.which("rotator")
    if found is not None and Path(found).resolve() == called.resolve():
        return "rotator"
    return shlex.quote(str(called))
