"""`rotator rotate`: one full pass in the foreground, or a rotation that somebody asks for now.

What a pass does is decided by the engine. Here stand the selection, the request that survives a crash, the patience
with a throttled vendor, and what the answers mean for the exit status.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from rotator.app import checkpoints, heads, items
from rotator.app.chainwatch import see_the_chain
from rotator.app.dry import Asked, dry_run
from rotator.app.house import House, Use
from rotator.app.results import Item, Remark, Trouble, status_of_asked
from rotator.app.state import Writer
from rotator.app.usage import UsageFault
from rotator.app.visitors import Visitors
from rotator.clock import elapsed
from rotator.engine import Report
from rotator.errors import Busy, Refused, RotatorError, Throttled
from rotator.event import Event, EventName
from rotator.kit import Interrupted
from rotator.model import (
    Credential,
    CredentialState,
    Reason,
    Request,
    RetireMode,
    RotationOutcome,
    VersionState,
)
from rotator.planner import end_of_grace, known_as, retry_at, why_idle
from rotator.ports import Ledger, Tracked
from rotator.timing import spell_moment

PATIENCE = timedelta(seconds=60)
"""How long a throttled vendor is waited for, all in all."""

CLAIM_PATIENCE = timedelta(seconds=10)
"""How long another's claim or a busy database is waited for."""

_SOON_OVER = ("busy", "claimed")
"""What keeps others busy for moments only; a grace or an earlier failure lasts longer than anybody waits."""

_SHORT = timedelta(seconds=5)
"""How long to wait when nobody said how long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for. names, labels, everything: which credentials; at most one of the three.

    now: due or not. note: `--reason`. dry_run: say what would be done, change nothing. emergency: skip the grace.
    no_wait: write the request down and leave it to whoever makes the next pass.
    """

    names: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    everything: bool = False
    now: bool = False
    note: str = ""
    dry_run: bool = False
    emergency: bool = False
    no_wait: bool = False


@dataclass(frozen=True, slots=True)
class Rotated:
    """items: kind `RotationList`, one a credential, in the order of the configuration.

    remarks: for a planned one what would be done, for a promoted one when the old secret ends, for the rest what to do.
    troubles: why credentials did not go on. places: where consumers read each credential, as people say it.
    """

    items: tuple[Item, ...]
    remarks: tuple[Remark, ...]
    troubles: tuple[Trouble, ...]
    places: Mapping[str, str]
    exit_status: int


def rotate(house: House, wish: Wish) -> Rotated:
    """Rotate what is due, or what is asked for now.

    Waits up to 60 s for a throttled vendor, then 75. Raises UsageFault (2), Misconfigured (78) before anything is
    contacted, Busy (75), StateUnusable (1).
    """
    chosen = _chosen(house, wish)
    if wish.dry_run or (wish.now and house.observing):
        return _rehearsed(house, wish, chosen)
    house.need_secrets(chosen)
    checkpoints.need_key(house)
    ledger = house.ledger()
    answers = _Answers(house, wish, see_the_chain(house))
    going = [one for one in chosen if not (wish.now and answers.hindered(one, ledger.tracked(one.name)))]
    if wish.now:
        with house.reserved(going):
            for credential in going:
                _request(house, ledger, credential, wish)
    elif wish.names:
        with house.reserved(going):
            for credential in going:
                _without_waiting(ledger, credential)
    if wish.no_wait:
        for credential in going:
            answers.leave(credential)
        return answers.result(chosen)
    for report in _Pass(house, ledger).run(going):
        answers.take(report, ledger.tracked(report.credential.name))
    checkpoints.keep_up(house, ledger, {})  # the stores get the head that it makes
    _publish_head(house, ledger, going)
    return answers.result(chosen)


def _chosen(house: House, wish: Wish) -> tuple[Credential, ...]:
    """Return whom it concerns. Raises UsageFault (2) for what contradicts itself."""
    if wish.emergency and not wish.now:
        raise UsageFault("--emergency is for a rotation now.", hint="Say: rotator rotate --now --emergency NAME")
    if wish.no_wait and not wish.now:
        raise UsageFault("--no-wait is for a rotation now.", hint="Say: rotator rotate --now --no-wait NAME")
    if wish.now and not (wish.names or wish.labels or wish.everything):
        raise UsageFault("--now needs to know which.", hint="Name credentials, or say --all, or --label KEY=VALUE.")
    return house.chosen(wish.names, wish.labels, everything=wish.everything)


