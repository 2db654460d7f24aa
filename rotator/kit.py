"""What every step works with: the ports for one credential, and the one way to make a mutating call.

Decides nothing. A mutating call is written down and durable before it is made, and its outcome after it; `carry_out`
is the only function that makes one, so the order cannot be got wrong.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from rotator.clock import Clock
from rotator.errors import Broken, OutcomeUnknown, RotatorError
from rotator.event import Event, EventName, Outcome
from rotator.label import is_ours, label, prefix
from rotator.model import Act, Credential, Intent
from rotator.ports import Change, Keeping, Ledger, Progress, Prover, Provider, SignInActivity, Slot, Store

T = TypeVar("T")


class Interrupted(Exception):
    """Somebody asked the program to stop; whatever is unfinished is left to recovery."""


@dataclass(frozen=True, slots=True)
class Kit:
    """The outside world as seen from one credential.

    install: the id shared by all states on one staging area. actor: on whose behalf. pause: waits, giving up the
    provider's turn meanwhile; raises Interrupted when the program is to stop. single: the slot of an issuer that has
    only one; None: versions live side by side there. activity: what the issuer saw of their use; None: nothing.
    keeping: removes versions by what came with them; None: the key id is enough.
    """

    credential: Credential
    provider: Provider
    store: Store
    prover: Prover
    ledger: Ledger
    clock: Clock
    install: str
    actor: str
    progress: Progress
    pause: Callable[[timedelta], None]
    single: Slot | None = None
    activity: SignInActivity | None = None
    keeping: Keeping | None = None

    @property
    def slot(self) -> Slot:
        """Return the only slot of the issuer. Raises Broken when it has none."""
        if self.single is None:
            raise Broken(
                f"The issuer of {self.credential.name} has no single slot that could be written.",
                hint="The configuration has changed since this rotation began; put it back, or forget the credential.",
                code="no_slot",
            )
        return self.single

    @property
    def tag_prefix(self) -> str:
        """Return what the label of every version of ours for this credential begins with."""
        return prefix(self.install, self.credential)

    def tag(self, rotation_id: str, attempt: int) -> str:
        """Return the label for one creation. A new attempt always gets a new one."""
        return label(self.install, self.credential, rotation_id, attempt)

    def owns(self, tag: str | None) -> bool:
        """Say whether a label found at the issuer is one of ours for this credential."""
        return is_ours(self.install, self.credential, tag)

    def field(self, name: str) -> str:
        """Return what one of our fields is called in the document that consumers read."""
        return self.credential.fields.get(name, name)

    def tell(self, step: str, state: str, text: str) -> None:
        """Let the person who watches know."""
        self.progress(self.credential, step, state, text)

    def event(self, name: EventName, **facts: object) -> Event:
        """Return an audit event about this credential."""
        return Event(name, actor=self.actor, credential=self.credential.name, **facts)  # type: ignore[arg-type]

    def intent(self, act: Act, **facts: object) -> Intent:
        """Return the intent to make a mutating call now."""
        sent, name = self.clock.instant(), self.credential.name
        return Intent(secrets.token_hex(16), name, act, sent, **facts)  # type: ignore[arg-type]


def carry_out(kit: Kit, intent: Intent, event: Event, call: Callable[[], T], *changes: Change | Event) -> T:
    """Write down `intent`, make the call, and write down how it failed if it did.

    The caller records success, together with the state change that success means. Stopped before the call: the intent
    stands without outcome, and nothing was sent. Stopped after it: likewise, and recovery finds out. `changes` become
    true with the intent. Raises what the call raises.
    """
    kit.ledger.record(replace(event, outcome=Outcome.INTENDED), intent, *changes)
    try:
        return call()
    except OutcomeUnknown as unclear:
        _failed(kit, intent, event, Outcome.UNKNOWN, unclear)
        raise
    except RotatorError as refused:
        _failed(kit, intent, event, Outcome.REFUSED, refused)
        raise


def settled(intent: Intent, outcome: Outcome = Outcome.SUCCEEDED) -> Intent:
    """Return the intent with its outcome."""
    return replace(intent, outcome=outcome)


def same_call(kit: Kit, last: Intent) -> tuple[Intent, ...]:
    """Return earlier tries of the same removal that have no outcome, settled by the one that succeeded."""
    return tuple(
        settled(one)
        for one in kit.ledger.unsettled(kit.credential.name)
        if (one.act, one.key_id) == (last.act, last.key_id) and one.id != last.id
    )


def _failed(kit: Kit, intent: Intent, event: Event, outcome: Outcome, error: RotatorError) -> None:
    kit.ledger.record(replace(event, outcome=outcome, detail=error.message), settled(intent, outcome))
