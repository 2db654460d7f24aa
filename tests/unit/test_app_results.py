"""What the exit status of a command is when several things were asked for."""

from __future__ import annotations

import pytest

from rotator.app.results import status_of_asked, status_of_findings
from rotator.finding import Finding, Severity


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([], 0),
        ([0], 0),
        ([77], 77),
        ([0, 0], 0),
        ([69, 69], 69),
        ([69, 77], 1),
        ([0, 77], 1),
        ([1, 1, 1], 1),
        ([75, 0, 75], 1),
    ],
)
def test_one_credential_has_its_own_status_and_several_have_one_unless_all_share_one(
    statuses: list[int], status: int
) -> None:
    assert status_of_asked(statuses) == status


def finding(outcome: Severity, status: int = 1) -> Finding:
    return Finding("subject", "check", outcome, "message", "hint", status)


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([], 0),
        ([finding(Severity.OK), finding(Severity.WARN, 69), finding(Severity.SKIP)], 0),
        ([finding(Severity.FAIL, 77), finding(Severity.OK), finding(Severity.WARN)], 77),
        ([finding(Severity.FAIL, 69), finding(Severity.FAIL, 69)], 69),
        ([finding(Severity.FAIL, 69), finding(Severity.FAIL, 78)], 1),
    ],
)
def test_only_failures_count_for_a_check_and_warnings_never_do(findings: list[Finding], status: int) -> None:
    assert status_of_findings(findings) == status
