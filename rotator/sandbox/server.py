"""Starts and stops a sandbox: real sockets, real TLS, on 127.0.0.1 and nowhere else; no setting changes that.

    with Sandbox.start(folder, weather=Weather.nasty(scale=0.01), seed=7) as sandbox:
        sandbox.fail_next(Route.ADD_PASSWORD, Fault(Answer.DROP, Effect.DONE))
        ...
        assert len(sandbox.directory.live(KONTROLLE_PROD)) == 2

It is a toy: secrets come from a seeded generator, and with Memory.KEEP they lie readable (mode 0600) in `folder`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import ssl
import threading
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from rotator.clock import Clock, SystemClock
from rotator.errors import Misconfigured
from rotator.sandbox.console import Console
from rotator.sandbox.control import Control
from rotator.sandbox.directory import Directory
from rotator.sandbox.files import Files, prepare_files
from rotator.sandbox.gate import Gate
from rotator.sandbox.graph_keys import GraphOfKeys
from rotator.sandbox.identity import Identity
from rotator.sandbox.keys import KeyRing
from rotator.sandbox.routes import application
from rotator.sandbox.tls import write_private
from rotator.sandbox.tokens import IDENTITY_HEADER, TokenEndpoint
from rotator.sandbox.vendor import Vendors
from rotator.sandbox.weather import Fault, Route, Sky, Weather
from rotator.sandbox.world import World, demo_world

HOST = "127.0.0.1"
_STOP_PATIENCE = 10.0  # seconds

Connections = dict[tuple[str, int], asyncio.BaseTransport]  # by the peer's host and port


class Memory(StrEnum):
    """Whether secrets outlive the sandbox, in `folder`/issuer-state.json."""

    FORGET = "forget"
    KEEP = "keep"


class Sandbox:
    """A running sandbox.

    directory, keys: the oracle and the administrator's hands, for secrets and for certificates. vendors: the two other
    vendors' portals; console: the admin API of one of them. sky: weather and faults. identity: signing keys. files:
    what was written into the folder.
    """

    def __init__(
        self, folder: Path, *, world: World, weather: Weather, seed: str, clock: Clock, memory: Memory
    ) -> None:
        self._state_file = folder / "issuer-state.json" if memory is Memory.KEEP else None
        self._thread: threading.Thread | None = None
        self._server: _Server | None = None
        self._transports: Connections = {}
        self._stolen: list[bytearray] = []
        self._thief_port = 0
        self._failure: BaseException | None = None
        self._clock = clock
        self.folder = folder
        self.sky = Sky(weather, seed)
        self.directory = Directory(world, self.sky, clock)
        self.keys = KeyRing(self.directory, self.sky)
        self.control_token = secrets.token_urlsafe(24)
        self.files: Files
        self.identity: Identity
        self.vendors: Vendors
        self.console: Console
        self.port = 0

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        weather: Weather,
        seed: int | str | None = None,
        port: int = 0,
        world: World | None = None,
        clock: Clock | None = None,
        memory: Memory = Memory.FORGET,
    ) -> Self:
        """Start serving in a thread of its own, and return when requests are answered.

        folder: made when missing (0700); gets ca.pem, the credentials of rotator's own application and a config.yaml.
        seed: None for one that nobody knows. port: 0 for any free one. Raises Misconfigured when the port is taken.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sandbox = cls(
            folder,
            world=world or demo_world(),
            weather=weather,
            seed=secrets.token_hex(16) if seed is None else str(seed),
            clock=clock or SystemClock(),
            memory=memory,
        )
        sandbox._serve(port)
        return sandbox

    def stop(self) -> None:
        """Stop serving; open connections are cut. Doing it twice is fine."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(_STOP_PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def base_url(self) -> str:
        """Scheme, host and port of everything but the thief; also the `authority` of a provider."""
        return f"https://{HOST}:{self.port}"

    @property
    def graph_url(self) -> str:
        """The `graph` of a provider."""
        return f"{self.base_url}/v1.0"

    @property
    def ca_file(self) -> Path:
        """The CA certificate that clients must trust."""
        return self.files.ca_file

    @property
    def tenant(self) -> str:
        """The tenant's id."""
        return self.directory.world.tenant

    @property
    def token_url(self) -> str:
        """Entra's token endpoint."""
        return f"{self.base_url}/{self.tenant}/oauth2/v2.0/token"

    @property
    def screening_token_url(self) -> str:
        """The JWT vendor's token endpoint."""
        return f"{self.base_url}/api/id/v1/auth/token"

    @property
    def netwrix_token_url(self) -> str:
        """The opaque vendor's token endpoint."""
        return f"{self.base_url}/api/v1/token"

    @property
    def console_url(self) -> str:
        """The JWT vendor's admin API."""
        return f"{self.base_url}/console/v1"

    @property
    def managed_identity_environment(self) -> dict[str, str]:
        """The variables that make azure-identity find the managed identity here."""
        return {"IDENTITY_ENDPOINT": f"{self.base_url}/msi/token", "IDENTITY_HEADER": IDENTITY_HEADER}

    def set_weather(self, weather: Weather) -> None:
        """Let the weather change from the next request on."""
        self.sky.change(weather)

    def fail_next(self, route: Route, fault: Fault, *, times: int = 1, app_id: str | None = None) -> None:
        """Give the next `times` requests on `route` (for one application) this fault."""
        self.sky.fail_next(route, fault, times=times, app_id=app_id)

    def stolen(self) -> list[bytes]:
        """Return what each connection to the thief's host sent there; a client that refuses redirects sends nothing."""
        return [bytes(item) for item in self._stolen]

    # Inside

    def _serve(self, port: int) -> None:
        listener = _listen(port)
        self.port = listener.getsockname()[1]
        try:
            self.files = prepare_files(self.folder, port=self.port, now=self._clock.now())
            self._build()
            self._load()
            write_private(self.folder / "control", f"{self.base_url}\n{self.control_token}\n".encode())
            ready = threading.Event()
            self._server = self._make_server(ready)
            self._thread = threading.Thread(
                target=self._run, args=(listener, ready), name="rotator-sandbox", daemon=True
            )
            self._thread.start()
        except BaseException:
            listener.close()
            raise
        ready.wait()
        if self._failure is not None:
            raise self._failure

    def _build(self) -> None:
        rotator = self.directory.world.rotator.app_id
        self.identity = Identity(self.directory, self.keys, self.base_url)
        self.identity.trust(rotator, self.files.certificate)
        self.vendors = Vendors(self.directory, self.identity, self.sky)
        self.console = Console(self.vendors, self.files.console_token)

    def _make_server(self, ready: threading.Event) -> _Server:
        directory, identity, sky = self.directory, self.identity, self.sky
        gate = Gate(directory, sky, self._transports, lambda: f"https://{HOST}:{self._thief_port}")
        control = Control(self.control_token, directory, sky, self.stolen)
        tokens, graph = TokenEndpoint(directory, identity), GraphOfKeys(directory, self.keys, identity, sky)
        app = application(gate, directory, tokens, graph, self.vendors, self.console, control)
        config = uvicorn.Config(
            app,
            http=_remembering(self._transports),
            ssl_certfile=str(self.files.tls.certificate_file),
            ssl_keyfile=str(self.files.tls.key_file),
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=0,
        )
        return _Server(config, ready, self._transports)

    def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        try:
            asyncio.run(self._main(listener))
        except BaseException as fault:  # noqa: BLE001  # the starting thread raises it again; nobody else would see it
            self._failure = fault
        finally:
            ready.set()
            listener.close()

    async def _main(self, listener: socket.socket) -> None:
        assert self._server is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.files.tls.certificate_file, self.files.tls.key_file)
        thief = await asyncio.start_server(self._steal, HOST, 0, ssl=context)
        self._thief_port = thief.sockets[0].getsockname()[1]
        await self._server.serve(sockets=[listener])
        thief.close()

    async def _steal(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loot = bytearray()
        self._stolen.append(loot)
        try:
            while chunk := await reader.read(65536):
                loot += chunk
                if b"\r\n\r\n" in loot:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
                    await writer.drain()
                    break
        except OSError:
            return  # the victim hung up; what it sent is kept
        finally:
            writer.close()

    def _save(self) -> None:
        if self._state_file is not None:
            state = {**self.directory.dump(), "vendors": self.vendors.dump(), "keys": self.keys.dump()}
            write_private(self._state_file, json.dumps(state).encode())

    def _load(self) -> None:
        if self._state_file is not None and self._state_file.exists():
            state = json.loads(self._state_file.read_text(encoding="utf-8"))
            self.vendors.load(state.pop("vendors", []))
            self.keys.load(state.pop("keys", []))
            self.directory.load(state)
        # Rotator's own secret is the file's, whatever the state says: the two can not fall apart.
        rotator, text = self.directory.world.rotator.app_id, self.files.secret
        if not self.directory.authenticates(rotator, text):
            expires_at = self.directory.now() + self.files.secret_lifetime
            self.directory.put(rotator, display_name="made by the sandbox", expires_at=expires_at, text=text)
        self.directory.on_change = self.vendors.on_change = self._save
        self._save()


class _Server(uvicorn.Server):
    """uvicorn in a thread that is not the main one, saying when it answers and cutting every connection at its end."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event, transports: Connections) -> None:
        super().__init__(config)
        self._ready = ready
        self._transports = transports

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut what is open, as a machine does that loses its power, and end."""
        for transport in list(self._transports.values()):
            if isinstance(transport, asyncio.Transport):
                transport.abort()
        await super().shutdown(sockets)


def _remembering(transports: Connections) -> type[H11Protocol]:
    """Return uvicorn's protocol, which also notes its connections by peer: ASGI has no way to cut one."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            # A peer that hung up while TLS was agreed on has no name any more, and nothing of it is to be cut.
            self._peer: tuple[str, int] = tuple((transport.get_extra_info("peername") or ("", 0))[:2])
            transports[self._peer] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            transports.pop(self._peer, None)
            super().connection_lost(exc)

    return Protocol


def _listen(port: int) -> socket.socket:
    # With the protocol named asyncio switches Nagle's algorithm off, which else keeps the end of an answer for 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as fault:
        listener.close()
        raise Misconfigured(
            f"The sandbox cannot listen on {HOST}:{port}: {fault.strerror}.",
            hint=f"Find who listens there (ss -ltnp 'sport = :{port}'), stop it, and start the sandbox again.",
            code="port_taken",
        ) from None
    return listener
