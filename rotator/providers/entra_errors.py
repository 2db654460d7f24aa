"""Says what an answer of Graph or of the token endpoint means, and who must act; it repeats none of their words.

Statuses and codes: learn.microsoft.com "Microsoft Graph error responses", "Microsoft Entra authentication and
authorization error codes", and answers quoted in public issues, named where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

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
from rotator.providers.entra_settings import CertificateAuth, EntraSettings, WorkloadIdentityAuth

WORST_SKEW = timedelta(minutes=5)  # what Entra tolerates in an assertion

_LOOK_FIRST = "Nothing is sent again blindly: the next run lists what the application has and goes on from there."
_LATER = "The next run tries again; nothing needs to be done."


@dataclass(frozen=True, slots=True)
class Doing:
    """What a call was made for. words: completes "Graph refused to …". writes: whether it changes something.

    noun: what it is about.
    """

    words: str
    writes: bool = False
    noun: str = "secret"


def unanswered(settings: EntraSettings, doing: Doing, no: NoAnswer) -> RotatorError:
    """Return the error for a call to Graph or to the token endpoint that got no answer."""
    if no.code == "tls_untrusted":
        return _untrusted(settings, no)
    if doing.writes and no.sent:
        return OutcomeUnknown(
            f"It is not known whether Graph did {doing.words}: {no.message}.", hint=_LOOK_FIRST, code="outcome_unknown"
        )
    return Transient(f"{settings.name}: {no.message}.", hint=_LATER, code=no.code)


def refused(settings: EntraSettings, doing: Doing, reply: Reply, now: datetime) -> RotatorError:
    """Return the error for an answer of Graph that is not the one hoped for."""
    who = f"{settings.name}: Graph"
    if reply.status == 429:
        return _throttled(who, reply, now)
    if reply.status == 401:
        return _token_refused(settings, doing, reply)
    if reply.code is not None and 400 <= reply.status < 500 and reply.status not in (408, 409):
        return _said_no(settings, doing, reply)
    what = _unusual(reply)
    if doing.writes:
        return OutcomeUnknown(
            f"It is not known whether Graph did {doing.words}: it answered with {what}{_trail(reply)}.",
            hint=_LOOK_FIRST,
        )
    if 300 <= reply.status < 400:
        hint = "Redirects are not followed. Look whether `graph` is right, and for a proxy or portal in between."
        return Transient(f"{who} answered with {what}.", hint=hint, code="redirected")
    return Transient(f"{who} answered with {what}{_trail(reply)}.", hint=_LATER, code="bad_answer")


def _token_refused(settings: EntraSettings, doing: Doing, reply: Reply) -> RotatorError:
    message = f"{settings.name}: Graph does not accept the token that {settings.authority_host} gave us{_trail(reply)}."
    if doing.writes:  # nothing was done, and the read that comes before the next try tells whether a new token helps
        return Transient(message, hint=_LATER, code="token_not_accepted")
    hint = "A new one was asked for in vain. Look whether `graph` and `authority` are of one cloud."
    return Denied(message, hint=hint, code="token_not_accepted")


def _said_no(settings: EntraSettings, doing: Doing, reply: Reply) -> RotatorError:
    """Return the error for a refusal in Graph's own words: nothing was done."""
    trail, code = _trail(reply), reply.code or ""
    policy = f" {reply.policy_id}" if reply.policy_id else ""
    if code == "CredentialInvalidLifetimeAsPerAppPolicy":
        return Refused(
            f"The app management policy{policy} allows no {doing.noun} as long as that.",
            hint="Ask for less in policy.lifetime, or have the policy changed.",
            code="lifetime_not_allowed",
        )
    if code == "CredentialTypeNotAllowedAsPerAppPolicy":
        return Refused(
            f"The app management policy{policy} forbids new client {doing.noun}s for this application.",
            hint="Have the application exempted, or use a certificate or a federated credential for it.",
            code=f"{doing.noun}s_forbidden",
        )
    if code == "Directory_ResourceSizeExceeded":  # seen with 403 and 400, microsoft-graph-docs #21469
        return NoFreeSlot(
            "The application object is full: Entra takes no further credential.",
            hint="Remove secrets and certificates that nobody uses any more.",
        )
    if reply.status == 403:
        return Denied(
            f"Graph refused to {doing.words} (403){trail}.",
            hint="Grant rotator's service principal the app role Application.ReadWrite.OwnedBy with admin consent, and"
            " make it an owner of the application registration (not of the enterprise application).",
        )
    if reply.status == 404:
        return Refused(
            f"Graph refused to {doing.words}: there is no such application in tenant {settings.tenant}{trail}.",
            hint="Look at provider.app_id of the credential and at the provider's tenant; a new one needs a minute.",
            code="application_not_found",
        )
    return Refused(
        f"Graph refused to {doing.words} ({reply.status} {code}){trail}.",
        hint="Look the code up in Microsoft's list of Graph errors; the request id leads their support to the rest.",
        code="refused_by_graph",
    )


