"""A real Vault that is sealed, stepped down, throttled, or that commits and answers 500, in the middle of a rotation.

The rotation runs in this process over the real parts; what happens to Vault happens right before a chosen call. After
Vault is well again a fresh run settles everything: no value is shown twice, no secret is left that nobody names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from rotator.app.config import load
from rotator.app.house import House
from rotator.app.results import Rotated
from rotator.app.rotating import Wish, rotate
from rotator.app.wiring import AnyStore, Parts
from rotator.clock import SystemClock
from rotator.ports import Store
from rotator.secret import Secret
from tests.e2e.real_oracle import judge
from tests.e2e.real_world import NAME, RealWorld, Station, real_world
from tests.fakes.tape import Tape, TapedStore
from tests.servers.vault_server import VaultServer

pytestmark = [pytest.mark.vault, pytest.mark.slow]

HALF_AN_HOUR = timedelta(minutes=30)
CLAIM, STAGE, ANNOUNCE, RELEASE = (("staging.write", number) for number in (1, 2, 3, 4))
PROMOTE = ("consumers.write", 1)
Point = tuple[str, int]
Trouble = Callable[[RealWorld], AbstractContextManager[object]]


class LaterClock(SystemClock):
    """A clock that is ahead: the wait after a failure is over, and no clock is 5 min from another."""

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=280)


@dataclass
class Strike:
    """Lets something happen right before a call is made for the n-th time."""

    point: Point
    act: Callable[[], object]
    seen: list[str] = field(default_factory=list)

    def __call__(self, name: str) -> None:
        self.seen.append(name)
        if name == self.point[0] and self.seen.count(name) == self.point[1]:
            self.act()

    @property
    def struck(self) -> bool:
        """Whether the call came."""
        return self.seen.count(self.point[0]) >= self.point[1]


@dataclass(frozen=True, slots=True)
class _Builder(Parts):
    """Makes the real parts, and puts the store behind a tape."""

    tape: Tape

    def store(self, name: str, section: AnyStore, key: Secret | None) -> Store:
        return TapedStore(Parts.store(self, name, section, key), self.tape)


def run(station: Station, wish: Wish, *, strike: Strike | None = None, clock: SystemClock | None = None) -> Rotated:
    """Run one command in this process."""
    tape = Tape(hooks=[strike] if strike else [])
    with House(
        load(station.config),
        environ={},
        argv=("rotator", "rotate"),
        clock=clock,
        builder=lambda clock, resolver: _Builder(clock, resolver, tape),
    ) as house:
        return rotate(house, wish)


@pytest.fixture(scope="module")
def own(new_vault_server: Callable[[], VaultServer]) -> VaultServer:
    """A server that may be sealed."""
    return new_vault_server()


@pytest.fixture
def world(own: VaultServer) -> Iterator[RealWorld]:
    own.wait_until_active()
    with real_world(own) as made:
        yield made


@contextmanager
def sealed(world: RealWorld) -> Iterator[None]:
    world.vault.seal()
    try:
        yield
    finally:
        world.vault.unseal()


@contextmanager
def stepped_down(world: RealWorld) -> Iterator[None]:
    world.vault.step_down()
    try:
        yield
    finally:
        world.vault.wait_until_active()


def blacked_out_at(path: str) -> Trouble:
    """Let the next write there be done and answered 500, and everything after it be answered 500 too."""
    return lambda world: world.vault.audit_blackout(path.format(c=world.mounts.consumers, s=world.mounts.staging))


def throttled(mount: str, *, tell_when: bool) -> Trouble:
    """Allow so little that the next request is answered 429."""

    @contextmanager
    def limit(world: RealWorld) -> Iterator[None]:
        with world.vault.rate_limit(f"{mount}/", 6, tell_when=tell_when):
            while world.vault.request("GET", f"{mount}/config").status != 429:
                pass
            yield

    return limit


def strike(world: RealWorld, point: Point, trouble: Trouble, codes: tuple[int, ...]) -> Station:
    """Rotate once, and again with trouble at a point; return the station with Vault well again."""
    station = world.station()
    assert run(station, Wish()).exit_status == 0
    with ExitStack() as stack:
        blow = Strike(point, lambda: stack.enter_context(trouble(world)))
        found = run(station, Wish(names=(NAME,), now=True), strike=blow)
        assert blow.struck, "the rotation never came to that point"
    assert found.exit_status in codes, found
    judge(world, grace=HALF_AN_HOUR)
    return station


def recover(station: Station) -> None:
    """Run again, and see that everything is as it should be: one new version is shown, once, and nothing is lost."""
    world = station.world
    found = run(station, Wish(), clock=LaterClock())
    assert found.exit_status == 0, found
    judge(world, grace=HALF_AN_HOUR, quiet=True)
    assert len(world.versions(f"partners/{NAME}")) == 2
    assert len(world.live_ours()) == 2, "the new one and the one in its grace"


@pytest.mark.parametrize("point", [CLAIM, STAGE, ANNOUNCE, PROMOTE, RELEASE], ids=lambda one: f"{one[0]}-{one[1]}")
def test_sealed_at_any_write_of_a_rotation_it_is_finished_or_undone_once_unsealed(
    world: RealWorld, point: Point
) -> None:
    station = strike(world, point, sealed, (69,))
    if point != RELEASE:
        assert len(world.versions(f"partners/{NAME}")) == 1
    recover(station)


@pytest.mark.parametrize("point", [STAGE, PROMOTE], ids=lambda one: f"{one[0]}-{one[1]}")
def test_an_outage_of_ten_seconds_costs_no_secret(world: RealWorld, point: Point) -> None:
    recover(strike(world, point, stepped_down, (69,)))


@pytest.mark.parametrize(
    ("point", "path"),
    [
        (CLAIM, "{s}/data/kontrolle"),
        (STAGE, "{s}/data/kontrolle"),
        (ANNOUNCE, "{s}/data/kontrolle"),
        (PROMOTE, "{c}/data/partners/kontrolle"),
        (RELEASE, "{s}/data/kontrolle"),
    ],
    ids=["claim", "stage", "announce", "promote", "release"],
)
def test_a_write_that_is_done_and_answered_500_is_found_and_never_made_twice(
    world: RealWorld, point: Point, path: str
) -> None:
    station = strike(world, point, blacked_out_at(path), (69,))
    shown = len(world.versions(f"partners/{NAME}"))
    assert shown == (2 if point in (PROMOTE, RELEASE) else 1), "what was done was done"
    made = len(world.sandbox.directory.mutations())
    recover(station)
    again = len(world.sandbox.directory.mutations()) - made
    assert again == (1 if point == CLAIM else 0), "what was staged or shown is used, and nothing is made in its place"


@pytest.mark.parametrize(
    ("point", "mount", "tell_when"),
    [(STAGE, "staging", True), (PROMOTE, "consumers", True), (PROMOTE, "consumers", False)],
    ids=["stage-told-when", "promote-told-when", "promote-not-told-when"],
)
def test_a_vault_that_throttles_is_waited_for(world: RealWorld, point: Point, mount: str, tell_when: bool) -> None:
    waits = (0,) if tell_when else (0, 75)  # 75: it chose to wait longer than a command does
    recover(strike(world, point, throttled(getattr(world.mounts, mount), tell_when=tell_when), waits))
