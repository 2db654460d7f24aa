"""Counts the calls to issuers as they go by, and what became of each. It changes and delays none."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from rotator.errors import Denied, OutcomeUnknown, Refused, RotatorError, Throttled
from rotator.finding import Finding
from rotator.ports import Issued, Listing, Provider, Retired

T = TypeVar("T")

_MEANINGS: Final = (
    (OutcomeUnknown, "unknown"),
    (Throttled, "throttled"),
    (Denied, "denied"),
    (Refused, "refused"),
)


class Calls:
    """How often each provider was asked for what, and how that went. Safe for use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def add(self, provider: str, operation: str, outcome: str) -> None:
        """Count one call."""
        with self._lock:
            self._counts[provider, operation, outcome] += 1

    def so_far(self) -> Mapping[tuple[str, str, str], int]:
        """Return the counts, by provider, operation and outcome."""
        with self._lock:
            return dict(self._counts)


class CountedProvider:
    """A provider whose every call is counted, repeated ones too. calls: where, asked at each call."""

    def __init__(self, provider: Provider, name: str, calls: Callable[[], Calls]) -> None:
        self._provider, self._name, self._calls = provider, name, calls
        self.procedure = provider.procedure

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Issue a version, or fail."""
        return self._counted("create", lambda: self._provider.create(application, tag, lifetime))

    def list(self, application: str) -> Listing:
        """Return the versions of an application."""
        return self._counted("list", lambda: self._provider.list(application))

    def retire(self, application: str, key_id: str) -> Retired:
        """Remove a version, or fail."""
        return self._counted("retire", lambda: self._provider.retire(application, key_id))

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Look whether a rotation would be permitted."""
        return self._counted("check", lambda: self._provider.check(application, lifetime, subject, ours))

    def close(self) -> None:
        """Let go of the provider."""
        self._provider.close()

    def _counted(self, operation: str, call: Callable[[], T]) -> T:
        outcome = "failed"
        try:
            answer = call()
            outcome = "succeeded"
        except RotatorError as error:
            outcome = next((word for kind, word in _MEANINGS if isinstance(error, kind)), "failed")
            raise
        finally:
            self._calls().add(self._name, operation, outcome)
        return answer
