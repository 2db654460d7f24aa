"""What the `http` provider makes of a vendor's answers: logins, pages, times, errors, and what may not be believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from rotator.clock import ManualClock
from rotator.errors import (
    Denied,
    Misconfigured,
    NoFreeSlot,
    OutcomeUnknown,
    Refused,
    RotatorError,
    Throttled,
    Transient,
)
from rotator.ports import Retired
from rotator.providers.described import DescribedProvider
from rotator.providers.described_settings import (
    Auth,
    Basic,
    Bearer,
    Call,
    ClientCredentials,
    Create,
    Description,
    ErrorRule,
    Header,
    List,
    NoAuth,
)
from rotator.providers.described_wire import Wire
from rotator.secret import Secret
from rotator.wire.exchange import Unanswered
from rotator.wire.filling import pointer
from rotator.wire.vocabulary import ErrorClass, TimeFormat

DAY = timedelta(days=1)
TAG = "rotator/i/n/r/1"
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CREATED = {"id": 7, "secret": "s3cr3t-value", "ends": "2026-04-01T00:00:00Z"}

Answer = httpx2.Response | Unanswered | Callable[[httpx2.Request], httpx2.Response]


class Script(httpx2.BaseTransport):
    """Answers by a script, and remembers what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[httpx2.Request] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer


def says(status: int, body: object = None, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in {"date": DATE, **headers}.items()}
    return httpx2.Response(status, json=body, headers=named)


def said(**changes: Any) -> Description:
    everything = frozenset(range(200, 300))
    return replace(
        Description(
            name="vendor-x",
            base_url="https://v.example/api",
            auth=Bearer(lambda: Secret("t0ken")),
            create=Create(
                call=Call(
                    method="POST",
                    path="/apps/{app}/keys",
                    json={"name": "{tag}", "ttl": "{lifetime_seconds}", "until": "{expires_at}", "fixed": [1, None]},
                    expect=everything,
                ),
                secret=pointer("/secret"),
                key_id=pointer("/id"),
                expires_at=pointer("/ends"),
            ),
            list=List(
                call=Call(method="GET", path="/apps/{app}/keys", expect=everything),
                items=pointer("/items"),
                key_id=pointer("/id"),
                tag=pointer("/name"),
                expires_at=pointer("/ends"),
            ),
            retire=(Call(method="DELETE", path="/apps/{app}/keys/{key_id}", expect=everything),),
        ),
        **changes,
    )


def asking(description: Description, *answers: Answer) -> tuple[DescribedProvider, Script]:
    script, clock = Script(*answers), ManualClock(NOW)
    return DescribedProvider(description, clock, Wire(description, clock, lambda _: script)), script


# -------------------------------------------------------------------------------------------------------------- sending


def test_places_are_filled_and_a_value_in_a_path_stays_one_segment() -> None:
    provider, script = asking(said(), says(201, CREATED))
    provider.create("app=a%2Fb%3F", TAG, DAY)
    (asked,) = script.asked
    assert str(asked.url) == "https://v.example/api/apps/a%2Fb%3F/keys"
    sent = httpx2.Response(200, content=asked.content).json()
    assert sent == {"name": TAG, "ttl": 86400, "until": "2026-01-02T00:00:00Z", "fixed": [1, None]}
    assert asked.headers["content-type"] == "application/json"


def test_a_form_and_headers_are_filled_too() -> None:
    call = Call(method="POST", path="/k", form={"n": "{tag}"}, headers={"X-App": "{app}"}, expect=frozenset({200}))
    provider, script = asking(said(create=replace(said().create, call=call)), says(200, CREATED))
    provider.create("app=a", TAG, DAY)
    assert script.asked[0].content == b"n=rotator%2Fi%2Fn%2Fr%2F1"
    assert script.asked[0].headers["x-app"] == "a"


