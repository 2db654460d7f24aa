"""What an endpoint's answer means: the tables of real issuers, the two shapes of errors, and all that is silence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rotator.ports import Answer, Verdict
from rotator.provers.answers import Granted, read_answer
from rotator.secret import Secret
from rotator.wire.cleaning import Cleaner
from rotator.wire.exchange import Reply

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DATE = "Tue, 24 Nov 2026 12:00:10 GMT"
SECRET = "Zx8Q~canary-4711-Kk9vR2mWqT"
AADSTS = "AADSTS{number}: Something went as it went. Trace ID: 1f Correlation ID: 2e Timestamp: 2026-11-24 12:00:00Z"

REFUSED, SILENT = Answer.REFUSED, Answer.SILENT


def answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> Granted | Verdict:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(Reply(status, headers or {}, content), Cleaner([Secret(SECRET)]), "login.example", NOW)


def verdict(status: int, body: object, headers: Mapping[str, str] | None = None) -> Verdict:
    read = answer(status, body, headers)
    assert isinstance(read, Verdict)
    return read


def entra(number: int, error: str) -> dict[str, Any]:
    return {"error": error, "error_description": AADSTS.format(number=number), "error_codes": [number]}


@pytest.mark.parametrize(
    ("number", "status", "error", "expected", "code"),
    [
        (7000215, 401, "invalid_client", REFUSED, "invalid_client"),
        (7000222, 401, "invalid_client", REFUSED, "expired_secret"),
        (7000216, 401, "invalid_client", REFUSED, "no_credential"),
        (7000218, 401, "invalid_client", REFUSED, "no_credential"),
        (700025, 401, "invalid_client", REFUSED, "public_client"),
        (700027, 401, "invalid_client", REFUSED, "assertion_refused"),
        (700024, 401, "invalid_client", REFUSED, "assertion_out_of_time"),
        (700016, 400, "unauthorized_client", SILENT, "unknown_client"),
        (700011, 400, "unauthorized_client", SILENT, "unknown_client"),
        (7000112, 400, "unauthorized_client", SILENT, "client_disabled"),
        (1000031, 400, "unauthorized_client", SILENT, "client_disabled"),
        (1002012, 400, "invalid_scope", SILENT, "invalid_scope"),
        (70011, 400, "invalid_scope", SILENT, "invalid_scope"),
        (500011, 400, "invalid_resource", SILENT, "invalid_resource"),
        (501051, 400, "invalid_grant", SILENT, "no_role_assigned"),
        (65001, 400, "invalid_grant", SILENT, "no_consent"),
        (53003, 400, "invalid_grant", SILENT, "conditional_access"),
        (90002, 400, "invalid_request", SILENT, "unknown_tenant"),
        (900144, 400, "invalid_request", SILENT, "invalid_request"),
        (90033, 503, "temporarily_unavailable", SILENT, "server_error"),
        (90033, 400, "temporarily_unavailable", SILENT, "server_error"),
        (90055, 429, "temporarily_unavailable", SILENT, "throttled"),
        (50196, 400, "invalid_grant", SILENT, "throttled"),
        (70021, 400, "invalid_request", SILENT, "no_federated_credential"),
        (123456789, 401, "invalid_client", REFUSED, "invalid_client"),
        (123456789, 400, "invalid_grant", SILENT, "invalid_grant"),
    ],
)
def test_entras_table(number: int, status: int, error: str, expected: Answer, code: str) -> None:
    read = verdict(status, entra(number, error))
    assert (read.answer, read.code) == (expected, code)
    assert f"AADSTS{number}: Something went as it went." in read.message
    assert "Trace ID" not in read.message


KEYCLOAK = "Invalid client or Invalid client credentials"


@pytest.mark.parametrize(
    ("status", "body", "expected", "code"),
    [
        (401, {"error": "unauthorized_client", "error_description": KEYCLOAK}, REFUSED, "invalid_client"),
        (401, {"error": "invalid_client", "error_description": KEYCLOAK}, REFUSED, "invalid_client"),
        (
            400,
            {"error": "unauthorized_client", "error_description": "Client not allowed"},
            SILENT,
            "unauthorized_client",
        ),
        (400, {"error": "invalid_scope", "error_description": "Invalid scopes: x"}, SILENT, "invalid_scope"),
        (400, {"error": "invalid_request", "error_description": "Missing form parameter"}, SILENT, "invalid_request"),
        (404, {"error": "Realm does not exist"}, SILENT, "not_found"),
        (405, b"", SILENT, "not_found"),
        (500, {"error": "unknown_error"}, SILENT, "server_error"),
    ],
)
def test_keycloaks_table(status: int, body: object, expected: Answer, code: str) -> None:
    read = verdict(status, body)
    assert (read.answer, read.code) == (expected, code)


@pytest.mark.parametrize(
    ("status", "body", "expected", "code"),
    [
        (401, {"error": "invalid_client", "errorDescription": "Bad credentials"}, REFUSED, "invalid_client"),
        (401, {"error": "invalid_client", "errorDescription": "Client secret expired"}, REFUSED, "expired_secret"),
        (400, {"error": "invalid_client", "errorDescription": "Bad credentials"}, REFUSED, "invalid_client"),
        (400, {"error": "bad", "errorDescription": "?"}, SILENT, "bad_answer"),
        (403, {"error": "invalid_client"}, SILENT, "bad_answer"),
        (401, {"message": "Unauthorized"}, REFUSED, "invalid_client"),
        (401, {"error": {"code": "x"}}, REFUSED, "invalid_client"),
        (401, [], REFUSED, "invalid_client"),
        (401, b"", SILENT, "bad_answer"),
        (401, b"<html>Sign in</html>", SILENT, "bad_answer"),
        (401, b'{"error": "invalid_client"', SILENT, "bad_answer"),
        (401, b'{"error": "invalid_client", "error": "x"}', SILENT, "bad_answer"),
        (403, b"<html>WAF</html>", SILENT, "bad_answer"),
        (502, b"<html>Bad gateway</html>", SILENT, "server_error"),
        (503, {"error": "invalid_client"}, SILENT, "server_error"),
        (429, {"error": "invalid_client"}, SILENT, "throttled"),
        (403, {"error": "x", "error_codes": [7000215]}, SILENT, "bad_answer"),
    ],
)
def test_only_a_401_with_json_or_a_400_with_invalid_client_speaks_against_the_secret(
    status: int, body: object, expected: Answer, code: str
) -> None:
    read = verdict(status, body)
    assert (read.answer, read.code) == (expected, code)


def test_the_description_is_read_in_either_spelling() -> None:
    for name in ("error_description", "errorDescription"):
        assert "Clock of the moon" in verdict(401, {"error": "invalid_client", name: "Clock of the moon"}).message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("could not authenticate the client - its client secret is expired", "expired_secret"),
        ("Expired credentials", "expired_secret"),
        ("The API key has expired.", "expired_secret"),
        ("The secret is wrong or has expired", "invalid_client"),
        ("Invalid or expired client secret", "invalid_client"),
        ("secret expired or wrong", "invalid_client"),
        ("Bad secret. Your session has expired.", "invalid_client"),
        ("unexpired secrets only", "invalid_client"),
    ],
)
def test_expired_is_said_only_where_the_endpoint_says_nothing_else(text: str, code: str) -> None:
    assert verdict(401, {"error": "invalid_client", "error_description": text}).code == code


def test_an_error_code_that_says_expired_counts_too() -> None:
    assert verdict(401, {"error": "client_secret_expired"}).code == "expired_secret"


# Answers of 200 and of 3xx


def test_a_token_is_handed_on_sealed_and_apart_from_the_rest() -> None:
    granted = answer(200, {"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 5}, {"date": DATE})
    assert isinstance(granted, Granted)
    assert granted.token.matches(Secret("a.b.c"))
    assert granted.response == {"token_type": "Bearer", "expires_in": 5}
    assert granted.issuer_now == datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
    assert "a.b.c" not in repr(granted)


@pytest.mark.parametrize(
    "body",
    [
        {"token_type": "Bearer"},
        {"access_token": ""},
        {"access_token": None},
        {"access_token": ["a"]},
        {"access_token": "a\nb"},
        {"access_token": "\ud800"},
        {"access_token": "ä"},
        {"access_token": "x" * 70_000},
        {"error": "invalid_client", "error_description": "but with 200"},
        {"error": "invalid_client", "access_token": "a.b.c"},
        [],
        b"<!doctype html><title>Maintenance</title>",
        b"",
        b"\xff\xfe",
        b'{"access_token": "a", "access_token": "b"}',
        b'{"access_token": "a", "n": NaN}',
        b'{"access_token": "a", "n": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
    ],
)
def test_a_200_without_a_usable_token_says_nothing_about_the_secret(body: object) -> None:
    read = verdict(200, body)
    assert (read.answer, read.code) == (SILENT, "bad_answer")


@pytest.mark.parametrize(("depth", "taken"), [(31, True), (32, False)])
def test_an_answer_may_be_nested_32_deep_and_no_deeper(depth: int, taken: bool) -> None:
    body = b'{"access_token": "a", "x": ' + b"[" * depth + b"]" * depth + b"}"
    assert isinstance(answer(200, body), Granted) is taken


def test_brackets_inside_a_text_are_not_nesting() -> None:
    assert isinstance(answer(200, {"access_token": "a", "hint": '\\"' + "[" * 500}), Granted)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_silence_and_names_only_where_it_leads(status: int) -> None:
    read = verdict(status, b"", {"location": f"https://thief.example/take?secret={SECRET}"})
    assert (read.answer, read.code) == (SILENT, "redirected")
    assert "to thief.example. It is not followed" in read.message
    assert SECRET not in read.message


@pytest.mark.parametrize("location", ["", "/relative", "https://[::1", "https://user:pw@thief.example/", "\x00", "//"])
def test_a_redirect_to_nowhere_is_described_all_the_same(location: str) -> None:
    read = verdict(302, b"", {"location": location})
    assert read.code == "redirected"
    assert "pw" not in read.message


# Waiting


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("60", 60),
        ("1.5", 1.5),
        ("0", 1),
        ("-5", 1),
        ("999999", 6 * 3600),
        ("9" * 400, 6 * 3600),
        ("Tue, 24 Nov 2026 12:01:10 GMT", 60),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 1),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 6 * 3600),
        ("soon", None),
        ("", None),
        ("60, 90", None),
        ("1e9", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_in_all_its_forms_and_kept_between_a_second_and_six_hours(
    header: str, seconds: float | None, status: int
) -> None:
    read = verdict(status, {}, {"retry-after": header, "date": DATE})
    assert read.retry_after == (None if seconds is None else timedelta(seconds=seconds))


def test_without_a_date_a_retry_after_date_is_measured_by_our_own_clock() -> None:
    assert verdict(429, {}, {"retry-after": "Tue, 24 Nov 2026 12:01:10 GMT"}).retry_after == timedelta(seconds=70)


def test_a_refusal_is_not_postponed_by_a_retry_after() -> None:
    assert verdict(401, {"error": "invalid_client"}, {"retry-after": "60"}).retry_after is None


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Tue, 99 Nov 2026 12:00:10 GMT", "0", "Tue, 24 Nov 99999 12:00:10 GMT"]
)
def test_a_date_that_cannot_be_read_is_none(date: str) -> None:
    assert verdict(401, {"error": "invalid_client"}, {"date": date}).issuer_now is None


# What may be repeated


def test_an_endpoint_that_quotes_the_secret_is_not_quoted() -> None:
    for name in ("error", "error_description", "errorDescription"):
        read = verdict(401, {"error": "invalid_client", name: f"no such secret: {SECRET}"})
        assert SECRET not in read.message
        assert "canary" not in read.message.lower()


def test_vendor_text_is_one_short_line() -> None:
    read = verdict(400, {"error": "x\x1b[31m", "error_description": "a\r\nb\x07" + "c" * 5000})
    assert read.message.isprintable()
    assert len(read.message) < 400


def test_a_disabled_application_is_explained_and_does_not_speak_against_the_secret() -> None:
    read = verdict(400, entra(7000112, "unauthorized_client"))
    assert read.answer is SILENT
    assert read.message.startswith(
        "login.example gave no token (400 unauthorized_client; the application is disabled or blocked): AADSTS7000112"
    )