def two_are_the_limit(doing: Doing) -> NoFreeSlot:
    """Return the error for a third secret of an application that takes personal accounts.

    Source: learn.microsoft.com "supported accounts validation": at most two client secrets.
    """
    return NoFreeSlot(
        f"Graph refused to {doing.words}: an application for personal accounts holds two secrets and has them.",
        hint="Remove the one that nobody uses, in the portal under Certificates & secrets.",
    )


# ----------------------------------------------------------------------------------------------------------- logging in


def login_failed(
    settings: EntraSettings, seen: Reply | NoAnswer | None, skew: timedelta | None, now: datetime
) -> RotatorError:
    """Return the error for a token that we did not get.

    seen: what came back, if anything was sent. skew: how far the endpoint's clock is ahead of ours, when known.
    """
    if seen is None:
        return _unusable(settings)
    if isinstance(seen, NoAnswer):
        return unanswered(settings, Doing("give a token"), seen)
    who = f"{settings.name}: {settings.authority_host}"
    if seen.status == 429 or seen.aadsts == 90055:
        return _throttled(who, seen, now)
    if (
        seen.oauth_error is None
        or seen.status >= 500
        or seen.oauth_error in ("temporarily_unavailable", "server_error")
    ):
        return Transient(f"{who} answered the login with {_unusual(seen)}.", hint=_LATER, code="bad_answer")
    return _login_refused(settings, seen, skew)


def _login_refused(settings: EntraSettings, reply: Reply, skew: timedelta | None) -> RotatorError:
    """Return the error for a login that Entra refused in its own words."""
    number, named = reply.aadsts, settings.auth.named
    own = settings.auth.client_id or "rotator's own application"
    said = f"(AADSTS{number})" if number is not None else f"({reply.status} {reply.oauth_error})"
    if number in _NO_TENANT:
        return Misconfigured(
            f"There is no tenant {settings.tenant} at {settings.authority_host} {said}.",
            hint=f"Correct `tenant` of the provider {settings.name}, or `cloud` if it belongs to another one.",
            code="tenant_not_found",
        )
    if number in _NO_CLIENT:
        return Misconfigured(
            f"There is no application {own} in tenant {settings.tenant} {said}.",
            hint=f"Correct auth.client_id of the provider {settings.name}: the application that rotator itself is.",
            code="client_not_found",
        )
    if reply.oauth_error in ("invalid_resource", "invalid_scope"):
        return Misconfigured(
            f"{settings.authority_host} knows no Graph at {settings.graph} {said}.",
            hint="`authority` and `graph` must be of one cloud; set `cloud` and leave both out.",
            code="graph_unknown",
        )
    if number == 700024 and skew is not None and abs(skew) > WORST_SKEW:
        return ClockWrong(
            f"The login was refused because the clocks are {abs(skew).total_seconds():.0f} s apart {said}.",
            hint=f"Correct the clock of this machine; {settings.authority_host} is taken to be right.",
        )
    code, what, hint = _LOGINS.get(number or 0, ("login_refused", "does not accept our login", _RENEW))
    return Denied(
        f"{settings.name}: Entra {what} {said}.",
        hint=hint.format(named=named, own=own, name=settings.name),
        code=code,
    )


