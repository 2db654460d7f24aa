"""`rotator report --controls`: what an auditor asks, and what the live state shows of it. It judges no organisation.

The table `CONTROLS` is also docs/reference/controls.md. Each answer is computed when it is asked for; where something
is missing it says what. Sources: NIST SP 800-53 rev. 5, PCI DSS 4.0.1, ISO/IEC 27001:2022 annex A, CIS Microsoft 365
Foundations Benchmark 7.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from rotator.app.auditing import ChainVerified, audit_verify
from rotator.app.config.schema import OnBreak
from rotator.app.house import House
from rotator.app.mirroring import remarks_on_mirrors
from rotator.app.results import Item
from rotator.app.watching import status
from rotator.event import EventName
from rotator.timing import spell, spell_moment

NEWEST: Final = 1000
"""So many of the newest records are looked at for what records contain."""

CIS_LONGEST: Final = timedelta(days=180)


class Verdict(StrEnum):
    """Whether it is shown."""

    SHOWN = "shown"
    GAP = "gap"


class Answer(NamedTuple):
    """What the live state shows. text: a sentence."""

    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is looked at, once for all controls. records: the newest. oldest: the time of the first that is kept."""

    chain: ChainVerified
    records: Sequence[Mapping[str, str | int | None]]
    oldest: str | None
    credentials: Sequence[Item]
    lifetimes: Mapping[str, timedelta]
    mirrors: Sequence[str]
    failing: Sequence[str]
    walked: datetime | None
    mode: int
    stops: bool
    signs: bool


@dataclass(frozen=True, slots=True)
class Control:
    """One control. asks: what it asks for. shows: computes what is shown. command: shows the same, at length."""

    framework: str
    number: str
    asks: str
    shows: Callable[[Facts], Answer]
    command: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """items: kind `ControlList`, in the order of the table. A gap is no failure; a broken chain is (4)."""

    items: tuple[Item, ...]
    exit_status: int


def controls(house: House, *, offline: bool = False) -> Evidence:
    """Return the evidence for each control. offline: contact no store. Raises StateUnusable where there is no state."""
    facts = _facts(house, offline=offline)
    items = []
    for one in CONTROLS:
        answer = one.shows(facts)
        items.append(
            {
                "framework": one.framework,
                "control": one.number,
                "asks": one.asks,
                "outcome": answer.verdict.value,
                "evidence": answer.text,
                "command": one.command,
            }
        )
    return Evidence(tuple(items), facts.chain.exit_status)


def _facts(house: House, *, offline: bool) -> Facts:
    chain = audit_verify(house, offline=offline)
    reader = house.reader()
    assert reader is not None  # or the walk would have said so
    first = reader.audit_one(chain.first)
    walk = reader.last_walk()
    return Facts(
        chain=chain,
        records=tuple(reader.audit_tail(limit=NEWEST)),
        oldest=None if first is None else str(first["time"]),
        credentials=status(house).items,
        lifetimes={one.name: one.policy.lifetime for one in house.config.models},
        mirrors=tuple(map(str, house.config.audit.mirror)),
        failing=tuple(one.message for one in remarks_on_mirrors(house, reader)),
        walked=None if walk is None else walk.at,
        mode=house.database.stat().st_mode & 0o777,
        stops=house.config.audit.on_break is OnBreak.STOP,
        signs=house.config.audit.signing_key is not None,
    )


# ------------------------------------------------------------------------------------------------------- the answers


def _events(facts: Facts) -> Answer:
    """Which events are recorded, and which of them have occurred."""
    seen = {str(one["event"]) for one in facts.records}
    if not seen:
        return Answer(Verdict.GAP, "Nothing has been recorded yet.")
    text = (
        f"{len(EventName)} kinds of events are recorded; {len(seen)} of them are among the newest {len(facts.records)}"
    )
    return Answer(Verdict.SHOWN, f"{text} records. {facts.chain.last} records were made in all.")


