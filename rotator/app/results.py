"""What every use case answers: items for machines, facts for the screen, one exit status. Prints nothing.

The rules for the status stand here and nowhere else: of credentials asked for, one has its own, several have 1 unless
all share one; of the findings of a check only those that fail count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rotator.errors import RotatorError
from rotator.finding import Finding, Severity

Item = Mapping[str, Any]
"""One item of the JSON output, keys as the contract names them, values that `json` can write."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One credential that could not be served, and why; for standard error, beside whatever the others came to."""

    name: str
    error: RotatorError


@dataclass(frozen=True, slots=True)
class Remark:
    """What a person should know about one credential beside its item. hint: the next step, or nothing."""

    name: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Rotated:
    """items: kind `RotationList`, one a credential, in the order of the configuration.

    remarks: for a planned one what would be done, for a promoted one when the old secret ends, for the rest what to do.
    troubles: why credentials did not go on. places: where consumers read each credential, as people say it.
    """

    items: tuple[Item, ...]
    remarks: tuple[Remark, ...]
    troubles: tuple[Trouble, ...]
    places: Mapping[str, str]
    exit_status: int


def status_of_asked(statuses: Iterable[int]) -> int:
    """Return the exit status of credentials asked for: the one that all share, else 1; 0 when none was asked for."""
    distinct = set(statuses)
    return distinct.pop() if len(distinct) == 1 else int(bool(distinct))


def status_of_findings(findings: Iterable[Finding]) -> int:
    """Return the exit status of a check: 0 when nothing fails, the status that all failures share, else 1."""
    failing = {finding.exit_status for finding in findings if finding.outcome is Severity.FAIL}
    return failing.pop() if len(failing) == 1 else int(bool(failing))
