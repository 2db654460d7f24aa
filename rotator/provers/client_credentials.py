"""Asks a token endpoint for a token with one secret and says what came of it; caches no token, repeats no request.

Every proof is a raw client-credentials request (RFC 6749 section 4.4) on a connection of its own. No token library
stands between: one that finds a token of an earlier secret in its cache calls a wrong secret good. Only the issuer's
signing keys are kept, for some minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from rotator.clock import Clock
from rotator.expect import Claims, Fault, FaultCode, RefreshToken, unmet
from rotator.finding import Finding
from rotator.ports import Answer, Verdict
from rotator.provers.answers import Granted, read_answer, unanswered
from rotator.provers.client_auth import Unusable, present
from rotator.provers.decoy import decoy
from rotator.provers.jwks import Jwt, Keys, parse
from rotator.provers.looking import look
from rotator.provers.request import ProofRequest
from rotator.secret import Fields, Secret
from rotator.wire.cleaning import Cleaner
from rotator.wire.exchange import Body, Deadline, GuardedTransport, Reply, TransportFor, Unanswered, exchange, trust
from rotator.wire.urls import host_of

_OPAQUE = "it is opaque. Say signature: unverified in verify.expect if that is how it is meant"


class ClientCredentialsProver:
    """The `Prover` for OAuth2 client credentials. Safe for use from several threads.

    transport: how one request travels; None for the guarded one over TLS. The CA file is read at the first proof,
    and again whenever it has changed.
    """

    def __init__(self, request: ProofRequest, clock: Clock, *, transport: TransportFor | None = None) -> None:
        self._request = request
        self._clock = clock
        self._transport = transport or self._guarded
        self._where = host_of(request.token_url)
        self._keys: Keys | None = None
        if request.keys_url is not None:
            self._keys = Keys(request.signature, request.keys_url, clock, plain_http=request.unsafe_plain_http)

    def prove(self, client_id: str, values: Fields, now: datetime) -> Verdict:
        """Make one token request with these values and judge the token. See `rotator.ports.Prover`.

        values: `client_secret`, or `private_key` and perhaps `certificate`, as the way of authentication needs; refused
        unasked when they are none. Raises Misconfigured when they are not there, or when the CA file cannot be used.
        """
        deadline = Deadline(self._clock, self._request.deadline)
        client_id = self._request.client_id or client_id
        grant = {"grant_type": "client_credentials", **self._request.params}
        if self._request.scope is not None:
            grant["scope"] = self._request.scope
        # Everything that is sensitive, sent or received, so that no message can repeat it.
        sensitive = [sealed for name in ("client_secret", "private_key") if (sealed := values.secret(name)) is not None]
        answer = self._ask(client_id, values, grant, now, deadline, sensitive)
        if isinstance(answer, Verdict):
            return answer
        sensitive += _sealed(answer)
        verdict = self._judge(answer, client_id, now, deadline, Cleaner(sensitive))
        expectations = self._request.expectations
        if verdict.answer is Answer.PROVED and expectations and expectations.refresh_token is RefreshToken.WORKS:
            return self._refresh(answer, verdict, client_id, values, now, deadline, sensitive)
        return verdict

    def decoy(self) -> Fields:
        """Return a value that nobody has. See `rotator.ports.Decoying`."""
        return decoy(self._request.client_auth, self._clock.now())

    def check(self, subject: str) -> Sequence[Finding]:
        """Look at endpoint, clock and keys without sending a secret. See `rotator.ports.Prover`."""
        deadline = Deadline(self._clock, self._request.deadline)
        return look(subject, self._request, self._clock, self._keys, lambda: self._transport(deadline))

    def _guarded(self, deadline: Deadline) -> GuardedTransport:
        return GuardedTransport(trust(self._request.ca_file), deadline, self._request.proxy)

    def _ask(
        self,
        client_id: str,
        values: Fields,
        grant: Mapping[str, str],
        now: datetime,
        deadline: Deadline,
        sensitive: list[Secret],
    ) -> Granted | Verdict:
        url = self._request.token_url
        try:
            presented = present(self._request.client_auth, client_id, values, grant, url, now)
        except Unusable as nothing:  # such as a placeholder that somebody put into the document: it is to be replaced
            return Verdict(Answer.REFUSED, nothing.code, nothing.message)
        transport = self._transport(deadline)
        try:
            reply = exchange(transport, "POST", url, presented.headers, Body.form(presented.form))
        except Unanswered as failure:
            return unanswered(failure, self._where)
        return read_answer(reply, Cleaner([*sensitive, *presented.sensitive]), self._where, now)

    def _judge(self, granted: Granted, client_id: str, now: datetime, deadline: Deadline, cleaner: Cleaner) -> Verdict:
        issuer_now = granted.issuer_now
        parsed = parse(granted.token)
        if isinstance(parsed, Fault):
            faults: tuple[Fault, ...] = (parsed,) if self._claims_matter() else ()
            claims: Claims | None = None
        else:
            try:
                signature = self._signature_fault(granted.token, parsed, deadline)
            except Unanswered as failure:
                message = f"{self._where} gave a token, but it cannot be checked. {failure.message}"
                return Verdict(Answer.SILENT, failure.code, cleaner.words(message, 400), issuer_now=issuer_now)
            claims = None if parsed is None else parsed.claims
            # Claims nobody signed are not worth naming.
            faults = (signature,) if signature else self._unmet(claims, granted, client_id, issuer_now or now)
        expires_at = _moment(claims)
        if faults:
            said = " ".join(_cleaned(fault, cleaner).message for fault in faults)
            return Verdict(Answer.UNFIT, faults[0].code.value, said, issuer_now, expires_at)
        return Verdict(Answer.PROVED, "proved", f"{self._where} gave a token as expected.", issuer_now, expires_at)

    def _claims_matter(self) -> bool:
        return self._keys is not None or self._request.expectations is not None

    def _signature_fault(self, token: Secret, parsed: Jwt | None, deadline: Deadline) -> Fault | None:
        if parsed is None:
            if self._keys is None:
                return None
            return Fault(FaultCode.NOT_A_JWT, "access_token", "a signed JWT", _OPAQUE)
        if self._keys is None:
            # Not to be verified is one thing; a token that says nobody signed it is another.
            if str(parsed.header.get("alg", "none")).lower() == "none" and self._claims_matter():
                return Fault(FaultCode.SIGNATURE_INVALID, "alg", "a signed token", "the algorithm is none")
            return None
        return self._keys.fault(token, parsed, lambda url: self._fetch(url, deadline))

    def _fetch(self, url: str, deadline: Deadline) -> Reply:
        return exchange(self._transport(deadline), "GET", url)

    def _unmet(self, claims: Claims | None, granted: Granted, client_id: str, now: datetime) -> tuple[Fault, ...]:
        if self._request.expectations is None:
            return ()
        return unmet(self._request.expectations, claims, granted.response, now, client_id)

    def _refresh(
        self,
        granted: Granted,
        proved: Verdict,
        client_id: str,
        values: Fields,
        now: datetime,
        deadline: Deadline,
        sensitive: list[Secret],
    ) -> Verdict:
        """Use the refresh token once (RFC 6749 section 6): a vendor may issue ones that it then refuses."""
        grant = {"grant_type": "refresh_token", "refresh_token": str(granted.response.get("refresh_token"))}
        answer = self._ask(client_id, values, grant, now, deadline, sensitive)
        if isinstance(answer, Granted):
            return proved
        if answer.code == "invalid_grant":
            found = answer.message.rstrip(".")
            fault = Fault(FaultCode.MISSING_REFRESH_TOKEN, "refresh_token", "one that works", found)
            return replace(proved, answer=Answer.UNFIT, code=fault.code.value, message=fault.message)
        return replace(answer, message=f"With the refresh token: {answer.message}")


def _sealed(granted: Granted) -> list[Secret]:
    """Return what came back and is as good as a secret."""
    others = (granted.response.get(name) for name in ("refresh_token", "id_token"))
    return [granted.token, *(Secret(text) for text in others if isinstance(text, str))]


def _cleaned(fault: Fault, cleaner: Cleaner) -> Fault:
    return fault if fault.found is None else replace(fault, found=cleaner.words(fault.found, 300))


def _moment(claims: Claims | None) -> datetime | None:
    """Return `exp` as a time; None when the token is opaque or its `exp` is no time at all."""
    expires = None if claims is None else claims.get("exp")
    if isinstance(expires, bool) or not isinstance(expires, (int, float)):
        return None
    try:
        return datetime.fromtimestamp(expires, UTC)
    except (ValueError, OverflowError, OSError):
        return None
