"""Calls to issuers, counted as they go by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from rotator.app.counting import Calls, CountedProvider
from rotator.clock import ManualClock
from rotator.errors import (
    Denied,
    Misconfigured,
    NoFreeSlot,
    OutcomeUnknown,
    Refused,
    RotatorError,
    Throttled,
    Transient,
)
from rotator.kit import Interrupted
from rotator.model import Act
from rotator.ports import Listing
from rotator.testing.providers import Fate
from tests.fakes.memory_issuer import MemoryIssuer

DAY = timedelta(days=1)


@pytest.fixture
def issuer() -> MemoryIssuer:
    made = MemoryIssuer(ManualClock())
    made.add("app", client_id="app")
    return made


def test_every_call_is_counted_and_answered_as_before(issuer: MemoryIssuer) -> None:
    calls = Calls()
    counted = CountedProvider(issuer, "contoso", lambda: calls)
    issued = counted.create("app", "tag", DAY)
    assert [one.key_id for one in counted.list("app").versions] == [issued.version.key_id]
    counted.retire("app", issued.version.key_id)
    counted.check("app", DAY, "one", "")
    assert calls.so_far() == {
        ("contoso", operation, "succeeded"): 1 for operation in ("create", "list", "retire", "check")
    }
    counted.close()
    assert issuer.closed


class Failing(MemoryIssuer):
    """An issuer whose list fails as it is told."""

    failure: Callable[[], Exception]

    def list(self, application: str) -> Listing:
        """Fail."""
        raise self.failure()


def _error(kind: type[RotatorError]) -> Callable[[], Exception]:
    return lambda: kind("It did not work.", hint="Wait.")


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (_error(OutcomeUnknown), "unknown"),
        (_error(Throttled), "throttled"),
        (_error(Denied), "denied"),
        (_error(NoFreeSlot), "refused"),
        (_error(Refused), "refused"),
        (_error(Transient), "failed"),
        (_error(Misconfigured), "failed"),
        (Interrupted, "failed"),
    ],
)
def test_a_failure_is_counted_by_what_it_means_and_passed_on(failure: Callable[[], Exception], outcome: str) -> None:
    issuer, calls = Failing(ManualClock()), Calls()
    issuer.failure = failure
    with pytest.raises(type(failure())):
        CountedProvider(issuer, "contoso", lambda: calls).list("app")
    assert calls.so_far() == {("contoso", "list", outcome): 1}


def test_counts_that_were_handed_on_are_counted_on(issuer: MemoryIssuer) -> None:
    first, second = Calls(), Calls()
    where = [first]
    counted = CountedProvider(issuer, "contoso", lambda: where[0])
    counted.list("app")
    where[0] = second
    counted.list("app")
    assert first.so_far() == second.so_far() == {("contoso", "list", "succeeded"): 1}


def test_an_answer_that_was_lost_is_not_taken_for_a_failure(issuer: MemoryIssuer) -> None:
    issuer.fate(Act.CREATE, Fate.LOST)
    calls = Calls()
    with pytest.raises(OutcomeUnknown):
        CountedProvider(issuer, "contoso", lambda: calls).create("app", "tag", DAY)
    assert calls.so_far() == {("contoso", "create", "unknown"): 1}
