"""Proves versions by test token requests and decides when there have been enough; it changes nothing anywhere.

Only a refusal of the client speaks against a value. A 5xx, a 429 or a time-out says nothing about it, neither for nor
against. One success is not proof either: issuers spread a new secret over their replicas at their own pace, and a
request may reach one that knows it while others do not (github.com/microsoftgraph/microsoft-graph-docs/issues/17966
measured 4 to 18 s). Hence several successes in a row, spaced, each on a fresh connection.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rotator.clock import Instant, elapsed
from rotator.errors import Refused, Throttled, Transient, Unproved
from rotator.kit import Kit
from rotator.model import CredentialState, ProofPlan
from rotator.notes import ProofSeen
from rotator.ports import Answer, Decoying, Verdict
from rotator.secret import Fields, Secret

CONTROL_EVERY = timedelta(hours=1)
FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(seconds=60)
THROTTLED = "throttled"
"""What a prover's verdict is called when the endpoint asks us to slow down."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a finished verification saw. at: when it ended. issuer_now: the Date of its last answer."""

    proofs: int
    tries: int
    at: Instant
    issuer_now: datetime | None
    token_expires_at: datetime | None

    @property
    def sentence(self) -> str:
        """Return how it went, in a few words."""
        return f"{self.proofs} of {self.proofs}" + (f", {self.tries} tries" if self.tries > self.proofs else "")


def prove_until(kit: Kit, client_id: str, values: Fields, pause: Callable[[timedelta], None], proofs: int) -> Proof:
    """Ask for tokens until `proofs` requests in a row succeeded.

    A refusal starts the count anew and the wait doubles, from 5 s to 60 s; silence does neither. No wait passes the
    deadline. Raises Unproved when a token is not what was promised, or when the value is still refused at the deadline
    or after `max_refused` refusals; Transient when the deadline passes in silence, or the endpoint asks for a longer
    wait than is left. Stopped here: nothing was changed, and a proof is never remembered.
    """
    plan = kit.credential.proof
    started = kit.clock.instant()
    wait = FIRST_WAIT
    tries = successes = refusals = 0
    while True:
        verdict = kit.prover.prove(client_id, values, kit.clock.now())
        tries += 1
        if verdict.answer is Answer.UNFIT:
            raise Unproved(verdict.message, hint="Mend it at the issuer.", code=verdict.code)
        if verdict.answer is Answer.PROVED:
            successes += 1
            kit.tell("verify", "tell", f"{successes} of {proofs}" + _after(refusals))
            if successes >= proofs:
                return Proof(successes, tries, kit.clock.instant(), verdict.issuer_now, verdict.token_expires_at)
            pause(plan.spacing)
            continue
        if verdict.answer is Answer.REFUSED:
            successes, refusals = 0, refusals + 1
            kit.tell("verify", "tell", f"not accepted yet: {verdict.message}")
        spent = elapsed(started, kit.clock.instant())
        left = timedelta(0) if spent is None else plan.deadline - spent
        _give_up_when_due(kit, plan, verdict, refusals, left)
        pause(min(max(wait, verdict.retry_after or wait), left))
        wait = min(wait * 2, LONGEST_WAIT) if verdict.answer is Answer.REFUSED else wait


def _give_up_when_due(kit: Kit, plan: ProofPlan, verdict: Verdict, refusals: int, left: timedelta) -> None:
    too_late = left <= timedelta(0)
    if verdict.answer is Answer.REFUSED and (too_late or refusals >= plan.max_refused):
        raise Unproved(
            f"The new secret of {kit.credential.name} was still refused after {refusals} tries: {verdict.message}",
            hint="Look at the endpoint's words; a larger verify.deadline helps when the issuer spreads secrets slowly.",
            code="still_refused",
        )
    asked = verdict.retry_after if verdict.answer is Answer.SILENT else None
    if too_late or (asked is not None and asked > left):
        raise silence(
            verdict,
            f"The token endpoint of {kit.credential.name} gave no usable answer: {verdict.message}",
            hint="The new secret is kept in the staging area, and proved again at the next run. "
            f"Without waiting: rotator rotate {kit.credential.name}",
        )


def silence(verdict: Verdict, message: str, *, hint: str) -> Transient:
    """Return the error for an endpoint that said nothing of a value; one that asks us to slow down is worth a wait."""
    kind = Throttled if verdict.code == THROTTLED else Transient
    return kind(message, hint=hint, code=verdict.code, retry_after=verdict.retry_after)


def _after(refusals: int) -> str:
    return f" · refused {refusals} times while the issuer spread it" if refusals else ""


def prove_current(kit: Kit, client_id: str, values: Fields) -> Verdict:
    """Prove the version that consumers use, once, and remember what was said for the provider's brake.

    Silence is asked a second time, since it says nothing.
    """
    verdict = kit.prover.prove(client_id, values, kit.clock.now())
    if verdict.answer is Answer.SILENT and verdict.retry_after is None:
        verdict = kit.prover.prove(client_id, values, kit.clock.now())
    if verdict.answer is not Answer.SILENT:
        code = None if verdict.answer is Answer.PROVED else verdict.code
        kit.ledger.note(ProofSeen(kit.credential.provider, kit.credential.name, code))
    return verdict


def control(kit: Kit, state: CredentialState, client_id: str) -> None:
    """See that a random value is refused, at most once an hour: a check that cannot say no proves nothing.

    Raises Refused when the endpoint took it, Transient when it said nothing.
    """
    now = kit.clock.now()
    if not kit.credential.proof.negative_control:
        return
    if state.control_at is not None and timedelta(0) <= now - state.control_at < CONTROL_EVERY:
        return
    random = Fields({"client_secret": Secret(secrets.token_urlsafe(30))})
    wrong = kit.prover.decoy() if isinstance(kit.prover, Decoying) else random
    verdict = kit.prover.prove(client_id, wrong, now)
    if verdict.answer in (Answer.PROVED, Answer.UNFIT):
        raise Refused(
            f"A random secret was not refused for {kit.credential.name}, so nothing is proved there: {verdict.message}",
            hint="See whether `verify` leads to a cache, a mock, or a request that needs no key, or ask who runs it. "
            "For an http_probe that answers 403 to a key it does not know set verify.negative_control: false.",
            code="accepts_anything",
        )
    if verdict.answer is Answer.SILENT:
        raise silence(
            verdict,
            f"The token endpoint of {kit.credential.name} said nothing clear of a wrong secret: {verdict.message}",
            hint="It is asked again. For an endpoint that never says it plainly set verify.negative_control: false.",
        )
    kit.ledger.note(replace(_latest(kit, state), control_at=now))


def _latest(kit: Kit, state: CredentialState) -> CredentialState:
    tracked = kit.ledger.tracked(state.name)
    return tracked.state if tracked else state
