"""Says where a token falls short of what was promised; it fetches nothing, verifies no signature and keeps no token.

What is asked of the claims is asked of the claims of a JWT (RFC 7519); what is asked of `scope` and of the token type
looks at the token response first (RFC 6749 section 5.1). Claims come from outside: any of them may be missing, of the
wrong type or absurd, and that is a fault with a sentence, never an exception. An expectation that checks nothing cannot
be made, since it would prove nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

Claims = Mapping[str, object]

_SHOWN_VALUES = 8
_SHOWN_CHARACTERS = 80


class FaultCode(StrEnum):
    """What is wrong with a token; also the code of the verdict that says so."""

    MISSING_ROLE = "missing_role"
    MISSING_SCOPE = "missing_scope"
    MISSING_CLAIM = "missing_claim"
    MISSING_REFRESH_TOKEN = "missing_refresh_token"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_TOKEN_TYPE = "wrong_token_type"
    WRONG_CLIENT = "wrong_client"
    WRONG_TENANT = "wrong_tenant"
    WRONG_CREDENTIAL = "wrong_credential"
    EXPIRES_TOO_SOON = "token_expires_too_soon"
    SIGNATURE_INVALID = "signature_invalid"
    NOT_A_JWT = "not_a_jwt"


class CredentialKind(StrEnum):
    """How the client proved itself, as Entra writes it into `azpacr` (v2 tokens) or `appidacr` (v1 tokens).

    Source: learn.microsoft.com/entra/identity-platform/access-token-claims-reference.
    """

    SECRET = "1"
    CERTIFICATE = "2"


class RefreshToken(StrEnum):
    """What is expected of a refresh token. WORKS: one refresh grant is made, by whoever fetches the token."""

    PRESENT = "present"
    WORKS = "works"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as promised. found: None when the claim is not there at all."""

    code: FaultCode
    claim: str
    expected: str
    found: str | None

    @property
    def message(self) -> str:
        """Return claim, expected and found in one sentence."""
        if self.found is None:
            return _ABSENT.get(self.code, _ABSENT_OTHERWISE).format(self=self)
        return _PRESENT.get(self.code, _PRESENT_OTHERWISE).format(self=self)