@pytest.mark.parametrize(
    ("auth", "header", "sent"),
    [
        (NoAuth(), "authorization", None),
        (Bearer(lambda: Secret("t0ken")), "authorization", "Bearer t0ken"),
        (Basic("user", lambda: Secret("p:w")), "authorization", "Basic dXNlcjpwOnc="),
        (Header("X-Api-Key", lambda: Secret("k3y")), "x-api-key", "k3y"),
    ],
    ids=["none", "bearer", "basic", "header"],
)
def test_each_way_to_log_in_is_sent(auth: Auth, header: str, sent: str | None) -> None:
    provider, script = asking(said(auth=auth), says(200, {"items": []}))
    provider.list("app=a")
    assert script.asked[0].headers.get(header) == sent


@pytest.mark.parametrize("basic", [False, True])
def test_a_token_of_our_own_is_had_once_and_again_before_its_end(basic: bool) -> None:
    login = ClientCredentials("https://v.example/token", "me", lambda: Secret("own-secret"), "admin", basic)
    token = says(200, {"access_token": "granted", "expires_in": 300})
    answers = [token, says(200, {"items": []}), says(200, {"items": []}), token, says(200, {"items": []})]
    description = said(auth=login)
    script, clock = Script(*answers), ManualClock(NOW)
    provider = DescribedProvider(description, clock, Wire(description, clock, lambda _: script))
    provider.list("app=a")
    provider.list("app=a")
    clock.advance(timedelta(seconds=250))
    provider.list("app=a")
    assert [one.url.path for one in script.asked] == [
        "/token",
        "/api/apps/a/keys",
        "/api/apps/a/keys",
        "/token",
        "/api/apps/a/keys",
    ]
    assert script.asked[1].headers["authorization"] == "Bearer granted"
    assert (b"client_secret" in script.asked[0].content) is not basic
    assert script.asked[0].headers.get("authorization", "").startswith("Basic") is basic


def test_our_own_login_that_is_refused_is_77_and_nothing_was_done() -> None:
    login = ClientCredentials("https://v.example/token", "me", lambda: Secret("own-secret"), None, basic=False)
    provider, script = asking(said(auth=login), says(401, {"error": "invalid_client"}))
    with pytest.raises(Denied) as caught:
        provider.create("app=a", TAG, DAY)
    assert (caught.value.code, len(script.asked)) == ("login_refused", 1)


def test_the_pace_is_kept() -> None:
    description = said(gap=timedelta(seconds=2))
    script, clock = Script(*[says(200, {"items": []})] * 3), ManualClock(NOW)
    provider = DescribedProvider(description, clock, Wire(description, clock, lambda _: script))
    for _ in range(3):
        provider.list("app=a")
    assert clock.now() - NOW == timedelta(seconds=4)


# -------------------------------------------------------------------------------------------------------------- reading


def test_what_is_issued_begins_when_the_vendor_says_so_or_now() -> None:
    provider, _ = asking(said(), says(201, CREATED, x_request_id="r-1"))
    issued = provider.create("app=a", TAG, DAY)
    assert (issued.version.key_id, issued.version.created_at, issued.request_id) == ("7", NOW, "r-1")
    assert issued.version.expires_at == datetime(2026, 4, 1, tzinfo=UTC)
    assert issued.client_id == ""


@pytest.mark.parametrize(
    ("times", "written", "read"),
    [
        (TimeFormat.RFC3339, "2026-04-01T02:00:00+02:00", datetime(2026, 4, 1, tzinfo=UTC)),
        (TimeFormat.EPOCH, 1775001600, datetime(2026, 4, 1, tzinfo=UTC)),
        (TimeFormat.EPOCH, "1775001600", datetime(2026, 4, 1, tzinfo=UTC)),
        (TimeFormat.EPOCH, 10**15, datetime.max.replace(tzinfo=UTC)),
        (TimeFormat.SECONDS, 3600, NOW + timedelta(hours=1)),
        (TimeFormat.NONE, "whatever", None),
        (TimeFormat.RFC3339, None, None),
    ],
)
def test_times_are_read_as_they_are_written(times: TimeFormat, written: object, read: datetime | None) -> None:
    create = replace(said().create, times=times)
    provider, _ = asking(said(create=create), says(201, {**CREATED, "ends": written}))
    assert provider.create("app=a", TAG, DAY).version.expires_at == read


