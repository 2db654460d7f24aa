"""Reads what a token endpoint answered and says whether it speaks against the secret; it never repeats a body.

Only a refusal of the client does: 401 with JSON, whatever its code, and 400 with `invalid_client`. Any other answer is
silence about the value. Keycloak 26 says 401 `unauthorized_client` for a wrong secret, Entra 400 `unauthorized_client`
for an unknown application, oidc-provider 400 `invalid_client` for an expired secret: status and code decide together.
The code of the verdict, in contrast, is for people and alerts: it tells an expired secret from a wrong one if it can.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rotator.ports import Answer, Verdict
from rotator.secret import Secret
from rotator.wire.cleaning import Cleaner
from rotator.wire.exchange import Reply, Unanswered, http_date
from rotator.wire.strictly import NotJson, read_json, read_object
from rotator.wire.urls import host_of

LEAST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(hours=6)
MAX_TOKEN = 64 * 1024

# Error numbers of Entra, from learn.microsoft.com/entra/identity-platform/reference-error-codes and reports. They may
# change without notice, so they only refine the code; a number that is not here changes nothing.
_AADSTS: Mapping[int, str] = {
    7000215: "invalid_client",
    7000222: "expired_secret",
    **dict.fromkeys((7000216, 7000218), "no_credential"),
    **dict.fromkeys((700016, 700011), "unknown_client"),
    **dict.fromkeys((7000112, 70001, 1000031), "client_disabled"),
    700025: "public_client",
    **dict.fromkeys((1002012, 70011, 28002, 700022), "invalid_scope"),
    **dict.fromkeys((500011, 50001), "invalid_resource"),
    501051: "no_role_assigned",
    **dict.fromkeys((65001, 650057, 90094), "no_consent"),
    **dict.fromkeys((53003, 530032), "conditional_access"),
    **dict.fromkeys((90002, 90038, 900382), "unknown_tenant"),
    **dict.fromkeys((900144, 9002313, 90013, 90014, 90023), "invalid_request"),
    **dict.fromkeys((90033, 90006, 90012, 90024, 90090, 50033, 50000), "server_error"),
    **dict.fromkeys((90055, 50196), "throttled"),
    **dict.fromkeys((700027, 700023, 50012, 50048), "assertion_refused"),
    700024: "assertion_out_of_time",
    70021: "no_federated_credential",
}

# What the code of a silent answer is, from the `error` of RFC 6749 section 5.2, RFC 8707 and OpenID Connect.
_STANDARD = frozenset(
    {
        "invalid_request",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "invalid_resource",
        "server_error",
        "temporarily_unavailable",
    }
)

_MEANINGS: Mapping[str, str] = {
    "client_disabled": "the application is disabled or blocked",
    "conditional_access": "a policy forbids requests from this address",
    "invalid_resource": "the API named by verify.scope is not known there",
    "invalid_scope": "verify.scope is not accepted",
    "not_found": "there is no token endpoint; look at verify.token_url",
    "no_consent": "nobody consented to the permission",
    "no_role_assigned": "the API demands an assignment and the application has none",
    "public_client": "the application is a public client and has no secret",
    "unauthorized_client": "the client is not known there, or may not use this grant",
    "unknown_client": "the application is not known in this tenant",
    "unknown_tenant": "the tenant is not known there, or belongs to another cloud",
    "unsupported_grant_type": "client credentials are not accepted there",
}

_EXPIRED = re.compile(
    r"\b(secrets?|credentials?|keys?|password)\b[^.]{0,60}\bexpired\b|\bexpired\b[^.]{0,30}\b(secrets?|credentials?|keys?)\b",
    re.IGNORECASE,
)
# "The secret is wrong or has expired" tells us neither.
_UNDECIDED = re.compile(
    r"\b(wrong|invalid|incorrect|unknown)\b[^.]{0,20}\bor\b|\bexpired,? or\b|/ ?expired", re.IGNORECASE
)
_TRACE = re.compile(r"\s*Trace ID:.*", re.DOTALL)  # different in every answer, and of use only to Microsoft
_NUMBER = re.compile(r"AADSTS(\d{1,9})\b")
_SECONDS = re.compile(r"[+-]?\d{1,9}(\.\d*)?")


@dataclass(frozen=True, slots=True)
class Granted:
    """An answer with a token in it. response: the rest of the JSON object, with the refresh token among it."""

    token: Secret
    response: Mapping[str, Any] = field(repr=False)
    issuer_now: datetime | None


def read_answer(reply: Reply, cleaner: Cleaner, where: str, now: datetime) -> Granted | Verdict:
    """Return the token, or what the endpoint said instead. now: our clock, for a Retry-After that is a date."""
    if reply.status == 200:
        return _granted(reply, cleaner, where)
    if 300 <= reply.status < 400:
        target = cleaner.words(host_of(reply.headers.get("location", "")), 80)
        return _silent(
            reply,
            "redirected",
            f"{where} answers with a redirect ({reply.status}) to {target}. It is not followed, as the secret would go"
            " along; set verify.token_url to the right address.",
        )
    try:
        error = _error_in(read_json(reply.body))
    except NotJson:
        return _by_status(reply, where, now)
    return _refusal(reply, error, cleaner, where, now)


def unanswered(failure: Unanswered, where: str) -> Verdict:
    """Return the verdict for a request that got no answer."""
    message = failure.message if where in failure.message else f"{where} gave no usable answer. {failure.message}"
    return Verdict(Answer.SILENT, failure.code, message)


@dataclass(frozen=True, slots=True)
class _Error:
    code: str
    description: str
    numbers: frozenset[int]


def _granted(reply: Reply, cleaner: Cleaner, where: str) -> Granted | Verdict:
    try:
        body = read_object(reply.body)
    except NotJson:
        return _silent(reply, "bad_answer", f"{where} answered 200, but not with the JSON of a token ({_kind(reply)}).")
    token = body.get("access_token")
    if "error" in body:
        error = _error_in(body)
        said = cleaner.words(f"{error.code} {error.description}".strip()) or "no text"
        return _silent(reply, "bad_answer", f"{where} answered 200 with an error in it: {said}")
    if not isinstance(token, str) or not token:
        return _silent(reply, "bad_answer", f"{where} answered 200 without an access_token.")
    if not token.isascii() or not token.isprintable() or len(token) > MAX_TOKEN:
        return _silent(reply, "bad_answer", f"{where} answered 200 with an access_token no header could carry.")
    rest = {name: value for name, value in body.items() if name != "access_token"}
    return Granted(Secret(token), rest, reply.date)


def _refusal(reply: Reply, error: _Error, cleaner: Cleaner, where: str, now: datetime) -> Verdict:
    refused = reply.status == 401 or (reply.status == 400 and error.code == "invalid_client")
    code = _code(reply.status, error, refused=refused)
    vendor = _TRACE.sub("", error.description) or error.code
    said = cleaner.words(vendor) if vendor else ""
    label = f"{reply.status} {cleaner.words(error.code, 40)}".strip()
    if refused:
        message = f"{where} refused the client ({label})" + (f": {said}" if said else ".")
        if code == "expired_secret":
            message = f"{where} says that the secret has expired ({label}): {said}"
        return Verdict(Answer.REFUSED, code, message, issuer_now=reply.date, retry_after=_wait(reply, now))
    meaning = _MEANINGS.get(code)
    message = f"{where} gave no token ({label}" + (f"; {meaning})" if meaning else ")") + (f": {said}" if said else ".")
    return _silent(reply, code, message, _wait(reply, now))


def _by_status(reply: Reply, where: str, now: datetime) -> Verdict:
    if reply.status in (404, 405, 410):
        message = f"There is no token endpoint at {where} ({reply.status}); look at verify.token_url."
    else:
        message = (
            f"{where} answered {reply.status} and not with JSON ({_kind(reply)}), so it says nothing about the secret."
        )
    return _silent(reply, _status_code(reply.status) or "bad_answer", message, _wait(reply, now))


def _code(status: int, error: _Error, *, refused: bool) -> str:
    for number in sorted(error.numbers & _AADSTS.keys()):
        # Under a status that refuses nobody, a code that speaks of the secret would mislead.
        if refused or _AADSTS[number] not in ("invalid_client", "expired_secret"):
            return _AADSTS[number]
    if refused:
        text = f"{error.code.replace('_', ' ')}: {error.description}"
        return "expired_secret" if _EXPIRED.search(text) and not _UNDECIDED.search(text) else "invalid_client"
    by_status = _status_code(status)
    if by_status is not None:
        return by_status
    return error.code if error.code in _STANDARD else "bad_answer"


def _status_code(status: int) -> str | None:
    if status == 429:
        return "throttled"
    if status >= 500:
        return "server_error"
    return "not_found" if status in (404, 405, 410) else None


def _error_in(body: object) -> _Error:
    """Read an error of RFC 6749 (`error`, `error_description`) or of the shape `error`, `errorDescription`."""
    if not isinstance(body, dict):
        return _Error("", "", frozenset())
    error, description = body.get("error"), body.get("error_description")
    if not isinstance(description, str):
        description = body.get("errorDescription")
    code = error.strip().lower() if isinstance(error, str) else ""
    text = description if isinstance(description, str) else ""
    numbers = {int(number) for number in _NUMBER.findall(text[:4096])}
    listed = body.get("error_codes")
    if isinstance(listed, list):
        numbers.update(item for item in listed[:10] if isinstance(item, int) and not isinstance(item, bool))
    return _Error(code, text, frozenset(numbers))


def _wait(reply: Reply, now: datetime) -> timedelta | None:
    """Return how long to wait (RFC 9110 section 10.2.3), between 1 s and 6 h; None when the answer does not say."""
    text = reply.headers.get("retry-after", "").strip()
    if not text or (reply.status != 429 and reply.status < 500):
        return None
    if _SECONDS.fullmatch(text):
        wait = timedelta(seconds=float(text))
    elif re.fullmatch(r"\+?\d+", text):
        wait = LONGEST_WAIT
    else:
        until = http_date(text)
        if until is None:
            return None
        wait = until - (reply.date or now)
    return min(max(wait, LEAST_WAIT), LONGEST_WAIT)


def _kind(reply: Reply) -> str:
    """Name the kind of body, from the few kinds that are worth naming."""
    start = reply.body[:512].lstrip().lower()
    if not start:
        return "no body"
    if start.startswith((b"<!doctype html", b"<html")) or "html" in reply.headers.get("content-type", ""):
        return "an HTML page"
    return "something else"


def _silent(reply: Reply, code: str, message: str, retry_after: timedelta | None = None) -> Verdict:
    return Verdict(Answer.SILENT, code, message, issuer_now=reply.date, retry_after=retry_after)
