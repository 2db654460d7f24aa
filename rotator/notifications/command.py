"""Tells a command of a record: JSON on its standard input. What it prints goes nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rotator.notifications.letter import Fate, Letter, Told
from rotator.wire.child import Printed, run


class Command:
    """One hook. command: program and arguments."""

    def __init__(self, command: Sequence[str], timeout: timedelta) -> None:
        self._command, self._timeout = tuple(command), timeout

    def tell(self, letter: Letter) -> Told:
        """Run it once. Raises nothing: what went wrong is in the answer."""
        environ = {"ROTATOR_EVENT": letter.event}
        ended = run(self._command, letter.body + b"\n", self._timeout, environ, Printed.NOWHERE)
        return Told(Fate.TAKEN) if ended.problem is None else Told(Fate.LATER, ended.problem)
