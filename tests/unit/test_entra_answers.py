"""What Graph and the token endpoint may answer is read strictly, and nothing of it is shown."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from rotator.providers.entra_answers import Reply, claims, json_object, listed, moment, texts

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEY = "4c1e0000-1111-4222-8333-444455559A02"


def reply(status: int = 200, body: object = None, **headers: str) -> Reply:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, text)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"1", b"null", b'{"a":1', b'{"a":1,"a":1}', b'{"a":NaN}', b'{"b":{"a":1,"a":2}}', b"\xff", b"<html>"],
)
def test_only_one_unambiguous_object_is_json(text: bytes) -> None:
    assert json_object(text) is None


def test_depth_without_end_is_no_json() -> None:
    assert json_object(b'{"a":' * 100_000 + b"1" + b"}" * 100_000) is None


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("30", 30),
        ("1.5", 1.5),
        ("0", 1),
        ("-5", 1),
        ("+7", 7),
        ("-999999999999999999", 1),
        ("999999999999999999", 21600),
        ("Tue, 24 Nov 2026 12:00:40 GMT", 40),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 1),
        ("Tue, 24 Nov 2099 11:00:00 GMT", 21600),
        ("soon", None),
        ("", None),
        ("1e9", None),
        ("9" * 40, None),
        ("nan", None),
        ("٣٠", None),
    ],
)
def test_retry_after_is_between_a_second_and_six_hours_or_says_nothing(header: str, wait: float | None) -> None:
    found = reply(429, retry_after=header).retry_after(NOW)
    assert found == (None if wait is None else timedelta(seconds=wait))


def test_a_date_in_retry_after_is_measured_by_the_clock_that_wrote_it() -> None:
    told = reply(429, retry_after="Tue, 24 Nov 2026 14:00:40 GMT", date="Tue, 24 Nov 2026 14:00:00 GMT")
    assert told.retry_after(NOW) == timedelta(seconds=40)


def test_no_retry_after_says_nothing() -> None:
    assert reply(429).retry_after(NOW) is None


@pytest.mark.parametrize("text", ["yesterday", "", "Tue, 99 Nov 2026 12:00:00 GMT", "0"])
def test_a_date_that_cannot_be_read_is_none(text: str) -> None:
    assert reply(date=text).date is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24T12:00:00.1234567Z", datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-24T13:00:00+01:00", NOW),
        ("2026-11-24T12:00:00", NOW),
        ("0001-01-01T00:00:00+05:00", None),
        ("soon", None),
        (1, None),
        (None, None),
    ],
)
def test_times_of_graph_are_aware_utc_or_none(text: object, expected: datetime | None) -> None:
    assert moment(text) == expected


def test_a_password_credential_is_read_with_its_key_id_in_lower_case() -> None:
    version = listed({"keyId": KEY, "displayName": "a", "endDateTime": "2026-11-24T12:00:00Z", "startDateTime": None})
    assert version is not None
    assert (version.key_id, version.tag, version.created_at, version.expires_at) == (KEY.lower(), "a", None, NOW)


@pytest.mark.parametrize("item", [None, [], "x", {}, {"keyId": None}, {"keyId": "x"}, {"keyId": f"{KEY}\n"}])
def test_what_has_no_key_id_is_no_password_credential(item: object) -> None:
    assert listed(item) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "Request_BadRequest"}, "Request_BadRequest"),
        ({"code": "a\x1b[31m"}, None),
        ({"code": "x" * 200}, None),
        ({"code": 7}, None),
        ({}, None),
        ("invalid_client", None),
        (None, None),
    ],
)
def test_graphs_code_is_a_plain_word_or_nothing(error: object, code: str | None) -> None:
    assert reply(400, {"error": error}).code == code


def test_the_token_endpoints_error_and_number_are_read() -> None:
    told = reply(401, {"error": "invalid_client", "error_codes": [7000215, 1]})
    assert (told.oauth_error, told.aadsts, told.code) == ("invalid_client", 7000215, None)
    odds: tuple[object, ...] = ([], ["7000215"], [True], "7000215", None, {})
    for odd in odds:
        assert reply(401, {"error": "invalid_client", "error_codes": odd}).aadsts is None


def test_a_request_id_is_a_guid_or_nothing() -> None:
    assert reply(request_id=KEY).request_id == KEY
    assert reply(request_id="x\x1b[31m").request_id is None


def test_a_policy_is_found_by_its_id_only() -> None:
    assert reply(400, {"error": {"message": f"exceeds as per assigned policy '{KEY}'."}}).policy_id == KEY
    assert reply(400, {"error": {"message": "policy 'secret'"}}).policy_id is None


def test_our_token_is_read_or_it_is_not() -> None:
    payload = base64.urlsafe_b64encode(json.dumps({"roles": ["a"]}).encode()).decode().rstrip("=")
    assert claims(f"h.{payload}.s") == {"roles": ["a"]}
    for opaque in ("", "opaque", "a.b", "a.!.c", "a.e30.c", f"a.{payload}.c.d", "a.é.c"):
        assert claims(opaque) == {}


def test_texts_are_those_of_a_list() -> None:
    assert texts(["a", 1, None, "b"]) == ("a", "b")
    assert texts("ab") == ()


def test_a_body_is_not_in_the_repr() -> None:
    assert "canary" not in repr(reply(200, b"canary"))
