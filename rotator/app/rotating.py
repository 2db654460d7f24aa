"""`rotator rotate`: one full pass in the foreground, or a rotation that somebody asks for now.

What a pass does is decided by the engine. Here stand the selection, the request that survives a crash, and the patience
with a throttled vendor.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from rotator.app import checkpoints, heads
from rotator.app.answering import Answers
from rotator.app.chainwatch import see_the_chain
from rotator.app.dry import Asked
from rotator.app.house import House, Use
from rotator.app.results import Rotated
from rotator.app.state import Writer
from rotator.app.usage import UsageFault
from rotator.app.visitors import Visitors
from rotator.clock import elapsed
from rotator.engine import Report
from rotator.errors import Busy, RotatorError, Throttled
from rotator.event import Event, EventName
from rotator.kit import Interrupted
from rotator.model import (
    Credential,
    Request,
    RotationOutcome,
)
from rotator.planner import known_as, retry_at
from rotator.ports import Ledger

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

    @property
    def asked(self) -> Asked:
        """Return what is wanted, for what is only planned."""
        if not self.now:
            return Asked.IF_DUE
        return Asked.EMERGENCY if self.emergency else Asked.NOW


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
    answers = Answers(house, wish.names, wish.asked, see_the_chain(house))
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
    answers = Answers(house, wish.names, wish.asked)
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
