"""Looks for `rotator check` whether token endpoint, clock and signing keys are as a proof needs them; sends no secret.

The request it makes names no client, so no issuer counts it as a failed sign-in of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import httpx2

from rotator.clock import Clock
from rotator.errors import Misconfigured
from rotator.finding import Finding, Severity
from rotator.provers.jwks import Keys
from rotator.provers.request import ProofRequest
from rotator.wire.exchange import Body, Reply, Unanswered, exchange
from rotator.wire.strictly import NotJson, read_object
from rotator.wire.urls import host_of

ENDPOINT = "token endpoint"
KEYS = "signing keys"
CLOCK = "clock"

SKEW_NOTICED = timedelta(seconds=30)
SKEW_REFUSED = timedelta(minutes=5)

# What sysexits(3) and the exit codes of the program call them.
_UNREACHABLE, _LATER, _WRONG_HERE = 69, 75, 78

Transports = Callable[[], httpx2.BaseTransport]


def look(
    subject: str, request: ProofRequest, clock: Clock, keys: Keys | None, transports: Transports
) -> Sequence[Finding]:
    """Return the findings, the token endpoint's first. Raises nothing: what is wrong is a finding."""
    try:
        return list(_findings(subject, request, clock, keys, transports))
    except Misconfigured as wrong:
        return [Finding(subject, ENDPOINT, Severity.FAIL, wrong.message, wrong.hint, wrong.exit_status)]


def _findings(
    subject: str, request: ProofRequest, clock: Clock, keys: Keys | None, transports: Transports
) -> Iterator[Finding]:
    where = host_of(request.token_url)
    try:
        reply = exchange(transports(), "POST", request.token_url, body=Body.form(b"grant_type=client_credentials"))
    except Unanswered as failure:
        yield _unreachable(subject, ENDPOINT, failure)
    else:
        yield _endpoint(subject, where, reply)
        if reply.date is not None:
            yield _clock(subject, where, reply.date, clock.now())
    if keys is not None:
        try:
            usable = keys.usable(lambda url: exchange(transports(), "GET", url))
        except Unanswered as failure:
            yield _unreachable(subject, KEYS, failure)
        else:
            yield _keys(subject, usable)


def _unreachable(subject: str, check: str, failure: Unanswered) -> Finding:
    if failure.code == "tls_failed":
        hint = "Name the right CA file as ca_file, or have the certificate renewed. There is no way to ignore it."
        return Finding(subject, check, Severity.FAIL, failure.message, hint, _WRONG_HERE)
    hint = "See whether the address is right and the network lets us through; the environment's proxies are not used."
    return Finding(subject, check, Severity.FAIL, failure.message, hint, _UNREACHABLE)


def _endpoint(subject: str, where: str, reply: Reply) -> Finding:
    """Judge the answer to a request without a client: a token endpoint refuses it, in JSON."""
    if 300 <= reply.status < 400:
        message = f"{where} answers with a redirect ({reply.status}); a proof never follows one."
        hint = "Set verify.token_url to the address it leads to."
        return Finding(subject, ENDPOINT, Severity.FAIL, message, hint, _WRONG_HERE)
    if reply.status in (404, 405, 410):
        message = f"There is no token endpoint at this address of {where} ({reply.status})."
        return Finding(subject, ENDPOINT, Severity.FAIL, message, "Correct verify.token_url.", _WRONG_HERE)
    if reply.status == 429 or reply.status >= 500:
        message = f"{where} is there, but answered {reply.status}."
        return Finding(subject, ENDPOINT, Severity.WARN, message, "Ask again later.", _LATER)
    if 200 <= reply.status < 300:
        message = (
            f"{where} answered {reply.status} to a request that names no client, which a token endpoint must refuse."
        )
        return Finding(subject, ENDPOINT, Severity.WARN, message, "See whether verify.token_url leads to a mock.")
    try:
        read_object(reply.body)
    except NotJson:
        message = f"{where} answered {reply.status}, but not with JSON as a token endpoint does."
        return Finding(
            subject, ENDPOINT, Severity.WARN, message, "See whether a proxy or a login page answers instead."
        )
    return Finding(subject, ENDPOINT, Severity.OK, f"{where} is there and refuses a request without a client.")


def _clock(subject: str, where: str, theirs: datetime, ours: datetime) -> Finding:
    """Compare our clock with the endpoint's Date, which is cut to whole seconds: half of one is added to it."""
    skew = abs(ours - theirs - timedelta(milliseconds=500))
    message = f"the clock of {where} is {skew.total_seconds():.1f} s from ours"
    if skew > SKEW_REFUSED:
        hint = "Set this machine's clock. Until then nothing starts because of time."
        return Finding(subject, CLOCK, Severity.FAIL, message, hint, _LATER)
    if skew > SKEW_NOTICED:
        return Finding(subject, CLOCK, Severity.WARN, message, "See whether this machine keeps its time by NTP.")
    return Finding(subject, CLOCK, Severity.OK, message)


def _keys(subject: str, usable: int) -> Finding:
    if usable == 0:
        hint = "Proofs need an RS256, PS256 or ES256 key there; for tokens with an HMAC say signature: unverified."
        return Finding(
            subject, KEYS, Severity.FAIL, "The issuer publishes no key that could be used.", hint, _WRONG_HERE
        )
    return Finding(subject, KEYS, Severity.OK, f"The issuer publishes {usable} key{'s' if usable > 1 else ''} of use.")
