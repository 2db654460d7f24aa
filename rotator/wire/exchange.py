"""Sends one request and reads one answer, on a connection of its own; follows nothing, keeps nothing, trusts nobody.

Whatever the other side does, an exchange ends within its deadline and within fixed bounds: no redirect is followed, no
compressed body is taken (a small one may unpack to gigabytes), a body is read up to 256 KiB. The environment's proxies,
netrc and SSLKEYLOGFILE have no effect. httpx2 knows time limits for single reads only, which an answer that trickles in
byte by byte never exceeds; so every read here is given what is left of the whole.
"""

from __future__ import annotations

import ipaddress
import json
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpcore2
import httpx2

from rotator import __version__
from rotator.clock import Clock, elapsed
from rotator.errors import Misconfigured
from rotator.wire.urls import host_of

MAX_BODY = 256 * 1024
MAX_HEADERS = 64 * 1024
MAX_HEADER_LINES = 100
_MAX_RECEIVED = 1024 * 1024  # all bytes of an exchange: bounds interim answers and chunk headers too


class Unanswered(Exception):
    """There is no answer that could be read. code: a stable word; message: one or two sentences without vendor text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Deadline:
    """What is left of the time for one proof, by the boot clock."""

    def __init__(self, clock: Clock, total: timedelta) -> None:
        self._clock = clock
        self._started = clock.instant()
        self.total = total

    def left(self) -> float:
        """Return the seconds that are left. Raises Unanswered when there are none."""
        spent = elapsed(self._started, self._clock.instant())
        left = 0.0 if spent is None else (self.total - spent).total_seconds()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> Unanswered:
        """Return what to raise when the time is up."""
        return Unanswered("timed_out", f"There was no complete answer within {self.total.total_seconds():g} s.")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whole. headers: lower-case names. body: at most 256 KiB, never shown."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def date(self) -> datetime | None:
        """Return the Date header as aware UTC; None when there is none that can be read (RFC 9110 section 6.6.1)."""
        return http_date(self.headers.get("date"))

    @property
    def retry_after(self) -> timedelta | None:
        """Return how long to wait (RFC 9110 section 10.2.3); None when nothing usable is said."""
        said = self.headers.get("retry-after", "")
        if said.isascii() and said.isdigit() and len(said) < 9:
            return timedelta(seconds=int(said))
        until = http_date(said)
        return max(until - self.date, timedelta(0)) if until is not None and self.date is not None else None


def http_date(text: str | None) -> datetime | None:
    """Read an HTTP date; None for anything else."""
    try:
        moment = parsedate_to_datetime(text or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent with a request. Never shown."""

    media_type: str
    content: bytes = field(repr=False)

    @classmethod
    def form(cls, content: bytes) -> Body:
        """Return a form that is encoded already."""
        return cls("application/x-www-form-urlencoded", content)

    @classmethod
    def json(cls, content: object) -> Body:
        """Return JSON (RFC 8259)."""
        return cls("application/json", json.dumps(content, ensure_ascii=False).encode())


TransportFor = Callable[[Deadline], httpx2.BaseTransport]


def exchange(
    transport: httpx2.BaseTransport,
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: Body | None = None,
) -> Reply:
    """Send one request and return the answer, whatever its status. Raises Unanswered when there is none to be had."""
    sent = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Cache-Control": "no-cache, no-store",
        "Connection": "close",
        "User-Agent": f"rotator/{__version__}",
        **(headers or {}),
    }
    if body is not None:
        sent["Content-Type"] = body.media_type
    try:
        # No httpx2.Client: what a client adds (redirects, cookies, netrc, proxies from the environment) is not wanted.
        with transport:
            response = transport.handle_request(
                httpx2.Request(method, url, headers=sent, content=body.content if body else None)
            )
            return Reply(response.status_code, dict(response.headers), response.read())
    except httpx2.InvalidURL:
        raise Unanswered("bad_answer", f"{host_of(url)} is not an address that can be asked.") from None
    except httpx2.HTTPError as error:
        # Only a transport given by a test raises these; the text of an httpx2 error may hold the request's.
        raise Unanswered("unreachable", f"{host_of(url)} cannot be reached ({type(error).__name__}).") from None


