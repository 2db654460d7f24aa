"""Keeps the daemon's checkpoints on time, on a thread of its own: a store that hangs delays no rotation.

It has no timer: each tick of the daemon asks how it is, and that wakes it.
"""

from __future__ import annotations

import threading

from rotator.app import checkpoints
from rotator.app.house import House
from rotator.kit import Interrupted


class Checkpointing:
    """A `Companion` that writes a checkpoint when one is due, and the head into every store."""

    name = "checkpoints"

    def __init__(self, house: House) -> None:
        self._house = house
        self._stop = threading.Event()
        self._tick = threading.Event()
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Begin. Raises Misconfigured when the signing key cannot be had."""
        checkpoints.need_key(self._house)
        self._thread.start()

    def stop(self) -> None:
        """End. What is being written to a store is not waited for."""
        self._stop.set()
        self._tick.set()
        if self._thread.is_alive():
            self._thread.join(1)

    def reloaded(self, house: House) -> None:
        """Go on with a new configuration."""
        self._house = house

    def beat(self) -> str | None:
        """Return what kept the last checkpoint from being written, or None; and have it look whether one is due."""
        self._tick.set()
        return self._trouble

    def _work(self) -> None:
        while True:
            self._tick.wait()
            self._tick.clear()
            if self._stop.is_set():
                return
            try:
                checkpoints.on_time(self._house)
            except Interrupted:
                return
            except Exception as error:  # noqa: BLE001  a thread that ends unseen would write no checkpoint ever again
                self._trouble = f"no audit checkpoint: {getattr(error, 'code', None) or type(error).__name__}"
            else:
                self._trouble = None
