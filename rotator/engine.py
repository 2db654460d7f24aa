"""Visits a credential and decides what a failure means: again later, parked, or stop. Knows no steps, starts no thread.

Transient                again later: as told, else with growing waits that shrink as the expiry nears
Denied, Misconfigured    again later: it goes on as soon as somebody has mended it
Refused, Unproved        again later; the same cause three times in a row parks, unless it passes by itself
Broken                   parked at once
StateUnusable            everything stops: what cannot be written down is not done
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from rotator.clock import Clock
from rotator.due import Action
from rotator.errors import Broken, Busy, Denied, NoFreeSlot, Refused, RotatorError, StateUnusable, Transient, Unproved
from rotator.event import EventName
from rotator.kit import Interrupted, Kit
from rotator.model import Credential, CredentialState, Rotation, RotationOutcome, Trouble
from rotator.outlook import asleep, doubted, unsaid, wake_at
from rotator.planner import current_version, next_rotation, retry_at, why_idle
from rotator.ports import Tracked
from rotator.staging import see_binding
from rotator.survey import first_sight
from rotator.timing import as_asked, backoff, plus, spell_moment
from rotator.visit import Visit

PARK_AFTER: Final = 3
"""So many failures in a row with the same cause park a credential."""


class Mode(StrEnum):
    """Whether anything is changed at all."""

    ACTIVE = "active"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True)
class Report:
    """What one visit to a credential came to.

    reason: the code of what was done, or of what hindered it. rotation: the one that was begun, finished or left
    unfinished. retired, swept: key ids. error: why it did not go on. warning: what a person should know all the same.
    """

    credential: Credential
    outcome: RotationOutcome
    reason: str | None
    rotation: Rotation | None
    retired: tuple[str, ...]
    swept: tuple[str, ...]
    error: RotatorError | None
    started_at: datetime
    finished_at: datetime
    warning: Trouble | None = None


class Engine:
    """Visits credentials, each one by at most one thread."""

    def __init__(
        self,
        clock: Clock,
        stop: threading.Event,
        *,
        concurrency: int,
        jitter: timedelta,
        mode: Mode = Mode.ACTIVE,
        thorough: bool = False,
    ) -> None:
        """Prepare. stop: set from outside, it ends every wait; what is unfinished is left to recovery.

        concurrency: how many visits a `Crew` may have at work per provider. thorough: look at store and issuer at every
        visit; else only when something can be due, and each hour, so that a tick costs next to nothing.
        """
        self.clock, self.stop, self.concurrency = clock, stop, concurrency
        self._jitter, self._mode, self._thorough = jitter, mode, thorough
        self._lots = random.SystemRandom()

    # --------------------------------------------------------------------------------------------------- one visit

    def visit(self, kit: Kit) -> Report:
        """Visit one credential, and record what its failure means. Raises StateUnusable."""
        started, visit = self.clock.now(), Visit(kit, self._jitter)
        error: RotatorError | None = None
        try:
            _go_on_unless(self.stop)
            tracked = self._begin(kit, kit.ledger.tracked(kit.credential.name))
            visit.untidy = tracked is None or tracked.state.wake_at is None
            idle = self._idle(kit, tracked)
            if idle is not None:
                return Report(kit.credential, *idle, started, self.clock.now())
            if self._mode is Mode.OBSERVE:
                visit.observe()
            else:
                visit.go()
            self._went_well(kit, visit)
        except Interrupted:
            error = _interrupted(kit, visit.rotation)
        except StateUnusable:
            raise
        except RotatorError as failure:
            error = failure
            if self._mode is Mode.ACTIVE:
                self._failed(kit, failure)
        self._sleep(kit, error)
        return self._report(kit, visit, error, started)

    def _begin(self, kit: Kit, tracked: Tracked | None) -> Tracked | None:
        """Raise alerts, which go on whatever else is so, and forget waits that a person's request overrules."""
        if tracked is None:
            return None
        tracked = self._alert(kit, tracked)
        state = tracked.state
        if state.forgotten_at is not None and state.binding != kit.credential.binding:
            kit.ledger.note(CredentialState(state.name, kit.credential.binding, kit.credential.provider, state.kind))
            return kit.ledger.tracked(state.name)
        see_binding(kit.credential, state.binding)
        if tracked.request is not None and state.not_before is not None and state.cause != "throttled":
            kit.ledger.note(replace(state, not_before=None))
            return kit.ledger.tracked(state.name)
        return tracked

    def _alert(self, kit: Kit, tracked: Tracked) -> Tracked:
        """Say what nobody has been told of yet; return what the ledger knows then, or it would be said again."""
        for alert in unsaid(kit.credential, tracked, self.clock.now()):
            tracked = replace(tracked, state=replace(tracked.state, alerted_at=alert.at))
            said = f"{alert.sentence} {kit.credential.by_hand}".rstrip()
            kit.ledger.record(kit.event(alert.event, key_id=alert.key_id or None, detail=said), tracked.state)
        return tracked

    def _idle(
        self, kit: Kit, tracked: Tracked | None
    ) -> tuple[RotationOutcome, str, None, tuple[()], tuple[()], RotatorError | None] | None:
        """Return what to report when there is nothing to do, or nothing may be done; None when there is something."""
        if tracked is None:
            return None
        now, state = self.clock.now(), tracked.state
        if state.parked is not None:
            trouble = Refused(state.parked.message, hint=state.parked.hint, code=state.parked.code)
            return RotationOutcome.PARKED, state.parked.code, None, (), (), trouble
        if why_idle(tracked) is not None:
            return RotationOutcome.SKIPPED, "forgotten" if state.forgotten_at else "paused", None, (), (), None
        until = retry_at(tracked, now)
        if until is not None:
            return RotationOutcome.SKIPPED, "retry", None, (), (), _too_early(kit, tracked, until)
        settled = not self._thorough and asleep(state.wake_at, now) and not kit.ledger.sightings(state.name)
        if settled and wake_at(kit.credential, tracked, now, self._jitter) > now:
            return RotationOutcome.SKIPPED, "nothing_due", None, (), (), None
        # Until this visit has ended, the next one has to look, whatever the times say: this process may die.
        kit.ledger.note(replace(state, wake_at=None))
        return None

    # ---------------------------------------------------------------------------------------------- what it means

    def _went_well(self, kit: Kit, visit: Visit) -> None:
        """Forget earlier failures. A version in use that does not pass is asked about again, with growing waits."""
        tracked = kit.ledger.tracked(kit.credential.name)
        if tracked is None:
            return
        state, failures = tracked.state, tracked.state.failures + 1 if visit.unproved else 0
        again = plus(self.clock.now(), self._backoff(tracked, failures)) if visit.unproved else None
        said = visit.warning or (state.error if doubted(state) else None)  # what nobody has disproved stays said
        calm = replace(state, error=said, failures=failures, cause=None, same_cause=0, not_before=again)
        if calm != state:
            kit.ledger.note(calm)

    def _failed(self, kit: Kit, error: RotatorError) -> None:
        """Record a failure, and what follows from it; also of the first visit, which may not even have looked."""
        tracked = kit.ledger.tracked(kit.credential.name) or first_sight(kit)
        state, now = tracked.state, self.clock.now()
        trouble = Trouble(error.code, error.message, error.hint, now)
        same = state.same_cause + 1 if state.cause == error.code else 1
        failures = state.failures + 1
        again = plus(now, self._wait(tracked, error, failures))
        state = replace(state, error=trouble, failures=failures, cause=error.code, same_cause=same, not_before=again)
        refused = isinstance(error, (Refused, Unproved)) and not isinstance(error, Denied)
        hopeless = refused and same >= PARK_AFTER and not _passes(error, now)
        if not hopeless and not isinstance(error, Broken):
            kit.ledger.note(state)
            return
        rotation_id = tracked.rotation.id if tracked.rotation else tracked.last.id if tracked.last else None
        event = kit.event(EventName.ROTATION_PARKED, rotation_id=rotation_id, reason=error.code, detail=error.message)
        resume = f"rotator resume {kit.credential.name}"
        if resume not in trouble.hint:
            trouble = replace(trouble, hint=f"{trouble.hint} Then: {resume}")
        kit.ledger.record(event, replace(state, error=trouble, parked=trouble, not_before=None))

    def _wait(self, tracked: Tracked, error: RotatorError, failures: int) -> timedelta:
        if isinstance(error, Transient) and error.retry_after is not None:
            return as_asked(error.retry_after, self._left(tracked))
        return self._backoff(tracked, failures)

    def _backoff(self, tracked: Tracked, failures: int) -> timedelta:
        return backoff(failures, self._left(tracked), self._lots.random())

    def _left(self, tracked: Tracked) -> timedelta | None:
        current = current_version(tracked)
        return current.expires_at - self.clock.now() if current and current.expires_at else None

    def _sleep(self, kit: Kit, error: RotatorError | None) -> None:
        """Write down when this credential can need anything again, so that a tick need not look earlier.

        After a failure nothing is written: something may be left to tidy up that no plan knows, such as a claim.
        """
        tracked, now = kit.ledger.tracked(kit.credential.name), self.clock.now()
        if tracked is not None and (error is None or tracked.state.parked is not None):
            at = now if kit.ledger.sightings(kit.credential.name) else None
            wake = at or wake_at(kit.credential, tracked, now, self._jitter)
            kit.ledger.note(replace(tracked.state, wake_at=wake))

    def _report(self, kit: Kit, visit: Visit, error: RotatorError | None, started: datetime) -> Report:
        rotation, now = visit.rotation, self.clock.now()
        tracked = kit.ledger.tracked(kit.credential.name)
        if tracked is not None and tracked.state.parked is not None:
            outcome = RotationOutcome.PARKED
        elif rotation is not None and rotation.outcome is not None:
            outcome = rotation.outcome
        elif visit.retired:
            outcome = RotationOutcome.RETIRED
        else:
            outcome = RotationOutcome.SKIPPED
        reason = visit.reason or (error.code if error is not None else None)
        if self._mode is Mode.OBSERVE and error is None:
            due = next_rotation(kit.credential, tracked, now, self._jitter)
            if due is not None and due.action is Action.ROTATE and due.at <= now:
                outcome, reason = RotationOutcome.PLANNED, due.reason.value
        return Report(
            kit.credential, outcome, reason, rotation, visit.retired, visit.swept, error, started, now, visit.warning
        )


def _passes(error: RotatorError, now: datetime) -> bool:
    """Say whether what is refused now is refused only until a known time: then nobody has to act."""
    return isinstance(error, NoFreeSlot) and error.until is not None and error.until > now


def _go_on_unless(stop: threading.Event) -> None:
    if stop.is_set():
        raise Interrupted


def _interrupted(kit: Kit, rotation: Rotation | None) -> Transient:
    where = f"rotation {rotation.id[:8]} stopped at {rotation.phase}" if rotation else "nothing was under way"
    return Busy(
        f"{kit.credential.name}: stopped on request; {where}.",
        hint=f"The next run goes on from there: rotator rotate {kit.credential.name}",
        code="interrupted",
    )


def _too_early(kit: Kit, tracked: Tracked, until: datetime) -> Busy:
    trouble = tracked.state.error
    why = f": {trouble.message}" if trouble else "."
    return Busy(
        f"The last attempt for {kit.credential.name} failed; the next may not come before {spell_moment(until)}{why}",
        hint=f"Without waiting: rotator rotate {kit.credential.name}",
        code="retry",
    )
