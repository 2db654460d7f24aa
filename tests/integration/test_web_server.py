"""The web server on real sockets: three pages, to be read only, for callers on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rotator.errors import Busy, Misconfigured, RotatorError
from rotator.web.health import Ailment
from rotator.web.server import Pages, WebServer
from tests.fakes.web_client import Client


@dataclass
class Site:
    """What the pages say, for a test to change."""

    failure: RotatorError | None = None
    alive: list[Ailment] = field(default_factory=list)
    ready: list[Ailment] = field(default_factory=list)
    scraping: threading.Event = field(default_factory=threading.Event)
    hold: threading.Event = field(default_factory=threading.Event)
    scrapes: int = 0
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.hold.set()

    def metrics(self) -> bytes:
        self.scrapes += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.scraping.set()
        self.hold.wait()
        self.at_once -= 1
        if self.failure is not None:
            raise self.failure
        return b"rotator_up 1\n"

    def pages(self) -> Pages:
        def alive() -> Sequence[Ailment]:
            return self.alive

        def ready() -> Sequence[Ailment]:
            return self.ready

        return Pages(self.metrics, alive, ready)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.hold.set()


@pytest.fixture
def server(site: Site) -> Iterator[WebServer]:
    made = WebServer("127.0.0.1:0", site.pages())
    made.start()
    yield made
    site.hold.set()
    made.stop()


@pytest.fixture
def client(server: WebServer) -> Client:
    return Client(server.port)


def test_the_three_pages_are_there_and_nothing_else(client: Client) -> None:
    assert client.ask("/metrics").body == b"rotator_up 1\n"
    assert client.ask("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert client.ask("/healthz").json == {"status": "ok", "reasons": []}
    assert client.ask("/readyz").json == {"status": "ok", "reasons": []}
    assert [client.ask(path).status for path in ("/", "/docs", "/metrics/x", "/openapi.json")] == [404] * 4


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
def test_pages_can_only_be_read(client: Client, site: Site, path: str) -> None:
    assert client.ask(path, "HEAD").status == 200
    assert client.ask(path, "HEAD").body == b""
    scrapes = site.scrapes
    assert [client.ask(path, method).status for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")] == [405] * 5
    assert site.scrapes == scrapes


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.:{port}"]
)
def test_a_host_that_is_not_ours_is_turned_away(client: Client, server: WebServer, site: Site, host: str) -> None:
    got = client.ask("/metrics", host=host.format(port=server.port))
    assert got.status == 421
    assert site.scrapes == 0


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_every_name_of_loopback_is_ours(client: Client, server: WebServer, name: str) -> None:
    assert client.ask("/healthz", host=f"{name}:{server.port}").status == 200


def test_nothing_tells_what_serves_it(client: Client) -> None:
    for path in ("/metrics", "/healthz", "/nowhere"):
        headers = client.ask(path).headers
        assert "server" not in headers
        assert "uvicorn" not in str(headers)
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_what_is_not_well_is_503_with_its_reasons(client: Client, site: Site) -> None:
    site.ready.append(Ailment("sealed", "Store vault: it is sealed.", "Unseal it."))
    got = client.ask("/readyz")
    assert (got.status, got.reasons) == (503, ["sealed"])
    assert client.ask("/healthz").status == 200
    site.alive.append(Ailment("loop_stuck", "No tick since noon."))
    assert client.ask("/healthz").status == 503
    assert client.ask("/healthz", "HEAD").status == 503


def test_a_state_that_cannot_be_read_makes_the_scrape_fail_instead_of_emptying_it(client: Client, site: Site) -> None:
    site.failure = Busy("The state is busy.", hint="Wait.")
    got = client.ask("/metrics")
    assert (got.status, got.body) == (503, b"The state is busy.\nWait.\n")


def test_health_is_answered_while_a_scrape_takes_long(client: Client, site: Site) -> None:
    site.hold.clear()
    slow = threading.Thread(target=client.ask, args=("/metrics",))
    slow.start()
    assert site.scraping.wait(10)
    assert client.ask("/healthz").status == 200
    assert client.ask("/readyz").status == 200
    site.hold.set()
    slow.join()


def test_scrapes_are_made_one_after_the_other_and_a_flood_is_turned_away(client: Client, site: Site) -> None:
    site.hold.clear()
    answers: list[int] = []
    flood = [threading.Thread(target=lambda: answers.append(client.ask("/metrics").status)) for _ in range(30)]
    for one in flood:
        one.start()
    while answers.count(503) < len(flood) - 16:
        time.sleep(0.01)
    site.hold.set()
    for one in flood:
        one.join()
    assert set(answers) == {200, 503}
    assert site.most_at_once == 1


def test_callers_who_say_nothing_are_cut_off_beyond_a_few(client: Client) -> None:
    silent = [client.connect() for _ in range(64)]
    beyond = client.connect()
    with contextlib.suppress(ConnectionResetError):
        assert beyond.recv(1) == b""
    silent[0].setblocking(False)
    with pytest.raises(BlockingIOError):  # while those that came first are still heard
        silent[0].recv(1)
    for one in (*silent, beyond):
        one.close()
    while client_status(client) != 200:
        time.sleep(0.01)


def client_status(client: Client) -> int:
    try:
        return client.ask("/healthz").status
    except OSError:
        return 0


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /metrics HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_request_of_ours_does_no_harm(client: Client, site: Site, sent: bytes) -> None:
    with client.connect() as connection:
        try:
            connection.sendall(sent)
            answer = connection.recv(65536)
        except ConnectionError:
            answer = b""
    assert b" 200 " not in answer
    assert site.scrapes == 0
    assert client.ask("/healthz").status == 200


def test_a_port_that_is_taken_is_a_clear_error(server: WebServer, site: Site) -> None:
    with pytest.raises(Misconfigured, match="Address already in use") as caught:
        WebServer(f"127.0.0.1:{server.port}", site.pages())
    assert caught.value.code == "listen_failed"
    assert "rotations go on" in caught.value.hint


def test_it_ends_within_a_moment_and_gives_its_port_back(server: WebServer, site: Site) -> None:
    port = server.port
    idle = Client(port).connect()
    server.stop()
    assert not server.alive
    with pytest.raises(ConnectionRefusedError):
        Client(port).connect()
    idle.close()
    again = WebServer(f"127.0.0.1:{port}", site.pages())
    again.start()
    assert Client(port).ask("/healthz").status == 200
    again.stop()


def test_one_that_was_never_started_can_be_stopped(site: Site) -> None:
    made = WebServer("127.0.0.1:0", site.pages())
    made.stop()
    assert not made.alive


def test_one_that_is_stopped_at_once_does_not_go_on(site: Site) -> None:
    for _ in range(5):
        made = WebServer("127.0.0.1:0", site.pages())
        made.start()
        made.stop()
        assert not made.alive


def test_it_sleeps_while_nobody_asks(server: WebServer, client: Client) -> None:
    client.ask("/healthz")
    (thread,) = [one for one in threading.enumerate() if one.name == "web"]
    status = Path(f"/proc/self/task/{thread.native_id}/status")
    time.sleep(0.5)  # what the request left to be done is done
    before = _switches(status)
    time.sleep(2)
    assert _switches(status) - before <= 1  # uvicorn's own loop makes 20


def _switches(status: Path) -> int:
    lines = status.read_text(encoding="ascii").splitlines()
    (found,) = [int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches")]
    return found


# ---------------------------------------------------------------------------------------------------- a Unix socket


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "http.sock"


def test_a_unix_socket_is_for_owner_and_group_and_takes_any_host(site: Site, path: Path) -> None:
    made = WebServer(f"unix:{path}", site.pages())
    made.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert Client(str(path)).ask("/healthz", host="proxy.example").status == 200
    assert made.port is None
    made.stop()
    assert not path.exists()


def test_what_a_killed_process_left_there_is_replaced(site: Site, path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    made = WebServer(f"unix:{path}", site.pages())
    made.start()
    assert Client(str(path)).ask("/healthz").status == 200
    made.stop()


def test_a_socket_that_somebody_serves_is_left_to_him(site: Site, path: Path) -> None:
    first = WebServer(f"unix:{path}", site.pages())
    first.start()
    with pytest.raises(Misconfigured):
        WebServer(f"unix:{path}", site.pages())
    assert Client(str(path)).ask("/healthz").status == 200
    first.stop()


def test_a_file_that_is_no_socket_is_not_removed(site: Site, path: Path) -> None:
    path.write_text("precious", encoding="ascii")
    with pytest.raises(Misconfigured):
        WebServer(f"unix:{path}", site.pages())
    assert path.read_text(encoding="ascii") == "precious"


def test_a_folder_that_is_not_there_is_a_clear_error(site: Site, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="No such file"):
        WebServer(f"unix:{tmp_path / 'nowhere' / 'http.sock'}", site.pages())
    assert os.listdir(tmp_path) == []
