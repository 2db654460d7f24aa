"""Parts that are not to be had: whoever uses one hears why. They contact nobody.

Where one part of a credential cannot even be made (a file is missing, a store does not answer), the credential is still
visited: its alerts go on, and its failure is recorded like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from rotator.errors import Busy, RotatorError
from rotator.finding import Finding
from rotator.model import Credential, Procedure
from rotator.ports import Documents, Issued, Listing, Retired, Snapshot, Verdict
from rotator.secret import Fields

Why = Callable[[], RotatorError]


class AbsentProvider:
    """An issuer that cannot be asked."""

    procedure = Procedure.OVERLAP

    def __init__(self, why: Why) -> None:
        self._why = why

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Raise why."""
        raise self._why()

    def list(self, application: str) -> Listing:
        """Raise why."""
        raise self._why()

    def retire(self, application: str, key_id: str) -> Retired:
        """Raise why."""
        raise self._why()

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Raise why."""
        raise self._why()

    def close(self) -> None:
        """Hold nothing."""


class AbsentDocuments:
    """Documents that cannot be read or written."""

    def __init__(self, why: Why) -> None:
        self._why = why

    def read(self, path: str, version: int | None = None) -> Snapshot:
        """Raise why."""
        raise self._why()

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        """Raise why."""
        raise self._why()

    def history(self, path: str) -> tuple[int, ...]:
        """Raise why."""
        raise self._why()

    def erase_before(self, path: str, version: int) -> None:
        """Raise why."""
        raise self._why()


class AbsentStore:
    """A store that cannot be used."""

    def __init__(self, why: Why) -> None:
        self._why = why
        self._documents = AbsentDocuments(why)

    @property
    def consumers(self) -> Documents:
        """Return what raises why."""
        return self._documents

    @property
    def staging(self) -> Documents:
        """Return what raises why."""
        return self._documents

    def check(self, paths: Sequence[str]) -> Sequence[Finding]:
        """Raise why."""
        raise self._why()

    def close(self) -> None:
        """Hold nothing."""


class AbsentProver:
    """A token endpoint that cannot be asked."""

    def __init__(self, why: Why) -> None:
        self._why = why

    def prove(self, client_id: str, values: Fields, now: datetime) -> Verdict:
        """Raise why."""
        raise self._why()

    def check(self, subject: str) -> Sequence[Finding]:
        """Raise why."""
        raise self._why()


def not_begun(credential: Credential) -> Busy:
    """Return why nothing is to be had of a credential when the run is stopped before its turn."""
    return Busy(
        f"{credential.name}: stopped on request; nothing was begun.",
        hint=f"The next run looks at it: rotator rotate {credential.name}",
        code="interrupted",
    )


def silent(credential: Credential, step: str, state: str, text: str) -> None:
    """Hear of progress where nobody watches, and say nothing."""
