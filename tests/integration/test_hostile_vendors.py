"""A vendor that answers anything: whatever it says, each adapter ends with an error that can be shown, and no secret.

A table of answers by a table of calls; a further adapter is one more row. What an answer of success lacks may exist all
the same, so a call that changes something ends with an unknown outcome, and never with a value that could not be used.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx2
import pytest

from rotator.clock import ManualClock
from rotator.errors import Misconfigured, OutcomeUnknown, Refused, RotatorError, Transient
from rotator.model import Procedure
from rotator.providers.described import DescribedProvider
from rotator.providers.described_settings import Bearer, Call, Create, Description, List, SingleSlot, Vendor
from rotator.providers.described_slot import DescribedSlot
from rotator.providers.described_wire import Wire
from rotator.providers.keycloak import KeycloakProvider
from rotator.providers.registration import RegistrationProvider
from rotator.secret import Fields, Secret
from rotator.wire.filling import pointer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TOKEN = "canary-t0ken-of-our-own-login"
CHOSEN = "canary-value-that-we-have-chosen-0815"
ANY = frozenset(range(200, 300))


class Script(httpx2.BaseTransport):
    """Gives prepared answers, and remembers where it was asked."""

    def __init__(self, *answers: httpx2.Response) -> None:
        self.answers = list(answers)
        self.hosts: list[str] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.hosts.append(request.url.host)
        return self.answers.pop(0)


def raw(content: bytes, status: int = 200, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return httpx2.Response(status, content=content, headers={"content-type": "application/json", **named})


def told(body: object, status: int = 200) -> httpx2.Response:
    return raw(json.dumps(body).encode(), status)


HOSTILE: dict[str, Callable[[], httpx2.Response]] = {
    "html": lambda: raw(b"<html>Please log in</html>", content_type="text/html"),
    "nothing": lambda: raw(b""),
    "not UTF-8": lambda: raw(b'{"value": "\xff\xfe", "id": "x"}'),
    "a key twice": lambda: raw(b'{"value": "aaaaaaaaaaaa", "value": "bbbbbbbbbbbb", "id": "x"}'),
    "NaN": lambda: raw(b'{"value": NaN, "id": "x"}'),
    "deep": lambda: raw(b"[" * 5000 + b"]" * 5000),
    "another shape": lambda: told(["value"]),
    "a number": lambda: told({"value": 5, "id": "x"}),
    "null": lambda: told({"value": None, "id": "x"}),
    "empty": lambda: told({"value": "", "id": "x"}),
    "masked": lambda: told({"value": "**********", "id": "x"}),
    "padded": lambda: told({"value": " s3cret-with-a-space ", "id": "x"}),
    "a line end": lambda: told({"value": "s3cret-with-an-end\n", "id": "x"}),
    "an error with 200": lambda: told({"error": "server_error", "message": "come back later"}),
    "accepted, perhaps": lambda: raw(b"", 202),
    "moved to a thief": lambda: raw(b"", 302, location="https://thief.example/"),
    "control characters": lambda: raw(b'{"message": "\\u001b[2J\\u0007\\u202e"}', 400),
    "an echo": lambda: told({"message": f"you sent {TOKEN} and {CHOSEN}"}, 400),
    "a gateway": lambda: raw(b"<html>502</html>", 502),
    "slow down for ever": lambda: raw(b"", 429, retry_after="99999999999999999999"),
    "no such status": lambda: raw(b"", 299),
}

_OPERATION = Create(
    call=Call(method="POST", path="/a/{app}", json={"v": "{value}"}, expect=ANY - {202, 299}),
    secret=pointer("/value"),
    key_id=pointer("/id"),
)


def _plain(**changes: Any) -> dict[str, Any]:
    return {"name": "v", "base_url": "https://v.example", "auth": Bearer(lambda: Secret(TOKEN)), **changes}


def _described(script: Script) -> DescribedProvider:
    every = Call(method="GET", path="/a/{app}", expect=ANY)
    made = Create(
        call=Call(method="POST", path="/a/{app}", json={"n": "{tag}"}, expect=ANY - {202, 299}),
        secret=pointer("/value"),
        key_id=pointer("/id"),
    )
    listed = List(call=every, items=pointer("/items"), key_id=pointer("/id"), tag=pointer("/n"))
    said = Description(**_plain(), create=made, list=listed, retire=())
    return DescribedProvider(said, ManualClock(NOW), Wire(said, ManualClock(NOW), lambda _: script))


def _slot(script: Script, **changes: Any) -> DescribedSlot:
    regenerate = Create(
        call=Call(method="POST", path="/a/{app}", expect=ANY - {202, 299}),
        secret=pointer("/value"),
        key_id=pointer("/id"),
    )
    facts: dict[str, Any] = {"procedure": Procedure.READ_BACK, "change": regenerate, "read": regenerate, **changes}
    said = SingleSlot(**_plain(), **facts)
    return DescribedSlot(said, ManualClock(NOW), Wire(said, ManualClock(NOW), lambda _: script))


def _keycloak(script: Script) -> KeycloakProvider:
    said = Vendor(**_plain())
    return KeycloakProvider(said, "r", ManualClock(NOW), Wire(said, ManualClock(NOW), lambda _: script))


KEPT = Fields(
    {
        "client_id": "c",
        "registration_client_uri": "https://v.example/r/c",
        "registration_access_token": Secret("canary-in-use"),
    }
)


def _registration(script: Script, *, kept: bool = False) -> RegistrationProvider:
    said, clock = Vendor(**_plain()), ManualClock(NOW)
    made = RegistrationProvider(said, "/r", {}, clock, lambda vendor: Wire(vendor, clock, lambda _: script))
    made.recall(lambda _: KEPT if kept else None)
    return made


CLIENT: dict[str, Any] = {"id": "u-1", "clientId": "c", "secret": "canary-in-use", "attributes": {}}
TWO: dict[str, Any] = {**CLIENT, "attributes": {"client.secret.expiration.time": "1999999999"}}


class Adapter(NamedTuple):
    """One call of one adapter. before: normal answers that come first. writes: it changes something."""

    call: Callable[[Script], object]
    writes: bool
    before: tuple[object, ...] = ()
    fine: tuple[str, ...] = ()  # answers that are no fault to this call


ADAPTERS: dict[str, Adapter] = {
    "http create": Adapter(lambda s: _described(s).create("app=a", "tag", DAY), writes=True),
    "http list": Adapter(lambda s: _described(s).list("app=a"), writes=False),
    "http set": Adapter(
        lambda s: _slot(s, procedure=Procedure.CHOSEN, change=_OPERATION).set("app=a", "tag", Secret(CHOSEN), DAY),
        writes=True,
        fine=("a number", "null"),  # the value in use is the one we sent, whatever the answer repeats of it
    ),
    "http regenerate": Adapter(lambda s: _slot(s).regenerate("app=a", "tag", DAY), writes=True),
    "http read": Adapter(lambda s: _slot(s).read("app=a"), writes=False),
    "keycloak regenerate": Adapter(lambda s: _keycloak(s).regenerate("c", "tag", DAY), writes=True, before=([CLIENT],)),
    "keycloak create": Adapter(lambda s: _keycloak(s).create("c", "tag", DAY), writes=True, before=([TWO],)),
    "registration": Adapter(lambda s: _registration(s).create("shop", "tag", DAY), writes=True),
    "registration in place": Adapter(lambda s: _registration(s, kept=True).regenerate("shop", "tag", DAY), writes=True),
    "registration read": Adapter(lambda s: _registration(s, kept=True).read("shop"), writes=False),
    "keycloak read": Adapter(lambda s: _keycloak(s).read("c"), writes=False),
}


@pytest.mark.parametrize("answer", HOSTILE)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_no_answer_of_a_vendor_does_harm(adapter: str, answer: str) -> None:
    row = ADAPTERS[adapter]
    hostile = HOSTILE[answer]
    script = Script(*(told(one) for one in row.before), hostile(), *(hostile() for _ in range(3)))
    if answer in row.fine:
        row.call(script)
        return
    with pytest.raises(RotatorError) as caught:
        row.call(script)
    error = caught.value
    words = f"{error.message} {error.hint}"
    assert words.isprintable() and len(words) < 700, words
    shown = f"{words} {error!r} {error.args}"
    assert not [one for one in (TOKEN, CHOSEN, "canary-in-use", "s3cret") if one in shown]
    assert set(script.hosts) == {"v.example"}, "our login goes nowhere else"
    if row.writes and hostile().status_code < 300:
        assert isinstance(error, OutcomeUnknown), f"{type(error).__name__}: it may have been done"
    if not row.writes:
        assert not isinstance(error, OutcomeUnknown)
    assert isinstance(error, Transient | Refused | Misconfigured), (
        "nobody is called at night for what a vendor says once"
    )
    if isinstance(error, Transient) and error.retry_after is not None:
        assert error.retry_after <= timedelta(days=400)