def _request(house: House, ledger: Writer, credential: Credential, wish: Wish) -> None:
    """Write the wish down, and that nothing is waited for. One that is still open is made stronger, not doubled."""
    tracked = ledger.tracked(credential.name)
    open_one = next(iter(ledger.requests_open(credential.name)), None)
    if open_one is not None:
        wanted = replace(open_one, emergency=open_one.emergency or wish.emergency, note=wish.note or open_one.note)
    else:
        now = house.clock.now()
        wanted = Request(uuid.uuid4().hex, credential.name, house.actor, wish.note, now, wish.emergency)
    reason = "emergency" if wish.emergency else "rotate"
    event = Event(
        EventName.REQUEST_RECEIVED, house.actor, credential=credential.name, reason=reason, detail=wish.note or None
    )
    at_once = [replace(tracked.state, wake_at=None, not_before=None)] if tracked is not None else []
    ledger.record(event, wanted, *at_once)


def _without_waiting(ledger: Ledger, credential: Credential) -> None:
    """Let it be tried again at once: who names it has mended something, or cannot wait as long as a vendor asks."""
    tracked = ledger.tracked(credential.name)
    if tracked is not None and tracked.state.not_before is not None:
        ledger.note(replace(tracked.state, not_before=None))


def _publish_head(house: House, ledger: Writer, credentials: Sequence[Credential]) -> None:
    """Keep the head in the staging areas that were worked with; a store that fails now has failed visibly before."""
    if house.observing:
        return
    for name in dict.fromkeys(one.store for one in credentials):
        with suppress(RotatorError, Interrupted):
            heads.publish(ledger, {name: house.store(name, Use.CHANGE).staging}, house.clock)


def _rehearsed(house: House, wish: Wish, chosen: Sequence[Credential]) -> Rotated:
    """Answer what would be done, from state and configuration alone."""
    answers = _Answers(house, wish)
    reader = house.reader()
    for credential in chosen:
        tracked = known_as(credential, reader.tracked(credential.name)) if reader is not None else None
        if not (wish.now and answers.hindered(credential, tracked)):
            answers.plan(credential, tracked)
    return answers.result(chosen)


# ------------------------------------------------------------------------------------------------------------ passes


class _Pass:
    """One pass over some credentials, and more for those whose vendor asked to slow down, while patience lasts."""

    def __init__(self, house: House, ledger: Ledger) -> None:
        self._house, self._ledger = house, ledger

    def run(self, credentials: Sequence[Credential]) -> list[Report]:
        """Return the last report on each credential, and of earlier ones what they had done."""
        with self._house.crew() as crew:
            return self._run(crew, credentials)

    def _run(self, crew: Visitors, credentials: Sequence[Credential]) -> list[Report]:
        started = self._house.clock.instant()
        kits = {one.name: self._house.kit_at_any_rate(one) for one in credentials}
        reports = {report.credential.name: report for report in crew.run(kits.values())}
        while True:
            waits = {name: wait for name, report in reports.items() if (wait := self._wait_for(report)) is not None}
            since = elapsed(started, self._house.clock.instant())
            spent = PATIENCE if since is None else since
            affordable = {
                name: wait for name, wait in waits.items() if spent + wait <= _patience_with(reports[name].error)
            }
            if not affordable:
                return list(reports.values())
            soonest = min(affordable.values())
            if self._house.clock.wait(soonest, self._house.stop):
                return list(reports.values())
            again = [kits[name] for name, wait in affordable.items() if wait <= soonest]
            for report in crew.run(again):
                reports[report.credential.name] = _joined(reports[report.credential.name], report)

    def _wait_for(self, report: Report) -> timedelta | None:
        """Return how long to wait before this one is worth another visit; None when waiting does not help."""
        error = report.error
        if not isinstance(error, Throttled) and not (isinstance(error, Busy) and error.code in _SOON_OVER):
            return None
        now = self._house.clock.now()
        tracked = self._ledger.tracked(report.credential.name)
        until = retry_at(tracked, now) if tracked is not None else None
        waits = [error.retry_after or _SHORT, *([until - now] if until is not None else [])]
        return max(waits)


