"""Finds out what became of a creation whose answer is missing, and has what it made removed. It makes nothing.

A value is shown once, with the answer. When that is lost, the version is useless wherever it is: it is looked for by
its label and removed, and another one is made under another label. Absence is believed late, and what cannot be told
apart is named for a person.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from rotator.candidate import AGAIN, LISTS_APART, UNCLEAR, candidate_of, remove_candidate
from rotator.clock import elapsed
from rotator.errors import Broken, Transient
from rotator.event import EventName, Outcome
from rotator.kept_labels import may_be_ours
from rotator.kit import settled
from rotator.model import Act, Intent, Phase
from rotator.ports import Listed, Listing
from rotator.run import Run
from rotator.timing import CLOCK_LIMIT, plus

MADE_IN_VAIN: Final = 3
"""So many versions are made in a run whose values never arrive; as many again would end the same way."""


def settle_creation(run: Run) -> None:
    """Find out what became of a creation without an answer, and remove what it made.

    Absence is believed when two lists agree, the second after the quarantine of the request. Stopped anywhere: the
    next run does the same again. A request that takes effect even later is an orphan, and swept as such. Raises
    Transient when an issuer has answered unclearly and made nothing for the second time in a run, or for the third
    time at all.
    """
    kit = run.kit
    for intent in kit.ledger.unsettled(kit.credential.name):
        if intent.act is Act.CREATE and intent.rotation_id == run.rotation.id:
            _settle(run, intent)
        elif intent.act is Act.STAGE and intent.rotation_id == run.rotation.id:
            _note_unstaged(run, intent)
    if run.rotation.key_id is not None and run.issued is None:
        remove_candidate(run)
    if run.unanswered >= MADE_IN_VAIN and run.rotation.phase is not Phase.ABANDONING:
        raise unanswered(run, ", and what it made was removed again")


def _settle(run: Run, intent: Intent) -> None:
    kit = run.kit
    since = elapsed(intent.sent, kit.clock.instant()) or timedelta(0)
    quarantine = kit.credential.policy.quarantine
    listing, found = _labelled(run, intent.tag)
    if found is None:
        wait = max(quarantine - since, min(LISTS_APART, quarantine))
        kit.tell("create", "tell", "the answer was lost; looking whether a version was made")
        run.claim.pause(wait)
        listing, found = _labelled(run, intent.tag)
    event = run.event(EventName.VERSION_CREATED, detail="resolved: two lists of the issuer do not have it")
    strange = may_be_ours(kit, intent, None if run.resumed else run.listing, listing) if found is None else []
    if found is None and _read_again(run, intent, strange):
        return
    if strange:
        told = replace(event, detail=f"unclear: {', '.join(strange)} appeared meanwhile, without the label")
        kit.ledger.record(replace(told, outcome=Outcome.UNKNOWN), settled(intent, Outcome.REFUSED))
        if run.rotation.phase is not Phase.ABANDONING:
            run.give_up(_cannot_tell(run, strange))
        return
    if found is None:
        if kit.keeping is not None:
            event = replace(event, detail=f"unclear: nothing is listed there; what was made is labelled {intent.tag}")
        outcome = Outcome.REFUSED if kit.keeping is None else Outcome.UNKNOWN
        counts = Outcome.REFUSED if kit.keeping is None else Outcome.SUCCEEDED  # it may live, so it counts as made
        kit.ledger.record(replace(event, outcome=outcome), settled(intent, counts))
        run.unanswered += intent.outcome is Outcome.UNKNOWN
        if run.unanswered > 1:  # the issuer is not well: another try at once would end the same way
            raise _nothing_made(run, intent)
        return
    run.unanswered += intent.outcome is Outcome.UNKNOWN
    event = replace(event, outcome=Outcome.SUCCEEDED, key_id=found.key_id)
    event = replace(event, detail="resolved: found by its label; its value was lost with the answer")
    version = candidate_of(run, found)
    kit.ledger.record(event, settled(intent), version, run.put(key_id=found.key_id))


def _nothing_made(run: Run, intent: Intent) -> Transient:
    if run.kit.keeping is not None:
        return unanswered(run, hint=f"What was made stays there, labelled {intent.tag}: delete it.")
    return unanswered(run, ", and no version was made", "Nothing is left behind.")


def unanswered(run: Run, made: str = "", hint: str = "") -> Transient:
    """Return the error for an issuer that has answered unclearly too often. made: what became of it."""
    why, last = ".", run.unclear
    if last is not None:
        why, hint = f": {last.message}", f"{last.hint} {hint}".rstrip()
    message = f"The issuer of {run.kit.credential.name} gave no clear answer{made}{why}"
    return Transient(message, hint=f"{hint}{AGAIN}".lstrip(), code=UNCLEAR)


def _read_again(run: Run, intent: Intent, strange: list[str]) -> bool:
    """Take what appeared, where its value can be read again; say whether that was so.

    After a crash it is in the list from the beginning; then it is known by the time at which it was made.
    """
    kit = run.kit
    if kit.credential.labelled or kit.single is None or kit.keeping is not None:  # the latter reads what it kept only
        return False
    issued = kit.single.read(kit.credential.application)
    if issued.version.key_id not in strange and not _is_new(run, intent, issued.version):
        return False
    version = candidate_of(run, replace(issued.version, tag=run.rotation.tag))
    event = run.event(EventName.VERSION_CREATED, outcome=Outcome.SUCCEEDED, key_id=version.key_id)
    told = replace(event, detail="resolved: read back from the issuer")
    kit.ledger.record(told, settled(intent), version, run.put(key_id=version.key_id))
    run.issued = issued
    return True


def _is_new(run: Run, intent: Intent, listed: Listed) -> bool:
    known, made = {one.key_id for one in run.tracked().versions}, listed.created_at
    since = plus(intent.sent.wall, -CLOCK_LIMIT)
    return bool(listed.key_id) and listed.key_id not in known and made is not None and made >= since


def _cannot_tell(run: Run, strange: list[str]) -> Broken:
    name, last = run.kit.credential.name, run.unclear
    why, look = (f" {last.message}", f"{last.hint} ") if last is not None else ("", "")
    return Broken(
        f"The answer to a creation was lost, and {', '.join(strange)} appeared at the issuer of {name}; "
        f"no label says whether that is ours.{why}",
        hint=f"{look}If nobody else made it, remove it at the issuer; then: rotator resume {name}",
        code="cannot_tell",
    )


def _note_unstaged(run: Run, intent: Intent) -> None:
    event = run.event(EventName.VERSION_STAGED, outcome=Outcome.REFUSED, key_id=intent.key_id)
    event = replace(event, detail="resolved: the staging document does not have it")
    run.kit.ledger.record(event, settled(intent, Outcome.REFUSED))


def _labelled(run: Run, tag: str | None) -> tuple[Listing, Listed | None]:
    listing = run.kit.provider.list(run.kit.credential.application)
    return listing, next((one for one in listing.versions if one.tag == tag), None)
