"""What the service says in its log: each audit record as it is written, and what hinders a credential, once.

One line each: JSON for a machine that collects it, plain words on a terminal. Where the values are kept nothing is
logged: lines are made of audit records and of the messages of our own errors, which have none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from rotator.app.logging import Speaker
from rotator.engine import Report
from rotator.errors import RotatorError

_KEYS: Final = ("credential", "outcome", "reason", "rotation_id", "key_id", "store_path", "store_version", "detail")
_GRAVE: Final = frozenset({"rotation.parked", "credential.expired", "config.refused", "notification.failed"})
_NOTED: Final = frozenset({"credential.expiring", "rotation.abandoned", "orphan.found", "drift.found", "state.rebuilt"})

Record = Mapping[str, str | int | None]


class ServiceLog:
    """Hears of records and reports, and says them. Safe for use from several threads."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._hindered: dict[str, str] = {}
        self._lock = threading.Lock()

    def recorded(self, records: Sequence[Record]) -> None:
        """Say each record of a transaction that was committed."""
        for record in records:
            event = str(record["event"])
            say = self._speaker.error if event in _GRAVE else self._speaker.info
            if event in _NOTED:
                say = self._speaker.warning
            facts = {key: record[key] for key in _KEYS if record[key] is not None}
            _said(say, event, seq=record["seq"], actor=record["actor"], **facts)

    def visited(self, report: Report) -> None:
        """Say what hindered a visit, unless it is what hindered the one before."""
        name, error = report.credential.name, report.error
        code = "" if error is None or error.code in ("retry", "interrupted") else error.code
        with self._lock:
            before = self._hindered.get(name, "")
            if error is None:
                self._hindered.pop(name, None)
            elif code:
                self._hindered[name] = code
        if error is not None and code and code != before:
            self.trouble("attempt.failed", error, credential=name)

    def say(self, event: str, **facts: str | int) -> None:
        """Say one thing."""
        _said(self._speaker.info, event, **facts)

    def trouble(self, event: str, error: RotatorError, **facts: str | int) -> None:
        """Say what went wrong, and what to do about it."""
        _said(self._speaker.warning, event, code=error.code, message=error.message, hint=error.hint, **facts)


def _said(say: Callable[..., object], event: str, **facts: Any) -> None:
    """Say it, if anybody listens: a log that nobody takes any more, or that is full, ends no rotation."""
    with suppress(OSError, ValueError):
        say(event, **facts)