def _patience_with(error: RotatorError | None) -> timedelta:
    return PATIENCE if isinstance(error, Throttled) else CLAIM_PATIENCE


def _joined(before: Report, after: Report) -> Report:
    """Return one report of two visits. A second one that found nothing more to do lets the first one's outcome stand.

    What had hindered the first one is overcome then.
    """
    nothing = after.outcome is RotationOutcome.SKIPPED and after.error is None
    last = replace(before, error=None) if nothing else after
    return replace(
        last,
        retired=(*before.retired, *after.retired),
        swept=(*before.swept, *after.swept),
        started_at=before.started_at,
        finished_at=after.finished_at,
    )


# ----------------------------------------------------------------------------------------------------------- answers


class _Answers:
    """Collects one answer for each credential. Asked by name, one that stands still is refused; else it is skipped."""

    def __init__(self, house: House, wish: Wish, first: Remark | None = None) -> None:
        self._house, self._wish = house, wish
        self._items: dict[str, Item] = {}
        self._remarks: list[Remark] = [first] if first is not None else []
        self._troubles: list[Trouble] = []
        self._statuses: dict[str, int] = {}

    def hindered(self, credential: Credential, tracked: Tracked | None) -> bool:
        """Answer for a credential that cannot be rotated now, and say whether it is so."""
        return self._made_by_hand(credential) or self.stopped(credential, tracked)

    def _made_by_hand(self, credential: Credential) -> bool:
        """Answer for one whose versions a person makes. Asked by name it is refused, else it is skipped."""
        if not credential.by_hand:
            return False
        message = f"{credential.name} cannot be rotated now: no API makes its secrets."
        refused = Refused(message, hint=credential.by_hand, code="made_by_hand")
        if self._wish.names:
            self._troubles.append(Trouble(credential.name, refused))
        self._put(credential, RotationOutcome.SKIPPED, "made_by_hand", refused.exit_status if self._wish.names else 0)
        return True

    def stopped(self, credential: Credential, tracked: Tracked | None) -> bool:
        """Answer for a credential that is parked, paused or forgotten, and say whether it is."""
        tracked = known_as(credential, tracked)
        reason = None if tracked is None else _standing_still(tracked.state)
        if tracked is None or reason is None:
            return False
        refused: Refused | None = None
        if self._wish.names:
            message = f"{credential.name} was {why_idle(tracked) or reason}"
            hint = _MANAGED_AGAIN if reason == "forgotten" else f"rotator resume {credential.name}"
            refused = Refused(message, hint=hint, code=reason)
            self._troubles.append(Trouble(credential.name, refused))
        else:
            self._remarks.append(Remark(credential.name, why_idle(tracked) or reason))
        self._put(credential, RotationOutcome.SKIPPED, reason, refused.exit_status if refused else 0)
        self._items[credential.name] = {**self._items[credential.name], "error": items.failure(refused)}
        return True

    def plan(self, credential: Credential, tracked: Tracked | None) -> None:
        """Answer what would be done with a credential."""
        found = dry_run(self._house, credential, tracked, self._asked())
        self._put(credential, found.outcome, found.reason, 0)
        self._items[credential.name] = {**self._items[credential.name], "old_key_ids": list(found.old_key_ids)}
        self._remarks.extend(Remark(credential.name, sentence) for sentence in found.sentences)

    def _asked(self) -> Asked:
        if not self._wish.now:
            return Asked.IF_DUE
        return Asked.EMERGENCY if self._wish.emergency else Asked.NOW

    def leave(self, credential: Credential) -> None:
        """Answer that a request is written down, and who does it."""
        self._put(credential, RotationOutcome.PLANNED, Reason.REQUESTED.value, 0)
        hint = f"Without a daemon that is: rotator rotate {credential.name}"
        self._remarks.append(Remark(credential.name, "The request is written down; the next pass does it.", hint))

    def take(self, report: Report, tracked: Tracked | None) -> None:
        """Answer what the engine reports."""
        credential, error = report.credential, report.error
        self._items[credential.name] = from_report(report)
        if error is not None:
            self._troubles.append(Trouble(credential.name, error))
            self._remarks.extend(_still_asked(credential, tracked))
        if report.warning is not None:
            self._remarks.append(Remark(credential.name, report.warning.message, report.warning.hint))
        self._statuses[credential.name] = status_of(report)
        if tracked is not None and report.reason in ("paused", "forgotten"):
            self._remarks.append(Remark(credential.name, why_idle(tracked) or report.reason))
        if report.swept:
            orphans = "an orphan" if len(report.swept) == 1 else f"{len(report.swept)} orphans"
            self._remarks.append(Remark(credential.name, f"Retired {orphans}: key {', '.join(report.swept)}"))
        if report.outcome is RotationOutcome.PROMOTED and tracked is not None and report.rotation is not None:
            self._remarks.extend(_about_the_old(credential, tracked, report.rotation.old_key_ids))

    def result(self, chosen: Sequence[Credential]) -> Rotated:
        """Return all answers in the order of the configuration."""
        named = [one for one in chosen if one.name in self._items]
        return Rotated(
            tuple(self._items[one.name] for one in named),
            tuple(self._remarks),
            tuple(self._troubles),
            {one.name: self._house.place(one) for one in named},
            status_of_asked(self._statuses[one.name] for one in named),
        )

    def _put(self, credential: Credential, outcome: RotationOutcome, reason: str | None, status: int) -> None:
        now = items.moment(self._house.clock.now())
        item = items.rotation(credential.name, None, credential.path)
        said = {"outcome": outcome.value, "reason": reason, "started_at": now, "finished_at": now}
        self._items[credential.name] = {**item, **said}
        self._statuses[credential.name] = status


