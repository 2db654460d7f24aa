"""`rotator verify` and `rotator orphans`: ask issuers and token endpoints how things stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from rotator.app import items
from rotator.app.chainwatch import see_that_change_is_allowed
from rotator.app.house import House, Use
from rotator.app.results import Item, Trouble, status_of_asked
from rotator.app.standing import SECRET_IS_GOOD
from rotator.app.state import Onlooker
from rotator.app.usage import UsageFault
from rotator.by_hand import Proof, Proved, prove_now, sweep_now
from rotator.errors import Refused, RotatorError, Throttled, Transient
from rotator.kit import Kit
from rotator.model import Credential
from rotator.planner import current_version
from rotator.ports import Answer, Ledger, Listed
from rotator.survey import Kind, classify

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verified:
    """items: kind `VerificationList`, one a credential."""

    items: tuple[Item, ...]
    troubles: tuple[Trouble, ...]
    exit_status: int


@dataclass(frozen=True, slots=True)
class Orphaned:
    """items: kind `OrphanList`, every version at the issuers, `class` tells them apart. retired: key ids removed."""

    items: tuple[Item, ...]
    retired: tuple[str, ...]
    troubles: tuple[Trouble, ...]
    exit_status: int


@dataclass(frozen=True, slots=True)
class _Answer(Generic[T]):
    """What came of one credential: a value, or why there is none."""

    credential: Credential
    value: T | None
    error: RotatorError | None


def _each(house: House, chosen: Sequence[Credential], ask: Callable[[Credential], T]) -> list[_Answer[T]]:
    """Ask about several credentials at once; that one fails hides no other."""

    def one(credential: Credential) -> _Answer[T]:
        try:
            return _Answer(credential, ask(credential), None)
        except RotatorError as error:
            return _Answer(credential, None, error)

    with ThreadPoolExecutor(house.config.service.concurrency, "rotator-ask") as pool:
        return list(pool.map(one, chosen))


# ----------------------------------------------------------------------------------------------------------- verify


def verify(house: House, names: Sequence[str]) -> Verified:
    """Prove the current version of these credentials now; what is proved is remembered, nothing else is changed.

    Raises UsageFault (2), Misconfigured (78) before anything is contacted, Busy (75).
    """
    if not names:
        raise UsageFault("Nothing was named.", hint="Name the credentials to prove: rotator verify NAME…")
    chosen = house.chosen(names)
    house.need_secrets(chosen)
    ledger = house.ledger()
    answers = _each(house, chosen, lambda one: prove_now(house.kit(one, Use.LOOK)))
    found, troubles, statuses = [], [], []
    for answer in answers:
        name, error = answer.credential.name, answer.error or _shortfall(answer)
        proved = answer.value
        found.append(
            items.verification(
                name,
                (proved.outcome if proved is not None else Proof.UNREACHABLE).value,
                proofs=proved.proofs if proved is not None else 0,
                expires_at=proved.expires_at if proved is not None else _known_end(ledger, name),
                error=error,
            )
        )
        statuses.append(error.exit_status if error is not None else 0)
        if error is not None:
            troubles.append(Trouble(name, error))
    return Verified(tuple(found), tuple(troubles), status_of_asked(statuses))


def _shortfall(answer: _Answer[Proved]) -> RotatorError | None:
    """Return as an error what a verdict says against a version, or that it says nothing."""
    proved = answer.value
    if proved is None or proved.outcome is Proof.PROVED:
        return None
    name, verdict = answer.credential.name, proved.verdict
    if verdict.answer is Answer.UNFIT:
        return Refused(verdict.message, hint=SECRET_IS_GOOD, code=verdict.code)
    if proved.outcome is Proof.REFUSED:
        hint = f"If the grant is right at the issuer, replace the secret: rotator rotate --now {name}"
        return Refused(verdict.message, hint=hint, code=verdict.code)
    kind = Throttled if verdict.code == "throttled" else Transient
    hint = "This says nothing about the secret. Look at the endpoint, then again: rotator verify " + name
    return kind(verdict.message, hint=hint, code=verdict.code, retry_after=verdict.retry_after)


def _known_end(ledger: Ledger, name: str) -> datetime | None:
    tracked = ledger.tracked(name)
    current = current_version(tracked) if tracked is not None else None
    return current.expires_at if current is not None else None


# ---------------------------------------------------------------------------------------------------------- orphans


def orphans(house: House, *, retire: bool = False, check: bool = False) -> Orphaned:
    """List the versions at the issuers. retire: remove our orphans first. check: exit status 1 if any is left.

    Without `retire` no lock is taken and nothing is written. Raises Misconfigured (78) before anything is contacted.
    """
    chosen = house.chosen()
    if retire:
        see_that_change_is_allowed(house, "retire")
    house.need_secrets(chosen)
    troubles: list[Trouble] = []
    retired: list[str] = []
    kits = _changing(house) if retire else _looking(house)
    if retire:
        house.ledger()  # locked before anything is contacted
        for swept in _each(house, chosen, lambda one: sweep_now(kits(one))):
            retired.extend(swept.value or ())
            if swept.error is not None:
                troubles.append(Trouble(swept.credential.name, swept.error))
    answers = _each(house, chosen, lambda one: classify(kits(one)))
    found: list[Item] = []
    left = 0
    for answer in answers:
        if answer.error is not None:
            troubles.append(Trouble(answer.credential.name, answer.error))
        for listed, kind in answer.value or ():
            left += kind is Kind.ORPHAN
            found.append(_item(answer.credential, listed, kind))
    status = _status(troubles) or int(check and left > 0)
    return Orphaned(tuple(found), tuple(retired), tuple(troubles), status)


def _status(troubles: Sequence[Trouble]) -> int:
    """Return the status that all failures share, else 1; what went well does not count for a look at everything."""
    return status_of_asked(trouble.error.exit_status for trouble in troubles)


def _item(credential: Credential, listed: Listed, kind: Kind) -> Item:
    return items.orphan(credential.provider, credential.application, listed, kind.value)


def _looking(house: House) -> Callable[[Credential], Kit]:
    onlooker = Onlooker(house.reader())
    return lambda credential: house.kit(credential, Use.LOOK, onlooker)


def _changing(house: House) -> Callable[[Credential], Kit]:
    return lambda credential: house.kit(credential, Use.CHANGE)