@pytest.mark.parametrize("written", ["soon", 5, True, [], {"a": 1}])
def test_a_time_that_is_none_makes_the_outcome_unknown(written: object) -> None:
    provider, _ = asking(said(), says(201, {**CREATED, "ends": written}))
    with pytest.raises(OutcomeUnknown):
        provider.create("app=a", TAG, DAY)


@pytest.mark.parametrize(
    "lacking",
    [{"secret": None}, {"secret": ""}, {"secret": "********"}, {"secret": " padded "}, {"secret": 5}, {"id": None}],
    ids=str,
)
def test_an_answer_without_a_usable_secret_makes_the_outcome_unknown(lacking: dict[str, object]) -> None:
    provider, _ = asking(said(), says(201, {**CREATED, **lacking}))
    with pytest.raises(OutcomeUnknown):
        provider.create("app=a", TAG, DAY)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"secret": "a", "secret": "b"}', b"NaN", b"[" * 99, b"\xff"])
def test_what_is_not_json_as_accepted_here_makes_the_outcome_unknown(body: bytes) -> None:
    provider, _ = asking(said(), httpx2.Response(201, content=body))
    with pytest.raises(OutcomeUnknown):
        provider.create("app=a", TAG, DAY)


def pages(*links: str | None) -> Iterator[httpx2.Response]:
    for number, link in enumerate(links):
        items = [{"id": f"k{number}", "name": TAG, "ends": None}]
        headers = {"link": f'<{link}>; rel="next"'} if link else {}
        yield says(200, {"items": items, "next": link}, **headers)


@pytest.mark.parametrize("by_link", [False, True])
def test_all_pages_of_a_list_are_read(by_link: bool) -> None:
    how = replace(said().list, link=by_link, next=None if by_link else pointer("/next"))
    provider, script = asking(said(list=how), *pages("/api/apps/a/keys?p=2", "https://v.example/api/p3", None))
    assert [one.key_id for one in provider.list("app=a").versions] == ["k0", "k1", "k2"]
    assert [str(one.url) for one in script.asked[1:]] == [
        "https://v.example/api/apps/a/keys?p=2",
        "https://v.example/api/p3",
    ]


@pytest.mark.parametrize("elsewhere", ["https://thief.example/x", "//thief.example/x", "http://v.example/api/x"])
def test_a_next_page_on_another_server_is_not_asked_for(elsewhere: str) -> None:
    how = replace(said().list, next=pointer("/next"))
    provider, script = asking(said(list=how), *pages(elsewhere))
    with pytest.raises(Transient, match="another server"):
        provider.list("app=a")
    assert len(script.asked) == 1


def test_a_list_without_end_is_given_up() -> None:
    how = replace(said().list, next=pointer("/next"))
    provider, _ = asking(said(list=how), *pages(*["/api/again"] * 300))
    with pytest.raises(Refused, match="more than 200 pages"):
        provider.list("app=a")


@pytest.mark.parametrize("body", [{}, {"items": {}}, {"items": [{"name": "x"}]}, {"items": [{"id": "a", "ends": "x"}]}])
def test_a_list_that_cannot_be_read_whole_is_no_list(body: object) -> None:
    provider, _ = asking(said(), says(200, body))
    with pytest.raises(Refused):
        provider.list("app=a")


# ------------------------------------------------------------------------------------------------------------- retiring


def test_a_version_is_gone_when_not_found_and_not_listed() -> None:
    provider, _ = asking(said(), says(404), says(200, {"items": []}))
    assert provider.retire("app=a", "k1") is Retired.ALREADY_GONE


def test_not_found_is_not_believed_while_it_is_listed() -> None:
    provider, _ = asking(said(), says(404), says(200, {"items": [{"id": "k1", "name": TAG}]}))
    with pytest.raises(Transient) as caught:
        provider.retire("app=a", "k1")
    assert caught.value.code == "replication_lag"


