"""The one place that asks again: repeatable calls of issuers and stores, a few times, when they failed by chance.

It repeats `list`, `read` and `history`, which change nothing, and a write that the store did not take at all because it
came too fast: nothing was written, and check-and-set would let it be written once only. No other call, whatever the
failure: a creation that was sent twice makes two secrets. What may have taken effect, what is throttled for longer than
a few seconds and what waited already (a lock) is left to the caller. Adapters and SDKs below retry nothing, so that the
waits do not multiply.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from rotator.clock import Clock
from rotator.errors import Busy, ClockWrong, OutcomeUnknown, Throttled, Transient
from rotator.finding import Finding
from rotator.kit import Interrupted
from rotator.ports import Documents, Issued, Listing, Provider, Retired, Slot, Snapshot, Store
from rotator.secret import Fields, Secret

T = TypeVar("T")

TRIES = 4
PATIENCE = timedelta(seconds=5)
"""The longest wait that is waited here. Longer ones concern the whole visit, and others can be served meanwhile."""

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 4.0


class Again:
    """Repeats one call while it fails by chance. Raises what the last try raised, or Interrupted."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self._clock, self._stop = clock, stop
        self._jitter = wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT)

    def __call__(self, call: Callable[[], T]) -> T:
        """Make a repeatable call, up to `TRIES` times."""
        return self._repeated(call, _by_chance)

    def unless_taken(self, call: Callable[[], T]) -> T:
        """Make a call that changes something, up to `TRIES` times while it is not taken for coming too fast.

        Vault checks its rate limits before it handles a request:
        developer.hashicorp.com/vault/docs/concepts/resource-quotas.
        """
        return self._repeated(call, _not_taken)

    def _repeated(self, call: Callable[[], T], why: Callable[[BaseException], bool]) -> T:
        retrying = Retrying(
            stop=stop_after_attempt(TRIES),
            wait=self._wait,
            retry=retry_if_exception(why),
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(call)

    def _wait(self, state: RetryCallState) -> float:
        """Return full jitter, but at least what the other side asked for."""
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, Transient) else None
        return max(self._jitter(state), asked.total_seconds() if asked is not None else 0.0)

    def _sleep(self, seconds: float) -> None:
        if self._clock.wait(timedelta(seconds=seconds), self._stop):
            raise Interrupted


def _by_chance(error: BaseException) -> bool:
    if not isinstance(error, Transient) or isinstance(error, OutcomeUnknown | Busy | ClockWrong):
        return False
    return error.retry_after is None or error.retry_after <= PATIENCE


def _not_taken(error: BaseException) -> bool:
    return isinstance(error, Throttled) and _by_chance(error)


class SteadyProvider:
    """A provider whose list is asked for again."""

    def __init__(self, provider: Provider, again: Again) -> None:
        self._provider, self._again = provider, again
        self.procedure = provider.procedure

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Issue a version, or fail. Never repeated."""
        return self._provider.create(application, tag, lifetime)

    def list(self, application: str) -> Listing:
        """Return the versions of an application."""
        return self._again(lambda: self._provider.list(application))

    def retire(self, application: str, key_id: str) -> Retired:
        """Remove a version, or fail. Never repeated."""
        return self._provider.retire(application, key_id)

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Look whether a rotation would be permitted. Not repeated: a person is waiting, and can."""
        return self._provider.check(application, lifetime, subject, ours)

    def close(self) -> None:
        """Let go of the provider."""
        self._provider.close()


class SteadySlot:
    """The only slot of an issuer, which is read again."""

    def __init__(self, slot: Slot, again: Again) -> None:
        self._slot, self._again = slot, again

    def choose(self) -> Secret:
        """Return a fresh random value."""
        return self._slot.choose()

    def set(self, application: str, tag: str, value: Secret, lifetime: timedelta) -> Issued:
        """Put our value there, or fail. Its caller repeats it."""
        return self._slot.set(application, tag, value, lifetime)

    def regenerate(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Have the issuer put one there, or fail. Never repeated."""
        return self._slot.regenerate(application, tag, lifetime)

    def read(self, application: str) -> Issued:
        """Return the value that is there."""
        return self._again(lambda: self._slot.read(application))


class SteadyDocuments:
    """Documents that are read again."""

    def __init__(self, documents: Documents, again: Again) -> None:
        self._documents, self._again = documents, again

    def read(self, path: str, version: int | None = None) -> Snapshot:
        """Return a version of a document."""
        return self._again(lambda: self._documents.read(path, version))

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        """Write the next version, or fail. Repeated only when the store did not take it for coming too fast."""
        return self._again.unless_taken(lambda: self._documents.write(path, fields, expected))

    def history(self, path: str) -> tuple[int, ...]:
        """Return the numbers of the versions that can be read."""
        return self._again(lambda: self._documents.history(path))

    def erase_before(self, path: str, version: int) -> None:
        """Erase older versions, or fail. Its callers come back to it."""
        self._documents.erase_before(path, version)


class SteadyStore:
    """A store whose documents are read again."""

    def __init__(self, store: Store, again: Again) -> None:
        self._store = store
        self._consumers = SteadyDocuments(store.consumers, again)
        self._staging = SteadyDocuments(store.staging, again)

    @property
    def consumers(self) -> Documents:
        """Return the documents that consumers read."""
        return self._consumers

    @property
    def staging(self) -> Documents:
        """Return the documents that only rotator reads."""
        return self._staging

    def check(self, paths: Sequence[str]) -> Sequence[Finding]:
        """Look whether the store can be used. Not repeated: a person is waiting, and can."""
        return self._store.check(paths)

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()
