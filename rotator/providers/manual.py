"""Stands for a vendor whose versions a person makes in a console: it can be asked for nothing, and says who can."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Never

from rotator.errors import Refused
from rotator.finding import Finding, Severity
from rotator.model import Procedure
from rotator.ports import Listing, Retired


class ManualProvider:
    """A `Provider` without an API. name: as configured. portal: where the person goes."""

    procedure = Procedure.OVERLAP

    def __init__(self, name: str, portal: str) -> None:
        self._name, self._portal = name, portal

    def create(self, application: str, tag: str, lifetime: timedelta) -> Never:
        """Say that a person is needed."""
        raise Refused(
            f"Secrets of {self._name} are made by hand: {self._portal}",
            hint=f"Make one there, then: rotator intake {application}",
            code="made_by_hand",
        )

    def list(self, application: str) -> Listing:
        """Return that nothing is known: no API tells."""
        return Listing((), None)

    def retire(self, application: str, key_id: str) -> Retired:
        """Take the word of the person who has removed it there."""
        return Retired.DONE

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Say where a person makes the next one; nothing can be looked at."""
        message = f"made by hand: {self._portal}; then: rotator intake {subject}"
        return [Finding(subject, "provider", Severity.OK, message)]

    def close(self) -> None:
        """Keep nothing."""
