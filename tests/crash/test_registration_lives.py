"""Whole lives of registered clients over the wire: the real provider, a server as unkind as the RFCs allow, deaths."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from rotator.errors import Refused, Transient
from rotator.event import EventName
from rotator.finding import Severity
from rotator.model import Procedure, VersionState
from rotator.ports import Snapshot
from rotator.secret import Fields
from rotator.staging import decode
from tests.fakes.registrations import INITIAL, RegistrationProver, Registrations, registering
from tests.fakes.tape import Crash
from tests.fakes.world import DAY, HOUR, MINUTE, NAME, State, World, credential

ELSEWHERE = [
    "https://thief.example/x",
    "/register/abc",
    "https://id.example@thief.example/x",
    "https://thief@id.example/x",
    "http://id.example/register/x",
    "https://id.example:444/register/x",
    "https://id.example:port/x",
    "https://[bad",
]


class Bench:
    """A world whose issuer is asked over the wire. Nothing that the server ever gave is told to anybody."""

    def __init__(self, *, in_place: bool = False, **changes: Any) -> None:
        facts: dict[str, Any] = {"quarantine": MINUTE, "labelled": False, "accept_gap": in_place, "max_creations": 100}
        procedure = Procedure.READ_BACK if in_place else None
        self.world = World(credential(client_id="", **facts, **changes), procedure=procedure)
        self.server = Registrations(self.world.clock)
        provider = registering(self.server, self.world.clock, in_place=in_place)
        provider.recall(lambda _: self.kept()[-1][1] if self.kept() else None)
        self.world.issuer = provider  # type: ignore[assignment]
        self.world.slot = provider if in_place else None  # type: ignore[assignment]
        self.world.check_removal = lambda key_id: None  # type: ignore[method-assign]
        self.prover = self.world.prover = RegistrationProver(self.server)  # type: ignore[assignment]
        self.state: State = self.world.state()
        self.server.call = self.state.tape.cross

    def kept(self) -> tuple[tuple[str, Fields], ...]:
        """Return what the staging document keeps."""
        fields = self.world.store.staging.read(NAME).fields
        return decode(fields, NAME).keepsakes if fields is not None else ()

    def works(self) -> bool:
        """Say whether what consumers read works."""
        fields = self.world.main()
        secret = fields.secret("client_secret") if fields is not None else None
        return fields is not None and secret is not None and self.server.accepts(self.client(), secret.reveal())

    def client(self) -> str:
        """Return the client id that consumers read."""
        fields = self.world.main()
        return str(fields.text("client_id")) if fields is not None else ""

    def next(self) -> None:
        """Let the next rotation come, and the end of the version before."""
        self.world.advance(61 * DAY)
        self.state.visit()
        self.world.advance(25 * HOUR)
        self.state.visit()

    def live(self) -> None:
        """Make the first version and replace it twice."""
        self.state.visit()
        self.next()
        self.next()

    def told(self) -> list[str]:
        """Return what of the server's secrets and tokens stands where it must not."""
        shown = [one for one in self.world.store.consumers.truth if "registration_access_token" in one.fields]
        told = f"{self.state.ledger.events!r}{self.state.said!r}{self.state.ledger.tracked(NAME)!r}"
        return [one for one in self.server.given if one in told] + [str(one.version) for one in shown]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("look", [False, True])
@pytest.mark.parametrize("change", [False, True])
def test_a_token_that_changes_whenever_it_is_used_is_never_lost_without_need(
    in_place: bool, look: bool, change: bool
) -> None:
    bench = Bench(in_place=in_place)
    bench.server.look_renews, bench.server.change_renews = look, change
    bench.live()
    assert bench.works() and len(bench.server.clients) == 1 and len(bench.kept()) == 1
    assert not bench.told()
    registered = sum(method == "POST" for method, _, _ in bench.server.asked)
    assert registered == (1 if in_place else 3)
    assert all(who == INITIAL or method != "POST" for method, _, who in bench.server.asked)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_death_at_any_request_ends_with_one_that_works(in_place: bool) -> None:
    def begin() -> Bench:
        bench = Bench(in_place=in_place)
        bench.server.look_renews = bench.server.change_renews = True
        return bench

    bench = begin()
    bench.live()
    total = bench.state.tape.crossings
    assert total > 60
    for point in range(total):
        bench = begin()
        bench.state.tape.die_at = point
        with suppress(Crash):
            bench.live()
        bench.state.tape.die_at, bench.state.tape.dead = None, False
        for _ in range(4):
            bench.state.visit()
            bench.world.advance(30 * HOUR)
        tracked = bench.state.ledger.tracked(NAME)
        assert bench.works() and not bench.told(), point
        assert tracked is not None and tracked.rotation is None and tracked.state.parked is None, point
        assert len(bench.server.clients) <= 2, (point, "one at most, whose answer was lost")
        assert len(bench.kept()) == 1, point


