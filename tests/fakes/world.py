"""A whole world in memory: an issuer, a store, states that rotate on it, and an oracle that sees the truth of all.

The oracle knows what no part of the program can know at once: which versions live at the issuer, every version of every
document, every record of every ledger. Its checks cite docs/explanation/invariants.md by number.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import dropwhile, pairwise
from typing import Any

from rotator.chain import first_break
from rotator.clock import ManualClock
from rotator.engine import Engine, Mode, Report
from rotator.event import Event, EventName, Outcome
from rotator.kit import Kit
from rotator.label import is_ours
from rotator.model import Act, Credential, Policy, Procedure, ProofPlan, Request
from rotator.ports import Answer, Keeping
from rotator.secret import Fields
from tests.fakes.memory_issuer import OURS, MemoryIssuer, MemoryProver
from tests.fakes.memory_ledger import MemoryLedger
from tests.fakes.memory_slot import MemorySlot
from tests.fakes.memory_store import MemoryStore
from tests.fakes.tape import Tape, TapedKeeping, TapedLedger, TapedProver, TapedProvider, TapedSlot, TapedStore

NAME, APP, PATH = "kontrolle-plus-prod", "app-1", "partners/kontrolle-plus/prod"
INSTALL = "inst"
DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


def credential(name: str = NAME, application: str = APP, path: str = PATH, **changes: Any) -> Credential:
    """Return a credential with short proofs; `changes` go to policy, proof, or the credential itself."""
    policy: dict[str, Any] = {"lifetime": 90 * DAY, "rotate_before": 30 * DAY, "grace": DAY}
    proof: dict[str, Any] = {"proofs": 3, "spacing": SECOND, "deadline": 15 * MINUTE}
    for key in list(changes):
        for target, kind in ((policy, Policy), (proof, ProofPlan)):
            if key in kind.__dataclass_fields__:
                target[key] = changes.pop(key)
                break
    facts = {
        "provider": "contoso",
        "kind": "entra",
        "issuer": "iss",
        "store": "vault",
        "token_url": "https://t",
        "client_id": "" if application.startswith("object:") else application,
        **changes,
    }
    return Credential(
        name, application=application, path=path, policy=Policy(**policy), proof=ProofPlan(**proof), **facts
    )  # fmt: skip


@dataclass
class State:
    """One state of rotator: its ledger, and the tape that its process runs on."""

    world: World
    ledger: MemoryLedger
    tape: Tape = field(default_factory=Tape)
    stop: threading.Event = field(default_factory=threading.Event)
    said: list[tuple[str, str, str]] = field(default_factory=list)
    lost: bool = False  # its file is gone: what it had begun is settled by others

    def kit(self, credential: Credential | None = None) -> Kit:
        """Return the kit for one credential, every port on the tape."""
        world = self.world

        def pause(duration: timedelta) -> None:
            world.clock.wait(duration)

        return Kit(
            credential or world.credential,
            TapedProvider(world.issuer, self.tape, world.check_removal),
            TapedStore(world.store, self.tape),
            TapedProver(world.prover, self.tape),
            TapedLedger(self.ledger, self.tape),
            world.clock,
            INSTALL,
            "dana",
            lambda credential, step, state, text: self.said.append((step, state, text)),
            pause,
            None if world.slot is None else TapedSlot(world.slot, self.tape),
            keeping=TapedKeeping(world.issuer, self.tape) if isinstance(world.issuer, Keeping) else None,
        )

    def visit(self, credential: Credential | None = None, mode: Mode = Mode.ACTIVE) -> Report:
        """Make one visit in this thread, as a fresh process would."""
        self.stop.clear()
        self.tape.dead = False
        engine = Engine(self.world.clock, self.stop, concurrency=4, jitter=timedelta(0), mode=mode)
        return engine.visit(self.kit(credential))

    def ask(self, *, emergency: bool = False, name: str = NAME) -> None:
        """Ask for a rotation now."""
        request = Request(
            f"q{len(self.ledger.requests)}", name, "dana", "leaver process", self.world.clock.now(), emergency
        )
        self.ledger.record(Event(EventName.REQUEST_RECEIVED, "dana", name), request)

    def events(self, name: EventName | None = None) -> list[dict[str, Any]]:
        """Return the audit records, of one kind if it is named."""
        return [one for one in self.ledger.events if name is None or one["event"] == name.value]


class World:
    """The issuer, the store and the clock that all states share."""

    def __init__(
        self, credential_: Credential | None = None, *, slots: int | None = None, procedure: Procedure | None = None
    ) -> None:
        """Begin. procedure: one with a single slot; None: versions live side by side."""
        self.clock = ManualClock()
        self.slot = None if procedure is None else MemorySlot(self.clock)
        self.issuer = self.slot or MemoryIssuer(self.clock)
        self.application = self.issuer.add(APP, client_id=APP)
        self.application.slots = slots
        self.store = MemoryStore(self.clock)
        self.prover = MemoryProver(self.issuer)
        self.credential = credential_ or credential()
        if procedure is not None:
            self.credential = replace(self.credential, procedure=procedure, labelled=False)
        self.violations: list[str] = []
        self.states: list[State] = []

    def state(self, owner: str = "state-a") -> State:
        """Return a new state with an empty ledger."""
        state = State(self, MemoryLedger(self.clock, owner=owner))
        self.states.append(state)
        return state

    def advance(self, duration: timedelta) -> None:
        """Let time pass."""
        self.clock.advance(duration)

    # ---------------------------------------------------------------------------------------------------- the truth

    def main(self) -> Fields | None:
        """Return what consumers read now."""
        return self.store.consumers.read(self.credential.path).fields

    def main_key(self) -> str | None:
        """Return the key id that consumers read now."""
        fields = self.main()
        return fields.text("key_id") if fields is not None else None

    def live_ours(self) -> set[str]:
        """Return the key ids of the versions with our label that exist at the issuer."""
        return {one.key_id for one in self.issuer.truth(APP) if is_ours(INSTALL, self.credential, one.tag)}

    def works(self, fields: Fields | None) -> bool:
        """Say whether the value in a document is accepted, by the truth."""
        secret = fields.secret("client_secret") if fields is not None else None
        return secret is not None and self.issuer.accepts(APP, secret)

    # ---------------------------------------------------------------------------------------------------- the oracle

    def check_removal(self, key_id: str) -> None:
        """I2, I8: what is about to be removed is neither what consumers read, nor foreign."""
        if key_id == self.main_key():
            self.violations.append(f"I2: {key_id} was removed while consumers read it")
        held = next(one for one in self.issuer.applications[APP].versions if one.key_id == key_id)
        if held.by != OURS:
            self.violations.append(f"I8: {key_id} is foreign and was removed")

    def check(self, *, quiet: bool = False) -> None:
        """Assert every invariant that holds at any time; quiet: those too that hold once everything has settled."""
        found = list(self.violations)
        if self.slot is not None:
            found += self._journal() + self._slot() + (self._settled() if quiet else [])
            assert not found, "\n".join(found)
            return
        found += self._consumers() + self._proofs() + self._journal() + self._bounds()
        if quiet:
            found += self._settled()
        assert not found, "\n".join(found)

    def _consumers(self) -> list[str]:
        """I1, I3, I5: every version that consumers may still hold works; one change of value a rotation."""
        found, now, grace = [], self.clock.now(), self.credential.policy.grace
        every = [one for one in self.store.consumers.truth if one.path == self.credential.path]
        writes = list(dropwhile(lambda one: "client_secret" not in one.fields, every))  # a fence before the first one
        if writes and not self.works(writes[-1].fields):
            found.append("I3: what consumers read does not work")
        for before, after in pairwise(writes):
            until = after.at + grace
            key_id = before.fields.text("key_id")
            if key_id and now < until and not self.works(before.fields) and not self._excused(key_id):
                found.append(f"I1: version {before.version} was read until {after.at} and does not work at {now}")
        changed = [b.fields.text("rotation_id") for a, b in zip([None, *writes], writes, strict=False)
                   if a is None or a.fields.secret("client_secret") != b.fields.secret("client_secret")]  # fmt: skip
        doubles = {rid for rid in changed if rid and changed.count(rid) > 1}
        found += [f"I5: rotation {rid} changed the value twice" for rid in doubles]
        return found

    def _slot(self) -> list[str]:
        """I3, I5, I16 of a single slot: a value survives, and no second one is asked for within a quarantine."""
        assert self.slot is not None
        found = []
        held = next((one for one in self.issuer.applications[APP].versions if one.removed_at is None), None)
        staging = self.store.staging.read(self.credential.name).fields
        places = ((self.main(), "client_secret"), (staging, "value.client_secret"))
        kept = [fields.secret(name) for fields, name in places if fields is not None]
        ours = held is not None and is_ours(INSTALL, self.credential, held.tag)
        if held is not None and ours and self.credential.procedure is Procedure.CHOSEN and held.value not in kept:
            found.append("I3: the issuer has a value that is in no document")
        for before, after in pairwise(self.slot.asked):
            if after - before < self.credential.policy.quarantine:
                found.append(f"I16: asked to regenerate again after {after - before}")
        return found

    def _excused(self, key_id: str) -> bool:
        """Say whether somebody else removed it, or a person wanted its grace cut short."""
        removed = any(
            one.key_id == key_id and one.act is Act.RETIRE and one.by != OURS for one in self.issuer.mutations
        )
        return removed or any(request.emergency for state in self.states for request in state.ledger.requests.values())

    def _proofs(self) -> list[str]:
        """I4: no value became main without as many proofs in a row before, the last at most 60 s old."""
        found, needed = [], self.credential.proof.proofs
        last: str | None = None
        for one in self.store.consumers.truth:
            key_id, before = one.fields.text("key_id"), last
            if one.path != self.credential.path or key_id is None or one.fields.text("rotation_id") is None:
                continue
            last = key_id
            if key_id == before:  # a fence, or a person, wrote what was there
                continue
            asked = [
                ask
                for ask in self.prover.asked
                if ask.key_id == key_id and ask.at <= one.at and ask.answer is not Answer.SILENT
            ]
            good = 0
            for ask in reversed(asked):
                if ask.answer is not Answer.PROVED:
                    break
                good += 1
            if good < needed:
                found.append(f"I4: version {one.version} was promoted after {good} proofs")
            elif one.at - asked[-1].at > MINUTE:
                found.append(f"I4: version {one.version} was promoted long after its last proof")
        return found

    def _journal(self) -> list[str]:
        """I6, I26: every change at the issuer had an intent before it; the chain is whole."""
        found = []
        intended: set[tuple[str, str | None]] = set()
        for state in self.states:
            broken = first_break(state.ledger.events)
            if broken is not None:
                found.append(f"I26: {broken}")
            for intent in state.ledger.intents.values():
                intended.add((intent.act.value, intent.tag if intent.act is Act.CREATE else intent.key_id))
        for mutation in self.issuer.mutations:
            subject = mutation.tag if mutation.act is Act.CREATE else mutation.key_id
            if mutation.by == OURS and (mutation.act.value, subject) not in intended:
                found.append(f"I6: {mutation.act} of {subject} has no intent")
        return found

    def _bounds(self) -> list[str]:
        """I9: never more than three versions of ours."""
        count = len(self.live_ours())
        return [f"I9: {count} versions of ours live"] if count > 3 else []

    def _settled(self) -> list[str]:
        """I7, I10, I22, I26: nothing unknown lives, nothing is unfinished or without outcome, no value is staged."""
        found = []
        named = {self.main_key()} | {
            version.key_id
            for state in self.states
            if not state.lost
            for version in (self._tracked(state).versions if self._tracked(state) else ())
        }
        strangers = self.live_ours() - {one for one in named if one}
        if self.slot is not None:
            found += [] if self.works(self.main()) else ["I3: what consumers read does not work"]
        elif strangers:
            found.append(f"I7: nobody names {sorted(strangers)}")
        for state in (one for one in self.states if not one.lost):
            left = [one for one in state.ledger.intents.values() if one.outcome in (None, Outcome.UNKNOWN)]
            found += [f"I26: intent {one.act} of {one.key_id or one.tag} has no outcome" for one in left]
            tracked = self._tracked(state)
            if tracked is not None and tracked.rotation is not None:
                found.append(f"I10: rotation {tracked.rotation.id} is unfinished at {tracked.rotation.phase}")
        staging = self.store.staging.read(self.credential.name)
        if staging.fields is not None:
            if any(name.startswith("value.") for name in staging.fields):
                found.append("I22: a value stayed in the staging document")
            if staging.fields.text("stage") != "idle":
                found.append(f"the claim was not given up: {staging.fields.text('stage')}")
        return found

    def _tracked(self, state: State) -> Any:
        return state.ledger.tracked(self.credential.name)

    def settle(self, state: State, visits: int = 8, step: timedelta = 5 * MINUTE) -> None:
        """Visit until nothing is left to do, with time in between."""
        for _ in range(visits):
            self.advance(step)
            state.visit()
