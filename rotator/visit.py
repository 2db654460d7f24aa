"""One visit to one credential: finish, prove, retire, sweep, rotate, in this order. Decides no retry and parks nothing.

The order is a rule. A slot at the issuer may be held by what should have been finished, retired or swept first; with
two slots any other order waits for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from rotator import kept_labels
from rotator.adoption import take_found
from rotator.document import client_in, ours_in, provable
from rotator.drain import drained
from rotator.due import Action
from rotator.endings import (
    begin_grace_anew,
    cut_short,
    finish_retiring,
    grace_left,
    note_expired,
    put_off_retiring,
    retire,
)
from rotator.errors import Broken, Busy, NoFreeSlot, Refused, RotatorError, Transient, Unproved
from rotator.event import EventName
from rotator.kit import Kit
from rotator.lifecycle import begin, live
from rotator.model import (
    Origin,
    Phase,
    Reason,
    Request,
    RetireMode,
    Rotation,
    RotationOutcome,
    Trouble,
    Version,
    VersionState,
)
from rotator.outlook import DOES_NOT_PASS, heartbeat_at
from rotator.planner import begins_at, must_ask, next_rotation, prepared_until, procedure_of, retirements
from rotator.ports import Answer, Tracked, Verdict
from rotator.prepared import at_rest_until_now, is_prepared, waited_elsewhere, waits
from rotator.proving import control, prove_current, silence
from rotator.recovery import resume
from rotator.run import Run
from rotator.secret import Fields
from rotator.single_slot import see_it_may_end
from rotator.staging import erase_remains
from rotator.survey import Scene, read, reconcile
from rotator.sweeping import sight, sweep
from rotator.timing import spell_moment

BECAUSE_OF_TIME: Final = (Reason.NEAR_EXPIRY, Reason.MAX_AGE, Reason.EXPIRED)
"""Reasons that a wrong clock can invent."""

_BY_USE: Final = RetireMode.WHEN_UNUSED

REFUSALS: Final = 3
"""So often in a row is the version in use refused before that is believed."""

_OWN: Final = (Origin.OURS, Origin.ADOPTED)


@dataclass(slots=True)
class Visit:
    """What one visit did. untidy: the one before did not end well, and may have left more than a plan knows.

    warning: what a person should know although the visit went through. unproved: the version in use does not pass.
    hindered: why something could not be retired, though the rest of the visit went on.
    """

    kit: Kit
    jitter: timedelta
    untidy: bool = False
    rotation: Rotation | None = None
    reason: str | None = None
    retired: tuple[str, ...] = ()
    swept: tuple[str, ...] = ()
    warning: Trouble | None = None
    unproved: bool = False
    hindered: RotatorError | None = None
    wait: timedelta | None = field(default=None)  # until the first orphan may be swept

    def go(self) -> None:
        """Do all that is due. Raises the first thing that hinders it; what was done before stays done."""
        scene = self._finish(read(self.kit))
        if self.untidy:
            erase_remains(self.kit)
        tracked = reconcile(self.kit, scene)
        self.warning = kept_labels.warning(self.kit, tracked, scene.listing)
        if self._took(tracked, scene):
            scene = read(self.kit)
            tracked = reconcile(self.kit, scene)
        dead = self._is_dead(tracked, scene)
        if waits(self.kit, tracked, scene):
            if dead:  # what is prepared need not wait any longer
                self._promote_prepared(scene)
            elif is_prepared(tracked.rotation) and prepared_until(tracked, self.kit.clock.now()) is None:
                scene.require_time()
            return
        if dead:  # without a successor that works nothing is retired, and what waits to be must not keep others waiting
            put_off_retiring(self.kit)
            if self._back_to_the_one_before(tracked, scene):
                return
        else:
            self._end(tracked, scene)
        self.wait = sight(self.kit, scene)
        if self.wait == timedelta(0):
            self.swept += sweep(self.kit)
        self._rotate(scene, dead=dead)
        if self.hindered is not None:
            raise self.hindered

    def observe(self) -> None:
        """Look and prove, and change nothing anywhere."""
        scene = read(self.kit)
        tracked = reconcile(self.kit, scene)
        self._is_dead(tracked, scene)

    def _tracked(self) -> Tracked:
        tracked = self.kit.ledger.tracked(self.kit.credential.name)
        assert tracked is not None
        return tracked

    # -------------------------------------------------------------------------------------------------------- finish

    def _finish(self, scene: Scene) -> Scene:
        tracked = self.kit.ledger.tracked(self.kit.credential.name)
        if waits(self.kit, tracked, scene):
            return scene
        ready = tracked is not None and is_prepared(tracked.rotation)
        if ready:
            reconcile(self.kit, scene)
        run = resume(self.kit, tracked, scene)
        if run is None:
            return scene
        if ready or waited_elsewhere(self.kit, tracked, scene):
            at_rest_until_now(run, scene)
        if run.waits and tracked is not None and tracked.request is not None:
            self._answer(run, tracked.request)
        self._live(run)
        return read(self.kit)

    def _answer(self, run: Run, request: Request) -> None:
        """Let the prepared version be what somebody asks for; in an emergency another one is made afterwards."""
        run.put(promote_at=None)
        if not request.emergency:
            event = run.event(EventName.ROTATION_STARTED, reason=Reason.REQUESTED.value)
            told = replace(event, detail=request.note or "what was prepared is promoted")
            self.kit.ledger.record(told, run.rotation, replace(request, answered_by=run.rotation.id))

    def _promote_prepared(self, scene: Scene) -> None:
        run = resume(self.kit, self._tracked(), scene)
        if run is not None:
            at_rest_until_now(run, scene)
            run.put(promote_at=None)
            self._live(run)
            self.warning, self.unproved = None, False  # was said of the version that is replaced now

    def _live(self, run: Run) -> None:
        """Go on to the end of a rotation. Raises why it was abandoned, too."""
        try:
            live(run)
        finally:
            self.rotation, self.reason = run.rotation, run.rotation.reason.value
        if run.rotation.phase is Phase.ABANDONED or run.rotation.outcome is RotationOutcome.PARKED:
            raise run.trouble or _as_error(run.rotation)

    def _took(self, tracked: Tracked, scene: Scene) -> bool:
        """Show consumers what somebody made at the issuer in the place of what they read; say whether that was so."""
        found = None if waits(self.kit, tracked, scene) else take_found(self.kit, tracked, scene)
        if isinstance(found, Run):
            self._live(found)
            return True
        self.warning = found or self.warning
        return False

    # --------------------------------------------------------------------------------------------------------- prove

    def _is_dead(self, tracked: Tracked, scene: Scene) -> bool:
        """Prove the version in use when that is due; say whether it is certainly refused."""
        kit, fields, now = self.kit, scene.document.fields, self.kit.clock.now()
        at = heartbeat_at(kit.credential, tracked, now)
        if at is None or at > now or fields is None or not provable(kit, fields):
            return False
        verdict, tries = self._heartbeat(fields), 1
        while verdict.answer is Answer.REFUSED and tries < REFUSALS:
            kit.pause(kit.credential.proof.spacing)
            verdict, tries = self._heartbeat(fields), tries + 1
        if verdict.answer is Answer.PROVED:
            kit.ledger.note(replace(self._tracked().state, proved_at=kit.clock.now()))
            return False
        silent = verdict.answer is Answer.SILENT
        message = f"{'The secret in use cannot be proved now' if silent else DOES_NOT_PASS}: {verdict.message}"
        hint = f"Look again with: rotator verify {kit.credential.name}"
        self.warning, self.unproved = Trouble(verdict.code, message, hint, kit.clock.now()), True
        return verdict.answer is Answer.REFUSED

    def _heartbeat(self, fields: Fields) -> Verdict:
        ours = ours_in(self.kit, fields)
        return prove_current(self.kit, client_in(self.kit, ours), ours)

    def _back_to_the_one_before(self, tracked: Tracked, scene: Scene) -> bool:
        """Show the version before again, if it works: possible as long as its end is not published."""
        kit, dying = self.kit, scene.staging.retiring if scene.staging is not None else ()
        alive = [one for one in tracked.versions if one.origin in _OWN and one.key_id not in dying]
        before = [one for one in alive if one.state is VersionState.PREVIOUS]
        before.sort(key=lambda one: one.store_version or 0)
        if not before or before[-1].store_version is None:
            return False
        fields = kit.store.consumers.read(kit.credential.path, before[-1].store_version).fields
        if fields is None or self._heartbeat(fields).answer is not Answer.PROVED:
            return False
        self._live(begin(kit, scene, Reason.REVERTED, back_to=before[-1]))
        if self.warning is not None:
            said = self.warning.message.removeprefix(DOES_NOT_PASS)
            message = f"The secret promoted last does not pass, so consumers read the one before again{said}"
            self.warning = replace(self.warning, message=message)
        return True

    # -------------------------------------------------------------------------------------------------------- retire

    def _end(self, tracked: Tracked, scene: Scene) -> None:
        """Retire what is to be retired. Where that cannot be done now, a rotation that is due must not wait for it."""
        try:
            self.retired += finish_retiring(self.kit, tracked, scene)
            self._retire(self._tracked(), scene)
        except (Transient, Refused) as hindrance:
            self.hindered = hindrance
            put_off_retiring(self.kit)

    def _retire(self, tracked: Tracked, scene: Scene) -> None:
        kit, now = self.kit, self.kit.clock.now()
        hurry = tracked.request is not None and tracked.request.emergency
        replaced = [one for one in tracked.versions if one.origin in _OWN]
        due = {one.key_id for one in retirements(kit.credential, tracked, now) if one.at <= now}
        ending: list[Version] = []
        evidence: dict[str, str] = {}
        for version in replaced:
            if version.state is VersionState.RETIRING or (hurry and version.state is VersionState.PREVIOUS):
                ending.append(version)
            elif version.state is VersionState.PREVIOUS and kit.credential.policy.retire is RetireMode.LET_EXPIRE:
                note_expired(kit, version, scene)
            elif version.state is VersionState.PREVIOUS and version.key_id in due:
                scene.require_time()
                left = grace_left(version, kit.credential.policy, scene)
                if left is None:
                    begin_grace_anew(kit, version, scene)
                elif left <= timedelta(0) and kit.credential.policy.retire is not _BY_USE:
                    ending.append(version)
                elif left <= timedelta(0) and (seen := drained(kit, version)) is not None:
                    ending.append(version)
                    evidence[version.key_id] = seen
        if ending:
            over = Reason.UNUSED if kit.credential.policy.retire is _BY_USE else Reason.GRACE_OVER
            reason = Reason.EMERGENCY if hurry or any(cut_short(kit, one) for one in ending) else over
            self.retired += retire(kit, ending, reason.value, evidence)
            self.reason = self.reason or reason.value

    # -------------------------------------------------------------------------------------------------------- rotate

    def _rotate(self, scene: Scene, *, dead: bool) -> None:
        kit, now, tracked = self.kit, self.kit.clock.now(), self._tracked()
        if kit.credential.by_hand:  # there is nobody to be asked for one
            return
        due = next_rotation(kit.credential, tracked, now, self.jitter)
        later = due.at if due is not None and due.at > now else None
        if due is not None and begins_at(kit.credential, tracked, due) <= now and due.action is Action.ROTATE:
            reason = due.reason
        elif dead and not must_ask(kit.credential, tracked, Reason.REFUSED):
            reason = Reason.REFUSED
        elif tracked.request is not None and must_ask(kit.credential, tracked, Reason.REQUESTED):
            raise _gap_not_accepted(kit)
        else:
            return
        if self.retired or self.swept:
            scene = read(kit)
        scene = self._with_room(scene)
        if reason in BECAUSE_OF_TIME:
            scene.require_time()
        request = tracked.request if reason is Reason.REQUESTED else None
        self.reason = reason.value
        self._baseline(tracked, scene, hurry=request is not None and request.emergency)
        on_behalf = kit if request is None else replace(kit, actor=request.actor)
        run = begin(on_behalf, scene, reason, request=request)
        run.put(promote_at=None if reason is Reason.REFUSED else later)
        self._live(run)
        if run.waits:
            return
        self.warning, self.unproved = None, False  # was said of the version that is replaced now
        after = self._tracked()
        if any(one.at <= kit.clock.now() for one in retirements(kit.credential, after, kit.clock.now())):
            self._retire(after, read(kit))
        if request is not None and request.emergency:
            self._name_foreign(scene)

    def _with_room(self, scene: Scene) -> Scene:
        """Return the scene with a free slot at the issuer, after waiting for an orphan that holds it if need be."""
        kit = self.kit
        if scene.listing.free_slots != 0:
            return scene
        if self.wait is not None:
            kit.tell("sweep", "tell", "waits until an orphan that holds the slot may be removed")
            kit.pause(self.wait)
            sight(kit, read(kit))
            self.swept += sweep(kit)
            scene = read(kit)
        if scene.listing.free_slots == 0:
            raise self._no_room(scene)
        return scene

    def _no_room(self, scene: Scene) -> RotatorError:
        kit = self.kit
        ends = [one.retire_after for one in self._tracked().versions if one.state is VersionState.PREVIOUS]
        soonest = min((one for one in ends if one is not None), default=None)
        until = scene.listing.free_at
        if soonest is not None and (until is None or soonest > kit.clock.now()):
            return Busy(
                f"{kit.credential.name} has no free slot until {spell_moment(soonest)}, when a grace ends.",
                hint=f"Wait until then, or end the grace now: rotator retire {kit.credential.name}",
                code="slot_in_grace",
            )
        others = ", ".join(self._foreign(scene))
        why, hint = (
            f"; not ours: {others}" if others else "",
            "Remove one that is not used at the issuer, then try again.",
        )
        if until is not None:
            why, hint = f" until {spell_moment(until)}, when one ends there", "The next one is made then."
        return NoFreeSlot(f"{kit.credential.name} has no free slot at its issuer{why}.", hint=hint, until=until)

    def _baseline(self, tracked: Tracked, scene: Scene, *, hurry: bool) -> None:
        """See that the token endpoint can say both yes and no, before anything is made that it is to judge.

        hurry: the version in use is to end, whatever becomes of the next one.
        """
        kit, fields = self.kit, scene.document.fields
        kit.tell("baseline", "begin", "")
        client_id, words = tracked.state.client_id or kit.credential.client_id, "nothing is in use yet"
        if fields is not None and provable(kit, fields):
            ours = ours_in(kit, fields)
            client_id = client_in(kit, ours)
            verdict = prove_current(kit, client_id, ours)
            if verdict.answer is Answer.SILENT:
                kit.tell("baseline", "failed", verdict.message)
                raise silence(
                    verdict,
                    f"The token endpoint of {kit.credential.name} cannot prove anything now: {verdict.message}",
                    hint=f"It is asked again; without waiting: rotator rotate {kit.credential.name}",
                )
            words = _BASELINE[verdict.answer]
            if not hurry:
                see_it_may_end(kit, procedure_of(kit.credential, tracked), verdict)
        plan = kit.credential.proof
        if (client_id or not plan.names_client) and plan.negative_control:
            control(kit, tracked.state, client_id)
            words += ", a wrong one is refused"
        kit.tell("baseline", "done", words)

    def _foreign(self, scene: Scene) -> list[str]:
        ours = {one.key_id for one in self._tracked().versions if one.origin in _OWN}.union(self.retired)
        strange = [one.key_id for one in scene.listing.versions if not self.kit.owns(one.tag)]
        return [key_id for key_id in strange if key_id not in ours]  # what was adopted has somebody else's label

    def _name_foreign(self, scene: Scene) -> None:
        others = self._foreign(scene)
        if others:
            message = f"Still live at the issuer, and not ours to retire: {', '.join(others)}."
            hint = "Remove them at the issuer if they leaked as well."
            self.warning = Trouble("foreign_live", message, hint, self.kit.clock.now())


_BASELINE: Final = {
    Answer.PROVED: "the secret in use works",
    Answer.UNFIT: "the secret in use gets a token, but not as promised",
    Answer.REFUSED: "the secret in use is refused already",
}


def _gap_not_accepted(kit: Kit) -> Refused:
    name = kit.credential.name
    return Refused(
        f"The issuer of {name} shows a new secret once and ends the old one by making it: "
        "consumers are without a valid one for a moment, and if it is lost on its way until another one is made.",
        hint=f"Where that may be, say `accept_gap: true` in the policy of {name}.",
        code="gap_not_accepted",
    )


def _as_error(rotation: Rotation) -> RotatorError:
    """Return why a rotation was abandoned, when only the ledger remembers."""
    trouble = rotation.error
    kind = Broken if rotation.outcome is RotationOutcome.PARKED else Unproved
    if trouble is None:
        return Refused("The rotation was abandoned.", hint="See: rotator history NAME")
    return kind(trouble.message, hint=trouble.hint, code=trouble.code)
