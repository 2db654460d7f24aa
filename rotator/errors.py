"""Five kinds of failure, told apart by one question: who must act? Nothing here logs, retries or exits.

    Transient      nobody: we try again later
    Refused        a person, over there: the issuer, the store or the token endpoint said no
    Misconfigured  a person, here: our configuration or the machine is wrong
    Unproved       nobody, the new version is undone: the token it gets is not what was promised
    Broken         a person, now: something that must never happen did

Adapters translate into these once, at their edge, and drop response bodies. `message` says what happened and where,
`hint` what to do next, `code` is for machines. `exit_status` follows sysexits(3).
"""

from __future__ import annotations

from datetime import datetime, timedelta


class RotatorError(Exception):
    """What all failures of the program have in common.

    code: stable machine-readable word. message: one or two sentences. hint: the next step for a person.
    """

    code = "error"
    exit_status = 1

    def __init__(self, message: str, *, hint: str, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code


class Transient(RotatorError):
    """It may work later without anybody doing anything; nothing was changed, or it was and that is known."""

    code = "unreachable"
    exit_status = 69

    def __init__(
        self, message: str, *, hint: str, code: str | None = None, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after = retry_after


class Throttled(Transient):
    """Asked to slow down (HTTP 429); `retry_after` says for how long, when the answer did."""

    code = "throttled"
    exit_status = 75


class Busy(Transient):
    """Somebody else holds the lock, the claim or the database just now."""

    code = "busy"
    exit_status = 75


class ClockWrong(Transient):
    """This machine's clock and the issuer's or the store's disagree; nothing starts because of time."""

    code = "clock_wrong"
    exit_status = 75


class OutcomeUnknown(Transient):
    """A mutating call was sent and its answer is missing or unclear: it may have taken effect, now or later."""

    code = "outcome_unknown"


class Refused(RotatorError):
    """The other side understood and said no; trying again changes nothing until a person acts over there."""

    code = "refused"


class Denied(Refused):
    """We lack a permission there."""

    code = "denied"
    exit_status = 77


class NoFreeSlot(Refused):
    """The issuer allows no further version of this credential at the same time.

    until: when one of them ends there by itself, if that is known; then nobody has to act.
    """

    code = "no_free_slot"

    def __init__(self, message: str, *, hint: str, code: str | None = None, until: datetime | None = None) -> None:
        super().__init__(message, hint=hint, code=code)
        self.until = until


class WriteConflict(Refused):
    """A check-and-set write lost: the document is no longer at the version it was read at, and not by our own hand."""

    code = "write_conflict"


class Misconfigured(RotatorError):
    """The configuration, a file it names, or this machine is not as it must be."""

    code = "misconfigured"
    exit_status = 78


class Unproved(RotatorError):
    """A version did not earn its proof: refused until the deadline, or its token lacks what was promised."""

    code = "unproved"


class Broken(RotatorError):
    """An invariant does not hold; the credential stops until a person has looked."""

    code = "broken"


class ChainBroken(Broken):
    """The audit records do not form the chain that was written."""

    code = "audit_chain_broken"
    exit_status = 4


class StateUnusable(Broken):
    """The state database cannot be read or written safely; nothing is sent while that is so."""

    code = "state_unusable"
