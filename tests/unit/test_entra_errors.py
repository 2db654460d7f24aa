"""Every answer of Graph and of the token endpoint means one thing, and names who must act."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rotator.errors import (
    ClockWrong,
    Denied,
    Misconfigured,
    NoFreeSlot,
    OutcomeUnknown,
    Refused,
    RotatorError,
    Throttled,
    Transient,
)
from rotator.providers.entra_answers import NoAnswer, Reply
from rotator.providers.entra_errors import Doing, login_failed, refused, unanswered
from rotator.providers.entra_settings import CertificateAuth, EntraSettings, ManagedIdentityAuth
from rotator.secret import Secret

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
WRITE, READ = Doing("create a secret", writes=True), Doing("read the application")
SETTINGS = EntraSettings(
    name="contoso",
    tenant="11111111-2222-3333-4444-555555555555",
    authority="https://login.microsoftonline.com",
    graph="https://graph.microsoft.com/v1.0",
    auth=CertificateAuth("5a6d0f1e-0000-4000-8000-000000000001", Secret("x"), "file:/etc/rotator/graph.pem"),
)


def graph(status: int, code: str | None = None, **headers: str) -> Reply:
    body = json.dumps({"error": {"code": code, "message": "canary \x1b[31m"}}).encode() if code else b"<html>canary"
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def login(status: int, error: str, *numbers: int) -> Reply:
    body = {"error": error, "error_codes": list(numbers), "error_description": "canary"}
    return Reply(status, {}, json.dumps(body).encode())


# status, code -> the error of a write, of a read, and their code
ANSWERS: list[tuple[int, str | None, type[RotatorError], type[RotatorError], str | None]] = [
    (400, "Request_BadRequest", Refused, Refused, "refused_by_graph"),
    (400, "CredentialInvalidLifetimeAsPerAppPolicy", Refused, Refused, "lifetime_not_allowed"),
    (400, "CredentialTypeNotAllowedAsPerAppPolicy", Refused, Refused, "secrets_forbidden"),
    (403, "CredentialTypeNotAllowedAsPerAppPolicy", Refused, Refused, "secrets_forbidden"),
    (400, "Directory_ResourceSizeExceeded", NoFreeSlot, NoFreeSlot, "no_free_slot"),
    (403, "Directory_ResourceSizeExceeded", NoFreeSlot, NoFreeSlot, "no_free_slot"),
    (401, "InvalidAuthenticationToken", Transient, Denied, "token_not_accepted"),
    (401, None, Transient, Denied, "token_not_accepted"),
    (403, "Authorization_RequestDenied", Denied, Denied, "denied"),
    (404, "Request_ResourceNotFound", Refused, Refused, "application_not_found"),
    (405, "Request_BadRequest", Refused, Refused, "refused_by_graph"),
    (422, "Request_UnprocessableEntity", Refused, Refused, "refused_by_graph"),
    (409, "Directory_ConcurrencyViolation", OutcomeUnknown, Transient, None),
    (503, "Directory_ConcurrencyViolation", OutcomeUnknown, Transient, None),
    (408, "Request_Timeout", OutcomeUnknown, Transient, None),
    (429, "TooManyRequests", Throttled, Throttled, "throttled"),
    (429, None, Throttled, Throttled, "throttled"),
    *((status, "x", OutcomeUnknown, Transient, None) for status in (500, 502, 503, 504)),
    *((status, None, OutcomeUnknown, Transient, None) for status in (100, 200, 201, 204, 302, 307, 400, 403, 404, 502)),
]


@pytest.mark.parametrize(("status", "code", "write", "read", "word"), ANSWERS)
def test_an_answer_of_graph_means_one_thing(
    status: int, code: str | None, write: type[RotatorError], read: type[RotatorError], word: str | None
) -> None:
    for doing, kind in ((WRITE, write), (READ, read)):
        error = refused(SETTINGS, doing, graph(status, code), NOW)
        assert type(error) is kind
        assert word is None or error.code == word
        assert error.hint.rstrip().endswith(".")
        assert "canary" not in f"{error.message}{error.hint}" and "\x1b" not in error.message


def test_a_request_id_is_passed_on_for_support() -> None:
    known = "4c1e0000-1111-4222-8333-444455559a02"
    for code in ("Request_BadRequest", "Authorization_RequestDenied"):
        assert known in refused(SETTINGS, WRITE, graph(403, code, request_id=known), NOW).message


@pytest.mark.parametrize("code", ["unreachable", "timed_out", "connection_lost", "bad_answer", "proxy_refused"])
def test_what_was_never_sent_was_certainly_not_done(code: str) -> None:
    for sent in (True, False):
        for doing in (WRITE, READ):
            error = unanswered(SETTINGS, doing, NoAnswer(code, "login.example gave none", sent=sent))
            assert type(error) is (OutcomeUnknown if sent and doing.writes else Transient)


def test_an_untrusted_certificate_is_our_configuration_and_names_what_was_trusted() -> None:
    no = NoAnswer("tls_untrusted", "the certificate of graph.microsoft.com is not accepted (self-signed)", sent=False)
    error = unanswered(SETTINGS, WRITE, no)
    assert type(error) is Misconfigured and "the system's CAs" in error.message and "ca_file" in error.hint


LOGINS: list[tuple[Reply, type[RotatorError], str]] = [
    (login(400, "invalid_request", 90002), Misconfigured, "tenant_not_found"),
    (login(400, "invalid_request", 900023), Misconfigured, "tenant_not_found"),
    (login(400, "unauthorized_client", 700016), Misconfigured, "client_not_found"),
    (login(400, "invalid_resource", 500011), Misconfigured, "graph_unknown"),
    (login(401, "invalid_client", 7000215), Denied, "login_refused"),
    (login(401, "invalid_client", 7000222), Denied, "login_expired"),
    (login(401, "invalid_client", 700027), Denied, "login_certificate_refused"),
    (login(401, "invalid_client", 700024), Denied, "login_assertion_expired"),
    (login(400, "invalid_request", 70021), Denied, "federation_unknown"),
    (login(400, "unauthorized_client", 7000112), Denied, "login_disabled"),
    (login(400, "invalid_grant", 53003), Denied, "login_blocked"),
    (login(401, "invalid_client"), Denied, "login_refused"),
    (login(400, "something_new", 123456789), Denied, "login_refused"),
    (login(400, "temporarily_unavailable", 90033), Transient, "bad_answer"),
    (login(503, "invalid_client", 7000215), Transient, "bad_answer"),
    (login(429, "temporarily_unavailable", 90055), Throttled, "throttled"),
    (Reply(200, {}, b"<html>"), Transient, "bad_answer"),
    (Reply(307, {"location": "https://thief.example"}, b""), Transient, "bad_answer"),
]


@pytest.mark.parametrize(("seen", "kind", "code"), LOGINS)
def test_a_login_that_fails_means_one_thing(seen: Reply, kind: type[RotatorError], code: str) -> None:
    error = login_failed(SETTINGS, seen, timedelta(0), NOW)
    assert (type(error), error.code) == (kind, code)
    assert "canary" not in f"{error.message}{error.hint}" and "thief" not in error.message
    assert "{" not in error.hint
    if kind is Denied and code in ("login_refused", "login_expired", "login_certificate_refused"):
        assert "file:/etc/rotator/graph.pem" in error.hint


def test_an_assertion_out_of_time_is_the_clocks_fault_only_when_the_clocks_differ() -> None:
    seen = login(401, "invalid_client", 700024)
    assert type(login_failed(SETTINGS, seen, timedelta(minutes=6), NOW)) is ClockWrong
    assert type(login_failed(SETTINGS, seen, timedelta(minutes=-6), NOW)) is ClockWrong
    assert type(login_failed(SETTINGS, seen, timedelta(minutes=4), NOW)) is Denied
    assert type(login_failed(SETTINGS, seen, None, NOW)) is Denied


def test_a_login_that_was_never_tried_is_our_configuration() -> None:
    assert login_failed(SETTINGS, None, None, NOW).code == "certificate_unusable"
    by_identity = replace(SETTINGS, auth=ManagedIdentityAuth())
    assert login_failed(by_identity, None, None, NOW).code == "login_unusable"


def test_nobody_answering_the_login_is_transient_never_unknown() -> None:
    error = login_failed(SETTINGS, NoAnswer("connection_lost", "it was lost", sent=True), None, NOW)
    assert type(error) is Transient
