"""What `rotator rotate` answers: an item, remarks and a status for each credential. It rotates nothing.

What an engine's report means for people and for the exit status stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rotator.app import items
from rotator.app.dry import Asked, dry_run
from rotator.app.house import House
from rotator.app.results import Item, Remark, Rotated, Trouble, status_of_asked
from rotator.engine import Report
from rotator.errors import Refused
from rotator.model import Credential, CredentialState, Reason, RetireMode, RotationOutcome, VersionState
from rotator.planner import end_of_grace, known_as, why_idle
from rotator.ports import Tracked
from rotator.timing import spell_moment


class Answers:
    """Collects one answer for each credential.

    names: those that were asked for by name; one of them that stands still is refused, any other is skipped. asked:
    what is wanted, for what is only planned.
    """

    def __init__(self, house: House, names: Sequence[str], asked: Asked, first: Remark | None = None) -> None:
        self._house, self._names, self._asked = house, names, asked
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
        if self._names:
            self._troubles.append(Trouble(credential.name, refused))
        self._put(credential, RotationOutcome.SKIPPED, "made_by_hand", refused.exit_status if self._names else 0)
        return True

    def stopped(self, credential: Credential, tracked: Tracked | None) -> bool:
        """Answer for a credential that is parked, paused or forgotten, and say whether it is."""
        tracked = known_as(credential, tracked)
        reason = None if tracked is None else _standing_still(tracked.state)
        if tracked is None or reason is None:
            return False
        refused: Refused | None = None
        if self._names:
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
        found = dry_run(self._house, credential, tracked, self._asked)
        self._put(credential, found.outcome, found.reason, 0)
        self._items[credential.name] = {**self._items[credential.name], "old_key_ids": list(found.old_key_ids)}
        self._remarks.extend(Remark(credential.name, sentence) for sentence in found.sentences)

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
        case RetireMode.WHEN_UNUSED if end is not None:
            said = f"until {spell_moment(end)}, then it is retired as soon as nobody uses it"
            return [Remark(credential.name, f"The old secret works {said}, at the latest at its own end.")]
        case RetireMode.AFTER_GRACE if end is not None:
            return [Remark(credential.name, f"The old secret works until {spell_moment(end)}, then it is retired.")]
    return []
