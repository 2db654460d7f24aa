"""Fifty consumers of a real Vault: each keeps what it read for half a minute, and must never be refused with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.e2e.real_world import RealWorld

KEEPS = 30.0
"""Seconds for which a consumer uses what it read; the grace is longer."""


@dataclass
class Consumers:
    """Asks the issuer's own truth whether the held values work: its token endpoint has bad days of its own."""

    world: RealWorld
    applications: Mapping[str, str]
    asked: int = 0
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._held: dict[str, tuple[float, str]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_round, daemon=True)

    def __enter__(self) -> Consumers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _go_round(self) -> None:
        while not self._stop.wait(0.5):
            for name, application in self.applications.items():
                self._use(name, application)

    def _use(self, name: str, application: str) -> None:
        now, (read_at, value) = time.monotonic(), self._held.get(name, (0.0, ""))
        if now - read_at > KEEPS:
            found = self._read(name)
            if found is not None:
                read_at, value = now, found
                self._held[name] = read_at, value
        if not value:
            return
        self.asked += 1
        if not self.world.sandbox.directory.authenticates(application, value):
            self.refused.append(f"I3: {name} was refused with what it read {now - read_at:.0f} s before")
            del self._held[name]

    def _read(self, name: str) -> str | None:
        """Return what Vault has now; None while it is sealed, or before the first rotation."""
        try:
            reply = self.world.vault.request("GET", f"{self.world.mounts.consumers}/data/partners/{name}")
        except OSError:
            return None
        if reply.status != 200:
            return None
        value = reply.body["data"]["data"].get("client_secret")
        return value if isinstance(value, str) else None
