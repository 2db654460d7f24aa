"""Sends the requests of a described vendor: fills places, logs in, keeps the pace. Repeats and follows nothing."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urljoin, urlsplit

from rotator.clock import Clock, Instant, elapsed
from rotator.errors import Misconfigured
from rotator.providers.described_settings import Basic, Bearer, Call, ClientCredentials, Header, Vendor
from rotator.secret import Secret
from rotator.wire.exchange import Body, Deadline, GuardedTransport, Reply, TransportFor, Unanswered, exchange, trust
from rotator.wire.filling import filled, filled_path
from rotator.wire.pace import Pace
from rotator.wire.strictly import NotJson, read_object

_LEAST_LEFT: Final = timedelta(seconds=60)
_LINK: Final = re.compile(r'<([^<>]{1,2000})>\s*;[^,]*\brel="?next"?', re.IGNORECASE)
_REQUEST_ID: Final = ("x-request-id", "request-id", "x-correlation-id")


class Wire:
    """The connection to one vendor. Safe for use from several threads; each request has a connection of its own."""

    def __init__(self, said: Vendor, clock: Clock, transport: TransportFor | None = None) -> None:
        """Prepare. transport: how a request travels; None: over TLS, guarded."""
        self._said, self._clock = said, clock
        self._transport = transport or self._guarded
        self._pace = Pace(said.gap, clock, said.pace_file)
        self._login = threading.Lock()
        self._token: tuple[Secret, Instant, timedelta] | None = None

    def send(self, call: Call, values: Mapping[str, str], raw: Any = None) -> Reply:
        """Make one request. raw: what is sent as JSON as it is. Raises Unanswered when there is no answer."""
        url = f"{self._said.base_url}{filled_path(call.path, values)}"
        body = self._body(call, values) if raw is None else Body.json(raw)
        return self._sent(call, url, body, values)

    def follow(self, call: Call, address: str) -> Reply:
        """Read the next page of a list, from the same server only: our login goes nowhere else."""
        base = f"{self._said.base_url}{call.path.partition('?')[0]}"
        url = urljoin(base, address)
        if urlsplit(url)[:2] != urlsplit(self._said.base_url)[:2]:
            raise Unanswered("bad_answer", "The next page of the list is said to be on another server.")
        return self._sent(call, url, None, {})

    def linked(self, reply: Reply) -> str | None:
        """Return the address of the next page from the Link header (RFC 8288); None on the last one."""
        match = _LINK.search(reply.headers.get("link", ""))
        return match[1] if match else None

    @staticmethod
    def request_id(reply: Reply) -> str | None:
        """Return what the vendor calls this request, for a question to its support."""
        found = next((reply.headers[name] for name in _REQUEST_ID if name in reply.headers), None)
        return found[:100] if found is not None and found.isascii() and found.isprintable() else None

    def forget(self) -> None:
        """Let go of a token."""
        with self._login:
            self._token = None

    # ---------------------------------------------------------------------------------------------------------- inside

    def _sent(self, call: Call, url: str, body: Body | None, values: Mapping[str, str]) -> Reply:
        headers = {name: str(filled(text, values)) for name, text in call.headers.items()}
        if not all(text.isascii() and text.isprintable() for text in headers.values()):
            raise Misconfigured(
                f"A header for {self._said.name} would hold characters that no header may.", hint="Look at `headers`."
            )
        headers |= self._authorization()
        self._pace.keep()
        return exchange(self._transport(Deadline(self._clock, self._said.timeout)), call.method, url, headers, body)

    def _guarded(self, deadline: Deadline) -> GuardedTransport:
        return GuardedTransport(trust(self._said.ca_file), deadline, self._said.proxy)

    @staticmethod
    def _body(call: Call, values: Mapping[str, str]) -> Body | None:
        if call.json is not None:
            return Body.json(filled(call.json, values))
        return Body.form(urlencode(filled(call.form, values)).encode()) if call.form else None

    def _authorization(self) -> Mapping[str, str]:
        match self._said.auth:
            case Bearer(token):
                return {"Authorization": f"Bearer {token().reveal()}"}
            case Basic(username, password):
                return {"Authorization": _basic(username, password())}
            case Header(name, value):
                return {name: value().reveal()}
            case ClientCredentials() as login:
                return {"Authorization": f"Bearer {self._granted(login).reveal()}"}
            case _:
                return {}

    def _granted(self, login: ClientCredentials) -> Secret:
        """Return a token of our own, kept until a minute before its end."""
        with self._login:
            if self._token is not None:
                token, since, lifetime = self._token
                age = elapsed(since, self._clock.instant())
                if age is not None and age + _LEAST_LEFT < lifetime:
                    return token
            now = self._clock.instant()
            token, lifetime = self._ask(login)
            self._token = token, now, lifetime
            return token

    def _ask(self, login: ClientCredentials) -> tuple[Secret, timedelta]:
        form = {"grant_type": "client_credentials", **({"scope": login.scope} if login.scope else {})}
        form |= {"audience": login.audience} if login.audience else {}
        headers: dict[str, str] = {}
        secret = login.client_secret()
        if login.basic:
            headers["Authorization"] = _basic(quote_plus(login.client_id), Secret(quote_plus(secret.reveal())))
        else:
            form |= {"client_id": login.client_id, "client_secret": secret.reveal()}
        transport = self._transport(Deadline(self._clock, self._said.timeout))
        reply = exchange(transport, "POST", login.token_url, headers, Body.form(urlencode(form).encode()))
        if reply.status != 200:
            kind = "login" if reply.status in (400, 401, 403) else "unreachable"
            raise Unanswered(kind, f"The token endpoint refused our own login ({reply.status}).")
        try:
            body = read_object(reply.body)
        except NotJson:
            body = {}
        token, seconds = body.get("access_token"), body.get("expires_in")
        if not isinstance(token, str) or not token:
            raise Unanswered("unreachable", "The token endpoint answered our own login without a token.")
        lasts = seconds if isinstance(seconds, int) and not isinstance(seconds, bool) and 0 < seconds < 10**7 else 300
        return Secret(token), timedelta(seconds=lasts)


def _basic(username: str, password: Secret) -> str:
    pair = f"{username}:{password.reveal()}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