_MANAGED_AGAIN: Final = (
    "Take its entry out of the configuration; or, to have the application managed again, give the entry another name."
)


def see_that_it_is_managed(house: House, credential: Credential) -> None:
    """Raise Refused for a name that was forgotten and stands for the same as then: nobody would look after it."""
    tracked = house.ledger().tracked(credential.name)
    if tracked is not None and tracked.state.forgotten_at is not None and tracked.state.binding == credential.binding:
        raise Refused(f"{credential.name} was {why_idle(tracked)}.", hint=_MANAGED_AGAIN, code="forgotten")


def _standing_still(state: CredentialState) -> str | None:
    """Return why nothing may start, as a code."""
    if state.forgotten_at is not None:
        return "forgotten"
    if state.parked is not None:
        return "parked"
    return "paused" if state.paused_at is not None else None


def from_report(report: Report) -> Item:
    """Return the item of one report."""
    item = items.rotation(report.credential.name, report.rotation, report.credential.path)
    old = report.retired if report.outcome is RotationOutcome.RETIRED else ()
    return {
        **item,
        "outcome": report.outcome.value,
        "reason": report.reason,
        "old_key_ids": list(old) or item["old_key_ids"],
        "started_at": items.moment(report.started_at),
        "finished_at": items.moment(report.finished_at),
        "error": items.failure(report.error) or item["error"],
    }


def status_of(report: Report) -> int:
    """Return the exit status of one credential: what hindered it says which; the engine never hides that."""
    return report.error.exit_status if report.error is not None else 0


def _still_asked(credential: Credential, tracked: Tracked | None) -> list[Remark]:
    """Say that what was asked for is not forgotten because it did not go through now."""
    request = tracked.request if tracked is not None else None
    if request is None:
        return []
    how = ", as an emergency without a grace" if request.emergency else ""
    message = f"What {request.actor} asked for stays open: the next pass rotates it{how}."
    return [Remark(credential.name, message, f"To withdraw it: rotator pause {credential.name}")]


def _about_the_old(credential: Credential, tracked: Tracked, replaced: Sequence[str]) -> list[Remark]:
    """Say how long the secret works that was just replaced, and what ends it."""
    found = [one for one in tracked.versions if one.key_id in replaced and one.state is VersionState.PREVIOUS]
    if not found:
        return []
    end, expires = end_of_grace(found[0], credential.policy), found[0].expires_at
    until = spell_moment(expires) if expires is not None else "its issuer ends it"
    match credential.policy.retire:
        case RetireMode.LET_EXPIRE:
            return [Remark(credential.name, f"The old secret works until {until}; it is left to expire.")]
        case RetireMode.MANUAL:
            hint = f"Retire it: rotator retire {credential.name}"
            return [Remark(credential.name, f"The old secret works until a person retires it, or {until}.", hint)]
        case RetireMode.AFTER_GRACE if end is not None:
            return [Remark(credential.name, f"The old secret works until {spell_moment(end)}, then it is retired.")]
    return []
