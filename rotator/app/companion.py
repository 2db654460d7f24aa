"""What lives beside the working loop of the daemon, as the daemon sees it. No companion decides about a credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rotator.app.house import House


class Companion(Protocol):
    """One service of the daemon: a server, a deliverer, a writer of checkpoints.

    The daemon calls these methods from one thread at a time. What a companion does between them, it does on threads of
    its own; it must end with `stop`. A companion that cannot start raises: the daemon says so and goes on without it.
    """

    @property
    def name(self) -> str:
        """Return what it is called in the log and in the status, such as `metrics`."""

    def start(self) -> None:
        """Begin. Returns when it is at work. Raises RotatorError or OSError when it cannot be."""

    def stop(self) -> None:
        """End within a second or two, what is unfinished too. Called once, also when `start` has failed."""

    def reloaded(self, house: House) -> None:
        """Go on with a new configuration; what is under way may end with the old one."""

    def beat(self) -> str | None:
        """Return None when all is well, else what is wrong, in a few words without names. Returns at once."""