def test_several_requests_are_made_in_their_order() -> None:
    first = Call(method="POST", path="/apps/{app}/keys/{key_id}/deactivate", expect=frozenset({200}))
    provider, script = asking(said(retire=(first, *said().retire)), says(200), says(204))
    assert provider.retire("app=a", "k 1") is Retired.DONE
    assert [(one.method, one.url.raw_path.decode()) for one in script.asked] == [
        ("POST", "/api/apps/a/keys/k%201/deactivate"),
        ("DELETE", "/api/apps/a/keys/k%201"),
    ]


# --------------------------------------------------------------------------------------------------------------- errors

RULES = (
    ErrorRule(status=422, pointer=pointer("/code"), equals="full", means=ErrorClass.NO_FREE_SLOT, hint="Make room."),
    ErrorRule(status=422, means=ErrorClass.REFUSED),
    ErrorRule(status=409, means=ErrorClass.TRANSIENT),
    ErrorRule(status=400, pointer=pointer("/code"), equals=1, means=ErrorClass.DENIED),
    ErrorRule(status=503, means=ErrorClass.TRANSIENT, hint="They know."),
)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (says(422, {"code": "full"}), NoFreeSlot, "no_free_slot"),
        (says(422, {"code": "other"}), Refused, "refused"),
        (says(409), Transient, "not_now"),
        (says(400, {"code": 1}), Denied, "denied"),
        (says(400, {"code": True}), Refused, "status_400"),
        (says(401), Denied, "login_refused"),
        (says(403), Denied, "denied"),
        (says(404), Refused, "application_not_found"),
        (says(302, location="https://thief.example"), Misconfigured, "redirected"),
        (says(429, retry_after="7"), Throttled, "throttled"),
        (says(408), OutcomeUnknown, "outcome_unknown"),
        (says(500), OutcomeUnknown, "outcome_unknown"),
        (says(503), OutcomeUnknown, "outcome_unknown"),
        (Unanswered("connection_lost", "It broke off."), OutcomeUnknown, "outcome_unknown"),
        (Unanswered("timed_out", "Too slow."), OutcomeUnknown, "outcome_unknown"),
        (Unanswered("unreachable", "No route."), Transient, "unreachable"),
        (Unanswered("tls_failed", "Not trusted."), Transient, "tls_failed"),
    ],
    ids=lambda given: str(getattr(given, "status_code", given))[:30],
)
def test_each_answer_says_who_must_act(answer: Answer, kind: type[RotatorError], code: str) -> None:
    provider, _ = asking(said(errors=RULES), answer)
    with pytest.raises(RotatorError) as caught:
        provider.create("app=a", TAG, DAY)
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert caught.value.hint
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == timedelta(seconds=7)


def test_a_rule_gives_its_hint_and_never_makes_an_unclear_write_clear() -> None:
    provider, _ = asking(said(errors=RULES), says(503), says(503))
    with pytest.raises(OutcomeUnknown) as unclear:
        provider.create("app=a", TAG, DAY)
    assert unclear.value.hint == "They know."
    with pytest.raises(Transient) as later:
        provider.list("app=a")
    assert (later.value.hint, later.value.code) == ("They know.", "not_now")
    assert not isinstance(later.value, OutcomeUnknown)


def test_a_success_that_nobody_described_may_have_been_done() -> None:
    call = replace(said().create.call, expect=frozenset({201}))
    provider, _ = asking(said(create=replace(said().create, call=call)), says(202, CREATED))
    with pytest.raises(OutcomeUnknown, match="not in `expect`"):
        provider.create("app=a", TAG, DAY)


def test_no_error_repeats_what_was_sent_or_answered() -> None:
    echo = {"message": "t0ken s3cr3t-value", "code": "t0ken"}
    for status in (200, 201, 400, 401, 404, 422, 429, 500):
        provider, _ = asking(said(errors=RULES), says(status, echo))
        with pytest.raises(RotatorError) as caught:
            provider.create("app=a", TAG, DAY)
        told = f"{caught.value!r} {caught.value.message} {caught.value.hint}"
        assert "t0ken" not in told and "s3cr3t" not in told
