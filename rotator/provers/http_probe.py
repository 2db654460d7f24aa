"""Proves a key that is no OAuth secret: one request with the key in a header, judged by its status. Keeps nothing.

The request must be one that only a working key may make, and that changes nothing. 401 speaks against the key; 403 says
that it is known and lacks a right; a 5xx, a 429 or silence say nothing about it (RFC 9110 section 15.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from rotator.clock import Clock
from rotator.errors import Misconfigured
from rotator.finding import Finding, Severity
from rotator.ports import Answer, Verdict
from rotator.secret import Fields, Secret
from rotator.wire.exchange import Deadline, GuardedTransport, Reply, TransportFor, Unanswered, exchange, trust
from rotator.wire.urls import host_of, proxy_fault, url_fault

ENDPOINT = "probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """What is asked. header, scheme: the key travels as `header: scheme key`; scheme empty: alone. expect: statuses."""

    method: str
    url: str
    header: str
    scheme: str = ""
    expect: frozenset[int] = frozenset({200})
    ca_file: Path | None = None
    proxy: str | None = None
    unsafe_plain_http: bool = False
    deadline: timedelta = timedelta(seconds=15)

    def __post_init__(self) -> None:
        fault = url_fault(self.url, plain_http=self.unsafe_plain_http)
        if fault is None and self.proxy is not None:
            fault = proxy_fault(self.proxy)
        if fault is not None:
            raise Misconfigured(f"verify.request {fault}.", hint="Correct it in the configuration.", code="unsafe_url")


class HttpProbeProver:
    """The `Prover` for keys that are sent in a header. Safe for use from several threads."""

    def __init__(self, request: ProbeRequest, clock: Clock, *, transport: TransportFor | None = None) -> None:
        """Prepare. transport: how a request travels; None: over TLS, guarded."""
        self._request, self._clock = request, clock
        self._transport = transport or self._guarded
        self._where = host_of(request.url)

    def prove(self, client_id: str, values: Fields, now: datetime) -> Verdict:
        """Make one request with this key. See `rotator.ports.Prover`. client_id: of no use here."""
        key = values.secret("client_secret")
        if key is None:
            raise Misconfigured("There is no key to prove.", hint="Look at the document that consumers read.")
        if not self._can_carry(key):  # so no endpoint can know it
            message = f"{self._where} was not asked: the key is empty, or holds characters that no header may."
            return Verdict(Answer.REFUSED, "unusable_key", message)
        try:
            reply = self._asked(key)
        except Unanswered as failure:
            message = failure.message if self._where in failure.message else f"{self._where}: {failure.message}"
            return Verdict(Answer.SILENT, failure.code, message)
        return self._judged(reply)

    def check(self, subject: str) -> Sequence[Finding]:
        """See that the endpoint is there and refuses a request without a key. Sends none."""
        try:
            reply = self._asked(None)
        except Unanswered as failure:
            status = 78 if failure.code == "tls_failed" else 69
            hint = "See whether verify.request is right and the network lets us through."
            return [Finding(subject, ENDPOINT, Severity.FAIL, failure.message, hint, status)]
        except Misconfigured as wrong:
            return [Finding(subject, ENDPOINT, Severity.FAIL, wrong.message, wrong.hint, wrong.exit_status)]
        if reply.status in self._request.expect:
            message = f"{self._where} answers {reply.status} without a key too, so it proves nothing."
            return [Finding(subject, ENDPOINT, Severity.FAIL, message, "Choose a request that needs the key.")]
        if reply.status not in (401, 403):
            message = f"{self._where} answers {reply.status} to a request without a key."
            return [Finding(subject, ENDPOINT, Severity.WARN, message, "See whether verify.request is right.")]
        message = f"{self._where} is there and refuses a request without a key."
        return [Finding(subject, ENDPOINT, Severity.OK, message)]

    def _guarded(self, deadline: Deadline) -> GuardedTransport:
        return GuardedTransport(trust(self._request.ca_file), deadline, self._request.proxy)

    @staticmethod
    def _can_carry(key: Secret) -> bool:
        text = key.reveal()
        return bool(text.strip()) and text.isascii() and text.isprintable()

    def _asked(self, key: Secret | None) -> Reply:
        headers = {}
        if key is not None:
            headers[self._request.header] = f"{self._request.scheme} {key.reveal()}".strip()
        deadline = Deadline(self._clock, self._request.deadline)
        return exchange(self._transport(deadline), self._request.method, self._request.url, headers)

    def _judged(self, reply: Reply) -> Verdict:
        status, where = reply.status, self._where
        if status in self._request.expect:
            return Verdict(Answer.PROVED, "proved", f"{where} answered {status} as expected.", reply.date)
        if status == 401:
            return Verdict(Answer.REFUSED, "invalid_key", f"{where} refused the key (401).", reply.date)
        if status == 403:
            return Verdict(
                Answer.UNFIT, "forbidden", f"{where} knows the key, which lacks the right (403).", reply.date
            )
        code = "throttled" if status == 429 else "server_error" if status >= 500 else "unexpected_status"
        message = f"{where} answered {status}, which says nothing about the key."
        return Verdict(Answer.SILENT, code, message, reply.date, retry_after=reply.retry_after)