_ABSENT_OTHERWISE = "Token has no {self.claim} claim; expected {self.expected}."
_ABSENT = {
    FaultCode.MISSING_ROLE: "Token lacks role {self.expected}: its {self.claim} claim is absent, so the application"
    " has no grant at this API.",
    FaultCode.MISSING_SCOPE: "Token lacks scope {self.expected}: neither the answer nor the token names a scope.",
    FaultCode.MISSING_REFRESH_TOKEN: "The answer has no {self.claim}; expected {self.expected}.",
    FaultCode.WRONG_TOKEN_TYPE: "The answer has no {self.claim}; expected {self.expected}.",
    FaultCode.EXPIRES_TOO_SOON: "Nothing says when the token expires; expected {self.claim} at least {self.expected}"
    " ahead.",
    FaultCode.NOT_A_JWT: "The token is opaque, not a JWT, so its {self.claim} cannot be checked. Drop the claims from"
    " verify.expect, or ask the vendor for a JWT.",
}
_PRESENT_OTHERWISE = "Token has the wrong {self.claim}: {self.found}; expected {self.expected}."
_PRESENT = {
    FaultCode.MISSING_ROLE: "Token lacks role {self.expected} (found: {self.found}).",
    FaultCode.MISSING_SCOPE: "Token lacks scope {self.expected} (found: {self.found}).",
    FaultCode.WRONG_AUDIENCE: "Token is for another audience: {self.claim} is {self.found}; expected {self.expected}.",
    FaultCode.WRONG_CLIENT: "Token was issued to another client: {self.claim} is {self.found}; expected"
    " {self.expected}.",
    FaultCode.WRONG_CREDENTIAL: "Token was got with another kind of credential: {self.claim} is {self.found}; expected"
    " {self.expected}.",
    FaultCode.EXPIRES_TOO_SOON: "Token expires too soon: {self.claim} is {self.found}; expected at least"
    " {self.expected} ahead.",
    FaultCode.SIGNATURE_INVALID: "The token's signature does not hold: {self.found}; expected {self.expected}.",
    FaultCode.NOT_A_JWT: "The token cannot be read: {self.found}; expected {self.expected}.",
    FaultCode.MISSING_REFRESH_TOKEN: "The refresh token does not work: {self.found}; expected {self.expected}.",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to look at. claims: None when the token is opaque. now: by the issuer's clock where it is known."""

    claims: Claims | None
    response: Claims
    now: datetime
    client_id: str = ""


class Check(Protocol):
    """One thing that is asked of a token. claims: the claims it must read, none when the response will do."""

    @property
    def claims(self) -> tuple[str, ...]:
        """Return the names of the claims that this looks at in the token."""

    def faults(self, seen: Seen) -> Iterator[Fault]:
        """Yield what is wrong. Called with claims present, unless `claims` is empty."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Several checks, every one of which must hold. Raises ValueError when there is none: that would prove nothing."""

    checks: tuple[Check, ...]

    def __post_init__(self) -> None:
        if not self.checks:
            raise ValueError("an expectation must check something")

    def unmet(self, seen: Seen) -> tuple[Fault, ...]:
        """Return every fault, in the order of the checks; an opaque token is one fault, however many claims matter."""
        if seen.claims is None:
            unseen = [name for check in self.checks for name in check.claims[:1]]
            if unseen:
                return (Fault(FaultCode.NOT_A_JWT, _listed(unseen, " and "), "", None),)
        return tuple(fault for check in self.checks for fault in check.faults(seen))


@dataclass(frozen=True, slots=True)
class Audience:
    """`aud`, a text or a list of texts (RFC 7519 section 4.1.3), must name one of the accepted values."""

    accepted: tuple[str, ...]
    claims = ("aud",)

    def faults(self, seen: Seen) -> Iterator[Fault]:
        """Yield wrong_audience when none of the accepted values is there."""
        found = _texts(_claim(seen, "aud"))
        if found is None or not set(found) & set(self.accepted):
            yield Fault(FaultCode.WRONG_AUDIENCE, "aud", _listed(self.accepted, " or "), _shown(found))


@dataclass(frozen=True, slots=True)
class Roles:
    """`roles` must hold every one of these. An API role that nobody granted leaves the whole claim out."""

    required: tuple[str, ...]
    claims = ("roles",)

    def faults(self, seen: Seen) -> Iterator[Fault]:
        """Yield one missing_role that names all that are missing."""
        found = _texts(_claim(seen, "roles"))
        missing = [role for role in self.required if role not in (found or ())]
        if missing:
            yield Fault(FaultCode.MISSING_ROLE, "roles", _listed(missing, ", "), _shown(found))


@dataclass(frozen=True, slots=True)
class Scopes:
    """Every one of these must be in the response's `scope`, else in the claim `scp` or `scope` (RFC 6749 3.3)."""

    required: tuple[str, ...]
    claims = ()

    def faults(self, seen: Seen) -> Iterator[Fault]:
        """Yield one missing_scope that names all that are missing."""
        sources = (seen.response.get("scope"), _claim(seen, "scp"), _claim(seen, "scope"))
        found = next((words for words in map(_words, sources) if words is not None), None)
        missing = [scope for scope in self.required if scope not in (found or ())]
        if missing:
            yield Fault(FaultCode.MISSING_SCOPE, "scope", _listed(missing, " "), _shown(found))


@dataclass(frozen=True, slots=True)
class TokenType:
    """The response's `token_type`, whose case does not matter (RFC 6749 section 5.1)."""

    name: str
    claims = ()

    def faults(self, seen: Seen) -> Iterator[Fault]:
        """Yield wrong_token_type when it is another, or missing."""
        found = seen.response.get("token_type")
        if not isinstance(found, str) or found.lower() != self.name.lower():
            yield Fault(FaultCode.WRONG_TOKEN_TYPE, "token_type", self.name, None if found is None else show(found))


@dataclass(frozen=True, slots=True)
class HasRefreshToken:
    """The response must carry a refresh token; its text is not shown."""

    claims = ()

    def faults(self, seen: Seen) -> Iterator[Fault]:
        """Yield missing_refresh_token when there is none."""
        found = seen.response.get("refresh_token")
        if not isinstance(found, str) or not found:
            yield Fault(FaultCode.MISSING_REFRESH_TOKEN, "refresh_token", "one", None)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """`exp` must lie at least this far ahead; for an opaque token the response's `expires_in` is all there is."""

    least: timedelta
    claims = ()

    def faults(self, seen: Seen) -> Iterator[Fault]:
        """Yield token_expires_too_soon, also when nothing says when the token ends."""
        if seen.claims is None:
            name, seconds = "expires_in", _number(_as_number(seen.response.get("expires_in")))
        else:
            name, expires = "exp", _number(_claim(seen, "exp"))
            seconds = None if expires is None else expires - seen.now.timestamp()
        if seconds is None or seconds < self.least.total_seconds():
            found = None if seconds is None else _ahead(seconds)
            yield Fault(FaultCode.EXPIRES_TOO_SOON, name, _span(self.least.total_seconds()), found)


@dataclass(frozen=True, slots=True)
class ClaimIs:
    """The first of these claims that is present must have this value. value None: the id of the client that asked.

    meaning: how the value is named to people.
    """

    claims: tuple[str, ...]
    value: str | None
    code: FaultCode
    meaning: str = ""

    def faults(self, seen: Seen) -> Iterator[Fault]:
        """Yield the code when the value is another, missing_claim when none of the claims is there."""
        value = seen.client_id if self.value is None else self.value
        expected = f"{value} ({self.meaning})" if self.meaning else value
        for name in self.claims:
            found = _claim(seen, name)
            if found is not None:
                if found != value:
                    yield Fault(self.code, name, expected, show(found))
                return
        yield Fault(FaultCode.MISSING_CLAIM, _listed(self.claims, " or "), expected, None)


@dataclass(frozen=True, slots=True)
class Expectations:
    """What was promised of the tokens of one credential. What is empty or None is not compared.

    aud: accepted values, one suffices. roles, scope: every one is needed. iss: exact. min_lifetime: how far ahead the
    end of the token must lie. token_type: in any case. client_claims: the claims of which the first present one must be
    the client's id. tenant: `tid`. credential_kind: guards against a proof that passed by another credential of this
    application. Raises ValueError when nothing at all would be checked.
    """

    aud: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    iss: str | None = None
    min_lifetime: timedelta | None = None
    scope: tuple[str, ...] = ()
    token_type: str | None = None
    refresh_token: RefreshToken | None = None
    client_claims: tuple[str, ...] = ()
    tenant: str | None = None
    credential_kind: CredentialKind | None = None

    def __post_init__(self) -> None:
        for name in ("aud", "roles", "scope", "client_claims"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is a tuple of texts; one text would be taken letter by letter")
        self.checks()

    def checks(self) -> AllOf:
        """Return the checks in the order in which their faults are told."""
        checks: list[Check] = []
        if self.aud:
            checks.append(Audience(self.aud))
        if self.iss is not None:
            checks.append(ClaimIs(("iss",), self.iss, FaultCode.WRONG_ISSUER))
        if self.tenant is not None:
            checks.append(ClaimIs(("tid",), self.tenant, FaultCode.WRONG_TENANT))
        if self.client_claims:
            checks.append(ClaimIs(self.client_claims, None, FaultCode.WRONG_CLIENT))
        if self.credential_kind is not None:
            kind = self.credential_kind
            names = ("azpacr", "appidacr")
            checks.append(ClaimIs(names, kind.value, FaultCode.WRONG_CREDENTIAL, kind.name.lower()))
        if self.roles:
            checks.append(Roles(self.roles))
        if self.scope:
            checks.append(Scopes(self.scope))
        if self.token_type is not None:
            checks.append(TokenType(self.token_type))
        if self.min_lifetime is not None:
            checks.append(Lifetime(self.min_lifetime))
        if self.refresh_token is not None:
            checks.append(HasRefreshToken())
        return AllOf(tuple(checks))


def unmet(
    expectations: Expectations, claims: Claims | None, response: Claims, now: datetime, client_id: str = ""
) -> tuple[Fault, ...]:
    """Return what is wrong with a token; nothing when it is as promised.

    claims: the decoded payload of a JWT, None for an opaque token. response: the JSON object it came in. now: aware, by
    the issuer's clock where that is known. client_id: the client that asked.
    """
    return expectations.checks().unmet(Seen(claims, response, now, client_id))


def show(value: object) -> str:
    """Return a value from outside as a short text that prints on one line."""
    text = value if isinstance(value, str) else f"a {type(value).__name__}"
    text = "".join(character if character.isprintable() else " " for character in text[: _SHOWN_CHARACTERS * 4])
    text = " ".join(text.split())
    if len(text) > _SHOWN_CHARACTERS:
        text = text[: _SHOWN_CHARACTERS - 1] + "…"
    return text or "empty"


def _claim(seen: Seen, name: str) -> object:
    return None if seen.claims is None else seen.claims.get(name)


def _texts(value: object) -> tuple[str, ...] | None:
    """Return a claim that is a text or a list of texts; anything in the list that is no text is left out."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence):
        return tuple(item for item in value if isinstance(item, str))
    return None


def _words(value: object) -> tuple[str, ...] | None:
    """Return the words of a space-separated text, or of a list of them."""
    texts = _texts(value)
    return None if texts is None else tuple(word for text in texts for word in text.split(" ") if word)


def _number(value: object) -> float | None:
    """Return a NumericDate (RFC 7519 section 2); None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _as_number(value: object) -> object:
    """Return digits that were sent as text as a number: some vendors quote `expires_in`."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,12}", value) else value


def _listed(values: Iterable[str], joint: str) -> str:
    return joint.join(dict.fromkeys(values))


def _shown(found: Sequence[str] | None) -> str | None:
    if found is None:
        return None
    more = f", and {len(found) - _SHOWN_VALUES} more" if len(found) > _SHOWN_VALUES else ""
    return ", ".join(show(value) for value in found[:_SHOWN_VALUES]) + more if found else "none"


def _ahead(seconds: float) -> str:
    return f"{_span(seconds)} ahead" if seconds >= 0 else f"{_span(-seconds)} past"


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds // size:.0f} {unit}" if seconds < 1e12 else "more than 30,000 years"
    return f"{seconds:.0f} s"