@pytest.mark.parametrize("expires", [0, 1])
def test_a_store_that_is_down_right_after_a_registration_costs_no_client(expires: int) -> None:
    bench = Bench()
    bench.state.visit()
    bench.world.advance(61 * DAY)
    staging, there, failures = bench.world.store.staging, len(bench.server.clients), [0]
    write = staging.write

    def down_for_a_while(path: str, fields: Fields, expected: int) -> Snapshot:
        if len(bench.server.clients) > there and failures[0] < 20:
            failures[0] += 1
            raise Transient("The store is down.", hint="Wait.")
        return write(path, fields, expected)

    staging.write = down_for_a_while  # type: ignore[method-assign]
    if expires:  # too short, so it is removed again, by what came with it
        bench.server.answers = {"client_secret_expires_at": int(bench.world.clock.now().timestamp()) + 60}
    bench.state.visit()
    assert failures[0] == 20
    bench.server.answers = {}
    for _ in range(3):
        bench.world.advance(26 * HOUR)
        bench.state.visit()
    assert bench.works() and list(bench.server.clients) == [bench.client()]


def test_a_server_that_gives_the_same_secret_and_another_token_costs_no_client() -> None:
    bench = Bench(in_place=True)
    bench.state.visit()
    client, bench.server.fresh, bench.server.change_renews = bench.client(), False, True
    for _ in range(2):
        bench.next()
    tracked = bench.state.ledger.tracked(NAME)
    assert tracked is not None and tracked.state.error is not None and tracked.state.error.code == "same_value"
    bench.server.fresh = True
    bench.next()
    assert bench.works() and bench.client() == client and list(bench.server.clients) == [client]


def test_what_cannot_be_deleted_is_left_and_said_once_and_rotations_go_on() -> None:
    bench = Bench()
    bench.server.tokens = False
    bench.state.visit()
    first = bench.client()
    bench.world.advance(61 * DAY)
    bench.state.visit()
    bench.world.advance(25 * HOUR)
    report = bench.state.visit()
    assert isinstance(report.error, Refused) and first in report.error.message and first in report.error.hint
    bench.world.advance(HOUR)
    assert bench.state.visit().error is None
    ended = [one for one in bench.state.events(EventName.VERSION_RETIRED) if one["key_id"] == first]
    assert ended[-1]["outcome"] == "refused" and "left at its issuer" in str(ended[-1]["detail"])
    bench.next()
    tracked = bench.state.ledger.tracked(NAME)
    assert bench.works() and bench.client() != first and tracked is not None and tracked.state.parked is None
    assert [one.state for one in tracked.versions] == [VersionState.CURRENT]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("uri", ELSEWHERE)
def test_a_token_goes_nowhere_but_where_we_registered_and_nothing_waits_for_it(uri: str, in_place: bool) -> None:
    bench = Bench(in_place=in_place)
    bench.server.answers = {"registration_client_uri": uri}
    bench.live()
    bench.state.visit()
    tracked = bench.state.ledger.tracked(NAME)
    assert tracked is not None and tracked.state.parked is None and tracked.rotation is None
    assert bench.works() and len(bench.server.clients) == 3, "what cannot be managed is registered anew"
    assert {(host, who) for _, host, who in bench.server.asked} == {("id.example", INITIAL)}


@pytest.mark.parametrize("address", ["https://id.example:443", "HTTPS://ID.example"])
@pytest.mark.parametrize("in_place", [False, True])
def test_the_same_server_may_be_written_otherwise(address: str, in_place: bool) -> None:
    bench = Bench(in_place=in_place)
    bench.server.address = address
    bench.live()
    assert bench.works() and len(bench.server.clients) == 1


def test_a_path_with_braces_is_no_place_to_be_filled() -> None:
    bench = Bench()
    bench.server.answers = {"registration_client_uri": "https://id.example/register/{x}"}
    bench.state.visit()
    bench.next()
    assert bench.works()


@pytest.mark.parametrize(("ends", "words"), [(3600, "granted 1 h"), (-3600, "had ended already")])
def test_a_client_that_is_granted_too_little_is_deleted_again(ends: int, words: str) -> None:
    bench = Bench()
    now = int(bench.world.clock.now().timestamp())
    bench.server.answers = {"client_secret_expires_at": now + ends, "client_id_issued_at": now}
    report = bench.state.visit()
    assert report.error is not None and report.error.code == "lifetime_too_short" and words in report.error.message
    assert not bench.server.clients and not bench.kept()


@pytest.mark.parametrize("answer", [{"client_secret": None}, {"client_secret": "*" * 10}, {"client_id": None}])
def test_a_client_of_no_use_is_deleted_again(answer: dict[str, Any]) -> None:
    bench = Bench()
    bench.server.answers = answer
    report = bench.state.visit()
    assert report.error is not None and report.error.code == "useless_client"
    assert not bench.server.clients and not bench.told()


def test_nobody_is_told_that_nothing_is_left_where_nobody_can_know() -> None:
    bench = Bench()
    bench.server.lose = ["POST", "POST"]
    report = bench.state.visit()
    assert report.error is not None and report.error.code == "create_unanswered"
    left = [one.name for one in bench.server.clients.values()]
    assert len(left) == 2 and "no version was made" not in report.error.message
    assert left[-1].removeprefix("app-1 (").rstrip(")") in report.error.hint


def test_a_check_says_which_procedure_follows() -> None:
    for in_place, procedure in ((False, "overlap"), (True, "read-back")):
        bench = Bench(in_place=in_place)
        found = bench.world.issuer.check("app-1", timedelta(days=90), NAME, "rotator/")
        assert found[0].outcome is Severity.OK and procedure in found[0].message
