"""The copy of the audit chain's end that is kept in a staging area."""

from __future__ import annotations

import pytest

from rotator.app import heads
from rotator.clock import ManualClock
from rotator.event import Event, EventName
from rotator.ports import Head
from rotator.secret import Fields
from tests.fakes.memory_ledger import MemoryLedger
from tests.fakes.memory_store import MemoryDocuments


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def staging(clock: ManualClock) -> MemoryDocuments:
    return MemoryDocuments(clock, 1)


class Chained(MemoryLedger):
    """A ledger whose records can be asked for by their number, and that keeps notes."""

    def remembered(self, name: str) -> str | None:
        return vars(self).get(name)

    def remember(self, name: str, value: str) -> None:
        vars(self)[name] = value

    def audit_one(self, seq: int) -> dict[str, str | int | None] | None:
        return self.events[seq - 1] if 0 < seq <= len(self.events) else None


def ledger(clock: ManualClock, records: int, actor: str = "dana") -> Chained:
    made = Chained(clock, "owner-a")
    for _ in range(records):
        made.record(Event(EventName.CONFIG_LOADED, actor))
    return made


def test_the_head_that_was_written_is_the_one_that_is_read(clock: ManualClock, staging: MemoryDocuments) -> None:
    told = ledger(clock, 3)
    assert heads.publish(told, {"vault": staging}, clock) == []
    assert heads.kept_in(staging, "owner-a") == told.head()
    assert sorted(staging.read("_head.owner-a").fields or ()) == ["hash", "seq", "time"]


def test_each_state_keeps_its_own_head(clock: ManualClock, staging: MemoryDocuments) -> None:
    heads.publish(ledger(clock, 3), {"vault": staging}, clock)
    assert heads.kept_in(staging, "owner-b") is None


def test_a_later_head_is_evidence_and_is_not_overwritten(clock: ManualClock, staging: MemoryDocuments) -> None:
    whole = ledger(clock, 5)
    heads.publish(whole, {"vault": staging}, clock)
    heads.publish(ledger(clock, 2), {"vault": staging}, clock)
    assert heads.kept_in(staging, "owner-a") == whole.head()


def test_a_head_that_other_records_have_outgrown_is_evidence_too(clock: ManualClock, staging: MemoryDocuments) -> None:
    whole = ledger(clock, 5)
    heads.publish(whole, {"vault": staging}, clock)
    heads.publish(ledger(clock, 9, "somebody else"), {"vault": staging}, clock)
    assert heads.kept_in(staging, "owner-a") == whole.head()
    heads.publish(ledger(clock, 9), {"vault": staging}, clock)
    assert heads.kept_in(staging, "owner-a") == Head(9, ledger(clock, 9).head().hash)


def test_a_later_head_gives_way_when_a_person_has_accepted_that(clock: ManualClock, staging: MemoryDocuments) -> None:
    heads.publish(ledger(clock, 5), {"vault": staging}, clock)
    short = ledger(clock, 2)
    heads.publish(short, {"vault": staging}, clock, heads.Evidence.ACCEPTED)
    assert heads.kept_in(staging, "owner-a") == short.head()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"seq": "3"},
        {"seq": "x", "hash": "0" * 64},
        {"seq": "-1", "hash": "0" * 64},
        {"seq": "٣", "hash": "0" * 64},
        {"seq": "9" * 40, "hash": "0" * 64},
        {"seq": "3", "hash": "not a hash"},
        {"seq": "3", "hash": "0" * 64 + "\n"},
    ],
)
def test_what_is_no_head_is_none(fields: dict[str, str]) -> None:
    assert heads.decode(Fields(fields)) is None


def test_a_document_that_is_no_head_is_replaced_by_one(clock: ManualClock, staging: MemoryDocuments) -> None:
    staging.put("_head.owner-a", Fields({"seq": "garbage"}))
    told = ledger(clock, 1)
    heads.publish(told, {"vault": staging}, clock)
    assert heads.kept_in(staging, "owner-a") == Head(1, told.head().hash)


def test_a_head_that_was_written_and_is_gone_is_evidence(clock: ManualClock, staging: MemoryDocuments) -> None:
    told = ledger(clock, 3)
    heads.publish(told, {"vault": staging}, clock)
    elsewhere = MemoryDocuments(clock, 1)
    heads.publish(told, {"vault": elsewhere}, clock)
    assert heads.kept_in(elsewhere, "owner-a") is None
    heads.publish(told, {"other": elsewhere}, clock)
    assert heads.kept_in(elsewhere, "owner-a") == told.head(), "a store of another name is a new one"
    heads.publish(told, {"vault": elsewhere}, clock, heads.Evidence.ACCEPTED)
    assert heads.was_published(told, "vault")