_NO_TENANT = (90002, 90038, 900382, 900383, 900023)
_NO_CLIENT = (700016, 700011)
_RENEW = "Look at {named}, which is what the provider {name} logs in with as {own}."
# AADSTS number -> code, what Entra does not do, what to do about it.
_LOGINS: dict[int, tuple[str, str, str]] = {
    7000215: (
        "login_refused",
        "does not know the secret that we log in with",
        _RENEW + " The value is needed, not the id.",
    ),
    7000222: (
        "login_expired",
        "says that the secret that we log in with has expired",
        _RENEW + " Put a new one there.",
    ),
    700027: (
        "login_certificate_refused",
        "does not know the certificate that we log in with, or it has expired",
        _RENEW + " Upload that certificate to the application.",
    ),
    700024: ("login_assertion_expired", "says that our login is too old or too new", _RENEW + " It may have expired."),
    70021: (
        "federation_unknown",
        "has no federated credential that fits our token",
        _RENEW + " Compare its issuer, subject and audience with the federated credentials; new ones need minutes.",
    ),
    7000112: ("login_disabled", "has disabled rotator's own application", "Have {own} enabled again."),
    70001: ("login_disabled", "has disabled rotator's own application", "Have {own} enabled again."),
    1000031: ("login_disabled", "has blocked rotator's own application", "Have {own} enabled again."),
    53003: (
        "login_blocked",
        "blocks our login by Conditional Access",
        "Have {own} allowed from the address of this machine.",
    ),
}


def _unusable(settings: EntraSettings) -> RotatorError:
    """Return the error for a login that could not even be tried."""
    auth = settings.auth
    if isinstance(auth, CertificateAuth):
        return Misconfigured(
            f"{auth.named} does not hold what a login needs.",
            hint="It must be a PEM with an RSA private key without password, and its certificate.",
            code="certificate_unusable",
        )
    if isinstance(auth, WorkloadIdentityAuth):
        return Misconfigured(
            f"The token file {auth.token_file} cannot be read.",
            hint="Name the file that the cluster keeps fresh as auth.token_file, and let rotator read it.",
            code="token_file_missing",
        )
    return Misconfigured(
        f"{settings.name}: the login with {auth.named} cannot be tried on this machine.",
        hint=f"Look at `auth` of the provider {settings.name}.",
        code="login_unusable",
    )


# -------------------------------------------------------------------------------------------------------------- shared


def _throttled(who: str, reply: Reply, now: datetime) -> Throttled:
    wait = reply.retry_after(now)
    until = "" if wait is None else f" for {wait.total_seconds():.0f} s"
    return Throttled(f"{who} asks us to wait{until} (429).", hint=_LATER, retry_after=wait)


def _untrusted(settings: EntraSettings, no: NoAnswer) -> Misconfigured:
    where = "the system's CAs" if settings.ca_file is None else f"the CA file {settings.ca_file}"
    return Misconfigured(
        f"{settings.name}: {no.message} by {where}.",
        hint=f"If a proxy or a private cloud signs here, name its CA as ca_file of the provider {settings.name}.",
        code="tls_untrusted",
    )


def _unusual(reply: Reply) -> str:
    """Return what kind of answer this is, in our own words."""
    if 300 <= reply.status < 400:
        return f"a redirect ({reply.status})"
    if reply.code or reply.oauth_error:
        return f"{reply.status} {reply.code or reply.oauth_error}"
    if reply.json is None:
        return f"{reply.status} without JSON that can be read"
    return f"{reply.status} without what belongs there"


def _trail(reply: Reply) -> str:
    return f", request {reply.request_id}" if reply.request_id else ""
