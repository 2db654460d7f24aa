"""Keeps the daemon's checkpoints on time, on a thread of its own: a store that hangs delays no rotation.

It has no timer: each tick of the daemon asks how it is, and that wakes it.
"""

from __future__ import annotations

from rotator.app import checkpoints
from rotator.app.aside import Aside
from rotator.kit import Interrupted


class Checkpointing(Aside):
    """A `Companion` that writes a checkpoint when one is due, and the head into every store."""

    name = "checkpoints"
    patience = 1.0

    def start(self) -> None:
        """Begin. Raises Misconfigured when the signing key cannot be had."""
        checkpoints.need_key(self.house)
        super().start()

    def beat(self) -> str | None:
        """Return what kept the last checkpoint from being written, or None; and have it look whether one is due."""
        self.wake()
        return super().beat()

    def work(self) -> str | None:
        """Write a checkpoint if one is due."""
        try:
            checkpoints.on_time(self.house)
        except Interrupted:
            raise
        except Exception as error:  # noqa: BLE001  it is told in the status
            return f"no audit checkpoint: {getattr(error, 'code', None) or type(error).__name__}"
        return None
