"""Serves three pages, to be read only, on loopback or a Unix socket: it knows no others, and takes no orders.

It runs on a thread of its own, wakes up for requests only, and keeps what one caller can cost small: a few connections,
one scrape at a time. A page of another site that got itself our address by DNS is turned away by its Host header.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from rotator.errors import Misconfigured, RotatorError
from rotator.web.health import UNAVAILABLE, Ailment, answer
from rotator.web.metrics import CONTENT_TYPE

UNIX: Final = "unix:"
_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_MOST_CONNECTIONS: Final = 64
_MOST_REQUESTS: Final = 16
_END_PATIENCE: Final = 1  # seconds that an answer under way may take when the daemon ends
_HEADERS: Final = [("cache-control", "no-store"), ("x-content-type-options", "nosniff")]


@dataclass(frozen=True, slots=True)
class Pages:
    """What is on the pages. Each is asked on a thread of its own, one request at a time; `alive` answers at once.

    metrics: the text of a scrape; raises RotatorError when the state cannot be read. alive, ready: what is not well.
    """

    metrics: Callable[[], bytes]
    alive: Callable[[], Sequence[Ailment]]
    ready: Callable[[], Sequence[Ailment]]


class WebServer:
    """The server, from `start` to `stop`; not to be started twice."""

    def __init__(self, address: str, pages: Pages) -> None:
        """Take the address, `host:port` on loopback or `unix:/path`. Raises Misconfigured when it cannot be had."""
        self.address = address
        self._socket = _bound(address)
        self._scrapes = ThreadPoolExecutor(1, "web-metrics")
        self._looks = ThreadPoolExecutor(1, "web-ready")
        config = uvicorn.Config(
            _Site(pages, self._scrapes, self._looks).application(hosts=self._hosts()),
            loop="asyncio",
            http=_Frugal,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_REQUESTS,
            timeout_graceful_shutdown=_END_PATIENCE,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    @property
    def port(self) -> int | None:
        """Return the TCP port, which matters where 0 was asked for; None on a Unix socket."""
        return None if self.address.startswith(UNIX) else int(self._socket.getsockname()[1])

    @property
    def alive(self) -> bool:
        """Say whether it serves."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Serve, on a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End, with what is being answered, within a second or two. Also when it was not started."""
        self._server.end()
        if self._thread.is_alive():
            self._thread.join(2 * _END_PATIENCE)
        for pool in (self._scrapes, self._looks):
            pool.shutdown(wait=False, cancel_futures=True)
        self._socket.close()
        if self.address.startswith(UNIX):
            Path(self.address.removeprefix(UNIX)).unlink(missing_ok=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def _hosts(self) -> frozenset[str] | None:
        """Return the values of Host that are meant for us; None: any, because no browser reaches a Unix socket."""
        port = self.port
        if port is None:
            return None
        own = self.address.rpartition(":")[0]
        return frozenset(f"{name}:{port}".lower() for name in (*_LOOPBACK_NAMES, own))


# --------------------------------------------------------------------------------------------------------------- pages


class _Site:
    """The three pages."""

    def __init__(self, pages: Pages, scrapes: ThreadPoolExecutor, looks: ThreadPoolExecutor) -> None:
        self._pages, self._scrapes, self._looks = pages, scrapes, looks

    def application(self, hosts: frozenset[str] | None) -> ASGIApp:
        """Return what serves them."""
        routes = [
            Route("/metrics", self._metrics, methods=["GET"]),  # and HEAD
            Route("/healthz", self._healthz, methods=["GET"]),
            Route("/readyz", self._readyz, methods=["GET"]),
        ]
        return Starlette(routes=routes, middleware=[Middleware(_Gate, hosts=hosts)])

    async def _metrics(self, _: Request) -> Response:
        loop = asyncio.get_running_loop()
        try:
            page = await loop.run_in_executor(self._scrapes, self._pages.metrics)
        except RotatorError as error:
            return PlainTextResponse(f"{error.message}\n{error.hint}\n", UNAVAILABLE)
        return Response(page, headers={"content-type": CONTENT_TYPE})

    async def _healthz(self, _: Request) -> Response:
        return _health(self._pages.alive())

    async def _readyz(self, _: Request) -> Response:
        return _health(await asyncio.get_running_loop().run_in_executor(self._looks, self._pages.ready))


def _health(ailments: Sequence[Ailment]) -> Response:
    status, said = answer(ailments)
    return Response(said, status, media_type="application/json")


class _Gate:
    """Turns away what is not meant for us, and puts the same headers on every answer."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_RAW_HEADERS]
            await send(message)

        named = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
        app: ASGIApp = self._app
        if self._hosts is not None and (len(named) != 1 or named[0] not in self._hosts):
            app = PlainTextResponse("This address serves requests for loopback only.\n", 421)
        await app(scope, receive, marked)


_RAW_HEADERS: Final = [(name.encode(), value.encode()) for name, value in _HEADERS]


# ------------------------------------------------------------------------------------------------------------- serving


class _Server(uvicorn.Server):
    """uvicorn on a thread that is not the main one, where it takes no signals (see its `capture_signals`).

    It sleeps while nobody asks; the original wakes up ten times a second.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._lock = threading.Lock()
        self._over = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None

    async def main_loop(self) -> None:
        """Wait for the end."""
        with self._lock:
            self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
            if self._over:
                return
        await self._end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End. Nobody new is let in, and who is half in comes in first.

        For asyncio's Server.close, as of Python 3.11, leaves the connections open that were accepted right before it.
        """
        for listener in sockets or ():
            asyncio.get_running_loop().remove_reader(listener)
        for _ in range(3):  # accepted, made a transport, told to the protocol
            await asyncio.sleep(0)
        await super().shutdown(sockets)

    def end(self) -> None:
        """End the service, from any thread."""
        with self._lock:
            self._over = True
            if self._loop is not None and self._end is not None:
                with contextlib.suppress(RuntimeError):  # it has ended already
                    self._loop.call_soon_threadsafe(self._end.set)


class _Frugal(H11Protocol):
    """uvicorn's protocol, for no more callers than there can be honest ones, who say what they want within seconds."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()
            return
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)


def _bound(address: str) -> socket.socket:
    """Return a socket that listens there."""
    try:
        if address.startswith(UNIX):
            return _bound_to_path(Path(address.removeprefix(UNIX)))
        return _bound_to_port(address)
    except OSError as error:
        raise Misconfigured(
            f"Cannot serve metrics on {address}: {error.strerror or error}.",
            hint="See who listens there (ss -lntpx), or choose another `service.listen`; rotations go on without it.",
            code="listen_failed",
        ) from None


def _bound_to_port(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    family, kind, protocol, _, where = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_MOST_CONNECTIONS)
    except OSError:
        listener.close()
        raise
    return listener


def _bound_to_path(path: Path) -> socket.socket:
    """Return a socket at this path, which its owner and group may use. What a dead process left there is removed."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_if_dead(path)
        listener.bind(str(path))
        os.chmod(path, 0o660)
        listener.listen(_MOST_CONNECTIONS)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_if_dead(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return  # bind says that the name is taken
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(path))
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
