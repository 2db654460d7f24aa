"""Turns an answer into a bad one, on the wire: broken, endless, hostile, or none at all; it decides nothing."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import cache
from random import Random
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from rotator.sandbox.exchange import Call, Reply
from rotator.sandbox.weather import Answer, Fault

_BOMB_SIZE = 64 * 1024 * 1024
_LONG = 600.0  # seconds that an endless answer lasts when nobody ends it
_JSON = "application/json; charset=utf-8"
_ESCAPES = "\x1b[31m\x1b]0;owned\x07\r\nset-cookie: owned=1\r\n\x00\u202e"
_VALUES = ("secretText", "access_token", "id_token", "refresh_token")

Transports = Mapping[tuple[str, int], asyncio.BaseTransport]


class Spoiled(Response):
    """An answer that is none: the connection is cut at once, or nothing is sent until the caller has gone."""

    def __init__(self, transport: asyncio.BaseTransport | None) -> None:
        super().__init__()
        self._transport = transport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut the connection, or wait for the other side to do it."""
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()
        async with asyncio.timeout(_LONG):
            while (await receive())["type"] != "http.disconnect":
                continue


def spoil(fault: Fault, reply: Reply, call: Call, request: Request, transports: Transports, thief: str) -> Response:
    """Return what goes over the wire for `fault` instead of `reply`, the true answer or the API's own error."""
    headers = dict(reply.headers)
    answer, status = fault.answer, fault.status
    if answer in (Answer.DROP, Answer.HANG):
        peer = request.client
        wanted = transports.get((peer.host, peer.port)) if peer and answer is Answer.DROP else None
        return Spoiled(wanted)
    if answer is Answer.HTML:
        return Response(_page(status, call), status, headers, media_type="text/html")
    if answer is Answer.REDIRECT:
        location = f"{thief}{call.path}"
        return Response(b"", status if 300 <= status < 400 else 307, {"location": location, **headers})
    if answer is Answer.GZIP_BOMB:
        return Response(_bomb(), 200, {**headers, "content-encoding": "gzip"}, media_type=_JSON)
    if answer is Answer.SLOW:
        return StreamingResponse(_drip(), 200, headers, media_type=_JSON)
    if answer is Answer.HUGE:
        return StreamingResponse(_flood(), 200, headers, media_type=_JSON)
    if answer is Answer.DEEP_JSON:
        return Response(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 200, headers, media_type=_JSON)
    if answer is Answer.EMPTY:
        return Response(b"", 200, headers)
    text = _altered(fault, reply, call)
    return Response(text, 200 if answer is Answer.ERROR_IN_200 else reply.status, headers, media_type=_JSON)


def render(reply: Reply) -> Response:
    """Return an honest answer."""
    if reply.body is None:
        return Response(b"", reply.status, dict(reply.headers))
    return Response(json.dumps(reply.body), reply.status, dict(reply.headers), media_type=_JSON)


def echoed(reply: Reply, call: Call) -> Reply:
    """Return an error answer that repeats what was submitted, with terminal and header escapes."""
    if reply.status < 400 or reply.body is None:
        return reply
    return Reply(reply.status, _with_echo(reply.body, f" {_ESCAPES} You sent: {call.submitted()}"), reply.headers)


def strange(reply: Reply, dice: Random) -> Reply:
    """Return the same answer with fields nobody announced, in another order."""
    return Reply(reply.status, None if reply.body is None else _strange(reply.body, dice), reply.headers)


def retry_after(fault: Fault, now: datetime) -> dict[str, str]:
    """Return the Retry-After header of a fault, as text or HTTP date."""
    if fault.retry_after is None:
        return {}
    if isinstance(fault.retry_after, timedelta):
        return {"retry-after": format_datetime(now + fault.retry_after, usegmt=True)}
    return {"retry-after": fault.retry_after}


def _altered(fault: Fault, reply: Reply, call: Call) -> bytes:
    body = reply.body or {}
    if fault.answer is Answer.CONTROL_CHARACTERS:
        body = _with_echo({"error": "x", **body} if reply.body else {"error": {"code": "x", "message": ""}}, _ESCAPES)
        return json.dumps({**body, "said": f"{_ESCAPES}{call.submitted()}"}).encode()
    if fault.answer is Answer.NO_VALUE:
        return json.dumps({name: value for name, value in body.items() if name not in _VALUES}).encode()
    if fault.answer is Answer.DUPLICATE_KEYS:
        twice = [(name, "first of two") for name in body] + list(body.items())
        return ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in twice) + "}").encode()
    if fault.answer is Answer.BAD_SIGNATURE and isinstance(body.get("access_token"), str):
        head, _, signature = body["access_token"].rpartition(".")
        body = {**body, "access_token": f"{head}.{signature[:10]}{_other(signature[10])}{signature[11:]}"}
    text = json.dumps(body).encode()
    return text[: len(text) // 2] if fault.answer is Answer.CUT else text


def _other(character: str) -> str:
    return "B" if character == "A" else "A"


def _with_echo(body: dict[str, Any], text: str) -> dict[str, Any]:
    echoing = ("message", "error_description", "errorDescription")
    changed = {name: f"{value}{text}" if name in echoing else value for name, value in body.items()}
    if isinstance(body.get("error"), dict):
        changed["error"] = _with_echo(body["error"], text)
    return changed


def _strange(value: Any, dice: Random) -> Any:
    if isinstance(value, list):
        return [_strange(item, dice) for item in value]
    if not isinstance(value, dict):
        return value
    items = [(name, _strange(item, dice)) for name, item in value.items()]
    items.append((f"x{dice.randrange(10**6)}", dice.choice([None, [], {}, "?", 10**30])))
    dice.shuffle(items)
    return dict(items)


def _page(status: int, call: Call) -> str:
    return f"<html><head><title>{status} Bad Gateway</title></head><body><!-- {call.submitted()} --></body></html>"


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b" " * (1024 * 1024)
    return b"".join([*(packer.compress(block) for _ in range(_BOMB_SIZE // len(block))), packer.flush()])


async def _drip() -> AsyncIterator[bytes]:
    yield b"{"
    for _ in range(int(_LONG * 2)):
        await asyncio.sleep(0.5)
        yield b" "


async def _flood() -> AsyncIterator[bytes]:
    yield b'{"a":"'
    for _ in range(256):
        yield b"a" * (1024 * 1024)
    yield b'"}'
