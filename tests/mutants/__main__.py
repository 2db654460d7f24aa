"""Applies each mutant to a copy of the tree and runs the tests that must notice it; exit status 1 when one survives.

It never touches the tree itself. A mutant that does not apply, or after which the tests do not even start, is a fault
too: it would pass for killed and prove nothing. First the same tests run on a copy without a mutant, and must pass.

    python -m tests.mutants               all of them, two at a time
    python -m tests.mutants fence proof   those with one of these words in their name
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.mutants.ending import ENDING
from tests.mutants.making import MAKING
from tests.mutants.mutant import Edit, Mutant
from tests.mutants.slots import SLOTS
from tests.mutants.vendors import VENDORS

ROOT = Path(__file__).parents[2]
COPIED = ("rotator", "tests", "docs", "migrations", "pyproject.toml")
AT_ONCE = 2
PASSED, FAILED = 0, 1
"""Exit statuses of pytest; every other one means that the tests did not run."""

_FIRST_FAILURE = re.compile(r"^(?:FAILED|ERROR) \S+?::(\S+)", re.MULTILINE)


class Verdict(NamedTuple):
    """What became of a mutant. killed_by: the test that noticed it. fault: why nothing was proved."""

    mutant: Mutant
    killed_by: str | None
    fault: str | None

    @property
    def words(self) -> str:
        """Return the last column of the table."""
        return self.fault or self.killed_by or "SURVIVED"


def main(words: list[str]) -> int:
    """Run them and print a table."""
    chosen = [
        one for one in (*MAKING, *ENDING, *SLOTS, *VENDORS) if not words or any(word in one.name for word in words)
    ]
    wanted = tuple(dict.fromkeys(test for one in chosen for test in one.tests))
    print(f"{len(chosen)} mutants; first {len(wanted)} test files without any", flush=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        status, output = run(copy_to(Path(place) / "sound"), wanted)
        if status != PASSED:
            print(f"{output}\nThe tests fail without any mutant; mend that first.", file=sys.stderr)
            return 1
        with ThreadPoolExecutor(AT_ONCE) as pool:
            places = [Path(place) / str(number) for number, _ in enumerate(chosen)]
            verdicts = [tell(one) for one in pool.map(judge, chosen, places)]
    left = [one for one in verdicts if one.killed_by is None]
    print(
        f"{len(verdicts) - len(left)} of {len(verdicts)} killed",
        *[f"not killed: {v.mutant.name}" for v in left],
        sep="\n",
    )
    return 1 if left else 0


def tell(verdict: Verdict) -> Verdict:
    """Print one row of the table."""
    print(f"{verdict.mutant.name:52} {verdict.mutant.rule:78} {verdict.words}", flush=True)
    return verdict


def judge(mutant: Mutant, place: Path) -> Verdict:
    """Apply one mutant to a copy of its own, and ask the tests."""
    copy_to(place)
    fault = apply(mutant.edits, place)
    if fault is not None:
        return Verdict(mutant, None, fault)
    status, output = run(place, mutant.tests)
    shutil.rmtree(place)
    if status == PASSED:
        return Verdict(mutant, None, None)
    found = _FIRST_FAILURE.search(output)
    if status != FAILED or found is None:
        return Verdict(mutant, None, f"the tests did not run (exit status {status})")
    return Verdict(mutant, found[1], None)


def apply(edits: Iterable[Edit], place: Path) -> str | None:
    """Change the copy; return why it cannot be done."""
    for edit in edits:
        path = place / edit.path
        text = path.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            return f"does not apply: {text.count(edit.old)} matches in {edit.path}"
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    return None


def copy_to(place: Path) -> Path:
    """Copy what the tests need."""
    place.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place / name)
    return place


def run(place: Path, tests: Iterable[str]) -> tuple[int, str]:
    """Run these tests in a copy until the first failure."""
    # The copy comes before the installed program on the path. Were it not so, every mutant would survive.
    where = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=line", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=place, env=where, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