class GuardedTransport(httpx2.BaseTransport):
    """One connection for one request, bounded in time and size. Raises Unanswered for everything that is no answer."""

    def __init__(self, context: ssl.SSLContext, deadline: Deadline, proxy: str | None = None) -> None:
        self._context = context
        self._deadline = deadline
        self._proxy = proxy

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request and read the answer to its end, within all bounds."""
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        where = host_of(str(request.url))
        pool = httpcore2.ConnectionPool(
            ssl_context=self._context,
            proxy=None if self._proxy is None else httpcore2.Proxy(self._proxy),
            max_connections=1,
            max_keepalive_connections=0,
            network_backend=_Backend(self._deadline, where),
        )
        try:
            with (
                pool,
                pool.stream(request.method, url, headers=request.headers.raw, content=request.read()) as response,
            ):
                return self._whole(response)
        except httpcore2.TimeoutException:
            raise self._deadline.passed() from None
        except httpcore2.ProxyError as error:
            # The text is the proxy's status line: "407 Proxy Authentication Required".
            raise Unanswered("proxy_refused", f"The proxy refused to connect to {where} ({str(error)[:3]}).") from None
        except httpcore2.ProtocolError:
            raise Unanswered("connection_lost", f"{where} broke off, or its answer is not HTTP.") from None
        except (httpcore2.NetworkError, OSError):
            raise Unanswered("connection_lost", f"The connection to {where} was lost before the answer.") from None

    def _whole(self, response: httpcore2.Response) -> httpx2.Response:
        lines = response.headers
        if len(lines) > MAX_HEADER_LINES or sum(len(name) + len(value) for name, value in lines) > MAX_HEADERS:
            raise Unanswered("bad_answer", "The answer has more headers than any token endpoint sends.")
        headers = httpx2.Headers(lines)
        if headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
            raise Unanswered(
                "bad_answer", "The answer is compressed although that was not allowed; it was not unpacked."
            )
        body = bytearray()
        for piece in response.iter_stream():
            body += piece
            if len(body) > MAX_BODY:
                raise Unanswered("bad_answer", f"The answer is longer than {MAX_BODY // 1024} KiB; it was not read on.")
        return httpx2.Response(response.status, headers=headers, content=bytes(body))


class HeadOnly(GuardedTransport):
    """As that, for an answer whose status is all that counts: what else it says is not waited for."""

    def _whole(self, response: httpcore2.Response) -> httpx2.Response:
        return httpx2.Response(response.status, headers=httpx2.Headers(response.headers), content=b"")


class _Backend(httpcore2.NetworkBackend):
    """Opens connections within the deadline, name resolution included."""

    def __init__(self, deadline: Deadline, where: str) -> None:
        self._deadline = deadline
        self._where = where

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of `host` that answers; each gets its share of the time that is left."""
        addresses, reason = self._addresses(host, port), "it has no address"
        for position, address in enumerate(addresses):
            share = self._deadline.left() / (len(addresses) - position)
            try:
                stream = httpcore2.SyncBackend().connect_tcp(
                    address, port, timeout=share, socket_options=socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                reason = _plainly(error)
                continue
            return _Stream(stream, self._deadline, self._where)
        raise Unanswered("unreachable", f"{host}:{port} cannot be reached: {reason}.")

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            return [str(ipaddress.ip_address(host.strip("[]")))]
        except ValueError:
            pass
        # getaddrinfo cannot be given a time limit, so it gets a thread that may be left behind.
        answers: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()
        threading.Thread(target=_resolve, args=(host, port, answers), name="resolver", daemon=True).start()
        try:
            addresses = answers.get(timeout=self._deadline.left())
        except queue.Empty:
            raise self._deadline.passed() from None
        if not addresses:
            raise Unanswered("unreachable", f"The name {host} cannot be resolved.")
        return addresses


class _Stream(httpcore2.NetworkStream):
    """A connection whose every read and write may last no longer than what is left of the whole."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline, where: str) -> None:
        self._stream = stream
        self._deadline = deadline
        self._where = where
        self._received = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come, up to `max_bytes`."""
        data = self._stream.read(max_bytes, self._deadline.left())
        self._received += len(data)
        if self._received > _MAX_RECEIVED:
            raise Unanswered("bad_answer", "The answer does not end; it was not read on.")
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it."""
        self._stream.write(buffer, self._deadline.left())

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Begin TLS. A certificate that is not trusted says so in plain words."""
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left())
        except httpcore2.ConnectError as error:
            raise Unanswered("tls_failed", f"TLS with {self._where} failed: {_plainly(error)}.") from None
        return _Stream(stream, self._deadline, self._where)

    def get_extra_info(self, info: str) -> Any:
        """Pass on what the library asks about the connection."""
        return self._stream.get_extra_info(info)


def _resolve(host: str, port: int, answers: queue.SimpleQueue[list[str] | None]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answers.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))
    except (OSError, UnicodeError):
        answers.put(None)


def _plainly(error: Exception) -> str:
    """Return the system's or OpenSSL's own words for a failure to connect; they hold nothing that was sent."""
    cause = error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{cause.verify_message}; name the CA in ca_file if it is your own".rstrip(".")
    if isinstance(cause, ssl.SSLError):
        return (cause.reason or "no TLS was spoken").replace("_", " ").lower()
    if isinstance(cause, TimeoutError):
        return "no answer to the connection request"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return "no connection"


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return the TLS settings that trust the CAs in `ca_file` only, or those of the system when it is None.

    Built once per file content, since that costs some 40 ms. Raises Misconfigured when the file cannot be used.
    """
    if ca_file is None:
        return _system_trust()
    try:
        stamp = ca_file.stat()
        return _file_trust(ca_file, stamp.st_mtime_ns, stamp.st_size, stamp.st_ino)
    except ssl.SSLError:
        raise Misconfigured(
            f"The CA file {ca_file} holds no certificate in PEM.",
            hint="Name a file with -----BEGIN CERTIFICATE----- in it as ca_file.",
            code="ca_file_unusable",
        ) from None
    except OSError as error:
        raise Misconfigured(
            f"The CA file {ca_file} cannot be read: {(error.strerror or 'unknown error').lower()}.",
            hint="Correct ca_file, or its permissions.",
            code="ca_file_missing",
        ) from None


@lru_cache(maxsize=1)
def _system_trust() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


@lru_cache(maxsize=32)
def _file_trust(ca_file: Path, *stamp: int) -> ssl.SSLContext:
    # Not ssl.create_default_context: that one honours SSLKEYLOGFILE, which writes every session's keys to a file.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=ca_file)
    return context
