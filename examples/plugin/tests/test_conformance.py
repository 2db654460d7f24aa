"""The conformance suite of rotator against this plug-in: `pip install 'rotatord[testing]' -e . && pytest`."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rotator_acme import AcmeProvider

from rotator.clock import SystemClock
from rotator.errors import OutcomeUnknown, Refused, Throttled
from rotator.model import Act
from rotator.plugin import Making
from rotator.ports import Provider
from rotator.secret import Secret
from rotator.testing.lives import *  # noqa: F403  the suites
from rotator.testing.providers import *  # noqa: F403
from rotator.testing.providers import Fate


class StormyAcme(AcmeProvider):
    """Acme with the weather of a real vendor: a write is lost, late, throttled or refused, as a test wishes."""

    def __init__(self, making: Making) -> None:
        super().__init__(making)
        self.fates: dict[Act, deque[Fate]] = {Act.CREATE: deque(), Act.RETIRE: deque()}
        self.late: list[Callable[[], None]] = []

    def _write(self, application: str, held: list[dict[str, Any]]) -> None:
        more = len(held) > len(self._read(application))
        wishes = self.fates[Act.CREATE if more else Act.RETIRE]
        fate = wishes.popleft() if wishes else None
        if fate is Fate.THROTTLED:
            raise Throttled("Acme asks to slow down.", hint="Wait.", retry_after=timedelta(seconds=30))
        if fate is Fate.REFUSED:
            raise Refused("Acme said no.", hint="Ask Acme why.")
        if fate is Fate.LATE:
            self.late.append(lambda: super(StormyAcme, self)._write(application, held))
        if fate in (None, Fate.LOST):
            super()._write(application, held)
        if fate is not None:
            raise OutcomeUnknown("Acme did not answer.", hint="Look what it has.")


class AcmeBench:
    """One client that has a secret which somebody made by hand, and a look behind Acme's back."""

    application, nobody = "shop", "nobody"

    def __init__(self, folder: Path) -> None:
        self._file = folder / "shop.json"
        made = {"id": "first", "label": "made by hand", "value": "v-1", "made": "2026-01-01T00:00:00+00:00"}
        self._file.write_text(json.dumps([{**made, "ends": "2036-01-01T00:00:00+00:00"}]))
        settings = {"folder": str(folder), "token": "env:ACME"}
        self._making = Making("acme", settings, lambda _: lambda: Secret("t0ken"), SystemClock())
        self.provider = StormyAcme(self._making)

    def another(self) -> Provider:
        """Return a second provider."""
        return AcmeProvider(self._making)

    def truth(self) -> dict[str, str | None]:
        """Return what Acme has."""
        return {one["id"]: one["label"] for one in json.loads(self._file.read_text())}

    def accepts(self, client_id: str, value: Secret) -> bool:
        """Say whether Acme would take this value."""
        return client_id == "shop" and any(value == Secret(one["value"]) for one in json.loads(self._file.read_text()))

    def remove(self, key_id: str) -> None:
        """Let somebody else remove a secret."""
        held = json.loads(self._file.read_text())
        self._file.write_text(json.dumps([one for one in held if one["id"] != key_id]))

    def two_slots(self) -> None:
        """Let the client hold two secrets from now on."""
        self.provider.slots = 2

    def fate(self, act: Act, fate: Fate) -> None:
        """Let the next call end so."""
        self.provider.fates[act].append(fate)

    def haunt(self) -> None:
        """Let what was late take effect."""
        for one in self.provider.late:
            one()
        self.provider.late.clear()


@pytest.fixture
def bench(tmp_path: Path) -> AcmeBench:
    """Return a fresh one."""
    return AcmeBench(tmp_path)
