"""A rotation under way: what is in hand while it runs, and how its phase is moved. Knows no order of steps.

What is durable is in the ledger and in the staging document. What is only here (a value just issued, a proof just made)
is lost with the process, and a step that needs it again makes it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from rotator.clock import Instant, elapsed
from rotator.errors import Broken, OutcomeUnknown, RotatorError
from rotator.event import Event, EventName, Outcome
from rotator.kit import Interrupted, Kit, settled
from rotator.model import Act, Intent, Phase, Rotation, RotationOutcome, Trouble, Version, VersionState
from rotator.notes import Step
from rotator.planner import current_version
from rotator.ports import Change, Issued, Listing, Tracked
from rotator.proving import Proof
from rotator.staging import Claim

EVENT_OF: Final[Mapping[Act, EventName]] = MappingProxyType(
    {
        Act.CREATE: EventName.VERSION_CREATED,
        Act.STAGE: EventName.VERSION_STAGED,
        Act.PROMOTE: EventName.VERSION_PROMOTED,
        Act.RETIRE: EventName.VERSION_RETIRED,
    }
)
"""The event of each mutating call."""


@dataclass(slots=True)
class Run:
    """One rotation of one credential, with our claim on it.

    listing: what the issuer listed when the run began. issued: a version whose value is not staged yet. proof: the last
    verification; never remembered across a restart. sent: when the first call went out that ends the version before,
    where the issuer has a single slot. trouble: why it is being abandoned. unanswered: how often the
    issuer gave no clear answer to a creation. unclear: the last of them. resumed: another process began it.
    """

    kit: Kit
    claim: Claim
    rotation: Rotation
    listing: Listing
    issued: Issued | None = None
    proof: Proof | None = None
    sent: Instant | None = None
    trouble: RotatorError | None = None
    unanswered: int = 0
    unclear: OutcomeUnknown | None = None
    resumed: bool = False

    def tracked(self) -> Tracked:
        """Return what the ledger knows now."""
        tracked = self.kit.ledger.tracked(self.kit.credential.name)
        assert tracked is not None
        return tracked

    def version(self) -> Version | None:
        """Return the version that this rotation is to promote, as the ledger knows it."""
        return next((one for one in self.tracked().versions if one.key_id == self.rotation.key_id), None)

    def candidate(self) -> Version | None:
        """Return it if no consumer has ever read it: only then may it be removed again."""
        version = self.version()
        return version if version is not None and version.state is VersionState.CANDIDATE else None

    def replaced(self) -> Version | None:
        """Return the version that consumers read until the promotion."""
        return current_version(self.tracked())

    def own_key_id(self, attempt: int) -> str:
        """Return the id of a version for which the issuer has none."""
        return f"{self.rotation.id[:16]}-{attempt}"

    def event(self, name: EventName, **facts: object) -> Event:
        """Return an audit event about this rotation."""
        return self.kit.event(name, rotation_id=self.rotation.id, **facts)

    def put(self, **facts: object) -> Rotation:
        """Change the rotation in hand and return it, to be recorded with what made it so."""
        self.rotation = replace(self.rotation, **facts)  # type: ignore[arg-type]
        return self.rotation

    @property
    def waits(self) -> bool:
        """Say whether it is proved, and prepared for later."""
        at = self.rotation.promote_at
        return self.rotation.phase is Phase.PROVED and at is not None and self.kit.clock.now() < at

    def unsettled(self) -> tuple[Intent, ...]:
        """Return the intents of this rotation whose outcome nobody wrote down."""
        mine = self.kit.ledger.unsettled(self.kit.credential.name)
        return tuple(one for one in mine if one.rotation_id == self.rotation.id)

    def settle(self, outcome: Outcome, detail: str) -> None:
        """Record what became of them, now that it is known."""
        for intent in self.unsettled():
            event = self.event(EVENT_OF[intent.act], key_id=intent.key_id, outcome=outcome)
            self.kit.ledger.record(replace(event, detail=f"resolved: {detail}"), settled(intent, outcome))

    def give_up(self, error: RotatorError) -> None:
        """Decide that the candidate is to be undone, and record why."""
        self.trouble = error
        trouble = Trouble(error.code, error.message, error.hint, self.kit.clock.now())
        event = self.event(EventName.ROTATION_ABANDONED, reason=error.code, detail=error.message)
        outcome = RotationOutcome.PARKED if isinstance(error, Broken) else RotationOutcome.ABANDONED
        rotation = self.put(phase=Phase.ABANDONING, outcome=outcome, error=trouble)
        self.kit.ledger.record(replace(event, key_id=rotation.key_id), rotation)

    def finish(self, outcome: RotationOutcome, *changes: Change, phase: Phase, first: Event | None = None) -> None:
        """Record that the rotation is over. first: the event of the call that ended it."""
        over = self.event(EventName.ROTATION_FINISHED, reason=outcome.value, key_id=self.rotation.key_id)
        rotation = self.put(phase=phase, outcome=outcome, finished_at=self.kit.clock.now())
        events = (first, over) if first is not None else (over,)
        self.kit.ledger.record(events[0], *events[1:], rotation, *changes)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Tell the person who watches, and the history, how a step went. Yields a list for words about it."""
        kit, began, words = self.kit, self.kit.clock.instant(), list[str]()
        kit.tell(name, "begin", "")
        outcome = "failed"
        try:
            yield words
            outcome = "failed" if self.trouble is not None and name != "undo" else "done"
        except RotatorError as error:
            words = [error.message]
            raise
        except Interrupted:
            outcome, words = "skipped", ["stopped on request; the next run goes on"]
            raise
        finally:
            took = elapsed(began, kit.clock.instant()) or timedelta(0)
            detail, attempt = " · ".join(words), self.rotation.attempt
            kit.tell(name, outcome, detail)
            kit.ledger.note(Step(self.rotation.id, name, outcome, began.wall, attempt, detail, took.total_seconds()))
