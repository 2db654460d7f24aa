"""What a look at the outside world found, for `rotator check`. It decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How a finding of `rotator check` weighs."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `rotator check`: what was looked at, what was found, what to do about it.

    exit_status: what `rotator check` ends with when this fails (69 unreachable, 77 denied, 78 wrong here).
    """

    subject: str
    check: str
    outcome: Severity
    message: str
    hint: str = ""
    exit_status: int = 1
