"""One client of Keycloak 26.7 over the wire, with the policy `secret-rotation`, as the tests with a real one saw it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import httpx2

from rotator.clock import Clock
from rotator.finding import Finding
from rotator.ports import Answer, Store, Verdict
from rotator.providers.described_settings import Bearer, Vendor
from rotator.providers.described_wire import Wire
from rotator.providers.keycloak import KeycloakProvider
from rotator.secret import Fields, Secret
from rotator.wire.exchange import Unanswered
from tests.fakes.world import PATH

_AT: Final = "client.secret.creation.time", "client.secret.expiration.time"
_ROTATED: Final = "client.secret.rotated"
_ROTATED_AT: Final = f"{_ROTATED}.creation.time", f"{_ROTATED}.expiration.time"


class KeycloakRealm(httpx2.BaseTransport):
    """The server.

    policies: of the realm; seen: they may be read. lives: a secret; rotated: the one before. lose: methods whose next
    answer is lost; lose_the_look: that to the next GET after a POST. call: what every request passes before and after
    it is carried out, such as a tape.
    """

    def __init__(self, clock: Clock, *, lives: timedelta = timedelta(days=90), rotated: timedelta = timedelta(days=2)):
        self.clock, self.lives, self.rotated = clock, lives, rotated
        self.policies = [_policy({"condition": "client-access-type", "configuration": {"type": ["confidential"]}})]
        self.client: dict[str, Any] = {"id": "u-1", "clientId": "app-1", "secret": self._new(), "attributes": {}}
        self.lose: list[str] = []
        self.lose_the_look = False
        self.seen = True
        self.call: Callable[[], None] = lambda: None

    @property
    def attributes(self) -> dict[str, str]:
        """What Keycloak notes of the client."""
        found = self.client["attributes"]
        assert isinstance(found, dict)
        return found

    def regenerate(self) -> str:
        """Make another secret, as a person with a console does, too."""
        now, before = int(self.clock.now().timestamp()), self.client["secret"]
        for name in (_ROTATED, *_ROTATED_AT, _AT[1]):
            self.attributes.pop(name, None)
        if self.policies:
            self.attributes[_ROTATED] = before
            self.attributes[_ROTATED_AT[0]] = str(now)
            self.attributes[_ROTATED_AT[1]] = str(now + int(self.rotated.total_seconds()))
            self.attributes[_AT[1]] = str(now + int(self.lives.total_seconds()))
        self.attributes[_AT[0]] = str(now)
        self.client["secret"] = self._new()
        return str(self.client["secret"])

    def accepts(self, value: str) -> bool:
        """Say whether a token would be given for this secret."""
        now = self.clock.now().timestamp()
        ends, rotated_ends = (int(self.attributes.get(name, 0)) for name in (_AT[1], _ROTATED_AT[1]))
        current = value == self.client["secret"] and (not ends or now < ends)
        return current or (value == self.attributes.get(_ROTATED) and now < rotated_ends)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request."""
        self.call()
        method, path = request.method, request.url.path
        status, body = self._answer(method, path, json.loads(request.read() or b"{}"))
        self.call()
        if method in self.lose:
            self.lose.remove(method)
            raise Unanswered("connection_lost", "The connection was lost before the answer.")
        if method == "POST" and self.lose_the_look:
            self.lose_the_look, self.lose = False, ["GET"]
        return httpx2.Response(status, json=body) if body is not None else httpx2.Response(status)

    # ------------------------------------------------------------------------------------------------------ inside

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if "client-policies" in path:
            profiles = [{"name": "two", "executors": [{"executor": "secret-rotation"}]}]
            said = {"policies": self.policies} if path.endswith("policies/policies") else {"profiles": profiles}
            return (200, said) if self.seen else (403, {"error": "HTTP 403 Forbidden"})
        if method == "POST":
            return 200, {"type": "secret", "value": self.regenerate()}
        if method == "DELETE":
            for name in (_ROTATED, *_ROTATED_AT):
                self.attributes.pop(name, None)
            return 204, None
        if method == "PUT":
            self.client["attributes"] = {name: text for name, text in body["attributes"].items() if text}
            self.client["secret"] = body.get("secret", self.client["secret"])
            if int(self.attributes.get(_AT[1], 0) or 10**11) < self.clock.now().timestamp():
                self.regenerate()
            return 204, None
        return 200, [self.client]

    @staticmethod
    def _new() -> str:
        return f"canary~{secrets.token_urlsafe(24)}"


def _policy(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"name": "two", "enabled": True, "conditions": list(conditions), "profiles": ["two"]}


def managing(realm: KeycloakRealm, clock: Clock, store: Store | None = None) -> KeycloakProvider:
    """Return the provider that asks this server. store: where consumers read."""
    vendor = Vendor(name="kc", base_url="https://id.example", auth=Bearer(lambda: Secret("canary~token")))
    provider = KeycloakProvider(vendor, "r", clock, Wire(vendor, clock, lambda _: realm))

    def shown(application: str, key_id: str) -> Secret | None:
        assert store is not None
        every = [store.consumers.read(PATH, one).fields for one in store.consumers.history(PATH)]
        found = [one.secret("client_secret") for one in every if one is not None and one.text("key_id") == key_id]
        return found[-1] if found else None

    if store is not None:
        provider.compare_with(shown)
    return provider


class RealmProver:
    """Its token endpoint. fit: whether its tokens are as promised."""

    def __init__(self, realm: KeycloakRealm) -> None:
        self.realm, self.fit = realm, True

    def prove(self, client_id: str, values: Fields, now: datetime) -> Verdict:
        """Ask for a token."""
        secret = values.secret("client_secret")
        if secret is None or not self.realm.accepts(secret.reveal()):
            return Verdict(Answer.REFUSED, "unauthorized_client", "it is not known")
        if not self.fit:
            return Verdict(Answer.UNFIT, "missing_role", "roles lacks one")
        return Verdict(Answer.PROVED, "ok", "a token as promised", None, now + timedelta(hours=1))

    def check(self, subject: str) -> list[Finding]:
        """Find nothing wrong."""
        return []
