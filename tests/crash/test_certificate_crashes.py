"""The process dies after every port call of the life of a certificate, at an issuer behind real TLS.

Whatever the point: what consumers read works all the time, nobody's certificate is removed but ours, and after the runs
that follow the issuer has none of ours that the ledger does not name. An answer may be lost on top of it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from rotator.adoption import adopt
from rotator.by_hand import settled
from rotator.clock import ManualClock, SystemClock
from rotator.errors import Refused
from rotator.event import EventName, Outcome
from rotator.finding import Finding
from rotator.model import RotationOutcome, VersionState
from rotator.ports import Answer, Listing, Verdict
from rotator.providers.entra import EntraProvider
from rotator.providers.entra_keys import make_pair
from rotator.providers.entra_settings import ClientSecretAuth
from rotator.sandbox.keys import WrittenKey
from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Answer as Bad
from rotator.sandbox.weather import Effect, Fault, Route, Weather
from rotator.sandbox.world import ROTATOR, App
from rotator.secret import Fields, Secret
from tests.fakes.memory_ledger import MemoryLedger
from tests.fakes.memory_store import MemoryStore
from tests.fakes.tape import Crash
from tests.fakes.world import DAY, HOUR, MINUTE, PATH, State, credential
from tests.integration.entra_bench import NO_SPACING, settings_for

YEARS = 20 * 365 * DAY
SLICES = 4


@dataclass
class Issuer:
    """One sandbox for all worlds, on a clock that moves; rotator's own login lasts longer than all of them."""

    sandbox: Sandbox
    clock: ManualClock
    provider: EntraProvider
    held: dict[str, Callable[[], Fields | None]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    folder: Path = tmp_path_factory.mktemp("issuer") / "sandbox"
    clock = ManualClock(SystemClock().now())
    calm = Weather.calm().but(write_time=timedelta(0))
    with Sandbox.start(folder, weather=calm, seed=7, clock=clock) as sandbox:
        directory = sandbox.directory
        directory.change(ROTATOR, token_lifetime=YEARS)
        directory.put(ROTATOR, display_name="long", expires_at=clock.now() + YEARS, text="a-secret-for-the-test")
        settings = settings_for(sandbox, ClientSecretAuth(ROTATOR, Secret("a-secret-for-the-test")))
        provider = EntraProvider(replace(settings, spacing=NO_SPACING), clock)
        made = Issuer(sandbox, clock, provider)
        provider.prove_with(lambda application: made.held[application]())
        yield made
        provider.close()


class Truth:
    """A prover that asks the issuer's truth, with the certificate and the key that belongs to it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def prove(self, client_id: str, values: Fields, now: datetime) -> Verdict:
        works = client_id == self._world.app and self._world.works(values)
        return Verdict(Answer.PROVED if works else Answer.REFUSED, "proved" if works else "invalid_client", "said")

    def check(self, subject: str) -> list[Finding]:
        return []


class World:
    """One application with a certificate of somebody else, and a store. It has what `State` needs of a world."""

    def __init__(self, issuer: Issuer) -> None:
        self.app = str(uuid4())
        self._sandbox = issuer.sandbox
        issuer.sandbox.directory.enrol(App(self.app, "a partner", first_secret=None))
        self.clock, self.issuer, self.slot = issuer.clock, issuer.provider, None
        self.store = MemoryStore(self.clock)
        self.prover = Truth(self)
        self.credential = credential(
            application=f"certificate:{self.app}",
            client_id=self.app,
            carries=("certificate", "private_key"),
            quarantine=MINUTE,
        )
        issuer.held[self.credential.application] = self.main
        self.foreign, _ = self.upload()
        self.removed_in_use: list[str] = []

    def upload(self) -> tuple[str, Fields]:
        """Let somebody upload a certificate of his; return its key id, and key and certificate."""
        pair = make_pair("theirs", "x/y/z", self.clock.now() - DAY, self.clock.now() + YEARS)
        return self._sandbox.keys.put(self.app, WrittenKey(None, pair.certificate, "by hand")).key_id, pair.values

    def state(self) -> State:
        return State(self, MemoryLedger(self.clock, owner="state-a"))  # type: ignore[arg-type]

    def main(self) -> Fields | None:
        return self.store.consumers.read(PATH).fields

    def main_key(self) -> str | None:
        fields = self.main()
        return fields.text("key_id") if fields is not None else None

    def works(self, fields: Fields | None) -> bool:
        """Say whether key and certificate belong together, and the issuer has the certificate."""
        key, text = (None, None) if fields is None else (fields.secret("private_key"), fields.secret("certificate"))
        if key is None or text is None:
            return False
        certificate = x509.load_pem_x509_certificate(text.reveal().encode())
        private = load_pem_private_key(key.reveal().encode(), None, unsafe_skip_rsa_key_validation=True)
        if private.public_key() != certificate.public_key():
            return False
        der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
        return der in {one.der for one in self._sandbox.keys.live(self.app)}

    def check_removal(self, key_id: str) -> None:
        if key_id in (self.main_key(), self.foreign):
            self.removed_in_use.append(key_id)

    def live(self) -> set[str]:
        return {one.key_id for one in self._sandbox.keys.live(self.app)}

    def check(self) -> None:
        """Assert what holds at any time."""
        assert self.foreign in self.live(), "a certificate of somebody else is gone"
        assert not self.removed_in_use
        assert self.main() is None or self.works(self.main()), "what consumers read does not work"

    def settle(self, state: State) -> None:
        """Visit until nothing is left to do, and assert what holds then."""
        for _ in range(4):
            self.clock.advance(5 * MINUTE)
            state.visit()
            self.check()
        named = {
            one.key_id
            for one in state.ledger.versions.values()
            if one.state in (VersionState.CURRENT, VersionState.PREVIOUS)
        }
        assert self.works(self.main())
        assert self.live() - {self.foreign} == named, "an orphan is left, or one that is named is gone"
        left = [one for one in state.ledger.intents.values() if one.outcome in (None, Outcome.UNKNOWN)]
        assert not left
        staging = self.store.staging.read(self.credential.name).fields
        assert staging is None or not any(name.startswith("value.") for name in staging)


def prepare(issuer: Issuer, name: str) -> tuple[World, State]:
    """Return a world at the moment at which the scenario begins; each ends with one visit."""
    world = World(issuer)
    state = world.state()
    if name != "first":
        state.visit()
        state.ask()
    if name == "retired":
        state.visit()
        world.clock.advance(25 * HOUR)
    return world, state


def total(issuer: Issuer, name: str) -> int:
    _, state = prepare(issuer, name)
    state.tape.crossings = 0
    state.visit()
    return state.tape.crossings


@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("name", ["first", "replaced", "retired"])
def test_a_crash_at_any_point_leaves_no_orphan_and_the_last_certificate_works(
    issuer: Issuer, name: str, part: int
) -> None:
    points = total(issuer, name)
    assert points >= 20, "the scenario does nothing"
    for point in range(1 + 2 * part, points, 2 * SLICES):  # a call has two points; before the next is after this one
        world, state = prepare(issuer, name)
        state.tape.crossings, state.tape.die_at = 0, point
        with pytest.raises(Crash):
            state.visit()
        world.check()
        try:
            world.settle(state)
        except AssertionError as error:
            raise AssertionError(f"{name}, died at {point} of {points} ({state.tape.calls[-3:]}): {error}") from None


LOST = (Fault(Bad.DROP, Effect.DONE), Fault(Bad.ERROR, Effect.DONE, 503), Fault(Bad.ERROR, Effect.NONE, 409))
ROUTES = {"first": Route.UPDATE_APPLICATION, "replaced": Route.ADD_KEY, "retired": Route.REMOVE_KEY}


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("name", ROUTES)
def test_an_answer_that_was_lost_leaves_no_orphan(issuer: Issuer, name: str, fault: Fault) -> None:
    world, state = prepare(issuer, name)
    issuer.sandbox.fail_next(ROUTES[name], fault, app_id=world.app)
    state.visit()
    assert not issuer.sandbox.sky._queued, "the fault was not met"
    world.check()
    world.settle(state)


def test_a_crash_after_a_lost_answer_leaves_no_orphan(issuer: Issuer) -> None:
    for point in range(0, total(issuer, "replaced"), 5):
        world, state = prepare(issuer, "replaced")
        issuer.sandbox.fail_next(Route.ADD_KEY, LOST[0], app_id=world.app)
        state.tape.crossings, state.tape.die_at = 0, point
        with suppress(Crash):
            state.visit()
        issuer.sandbox.sky.clear()
        state.tape.die_at = None
        world.check()
        world.settle(state)


@pytest.mark.parametrize("named_by", ["person", "document"])
def test_another_certificate_than_consumers_read_is_not_adopted_whoever_names_it(issuer: Issuer, named_by: str) -> None:
    world = World(issuer)
    state, (held, values) = world.state(), world.upload()
    named = {"key_id": world.foreign} if named_by == "document" else {}
    world.store.consumers.write(PATH, values.merged({"client_id": world.app, **named}), 0)
    kit = state.kit()
    with pytest.raises(Refused, match="another certificate") as refused:
        adopt(kit, settled(kit), world.foreign if named_by == "person" else None)
    assert refused.value.code == "which_key" and held in refused.value.message
    assert world.store.consumers.read(PATH).version == 1
    adopt(kit, settled(kit), held if named_by == "document" else None)
    assert world.main_key() == held


@pytest.mark.parametrize("others", [True, False])
def test_a_certificate_that_is_not_listed_is_not_adopted(issuer: Issuer, others: bool) -> None:
    world = World(issuer)
    state, (held, values) = world.state(), world.upload()
    world.store.consumers.write(PATH, values.merged({"client_id": world.app}), 0)
    lacks = {held} if others else {held, world.foreign}
    kit = replace(state.kit(), provider=Lacking(world.issuer, lacks))  # as where the service principal has it
    with pytest.raises(Refused, match="none at the issuer could be it"):
        adopt(kit, settled(kit), None)
    assert world.store.consumers.read(PATH).version == 1


class Lacking:
    """An issuer that does not list some of its versions."""

    def __init__(self, inner: EntraProvider, key_ids: set[str]) -> None:
        self._inner, self._key_ids = inner, key_ids

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def list(self, application: str) -> Listing:
        """Return what the issuer lists, but for these."""
        there = self._inner.list(application)
        return replace(there, versions=tuple(one for one in there.versions if one.key_id not in self._key_ids))


def test_the_scenarios_end_as_their_names_say_and_no_key_is_in_ledger_or_record(issuer: Issuer) -> None:
    ends = {}
    for name in ROUTES:
        world, state = prepare(issuer, name)
        before = world.main_key()
        state.visit()
        ends[name] = (world.main_key() != before, [one.outcome for one in state.ledger.rotations.values()][-1])
        fields = world.main()
        key = None if fields is None else fields.secret("private_key")
        assert fields is not None and key is not None
        assert {"client_id", "certificate", "private_key", "token_url", "key_id", "expires_at"} <= set(fields)
        assert "client_secret" not in fields
        canary = key.reveal().splitlines()[3]
        written = repr([state.ledger.events, state.ledger.versions, state.ledger.intents, state.ledger.rotations])
        assert canary not in written + repr([state.said, state.ledger.steps, fields]) and len(canary) == 64
        assert state.events(EventName.VERSION_PROMOTED)
    assert ends == {
        "first": (True, RotationOutcome.PROMOTED),
        "replaced": (True, RotationOutcome.PROMOTED),
        "retired": (False, RotationOutcome.RETIRED),
    }
