"""A server that registers clients, after RFC 7591 and RFC 7592, as unkind as both allow; it is asked over a `Wire`.

What is kind elsewhere, and need not be: a registration access token that is another after each look and each change.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx2

from rotator.clock import Clock
from rotator.finding import Finding
from rotator.model import Procedure
from rotator.ports import Answer, Verdict
from rotator.providers.described_settings import Bearer, Vendor
from rotator.providers.described_wire import Wire
from rotator.providers.registration import RegistrationProvider
from rotator.secret import Fields, Secret
from rotator.wire.exchange import Unanswered

ADDRESS: Final = "https://id.example"
INITIAL: Final = "initial-access-token-canary"


@dataclass
class Registered:
    """One client."""

    client_id: str
    secret: str
    token: str
    name: str


class Registrations(httpx2.BaseTransport):
    """The server. Every secret and token that it ever gave stands in `given`.

    look_renews, change_renews: the token is another after a GET, a PUT. fresh: a PUT brings a new secret. tokens: it
    gives registration access tokens at all. address: how it writes its own. answers: merged into each answer. lose:
    methods whose next answer is lost. call: what every request passes before and after it is carried out.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.clients: dict[str, Registered] = {}
        self.look_renews, self.change_renews, self.fresh, self.tokens = False, False, True, True
        self.address = ADDRESS
        self.answers: dict[str, Any] = {}
        self.lose: list[str] = []
        self.asked: list[tuple[str, str, str]] = []
        self.given: set[str] = {INITIAL}
        self.call: Callable[[], None] = lambda: None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request."""
        self.call()
        who = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.asked.append((request.method, request.url.host, who))
        status, body = self._answer(request.method, request.url.path, who, json.loads(request.read() or b"{}"))
        self.call()
        if request.method in self.lose:
            self.lose.remove(request.method)
            raise Unanswered("connection_lost", "The connection was lost before the answer.")
        return httpx2.Response(status, json=body) if body is not None else httpx2.Response(status)

    def accepts(self, client_id: str, value: str) -> bool:
        """Say whether a token would be given for this secret."""
        return client_id in self.clients and self.clients[client_id].secret == value

    # ------------------------------------------------------------------------------------------------------ inside

    def _answer(self, method: str, path: str, who: str, body: dict[str, Any]) -> tuple[int, Any]:
        if method == "POST":
            if who != INITIAL:
                return 401, {"error": "invalid_token"}
            client = Registered(f"client-{len(self.clients)}-{secrets.token_hex(4)}", self._new(), self._new(), "")
            self.clients[client.client_id] = client
            client.name = str(body.get("client_name"))
            return 201, self._told(client)
        found = self.clients.get(path.rpartition("/")[2])
        if found is None or who != found.token:
            return 401, {"error": "invalid_token"}
        if method == "DELETE":
            del self.clients[found.client_id]
            return 204, None
        if method == "PUT":
            if body.get("client_id") != found.client_id:
                return 400, {"error": "invalid_client_metadata"}
            found.name = str(body.get("client_name"))
            found.secret = self._new() if self.fresh else found.secret
        if self.look_renews if method == "GET" else self.change_renews:
            found.token = self._new()
        return 200, self._told(found)

    def _new(self) -> str:
        self.given.add(value := f"canary~{secrets.token_urlsafe(24)}")
        return value

    def _told(self, client: Registered) -> dict[str, Any]:
        management = {
            "registration_client_uri": f"{self.address}/register/{client.client_id}",
            "registration_access_token": client.token,
        }
        said = {"client_id": client.client_id, "client_secret": client.secret, "client_secret_expires_at": 0}
        return {**said, **(management if self.tokens else {}), **self.answers}


def registering(server: Registrations, clock: Clock, *, in_place: bool) -> RegistrationProvider:
    """Return the provider that asks this server."""
    procedure = Procedure.READ_BACK if in_place else Procedure.OVERLAP
    vendor = Vendor(name="partner", base_url=ADDRESS, auth=Bearer(lambda: Secret(INITIAL)))

    def wire(vendor: Vendor) -> Wire:
        return Wire(vendor, clock, lambda _: server)

    return RegistrationProvider(vendor, "/register", {}, clock, wire, procedure)


class RegistrationProver:
    """A token endpoint that knows every client of the server. fit: whether its tokens are as promised."""

    def __init__(self, server: Registrations) -> None:
        self.server, self.fit = server, True

    def prove(self, client_id: str, values: Fields, now: datetime) -> Verdict:
        """Ask for a token."""
        secret = values.secret("client_secret")
        if secret is None or not self.server.accepts(client_id, secret.reveal()):
            return Verdict(Answer.REFUSED, "invalid_client", "it is not known", now)
        if not self.fit:
            return Verdict(Answer.UNFIT, "missing_role", "roles lacks one", now)
        return Verdict(Answer.PROVED, "ok", "a token as promised", now, now + timedelta(hours=1))

    def check(self, subject: str) -> list[Finding]:
        """Find nothing wrong."""
        return []
