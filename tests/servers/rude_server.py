"""A TLS server that does whatever a test tells it to, byte by byte; it knows no HTTP beyond the end of a request."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rotator.sandbox.tls import Tls

Manners = Callable[[socket.socket, bytes], None]
"""What to do with a connection on which this request has arrived. The connection is closed afterwards."""


class RudeServer:
    """One listening socket. connections: how many came; requests: what each of them sent, head and body."""

    def __init__(self, listener: socket.socket, context: ssl.SSLContext | None, manners: Manners) -> None:
        self.port: int = listener.getsockname()[1]
        self.connections = 0
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self._listener = listener
        self._context = context
        self._manners = manners

    def url(self, path: str = "/token", host: str = "127.0.0.1") -> str:
        scheme = "https" if self._context else "http"
        return f"{scheme}://{host}:{self.port}{path}"

    def serve(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.settimeout(10)
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            request = read_request(connection)
            self.requests.append(request)
            self._manners(connection, request)
        with suppress(OSError):
            connection.close()


def read_request(connection: socket.socket) -> bytes:
    """Read one request, by its Content-Length."""
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(65536)
        if not piece:
            return request
        request += piece
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    length = int(lengths[0]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def rude_server(tls: Tls | None, manners: Manners) -> Iterator[RudeServer]:
    """Serve on a free loopback port until the block ends. tls None: plain TCP."""
    context = None
    if tls is not None:
        context = server_context(tls.certificate_file, tls.key_file)
    listener = socket.create_server(("127.0.0.1", 0))
    server = RudeServer(listener, context, manners)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the TLS settings of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def answering(status: int, body: bytes, *headers: str) -> Manners:
    """Return manners that answer every request with this."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"

    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(head + body)

    return answer
