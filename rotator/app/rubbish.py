"""Keeps the memory of a process that runs for years flat. Frees nothing that is in use.

A visit leaves objects that refer to each other (connections, errors with their frames), which only the collector finds.
The command line lets it look seldom, since a command is soon over; and CPython starts a full collection only when the
objects that wait for one are a quarter of those that survived the last (docs.python.org/3/library/gc.html,
`gc.set_threshold`), which beside a large configuration and a vendor's library are tens of megabytes. So what is there
for good is put out of its sight, and the rest is looked at after so many visits.
"""

from __future__ import annotations

import gc
from typing import Final

VISITS: Final = 100
"""After so many visits the collector looks; they leave about a megabyte."""


class Rubbish:
    """Counts visits, and has the collector look in time. Visits are counted by any thread; the rest is for the loop."""

    def __init__(self) -> None:
        self._visits = 0

    @staticmethod
    def settle() -> None:
        """Take what is there now for what stays; after a start, and after a configuration was replaced."""
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def visited(self) -> None:
        """Count a visit."""
        self._visits += 1  # one that is lost to a race does not matter

    def look(self) -> None:
        """Let the collector look, if there is enough for it."""
        if self._visits >= VISITS:
            self._visits = 0
            gc.collect()
