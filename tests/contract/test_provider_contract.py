"""One suite for every provider: what the port promises is seen in memory and at Entra over TLS."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from rotator.clock import ManualClock, SystemClock
from rotator.model import Act
from rotator.ports import Provider
from rotator.providers.entra_keys import make_pair
from rotator.sandbox.keys import WrittenKey, parsed
from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Answer, Effect, Fault, Route, Weather, throttle
from rotator.sandbox.world import App
from rotator.secret import Secret
from rotator.testing import lives
from rotator.testing.lives import *  # noqa: F403  the suites
from rotator.testing.providers import *  # noqa: F403
from rotator.testing.providers import Bench, Fate
from tests.fakes.memory_issuer import MemoryIssuer
from tests.integration.described_bench import DescribedBench, described_bench, new_client
from tests.integration.entra_bench import EntraBench, entra_bench

LATE = timedelta(milliseconds=300)


@dataclass
class MemoryBench:
    issuer: MemoryIssuer
    clock: ManualClock
    application: str = "kontrolle"
    nobody: str = "nobody"

    @property
    def provider(self) -> Provider:
        return self.issuer

    def another(self) -> Provider:
        return self.issuer

    def truth(self) -> dict[str, str | None]:
        return {held.key_id: held.tag for held in self.issuer.truth(self.application)}

    def accepts(self, client_id: str, value: Secret) -> bool:
        return self.issuer.accepts(client_id, value)

    def remove(self, key_id: str) -> None:
        self.issuer.remove(self.application, key_id)

    def two_slots(self) -> None:
        self.issuer.applications[self.application].slots = 2

    def fate(self, act: Act, fate: Fate) -> None:
        self.issuer.fate(act, fate)

    def haunt(self) -> None:
        self.clock.advance(self.issuer.ghost_delay)


_FAULTS = {
    Fate.LOST: Fault(Answer.DROP, Effect.DONE),
    Fate.NEVER: Fault(Answer.DROP, Effect.NONE),
    Fate.LATE: Fault(Answer.ERROR, Effect.LATE, 504),
    Fate.THROTTLED: throttle("30"),
    Fate.REFUSED: Fault(Answer.ERROR, Effect.NONE, 403),
}


@dataclass
class EntraSide:
    entra: EntraBench
    application: str
    nobody: str = "7f3c0c52-0000-4000-8000-00000000dead"

    @property
    def provider(self) -> Provider:
        return self.entra.provider

    def another(self) -> Provider:
        return self.entra.another(SystemClock())

    def truth(self) -> dict[str, str | None]:
        return {held.key_id: held.display_name for held in self.entra.sandbox.directory.live(self.application)}

    def accepts(self, client_id: str, value: Secret) -> bool:
        return self.entra.sandbox.directory.authenticates(client_id, value.reveal())

    def remove(self, key_id: str) -> None:
        self.entra.sandbox.directory.remove(self.application, key_id)

    def two_slots(self) -> None:
        self.entra.sandbox.directory.change(self.application, personal=True)

    def fate(self, act: Act, fate: Fate) -> None:
        route = {Act.CREATE: Route.ADD_PASSWORD, Act.RETIRE: Route.REMOVE_PASSWORD}[act]
        self.entra.sandbox.fail_next(route, _FAULTS[fate], app_id=self.application)

    def haunt(self) -> None:
        self.entra.settled_ghost()


@dataclass
class CertificateSide(EntraSide):
    """The certificates of the same application; what consumers read signs nothing here, so each write is one of all."""

    nobody: str = "certificate:7f3c0c52-0000-4000-8000-00000000dead"

    def __post_init__(self) -> None:
        self._keys, self._app = self.entra.sandbox.keys, self.application.removeprefix("certificate:")
        now = self.entra.sandbox.directory.now()
        pair = make_pair("theirs", "x/y/z", now - timedelta(days=1), now + timedelta(days=300))
        self._keys.put(self._app, WrittenKey(None, pair.certificate, "made in the portal"))

    def truth(self) -> dict[str, str | None]:
        return {held.key_id: held.display_name for held in self._keys.live(self._app)}

    def accepts(self, client_id: str, value: Secret) -> bool:
        try:
            public = load_pem_private_key(value.reveal().encode(), None).public_key()
        except ValueError:
            return False
        return public in [parsed(held.der).public_key() for held in self._keys.live(self._app)]

    def remove(self, key_id: str) -> None:
        self._keys.remove(self._app, key_id)

    def two_slots(self) -> None:
        pytest.skip("Entra counts no certificates")

    def fate(self, act: Act, fate: Fate) -> None:
        self.entra.sandbox.fail_next(Route.UPDATE_APPLICATION, _FAULTS[fate], app_id=self._app)


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EntraBench]:
    weather = Weather.calm().but(ghost_delay=LATE)
    with entra_bench(tmp_path_factory.mktemp("sandbox"), weather) as made:
        yield made


@dataclass
class DescribedSide(DescribedBench):
    def fate(self, act: Act, fate: Fate) -> None:
        self.fail(act, _FAULTS[fate])

    def haunt(self) -> None:
        SystemClock().wait(LATE + timedelta(milliseconds=50))


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    weather = Weather.calm().but(ghost_delay=LATE)
    with described_bench(tmp_path_factory.mktemp("vendor"), weather) as made:
        yield made


@pytest.fixture(params=["memory", "entra", "certificates", "described"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "memory":
        clock = ManualClock(SystemClock().now())
        issuer = MemoryIssuer(clock)
        issuer.add("kontrolle")
        issuer.foreign("kontrolle")
        return MemoryBench(issuer, clock)
    if request.param == "described":
        made = new_client(request.getfixturevalue("vendor"))
        return DescribedSide(made.sandbox, made.client)
    if request.param == "certificates" and request.function.__module__ == lives.__name__:
        pytest.skip("the lives of certificates are in tests/crash/test_certificate_*.py")
    entra: EntraBench = request.getfixturevalue("entra")
    app_id = str(uuid.uuid4())
    entra.sandbox.directory.enrol(App(app_id, "an application of the contract"))
    return EntraSide(entra, app_id) if request.param == "entra" else CertificateSide(entra, f"certificate:{app_id}")