def _content(facts: Facts) -> Answer:
    """Whether each record says what happened, when, to what, by whom and how it went."""
    poor = [one["seq"] for one in facts.records if not (one["time"] and one["event"] and one["actor"])]
    if not facts.records or poor:
        return Answer(Verdict.GAP, f"Record {poor[0]} lacks one of these." if poor else "There is no record yet.")
    actors = sorted({str(one["actor"]) for one in facts.records})
    named = ", ".join(actors[:5]) + (f" and {len(actors) - 5} more" if len(actors) > 5 else "")
    calls = sum(one["outcome"] is not None for one in facts.records)
    text = f"Each of the newest {len(facts.records)} records has time, event and actor ({named})"
    return Answer(Verdict.SHOWN, f"{text}; {calls} of them tell of a call that changes something, with its outcome.")


def _protection(facts: Facts) -> Answer:
    """Whether the chain holds, the stores agree with its end, and only its owner can read the state."""
    if facts.chain.broken is not None:
        return Answer(Verdict.GAP, facts.chain.broken)
    off = [one.message for one in facts.chain.compared if one.agrees is not True]
    if off:
        return Answer(Verdict.GAP, f"{off[0]}.")
    if facts.mode & 0o077:
        return Answer(Verdict.GAP, f"Others than its owner may open the state: mode {facts.mode:04o}.")
    stores = ", ".join(one.store for one in facts.chain.compared)
    compared = f"its end is that kept in {stores}" if stores else "its end was compared with no store (--offline)"
    then = "A break stops every change." if facts.stops else "A break is an alert in `status`."
    text = f"Records {facts.chain.first} to {facts.chain.last} hold; {compared}; the state has mode {facts.mode:04o}."
    return Answer(Verdict.SHOWN, f"{text} {then}")


def _signatures(facts: Facts) -> Answer:
    """Whether the record is signed, by which key, and up to where."""
    signed = facts.chain.checkpoint
    if signed is None:
        why = "no checkpoint has been signed yet" if facts.signs else "the configuration names no audit.signing_key"
        return Answer(Verdict.GAP, f"Nobody signs the record: {why}.")
    text = f"Record {signed.seq} ({signed.time}) is signed with Ed25519 key {signed.key}"
    if signed.trusted is False:
        return Answer(Verdict.GAP, f"{text}, which is not the one of the configuration.")
    return Answer(Verdict.SHOWN, f"{text} and vouches for all before it.")


def _retention(facts: Facts) -> Answer:
    """From when on records are kept, and what became of older ones."""
    if facts.oldest is None:
        return Answer(Verdict.GAP, "There is no record yet.")
    sealed = facts.chain.sealed
    before = "nothing was ever removed"
    if facts.chain.first > 1 and not sealed:
        return Answer(Verdict.GAP, f"The records begin with {facts.chain.first}, and no seal stands for those before.")
    if sealed:
        before = f"records {sealed[0].first} to {sealed[-1].last} are in {len(sealed)} sealed segments"
    return Answer(Verdict.SHOWN, f"Records since {facts.oldest} are in the state; {before}.")


def _copies(facts: Facts) -> Answer:
    """Whether records are copied elsewhere at once."""
    if not facts.mirrors:
        return Answer(Verdict.GAP, "Records are copied nowhere: the configuration has no audit.mirror.")
    if facts.failing:
        return Answer(Verdict.GAP, facts.failing[0])
    return Answer(Verdict.SHOWN, f"Each record is copied to {', '.join(facts.mirrors)}, without a failure now.")


def _review(facts: Facts) -> Answer:
    """When the whole chain was last walked along by itself."""
    if facts.walked is None:
        return Answer(Verdict.GAP, "The chain has not been walked along before a pass yet: rotator rotate does so.")
    return Answer(Verdict.SHOWN, f"It is walked along once a day before a pass, last {spell_moment(facts.walked)}.")


def _ages(facts: Facts) -> Answer:
    """Whether each secret is changed within its period, and how old the oldest is."""
    bad = [f"{one['name']} is {one['state']}" for one in facts.credentials if one["state"] in {"expired", "parked"}]
    unknown = [str(one["name"]) for one in facts.credentials if not one["current"]]
    if bad:
        return Answer(Verdict.GAP, f"{'; '.join(bad[:5])}.")
    if not facts.credentials or unknown:
        return Answer(Verdict.GAP, f"Not rotated yet: {', '.join(unknown[:5])}." if unknown else "Nothing is tracked.")
    made = [str(one["current"]["created_at"]) for one in facts.credentials if one["current"]["created_at"]]
    longest = spell(max(facts.lifetimes.values(), default=timedelta(0)))
    oldest = f"; the oldest secret in use was made {min(made)}" if made else ""
    text = f"{len(facts.credentials)} credentials, each within its policy of at most {longest}{oldest}."
    return Answer(Verdict.SHOWN, text)


