"""Looks whether a rotation that came due now could be made: the stores answer, the state may be written. Writes none.

A store is asked to read one small document, at most every few seconds however often somebody wants to know; a store
that does not answer keeps nobody waiting for long.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from datetime import timedelta
from pathlib import Path
from typing import Final

from rotator.app.house import House, Use
from rotator.app.installs import INSTALL
from rotator.clock import Instant, elapsed
from rotator.errors import RotatorError
from rotator.kit import Interrupted
from rotator.web.health import Ailment

FRESH: Final = timedelta(seconds=10)
"""So long what a store said counts as said now."""

PATIENCE: Final = timedelta(seconds=3)
"""How long the caller waits for stores. What a store says later is told to the next caller."""

LEAST_SPACE: Final = 1 << 20
"""Bytes. A record, its journal and the head take some kilobytes; with so little left the next one may not fit."""


class Readiness:
    """Answers for one configuration; one caller at a time. `close` ends it."""

    def __init__(self, house: House, writable: Callable[[], Ailment | None]) -> None:
        """Prepare. writable: what the loop that writes has found out about the state; None: nothing is wrong."""
        self._house, self._writable = house, writable
        self._pool = ThreadPoolExecutor(max(1, len(house.stores_in_use)), "web-store")
        self._said: dict[str, tuple[Instant, Ailment | None]] = {}
        self._asked: dict[str, Future[None]] = {}

    def close(self) -> None:
        """Ask no more. A store that has not answered yet is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def look(self) -> Sequence[Ailment]:
        """Return what stands in the way of a rotation."""
        return [*self._of_state(), *self._of_stores()]

    # ------------------------------------------------------------------------------------------------------ the state

    def _of_state(self) -> Iterator[Ailment]:
        found = self._writable() or state_ailment(self._house.database)
        if found is not None:
            yield found
            return
        try:
            with self._house.builder.reader(self._house.database, self._house.clock) as reader:
                reader.head()
        except RotatorError as error:
            yield Ailment(error.code, error.message, error.hint)

    # ----------------------------------------------------------------------------------------------------- the stores

    def _of_stores(self) -> Iterator[Ailment]:
        names, now = self._house.stores_in_use, self._house.clock.instant()
        for name in names:
            if not self._fresh(name, now) and (name not in self._asked or self._asked[name].done()):
                self._asked[name] = self._pool.submit(self._ask, name)
        for name in names:
            try:
                if name in self._asked:
                    self._asked[name].result(PATIENCE.total_seconds())
            except TooLong:
                yield Ailment("store_slow", f"Store {name} has not answered yet.", "See whether it can be reached.")
                continue
            ailment = self._said[name][1]
            if ailment is not None:
                yield ailment

    def _fresh(self, name: str, now: Instant) -> bool:
        if name not in self._said:
            return False
        age = elapsed(self._said[name][0], now)
        return age is not None and age < FRESH

    def _ask(self, name: str) -> None:
        ailment = None
        try:
            self._house.store(name, Use.LOOK).staging.read(INSTALL)
        except RotatorError as error:
            ailment = Ailment(error.code, f"Store {name}: {error.message}", error.hint)
        except Interrupted:
            ailment = Ailment("stopping", "The daemon is about to end.")
        self._said[name] = self._house.clock.instant(), ailment


def state_ailment(database: Path) -> Ailment | None:
    """Return why the state file could not be written now, as far as its place tells; None when it could be."""
    try:
        database.lstat()
        place = os.statvfs(database)
    except OSError as error:
        return Ailment("state_missing", f"The state {database} cannot be seen: {error.strerror}.", "Look who moved it.")
    if place.f_flag & os.ST_RDONLY or not (os.access(database, os.W_OK) and os.access(database.parent, os.W_OK)):
        return Ailment("state_read_only", f"The state {database} cannot be written.", "See who may write there.")
    left = place.f_bavail * place.f_frsize
    if left < LEAST_SPACE:
        return Ailment("disk_full", f"{left} bytes are left where the state is.", "Make room on that file system.")
    return None
