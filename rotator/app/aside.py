"""A thread of the daemon that does one thing each time it is woken, and delays nothing by it. It decides nothing.

What goes wrong in it is its trouble, for the status of the service: a thread that ended unseen would do it never again.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from rotator.app.house import House
from rotator.errors import RotatorError
from rotator.kit import Interrupted


class Aside(ABC):
    """The start of a `Companion`. name: as it is called in the log."""

    name = "aside"
    patience = 2.0
    """Seconds for which its end is waited for."""
    once_more = False
    """Whether it does it a last time when it is to end."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.ending = threading.Event()
        self._woken = threading.Event()
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._go_on, name=self.name, daemon=True)

    @abstractmethod
    def work(self) -> str | None:
        """Do it. Returns what hinders it, in a few words; None when all is well."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End. What hangs is waited for a second or two."""
        self.ending.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(self.patience)

    def reloaded(self, house: House) -> None:
        """Go on with a new configuration."""
        self.house = house
        self.wake()

    def beat(self) -> str | None:
        """Return what hinders it, or None; it is tried again each time somebody asks."""
        if self._trouble is not None:
            self.wake()
        return self._trouble

    def wake(self) -> None:
        """Have it done soon. Returns at once."""
        self._woken.set()

    def _go_on(self) -> None:
        last = False
        while not last:
            self._woken.wait()
            last = self.ending.is_set()
            if last and not self.once_more:
                return
            self._woken.clear()
            try:
                self._trouble = self.work()
            except Interrupted:
                return
            except RotatorError as error:
                self._trouble = error.code
            except Exception as error:  # noqa: BLE001  see above
                self._trouble = type(error).__name__
