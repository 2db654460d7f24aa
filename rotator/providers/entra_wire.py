"""Sends one request and reads one answer, for Graph and for the token endpoint alike; follows and repeats nothing.

Both libraries of Microsoft get this as their transport, so that one place decides: which CAs and proxy, that every
exchange ends by the deadline of its call, that an answer has a bounded size and is not compressed (a small one may
unpack to gigabytes), and whether a request left at all. Each request has a connection of its own: one that the other
side is just about to close would make an unknown outcome of a write. Proxies, netrc and SSLKEYLOGFILE of the
environment have no effect.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import httpx
from azure.core.pipeline.transport import AsyncHttpResponse, AsyncHttpTransport
from azure.core.rest import HttpRequest

from rotator import __version__
from rotator.errors import Misconfigured
from rotator.providers.entra_answers import NoAnswer, Reply
from rotator.providers.entra_settings import EntraSettings

UNTIL: ContextVar[float] = ContextVar("until")
"""When the call under way must have ended, by the clock of its event loop."""

MAX_BODY = 4 * 1024 * 1024  # an application with a thousand credentials has some 400 KiB
_MAX_HEADERS = 64 * 1024


class Wire(httpx.AsyncBaseTransport):
    """Makes single exchanges within `UNTIL`. Raises NoAnswer for everything that is no whole answer."""

    def __init__(self, settings: EntraSettings, trust: ssl.SSLContext, proxy: str | None) -> None:
        self._connect = settings.connect_timeout.total_seconds()
        self._total = settings.deadline.total_seconds()
        self._inner = httpx.AsyncHTTPTransport(
            verify=trust,
            proxy=proxy,
            retries=0,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and read the answer to its end."""
        flight = _Flight()
        patience = {"connect": self._connect, "read": self._total, "write": self._total, "pool": self._total}
        request.extensions = {**request.extensions, "trace": flight.saw, "timeout": patience}
        request.headers["Accept-Encoding"] = "identity"
        request.headers["User-Agent"] = f"rotator/{__version__}"
        where = f"{request.url.host}:{request.url.port}" if request.url.port else request.url.host
        try:
            async with asyncio.timeout_at(UNTIL.get()):
                return await self._exchange(request)
        except NoAnswer as no:
            failure = NoAnswer(no.code, f"{where} {no.message}", sent=flight.sent)
        except TimeoutError:
            failure = NoAnswer("timed_out", f"{where} gave no whole answer in {self._total:g} s", sent=flight.sent)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            failure = _lost(error, where, sent=flight.sent)
        raise failure  # not inside `except`: the library's error and what it holds stay behind

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        try:
            if sum(len(name) + len(value) for name, value in response.headers.raw) > _MAX_HEADERS:
                raise NoAnswer("bad_answer", "sent more headers than belong to an answer", sent=True)
            if response.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
                raise NoAnswer("bad_answer", "sent a compressed answer although that was not allowed", sent=True)
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_BODY:
                    raise NoAnswer("bad_answer", f"sent more than {MAX_BODY // 1024**2} MiB", sent=True)
        finally:
            await response.aclose()
        return httpx.Response(response.status_code, headers=response.headers, content=bytes(body), request=request)


class GraphWire(Wire):
    """A wire on which the Graph client hears no claims challenge: it would send the request, a write too, once more.

    Source: `retry_cae_response_if_required` in kiota_http/httpx_request_adapter.py, microsoft-kiota-http 1.16.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and read the answer to its end."""
        response = await super().handle_async_request(request)
        response.headers.pop("www-authenticate", None)
        return response


class _Flight:
    """Watches one request leave. Events: www.encode.io/httpcore/extensions, "trace"."""

    def __init__(self) -> None:
        self.sent = False

    async def saw(self, event: str, info: dict[str, Any]) -> None:
        """Note that the request itself begins to leave; a CONNECT to the proxy changes nothing anywhere."""
        if event.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT":
            self.sent = True


class TokenTransport(AsyncHttpTransport[HttpRequest, "TokenAnswer"]):
    """The same wire for azure-identity. seen: what the last request came to; the library's errors tell less."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.seen: Reply | NoAnswer | None = None

    async def send(self, request: HttpRequest, **kwargs: Any) -> TokenAnswer:
        """Send one request. Raises NoAnswer, which the library's retry policy does not know and so does not repeat."""
        content = request.content
        form = content if isinstance(content, dict) else None
        outgoing = httpx.Request(
            request.method, request.url, headers=dict(request.headers), data=form, content=None if form else content
        )
        try:
            response = await self._wire.handle_async_request(outgoing)
        except NoAnswer as no:
            self.seen = no
            raise
        self.seen = Reply(response.status_code, dict(response.headers), response.content)
        return TokenAnswer(request, self.seen)

    async def open(self) -> None:
        """Do nothing: the wire belongs to somebody else."""

    async def close(self) -> None:
        """Do nothing: the wire belongs to somebody else."""

    async def __aexit__(self, *error: object) -> None:
        """Do nothing: the wire belongs to somebody else."""


class TokenAnswer(AsyncHttpResponse):
    """A whole answer as azure-core wants it."""

    def __init__(self, request: HttpRequest, reply: Reply) -> None:
        super().__init__(request, None)  # type: ignore[arg-type]  # the pipeline takes the newer requests too
        self._reply = reply
        self.status_code = reply.status
        self.headers = dict(reply.headers)
        self.content_type = reply.headers.get("content-type")

    def body(self) -> bytes:
        """Return the body."""
        return self._reply.body


def trust(settings: EntraSettings) -> ssl.SSLContext:
    """Return the TLS settings that trust the CAs in `ca_file` only, or those of the system when there is none.

    Raises Misconfigured when the file cannot be used.
    """
    # Not ssl.create_default_context: that one honours SSLKEYLOGFILE, which writes every session's keys to a file.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cafile=settings.ca_file)
    except ssl.SSLError:
        failure = ("ca_file_unusable", "holds no certificate in PEM", "Name a file with certificates in PEM")
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        failure = ("ca_file_missing", f"cannot be read: {reason}", "Correct the path, or the permissions of the file,")
    else:
        return context
    code, what, hint = failure
    message = f"The CA file {settings.ca_file} {what}."
    raise Misconfigured(message, hint=f"{hint} as ca_file of the provider {settings.name}.", code=code)


def _lost(error: Exception, where: str, *, sent: bool) -> NoAnswer:
    """Return what a failed exchange means, in the words of the operating system or of OpenSSL, and no others."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = cause.verify_message.rstrip(".")
            return NoAnswer("tls_untrusted", f"the certificate of {where} is not accepted ({reason})", sent=False)
    if isinstance(error, httpx.ProxyError):
        return NoAnswer("proxy_refused", f"the proxy refused to connect to {where}", sent=sent)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        reasons = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
        reason = f" ({reasons[-1].lower()})" if reasons else ""
        return NoAnswer("unreachable", f"{where} cannot be reached{reason}", sent=sent)
    return NoAnswer("connection_lost", f"the connection to {where} was lost before the answer was complete", sent=sent)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
