"""Counts the calls to issuers as they go by, and what became of each. It changes and delays none."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from rotator.errors import Denied, OutcomeUnknown, Refused, RotatorError, Throttled
from rotator.finding import Finding
from rotator.ports import Issued, Listing, Provider, Retired, Slot
from rotator.secret import Secret

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


class _Counting:
    """What counts the calls to one provider. calls: where, asked at each call."""

    def __init__(self, name: str, calls: Callable[[], Calls]) -> None:
        self._name, self._calls = name, calls

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


class CountedProvider(_Counting):
    """A provider whose every call is counted, repeated ones too."""

    def __init__(self, provider: Provider, name: str, calls: Callable[[], Calls]) -> None:
        super().__init__(name, calls)
        self._provider = provider
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


class CountedSlot(_Counting):
    """The only slot of an issuer, whose every call is counted."""

    def __init__(self, slot: Slot, name: str, calls: Callable[[], Calls]) -> None:
        super().__init__(name, calls)
        self._slot = slot

    def choose(self) -> Secret:
        """Return a fresh random value; nobody is called for it."""
        return self._slot.choose()

    def set(self, application: str, tag: str, value: Secret, lifetime: timedelta) -> Issued:
        """Put our value there, or fail."""
        return self._counted("set", lambda: self._slot.set(application, tag, value, lifetime))

    def regenerate(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Have the issuer put one there, or fail."""
        return self._counted("regenerate", lambda: self._slot.regenerate(application, tag, lifetime))

    def read(self, application: str) -> Issued:
        """Return the value that is there."""
        return self._counted("read", lambda: self._slot.read(application))
