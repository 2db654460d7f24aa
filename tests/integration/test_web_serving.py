"""The companion of the daemon that serves metrics and health, from configuration to answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rotator.app.companion import Companion
from rotator.app.figures import Pulse
from rotator.app.house import House
from rotator.app.rotating import Wish, rotate
from rotator.app.serving import Serving
from rotator.errors import Misconfigured
from tests.fakes.app_bench import START, Bench
from tests.fakes.web_client import Client


@dataclass
class Loop:
    """The daemon's loop, as it seems."""

    wrong: str | None = None
    closed: str | None = None
    reloaded: bool = True

    def pulse(self) -> Pulse:
        return Pulse(START, self.reloaded)

    def stuck(self) -> str | None:
        return self.wrong

    def unwritable(self) -> str | None:
        return self.closed


class Listening(Bench):
    """A bench whose configuration says where to listen."""

    listen = '"127.0.0.1:0"'

    def write(self, without: tuple[str, ...] = ()) -> None:
        """Write the configuration, with an address."""
        super().write(without)
        text = self.config.read_text(encoding="utf-8")
        text = text.replace("service: {", f"service: {{listen: {self.listen}, ")
        self.config.write_text(text, encoding="utf-8")

    def listens(self, where: str) -> House:
        """Return a house that listens elsewhere."""
        self.listen = where
        self.write()
        return self.house()


@pytest.fixture
def bench(tmp_path: Path) -> Listening:
    made = Listening(tmp_path)
    with made.house() as first:
        rotate(first, Wish())
    return made


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def house(bench: Listening) -> Iterator[House]:
    with bench.house() as made:
        yield made


@pytest.fixture
def serving(house: House, loop: Loop) -> Iterator[Serving]:
    made = Serving(house, loop)
    made.start()
    yield made
    made.stop()


def test_it_is_a_companion(serving: Serving) -> None:
    companion: Companion = serving
    assert (companion.name, companion.beat()) == ("web", None)


def test_a_scrape_tells_what_state_and_loop_know(serving: Serving, bench: Listening) -> None:
    client = Client(serving.port)
    got = client.ask("/metrics")
    assert got.status == 200
    assert got.value("rotator_credential_ready_status", credential="two", condition="True") == 1
    assert got.value("rotator_scheduler_last_tick_timestamp_seconds") == START.timestamp()
    assert got.value("rotator_rotations_total", outcome="promoted") == 0  # that was before it began
    with bench.house() as other:
        rotate(other, Wish(names=("one",), now=True))
    assert client.ask("/metrics").value("rotator_rotations_total", outcome="promoted") == 1


def test_no_value_and_no_key_id_is_on_the_page(serving: Serving, bench: Listening) -> None:
    page = Client(serving.port).ask("/metrics").body.decode()
    for name in bench.credentials:
        assert bench.value_of(name).reveal() not in page
    for application in bench.issuer.applications.values():
        for version in application.versions:
            assert version.key_id not in page
    assert "canary-9f2b7c" not in page


def test_a_stuck_loop_is_told_by_both_pages(serving: Serving, loop: Loop) -> None:
    client = Client(serving.port)
    assert (client.ask("/healthz").status, client.ask("/readyz").status) == (200, 200)
    loop.wrong = "No tick since 12:00."
    assert client.ask("/healthz").reasons == ["loop_stuck"]
    assert client.ask("/readyz").reasons == ["loop_stuck"]


def test_a_state_that_cannot_be_written_is_not_ready_and_yet_alive(serving: Serving, loop: Loop) -> None:
    loop.closed = "disk I/O error"
    client = Client(serving.port)
    assert client.ask("/readyz").reasons == ["state_unwritable"]
    assert client.ask("/healthz").status == 200


def test_a_refused_reload_is_told(serving: Serving, loop: Loop) -> None:
    loop.reloaded = False
    assert Client(serving.port).ask("/metrics").value("rotator_config_last_reload_successful") == 0


def test_without_an_address_there_is_no_port(bench: Listening, loop: Loop) -> None:
    with bench.listens("null") as house:
        serving = Serving(house, loop)
        serving.start()
        assert (serving.port, serving.beat()) == (None, None)
        serving.stop()


def test_a_port_that_is_taken_is_said_and_nothing_else_happens(bench: Listening, loop: Loop) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        bench.listens(f'"127.0.0.1:{taken.getsockname()[1]}"') as house,
    ):
        serving = Serving(house, loop)
        with pytest.raises(Misconfigured):
            serving.start()
        assert serving.beat() == f"nothing is served on 127.0.0.1:{taken.getsockname()[1]}"
        serving.stop()


def test_it_goes_on_with_a_new_configuration_at_the_same_address(serving: Serving, bench: Listening) -> None:
    port = serving.port
    rotate_one(bench)
    bench.write(without=("two",))
    with bench.house() as other:
        serving.reloaded(other)
        assert serving.port == port
        got = Client(port).ask("/metrics")
        assert b'credential="two"' not in got.body
        assert got.value("rotator_rotations_total", outcome="promoted") == 1
        assert Client(port).ask("/readyz").status == 200


def test_calls_are_counted_on_after_a_reload(serving: Serving, house: House, bench: Listening) -> None:
    house.provider("contoso").list(bench.app("one"))
    with bench.house() as other:
        serving.reloaded(other)
        other.provider("contoso").list(bench.app("one"))
        got = Client(serving.port).ask("/metrics")
    assert got.value("rotator_provider_requests_total", provider="contoso", operation="list", outcome="succeeded") == 2


def test_another_address_is_taken_and_the_old_one_given_up(serving: Serving, bench: Listening, tmp_path: Path) -> None:
    port, path = serving.port, tmp_path / "http.sock"
    with bench.listens(f'"unix:{path}"') as other:
        serving.reloaded(other)
        assert Client(str(path)).ask("/healthz").status == 200
        with pytest.raises(ConnectionRefusedError):
            Client(port).connect()


def test_an_address_that_cannot_be_had_leaves_the_old_one(serving: Serving, bench: Listening, tmp_path: Path) -> None:
    port = serving.port
    with bench.listens(f'"unix:{tmp_path / "nowhere" / "http.sock"}"') as other:
        with pytest.raises(Misconfigured):
            serving.reloaded(other)
        assert Client(port).ask("/healthz").status == 200


def rotate_one(bench: Listening) -> None:
    with bench.house() as other:
        rotate(other, Wish(names=("one",), now=True))
