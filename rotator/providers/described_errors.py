"""Says what a vendor's answer means and who must act; the description's rules first, then what HTTP says (RFC 9110).

For a write, only an answer that certainly means *not done* may be repeated: 429, a refusal (4xx), or a connection that
was never made. A 5xx or a lost answer may come after the act, whatever a description calls it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

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
from rotator.providers.described_settings import ErrorRule, Vendor
from rotator.wire.exchange import Reply, Unanswered
from rotator.wire.filling import at
from rotator.wire.strictly import NotJson, read_json
from rotator.wire.vocabulary import ErrorClass

_LOOK_FIRST: Final = "Nothing is sent again blindly: the next run lists what there is and goes on from there."
_COMPARE: Final = "Compare the operation with what the vendor really answers."
_LATER: Final = "The next run tries again; nothing needs to be done."
_NEVER_SENT: Final = frozenset({"unreachable", "tls_failed", "proxy_refused"})


@dataclass(frozen=True, slots=True)
class Doing:
    """What a request was made for. words: completes "refused to …". writes: whether it changes something."""

    words: str
    writes: bool = False


def no_answer(said: Vendor, doing: Doing, failure: Unanswered) -> RotatorError:
    """Return the error for a request that got no answer that could be read."""
    if failure.code == "login":
        return Denied(f"{said.name}: {failure.message}", hint="Look at `auth` of the provider.", code="login_refused")
    if failure.code == "tls_failed":
        return Transient(f"{said.name}: {failure.message}", hint="Look at `ca_file` and `base_url`.", code=failure.code)
    if doing.writes and failure.code not in _NEVER_SENT:
        return OutcomeUnknown(
            f"It is not known whether {said.name} did {doing.words}: {failure.message}", hint=_LOOK_FIRST
        )
    return Transient(f"{said.name}: {failure.message}", hint=_LATER, code=failure.code)


def bad_answer(said: Vendor, doing: Doing, reply: Reply, why: str) -> RotatorError:
    """Return the error for an answer of success that does not hold what the description promises."""
    message = f"{said.name} was asked to {doing.words} and answered {reply.status}, but {why}."
    if doing.writes:
        return OutcomeUnknown(message, hint=f"{_LOOK_FIRST} {_COMPARE}")
    return Refused(message, hint=_COMPARE, code="bad_answer")


def refused(said: Vendor, doing: Doing, reply: Reply) -> RotatorError:
    """Return the error for an answer that is none of those of success."""
    rule = _rule(said, reply)
    message = f"{said.name} refused to {doing.words} ({reply.status})."
    if doing.writes and (reply.status >= 500 or reply.status == 408):
        message = f"It is not known whether {said.name} did {doing.words}: it answered {reply.status}."
        return OutcomeUnknown(message, hint=_hinted(rule, _LOOK_FIRST))
    if reply.status == 429:
        return Throttled(f"{said.name} asks to slow down (429).", hint=_LATER, retry_after=reply.retry_after)
    if rule is not None:
        return _ruled(rule, message, reply)
    return _unruled(message, doing, reply)


def _ruled(rule: ErrorRule, message: str, reply: Reply) -> RotatorError:
    match rule.means:
        case ErrorClass.TRANSIENT:
            return Transient(message, hint=rule.hint or _LATER, code="not_now", retry_after=reply.retry_after)
        case ErrorClass.DENIED:
            return Denied(message, hint=rule.hint or "Grant rotator that right at the vendor.")
        case ErrorClass.NO_FREE_SLOT:
            return NoFreeSlot(message, hint=rule.hint or "Remove a version that nobody uses, at the vendor.")
        case ErrorClass.REFUSED:
            return Refused(message, hint=rule.hint or "Look at the vendor why.")


def _unruled(message: str, doing: Doing, reply: Reply) -> RotatorError:
    if reply.status in (401, 403):
        hint = "Look at `auth` of the provider, and grant rotator that right at the vendor."
        return Denied(message, hint=hint, code="login_refused" if reply.status == 401 else "denied")
    if 300 <= reply.status < 400:
        return Misconfigured(message, hint="Redirects are not followed. Correct `base_url`.", code="redirected")
    if reply.status >= 500:
        return Transient(message, hint=_LATER, code="server_error", retry_after=reply.retry_after)
    if doing.writes and reply.status < 300:  # a success that nobody described: it may have been done
        hint = f"{_LOOK_FIRST} If it means success, add it to `expect` of the operation."
        return OutcomeUnknown(f"{message} That status is not in `expect`.", hint=hint)
    if reply.status == 404:
        hint = "Look at `with` of the credential, and at the path in `operations`."
        return Refused(f"{message} It knows no such application.", hint=hint, code="application_not_found")
    hint = "Look at the request in `operations`; a rule in `errors` can say what this status means."
    return Refused(message, hint=hint, code=f"status_{reply.status}")


def _rule(said: Vendor, reply: Reply) -> ErrorRule | None:
    body: object = None
    with suppress(NotJson):
        body = read_json(reply.body)
    for rule in said.errors:
        if rule.status != reply.status:
            continue
        found = at(body, rule.pointer) if rule.pointer is not None else None
        if rule.pointer is None or (type(found) is type(rule.equals) and found == rule.equals):
            return rule
    return None


def _hinted(rule: ErrorRule | None, hint: str) -> str:
    return rule.hint if rule is not None and rule.hint else hint
