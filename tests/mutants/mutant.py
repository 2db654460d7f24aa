"""What a mutant is, and which tests are asked about it. Data only; `__main__` runs it.

A mutant is a few replacements of source text; each old text must stand exactly once in its file. When it does not any
more, the program has changed: mend the mutant, never drop it.
"""

from __future__ import annotations

from typing import NamedTuple

LIFE = "tests/unit/test_lifecycle_overlap.py"
BAD_DAYS = "tests/unit/test_bad_days.py"
INTAKE = "tests/crash/test_intake_crashes.py"
DESCRIBED = "tests/integration/test_described_provider.py"
PEOPLE = "tests/unit/test_engine_people.py"
DOCUMENTS = "tests/unit/test_engine_documents.py"
RECOVERY = "tests/unit/test_recovery_rules.py"
FOUR = "tests/properties/test_four_schedules.py"
CRASHES = "tests/crash/test_overlap_crashes.py"
ANY = "tests/properties/test_any_schedule.py"


class Edit(NamedTuple):
    """One replacement of source text in one file."""

    path: str
    old: str
    new: str


class Mutant(NamedTuple):
    """One broken rule. tests: those that are asked, in this order; the first that fails has killed it."""

    name: str
    rule: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def mutant(name: str, rule: str, path: str, *edits: tuple[str, str], tests: tuple[str, ...]) -> Mutant:
    """Return a mutant of one file."""
    return Mutant(name, rule, tuple(Edit(f"rotator/{path}", old, new) for old, new in edits), tests)
