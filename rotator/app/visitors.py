"""Who makes the visits that a use case asks for: its own threads, or a daemon's crew. It makes none itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from rotator.clock import Clock
from rotator.kit import Kit
from rotator.ports import Ledger

if TYPE_CHECKING:
    from rotator.app.config.schema import Service
    from rotator.crew import Crew
    from rotator.engine import Report


class Visitors(Protocol):
    """Who makes visits."""

    def run(self, kits: Iterable[Kit]) -> list[Report]:
        """See `Crew.run`."""


class Thorough:
    """The daemon's crew, for somebody who wants a look at store and issuer now, whatever the times say."""

    def __init__(self, crew: Crew, ledger: Ledger) -> None:
        """Prepare. ledger: of the daemon."""
        self._crew, self._ledger = crew, ledger

    def run(self, kits: Iterable[Kit]) -> list[Report]:
        """See `Crew.run`."""
        kits = list(kits)
        with self._crew.reserved([kit.credential for kit in kits]):
            for kit in kits:
                tracked = self._ledger.tracked(kit.credential.name)
                if tracked is not None and tracked.state.wake_at is not None:
                    self._ledger.note(replace(tracked.state, wake_at=None))
        return self._crew.run(kits)


def new_crew(service: Service, clock: Clock, stop: threading.Event, *, observing: bool) -> Crew:
    """Return new threads, each of whose visits looks at store and issuer; a context manager that ends them."""
    from rotator.crew import Crew
    from rotator.engine import Engine, Mode

    mode, limit, jitter = Mode.OBSERVE if observing else Mode.ACTIVE, service.concurrency, service.jitter
    return Crew(Engine(clock, stop, concurrency=limit, jitter=jitter, mode=mode, thorough=True))
