"""Stands between the socket and the issuers' rules: lets the weather delay, refuse, lose or spoil; knows no rule."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import format_datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rotator.sandbox.directory import Directory
from rotator.sandbox.exchange import Call, Refusal, Reply
from rotator.sandbox.spoil import Transports, echoed, render, retry_after, spoil, strange
from rotator.sandbox.weather import Answer, Effect, Fault, Route, Sky

_WRITES = (
    Route.ADD_PASSWORD,
    Route.REMOVE_PASSWORD,
    Route.ADD_KEY,
    Route.REMOVE_KEY,
    Route.UPDATE_APPLICATION,
)
# Answers that are made of an error in the API's own words; the others are made of the true answer.
_ERRORS = (Answer.ERROR, Answer.THROTTLE, Answer.ERROR_IN_200, Answer.CONTROL_CHARACTERS)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route of one API. error: how this API words a status; conflict: its answer to overlapping writes."""

    route: Route
    handler: Callable[[Call], Reply]
    error: Callable[[int, str | None], Reply]
    conflict: Callable[[], Reply] | None = None


class Gate:
    """Makes Starlette endpoints of issuers' rules."""

    def __init__(self, directory: Directory, sky: Sky, transports: Transports, thief: Callable[[], str]) -> None:
        self._directory = directory
        self._sky = sky
        self._transports = transports
        self._thief = thief

    def open(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint as Starlette wants it."""
        return partial(self._serve, endpoint)

    async def _serve(self, endpoint: Endpoint, request: Request) -> Response:
        call = await read_call(request)
        subject = self._subject(call)
        fault = self._sky.fault(endpoint.route, subject)
        await asyncio.sleep(self._sky.delay(endpoint.route, subject).total_seconds())
        reply = await self._act(endpoint, call, subject, fault)
        weather = self._sky.weather
        if weather.strange_json:
            reply = strange(reply, self._sky.dice("strange", subject))
        if weather.echo:
            reply = echoed(reply, call)
        if fault is None:
            response = render(reply)
        else:
            response = spoil(fault, reply, call, request, self._transports, self._thief())
        silent = fault is not None and fault.answer in (Answer.DROP, Answer.HANG)
        self._directory.note(
            route=str(endpoint.route),
            method=call.method,
            path=call.path,
            app_id=subject,
            status=None if silent else response.status_code,
            fault=str(fault.answer) if fault else None,
            effect=str(fault.effect) if fault else None,
        )
        return response

    async def _act(self, endpoint: Endpoint, call: Call, subject: str, fault: Fault | None) -> Reply:
        """Let the request take effect or not, and return the answer to send or to spoil."""
        effect = fault.effect if fault else Effect.DONE
        reply: Reply | None = None
        if effect is Effect.DONE:
            reply = await self._hold_and_act(endpoint, call, subject)
        elif effect is Effect.LATE:
            self._directory.postpone(partial(_acted, endpoint, call))
        if fault is not None and (fault.answer in _ERRORS or reply is None):
            error = endpoint.error(fault.status, fault.code)
            headers = {**error.headers, **retry_after(fault, self._directory.now())}
            return Reply(error.status, error.body, headers)
        assert reply is not None  # without a fault the effect is DONE
        return reply

    async def _hold_and_act(self, endpoint: Endpoint, call: Call, subject: str) -> Reply:
        if endpoint.route not in _WRITES or endpoint.conflict is None:
            return self._acted_now(endpoint, call)
        if not self._directory.begin_write(subject):
            return endpoint.conflict()
        try:
            await asyncio.sleep(self._sky.weather.write_time.total_seconds())
            return self._acted_now(endpoint, call)
        finally:
            self._directory.end_write(subject)

    def _acted_now(self, endpoint: Endpoint, call: Call) -> Reply:
        with self._directory.settled():
            return _acted(endpoint, call)

    def _subject(self, call: Call) -> str:
        """Return the app id the request is about, or what it named instead."""
        basic = call.basic()
        named = (
            call.params.get("app_id")
            or call.params.get("id")
            or call.form().get("client_id")
            or (basic[0] if basic else None)
            or call.query.get("$filter", "").partition("'")[2].partition("'")[0]
        )
        app = self._directory.find(named) if named else None
        return app.app_id if app else named or ""


async def read_call(request: Request) -> Call:
    """Return the whole request as a plain value."""
    return Call(
        method=request.method,
        path=request.url.path,
        query=dict(request.query_params),
        headers={name.lower(): value for name, value in request.headers.items()},
        params={name: str(value) for name, value in request.path_params.items()},
        body=await request.body(),
    )


class IssuersDate:
    """Middleware: every answer carries the issuer's Date, also those that no issuer wrote."""

    def __init__(self, app: ASGIApp, directory: Directory) -> None:
        self._app = app
        self._directory = directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve with a Date header by the issuer's clock."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self._directory.now(), usegmt=True).encode()
                message = {**message, "headers": [*message["headers"], (b"date", date)]}
            await send(message)

        await self._app(scope, receive, dated)


def _acted(endpoint: Endpoint, call: Call) -> Reply:
    try:
        return endpoint.handler(call)
    except Refusal as no:
        return no.reply