def _lifetimes(facts: Facts) -> Answer:
    """Whether any secret may live longer than 180 days."""
    long = [f"{name} {span.days} days" for name, span in facts.lifetimes.items() if span > CIS_LONGEST]
    if long or not facts.lifetimes:
        return Answer(Verdict.GAP, f"Longer than 180 days: {', '.join(long[:5])}." if long else "Nothing is tracked.")
    longest = spell(max(facts.lifetimes.values()))
    return Answer(Verdict.SHOWN, f"No secret is asked for with more than {longest}.")


def _made_by_issuer(facts: Facts) -> Answer:
    """Whether issuers made the values, or persons handed some in."""
    made = sum((one["event"], one["outcome"]) == ("version.created", "succeeded") for one in facts.records)
    taken = sum(one["event"] == "intake.received" for one in facts.records)
    if taken or not made:
        none = f"The newest {len(facts.records)} records tell of no value that was made."
        return Answer(Verdict.GAP, f"Persons handed in {taken} values." if taken else none)
    return Answer(
        Verdict.SHOWN, f"Issuers made all {made} values that the newest {len(facts.records)} records tell of."
    )


def _all(*parts: Callable[[Facts], Answer]) -> Callable[[Facts], Answer]:
    """Join answers: a gap in one is a gap."""

    def joined(facts: Facts) -> Answer:
        answers = [part(facts) for part in parts]
        gap = any(one.verdict is Verdict.GAP for one in answers)
        return Answer(Verdict.GAP if gap else Verdict.SHOWN, " ".join(one.text for one in answers))

    joined.__doc__ = " ".join(part.__doc__ or "" for part in parts)
    return joined


_NIST, _PCI, _ISO, _CIS = "NIST SP 800-53", "PCI DSS", "ISO 27001", "CIS Microsoft 365"
_LIST, _VERIFY, _STATUS = "rotator audit list", "rotator audit verify", "rotator status"

CONTROLS: Final = (
    Control(_NIST, "AU-2", "The events that are logged are known", _events, _LIST),
    Control(_NIST, "AU-3", "A record says what, when, where, by whom and how it went", _content, f"{_LIST} -o json"),
    Control(_NIST, "AU-9", "Records are protected against change and removal", _protection, _VERIFY),
    Control(_NIST, "AU-10", "Who made the record cannot deny it", _signatures, _VERIFY),
    Control(_NIST, "AU-11", "Records are kept as long as they must be", _retention, _VERIFY),
    Control(_NIST, "IA-5", "Secrets are changed at set times and ended safely", _ages, _STATUS),
    Control(_PCI, "8.6.3", "Secrets of applications are changed as often as was decided", _ages, "rotator plan"),
    Control(
        _PCI, "10.2", "What happens is logged, with the needed details", _all(_events, _content), f"{_LIST} -o json"
    ),
    Control(
        _PCI, "10.3", "Logs are protected, copied elsewhere, and changes found", _all(_protection, _copies), _VERIFY
    ),
    Control(_PCI, "10.4", "Logs are reviewed, by a machine and daily", _review, _STATUS),
    Control(_PCI, "10.5", "Logs are kept for twelve months", _retention, _VERIFY),
    Control(
        _ISO, "A.8.15", "Logs are made, stored, protected and analysed", _all(_events, _protection, _copies), _VERIFY
    ),
    Control(_CIS, "5.1.5.4", "Client secrets live for 180 days at most", _lifetimes, "rotator config show"),
    Control(
        _CIS, "5.1.5.5", "The issuer makes the value, not a caller", _made_by_issuer, f"{_LIST} --event version.created"
    ),
)
"""Each control with what shows it, in the order in which they are printed."""
