"""Lets credentials that were never rotated begin a few at a time, so that a fault of the set-up shows at one of them.

Who installs rotator for a thousand credentials has a thousand that are due at once. The first tick begins with one;
each tick after a batch that went well takes twice as many, and a batch with a failure makes the next one smaller. It
knows nothing of the rest: what was rotated before, and what has had its first try, is not its business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Ramp:
    """One start. Not for sharing between threads."""

    def __init__(self) -> None:
        self._size = 1
        self._begun: set[str] = set()
        self._under_way: set[str] = set()
        self._failed = False

    def admit(self, names: Iterable[str]) -> Sequence[str]:
        """Return those that may begin now: what has begun before, and the next batch of the others when it is time."""
        known: list[str] = []
        new: list[str] = []
        for name in names:
            (known if name in self._begun else new).append(name)
        if self._under_way or not new:
            return known
        batch = new[: self._size]
        self._begun.update(batch)
        self._under_way.update(batch)
        self._failed = False
        return [*known, *batch]

    def ended(self, name: str, *, well: bool) -> None:
        """Hear how the first try of one went; of others nothing is taken."""
        if name not in self._under_way:
            return
        self._under_way.discard(name)
        self._failed = self._failed or not well
        if not self._under_way:
            self._size = max(1, self._size // 4) if self._failed else self._size * 2
