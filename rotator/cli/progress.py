"""What a rotation is doing, as plain lines for logs and pipes. Never blocks for long, never raises into a rotation.

On a terminal `live` draws the same news in place; both are told by the `Progress` port, from several threads.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from datetime import timedelta
from typing import Final

from rotator.cli.page import Page
from rotator.clock import Clock
from rotator.model import Credential

SPARING: Final = timedelta(seconds=10)
"""A proof that is tried again and again is told of this often, unless every word is wanted."""


class PlainProgress:
    """Writes one line for each step that ended, and now and then one for a step that takes long.

    wordy: every word.
    """

    def __init__(self, page: Page, clock: Clock, *, wordy: bool) -> None:
        self._page = page
        self._clock = clock
        self._wordy = wordy
        self._lock = threading.Lock()
        self._told: dict[str, timedelta] = {}

    def __call__(self, credential: Credential, step: str, state: str, text: str) -> None:
        """Write a line, if this is worth one."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            if self._wordy or state in ("done", "failed") or (state == "tell" and self._due(credential.name)):
                verdict = " failed:" if state == "failed" else ""
                line = self._page.fit(f"{credential.name}  {step}{verdict} {text}".rstrip())
                sys.stderr.write(line.replace("\n", " ") + "\n")
                sys.stderr.flush()

    def _due(self, name: str) -> bool:
        now = self._clock.instant().since_boot
        last = self._told.get(name)
        if last is not None and now - last < SPARING:
            return False
        self._told[name] = now
        return True


def silent(credential: Credential, step: str, state: str, text: str) -> None:
    """Say nothing, for `-q`."""
