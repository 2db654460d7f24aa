"""One suite for every ledger: what the port promises is seen in memory and in a file of SQLite."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rotator.chain import ZEROS
from rotator.clock import Instant, ManualClock
from rotator.errors import StateUnusable
from rotator.event import Event, EventName, Outcome
from rotator.model import (
    Act,
    Binding,
    CredentialState,
    Displacement,
    Intent,
    Origin,
    Phase,
    Reason,
    Request,
    Rotation,
    RotationOutcome,
    Trouble,
    Version,
    VersionState,
)
from rotator.notes import GraceExtended, ProofSeen, Sighting, Step
from rotator.persistence import database
from rotator.persistence.ledger import SqlLedger
from rotator.ports import Ledger
from tests.fakes.memory_ledger import MemoryLedger

NOW = datetime(2026, 11, 24, 14, 1, 7, 123456, tzinfo=UTC)
LATER = NOW + timedelta(days=90)
HERE = Instant(NOW, "boot-1", timedelta(hours=3, microseconds=7))
NAME = "kontrolle-plus-prod"
TROUBLE = Trouble("missing_role", "Token lacks role A.", "Restore it.", NOW)


@pytest.fixture(params=["memory", "journal", "log"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Yield a ledger in memory, or on SQLite in one of the two ways in which it may be run, whichever fits here."""
    clock = ManualClock(NOW)
    if request.param == "memory":
        yield MemoryLedger(clock)
        return
    mode = ("wal", "FULL") if request.param == "log" else ("delete", "EXTRA")
    monkeypatch.setattr(database, "journal", lambda _: mode)
    with SqlLedger(tmp_path / "state" / "rotator.db", clock) as opened:
        yield opened


def state(name: str = NAME, **facts: Any) -> CredentialState:
    return CredentialState(name, Binding("iss", "app", f"vault:{name}"), "contoso", "entra", **facts)


def version(key_id: str, to: VersionState = VersionState.CURRENT, *, of: str = NAME, **facts: Any) -> Version:
    return Version(of, key_id, to, Origin.OURS, **facts)


def rotation(rid: str, phase: Phase = Phase.BEGUN, seq: int = 1, *, of: str = NAME, **facts: Any) -> Rotation:
    return Rotation(rid, of, seq, 1, phase, 1, Reason.NEAR_EXPIRY, "daemon", NOW, **facts)


def intent(iid: str, act: Act = Act.CREATE, *, of: str = NAME, sent: Instant = HERE, **facts: Any) -> Intent:
    return Intent(iid, of, act, sent, **facts)


def event(name: EventName = EventName.ROTATION_STARTED, **facts: Any) -> Event:
    return Event(name, "dana", NAME, **facts)


FULL_STATE = state(
    client_id="c",
    paused_at=NOW,
    parked=TROUBLE,
    error=replace(TROUBLE, code="other", message='"Ü"\n'),
    failures=3,
    cause="missing_role",
    same_cause=2,
    not_before=NOW,
    proved_at=NOW - timedelta(1),
    control_at=NOW - timedelta(2),
    wake_at=LATER,
    alerted_at=NOW,
    forgotten_at=LATER,
)
FULL_VERSION = version(
    "k1",
    VersionState.PREVIOUS,
    created_at=NOW,
    expires_at=LATER,
    tag="rotator/i/n/r/1",
    rotation_id="r1",
    store_version=7,
    promoted_at=NOW,
    displaced=Displacement("r2", HERE, NOW, LATER),
    retire_after=LATER,
    retired_at=LATER,
)
FULL_ROTATION = rotation(
    "r1",
    Phase.PROMOTED,
    note="leaver",
    emergency=True,
    tag="t",
    key_id="k2",
    old_key_ids=("k0", "k1"),
    base_version=6,
    store_version=7,
    proofs=3,
    outcome=RotationOutcome.PROMOTED,
    finished_at=LATER,
    error=TROUBLE,
)


def test_a_credential_that_was_never_seen_is_not_tracked(ledger: Ledger) -> None:
    assert ledger.tracked(NAME) is None
    assert list(ledger.every()) == []
    assert ledger.next_seq(NAME) == 1
    assert ledger.rotation("r1") is None


def test_everything_comes_back_as_it_was_written(ledger: Ledger) -> None:
    asked = Request("q1", NAME, "dana", "leaver", NOW, emergency=True)
    ledger.record(event(), FULL_STATE, FULL_VERSION, FULL_ROTATION, asked)
    seen = ledger.tracked(NAME)
    assert seen is not None
    assert (seen.state, seen.versions, seen.last, seen.request) == (FULL_STATE, (FULL_VERSION,), FULL_ROTATION, asked)
    assert seen.rotation is None
    assert ledger.rotation("r1") == FULL_ROTATION
    bare = (state("bare"), version("k", of="bare"), rotation("r3", of="bare"))
    ledger.record(event(), *bare)
    assert list(ledger.every()) == [ledger.tracked("bare"), seen]
    seen = ledger.tracked("bare")
    assert (seen.state, seen.versions[0], seen.rotation, seen.last, seen.request) == (*bare, None, None)


def test_a_row_is_replaced_by_its_key(ledger: Ledger) -> None:
    ledger.record(event(), state(failures=1), version("k1"), rotation("r1"), intent("i1"))
    ledger.note(state(failures=2))
    ledger.record(
        event(),
        version("k1", VersionState.RETIRING),
        rotation("r1", Phase.STAGED),
        intent("i1", outcome=Outcome.SUCCEEDED),
    )
    seen = ledger.tracked(NAME)
    assert seen.state.failures == 2
    assert seen.versions == (version("k1", VersionState.RETIRING),)
    assert seen.rotation == rotation("r1", Phase.STAGED)
    assert ledger.unsettled(NAME) == ()


def test_the_next_reader_sees_what_is_optional_gone(ledger: Ledger) -> None:
    ledger.record(event(), FULL_STATE, FULL_VERSION)
    ledger.record(event(), state(), version("k1"))
    seen = ledger.tracked(NAME)
    assert (seen.state, seen.versions) == (state(), (version("k1"),))


def test_versions_that_are_gone_or_left_are_not_tracked(ledger: Ledger) -> None:
    ledger.record(event(), state(), *(version(one.value, one) for one in VersionState))
    assert {one.state for one in ledger.tracked(NAME).versions} == {
        VersionState.CANDIDATE,
        VersionState.CURRENT,
        VersionState.PREVIOUS,
        VersionState.RETIRING,
    }


def test_versions_come_in_the_order_of_their_age(ledger: Ledger) -> None:
    ages = {"a": NOW, "b": NOW - timedelta(1), "c": None, "d": NOW + timedelta(1)}
    ledger.record(event(), state(), *(version(key, created_at=at) for key, at in ages.items()))
    assert [one.key_id for one in ledger.tracked(NAME).versions] == ["c", "b", "a", "d"]


def test_a_walk_takes_the_credentials_by_name(ledger: Ledger) -> None:
    names = sorted(["c09990", *(f"c{number:04}" for number in range(2344))])
    ledger.note(*(state(name) for name in reversed(names)))
    ledger.record(event(), *(version("k", of=name) for name in names[::2]), rotation("r", of=names[1200]))
    walked = list(ledger.every())
    assert [one.state.name for one in walked] == names
    assert [bool(one.versions) for one in walked] == [number % 2 == 0 for number in range(2345)]
    assert [one.state.name for one in walked if one.rotation] == [names[1200]]
    wanted = {"c0007", "c2000", "no-such"}
    assert [one.state.name for one in ledger.every(wanted)] == ["c0007", "c2000"]
    assert [one.state.name for one in ledger.every(names)] == names
    assert list(ledger.every([])) == []


def test_it_can_be_written_to_while_somebody_walks(ledger: Ledger) -> None:
    ledger.note(*(state(f"c{number:04}") for number in range(1500)))
    count = 0
    for one in ledger.every():
        ledger.note(replace(one.state, failures=1))
        count += 1
    assert count == 1500
    assert all(one.state.failures == 1 for one in ledger.every())


def test_a_second_unfinished_rotation_is_refused_and_ends_all_writing(ledger: Ledger) -> None:
    ledger.record(event(), rotation("r1", of="other"), rotation("r1b", Phase.STAGED))
    before = ledger.head()
    with pytest.raises(StateUnusable):
        ledger.record(event(), state(), rotation("r2", seq=2))
    assert ledger.head() == before
    assert ledger.rotation("r2") is None
    assert ledger.tracked(NAME) is None
    with pytest.raises(StateUnusable):
        ledger.record(event())
    with pytest.raises(StateUnusable):
        ledger.note(state())
    with pytest.raises(StateUnusable):
        ledger.forget_sightings(NAME, ["k"])


def test_a_rotation_may_begin_in_the_transaction_that_ends_the_one_before(ledger: Ledger) -> None:
    ledger.record(event(), state(), rotation("r1"))
    ledger.record(event(), rotation("r1", Phase.ABANDONED), rotation("r2", seq=2))
    seen = ledger.tracked(NAME)
    assert (seen.last.id, seen.rotation.id) == ("r1", "r2")
    ledger.record(event(), rotation("r2", Phase.PROMOTED, 2))
    assert ledger.tracked(NAME).last.id == "r2"
    assert ledger.next_seq(NAME) == 3
    assert ledger.next_seq("other") == 1


def test_the_oldest_unanswered_request_is_tracked(ledger: Ledger) -> None:
    first, second = Request("z", NAME, "dana", "", LATER), Request("a", NAME, "noor", "", NOW)
    ledger.record(event(), state(), first)
    ledger.record(event(), second)
    assert ledger.tracked(NAME).request == first
    ledger.record(event(), replace(first, answered_by="r1"))
    assert ledger.tracked(NAME).request == second


def test_unsettled_are_the_intents_without_outcome_and_the_unknown_ones_oldest_first(ledger: Ledger) -> None:
    before = Instant(NOW - timedelta(1), "boot-0", timedelta(1))
    for number, outcome in enumerate([None, Outcome.SUCCEEDED, Outcome.UNKNOWN, Outcome.REFUSED, None]):
        ledger.record(event(), intent(f"i{9 - number}", sent=before if number == 4 else HERE, outcome=outcome))
    ledger.record(event(), intent("x", of="other"))
    assert [one.id for one in ledger.unsettled(NAME)] == ["i9", "i7", "i5"]
    full = intent("f", Act.PROMOTE, of="n", rotation_id="r", tag="t", key_id="k", attempt=2, expected=0)
    ledger.record(event(), full)
    assert ledger.unsettled("n") == (full,)


def test_what_is_written_again_keeps_its_place(ledger: Ledger) -> None:
    for iid in ("c", "b", "a"):
        ledger.record(event(), intent(iid), Request(iid, NAME, "dana", "", NOW), rotation(iid, Phase.PROMOTED))
    ledger.record(event(), state(), intent("c", outcome=Outcome.UNKNOWN), Request("c", NAME, "noor", "", NOW))
    ledger.record(event(), rotation("c", Phase.PROMOTED, note="again"))
    assert [one.id for one in ledger.unsettled(NAME)] == ["c", "b", "a"]
    assert ledger.tracked(NAME).request == Request("c", NAME, "noor", "", NOW)
    assert ledger.tracked(NAME).last.id == "a"


def test_known_is_every_key_id_that_a_row_names(ledger: Ledger) -> None:
    ended = NOW - timedelta(days=1)
    ledger.record(
        event(),
        version("current"),
        version("left", VersionState.LEFT, retired_at=ended - timedelta(9)),
        version("retired-lately", VersionState.RETIRED, retired_at=ended),
        version("retired-long-ago", VersionState.RETIRED, retired_at=ended - timedelta(microseconds=1)),
        version("abandoned-lately", VersionState.ABANDONED, retired_at=NOW),
        version("abandoned-long-ago", VersionState.ABANDONED, retired_at=ended - timedelta(1)),
        version("abandoned-some-time", VersionState.ABANDONED),
        version("of-another", of="other"),
        rotation("r1", key_id="new", old_key_ids=("old", "retired-long-ago")),
        rotation("r0", Phase.ABANDONED, key_id="abandoned-long-ago"),
        rotation("r9", of="other", key_id="not-ours"),
        intent("i1", key_id=None),
        intent("i2", Act.STAGE, key_id="staged"),
        intent("i3", Act.RETIRE, key_id="orphan"),
    )
    assert ledger.known_key_ids(NAME, ended) == {
        *("current", "left", "retired-lately", "abandoned-lately", "abandoned-some-time", "new", "old", "staged")
    }
    assert ledger.known_key_ids("nobody", ended) == frozenset()


def test_creations_are_counted_unless_nothing_came_of_them_for_certain(ledger: Ledger) -> None:
    since = NOW - timedelta(days=1)
    at = {"i1": since, "i2": since - timedelta(microseconds=1), "i3": NOW}
    for iid, wall in at.items():
        ledger.record(event(), intent(iid, sent=replace(HERE, wall=wall), outcome=Outcome.UNKNOWN))
    ledger.record(event(), intent("i6", outcome=Outcome.REFUSED))
    ledger.record(event(), intent("i4", Act.STAGE), intent("i5", of="other"))
    assert ledger.creations_since(NAME, since) == 2
    for iid, outcome in {"i7": Outcome.UNKNOWN, "i8": Outcome.SUCCEEDED, "i9": Outcome.REFUSED}.items():
        ledger.record(event(), intent(iid, tag="set again", outcome=outcome))
    assert ledger.creations_since(NAME, since) == 3


def test_sightings_are_kept_until_they_are_forgotten(ledger: Ledger) -> None:
    first = [Sighting(NAME, key, "rotator/i/n/r/1", HERE, 1) for key in ("k1", "k2", "k3")]
    ledger.note(*first, Sighting("other", "k1", "t", HERE, 1))
    ledger.note(replace(first[1], times=2))
    assert ledger.sightings(NAME) == (first[0], replace(first[1], times=2), first[2])
    ledger.forget_sightings(NAME, ["k1", "k3", "no-such"])
    assert [one.key_id for one in ledger.sightings(NAME)] == ["k2"]
    assert len(ledger.sightings("other")) == 1


def test_a_grace_is_extended_and_nothing_else_of_the_version_changes(ledger: Ledger) -> None:
    old, other = version("k1", VersionState.PREVIOUS, tag="t"), version("k2", VersionState.PREVIOUS)
    ledger.record(event(), state(), old, other, version("k1", VersionState.PREVIOUS, of="other"))
    later = NOW + timedelta(hours=6)
    ledger.note(GraceExtended(NAME, "k1", later))
    tracked = ledger.tracked(NAME)
    assert tracked is not None
    assert {one.key_id: one for one in tracked.versions} == {"k1": replace(old, retire_after=later), "k2": other}


def test_a_provider_ails_until_one_of_the_ailing_is_proved(ledger: Ledger) -> None:
    ledger.note(ProofSeen("contoso", "a", "invalid_client"), ProofSeen("contoso", "b", "invalid_client"))
    ledger.note(ProofSeen("contoso", "b", "missing_role"), ProofSeen("other", "c", "expired_secret"))
    assert ledger.ailing("contoso") == {"a": "invalid_client", "b": "missing_role"}
    ledger.note(ProofSeen("contoso", "d", None), ProofSeen("contoso", "c", None))
    assert ledger.ailing("contoso") == {"a": "invalid_client", "b": "missing_role"}, "says nothing of those that fail"
    ledger.note(ProofSeen("contoso", "b", None))
    assert ledger.ailing("contoso") == {}
    assert ledger.ailing("other") == {"c": "expired_secret"}


def test_one_that_was_forgotten_ails_no_more(ledger: Ledger) -> None:
    ledger.note(ProofSeen("contoso", NAME, "invalid_client"), ProofSeen("contoso", "b", "invalid_client"))
    ledger.note(state(forgotten_at=HERE.wall))
    assert ledger.ailing("contoso") == {"b": "invalid_client"}


def test_steps_are_taken_note_of(ledger: Ledger) -> None:
    ledger.note(*(Step("r1", name, "done", NOW, 1, "", 0.8) for name in ("create", "create", "stage")))


def test_the_head_moves_with_every_record(ledger: Ledger) -> None:
    assert (ledger.head().seq, ledger.head().hash) == (0, ZEROS)
    ledger.record(event(), state(), event(EventName.DRIFT_FOUND), event(EventName.ORPHAN_FOUND))
    assert ledger.head().seq == 3
    ledger.note(state())
    assert ledger.head().seq == 3


def test_threads_may_write_at_once(ledger: Ledger) -> None:
    together = threading.Barrier(4)

    def work(number: int) -> None:
        together.wait()
        for turn in range(25):
            ledger.record(event(), version(f"k{number}-{turn}"))
            ledger.note(state(f"c{number}", failures=turn))
            assert ledger.tracked(f"c{number}").state.failures == turn

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert ledger.head().seq == 100
    assert len(ledger.known_key_ids(NAME, NOW)) == 100


def test_who_wakes_is_found_by_its_moment(ledger: Ledger) -> None:
    """Without one first, then the longest waiting; what is believed to sleep, or is forgotten, is left out."""
    moments = {
        "late": NOW - timedelta(hours=2),
        "just-now": NOW,
        "asleep": NOW + timedelta(minutes=1),
        "absurd": NOW + timedelta(days=400),
        "never-seen": None,
    }
    for name, wake_at in moments.items():
        ledger.note(replace(state(name), wake_at=wake_at))
    ledger.note(replace(state("forgotten"), wake_at=None, forgotten_at=NOW))
    found = [one.name for one in ledger.waking(NOW, 10)]
    assert found[:3] == ["never-seen", "late", "just-now"]
    assert set(found[3:]) == {"absurd"}
    assert [one.name for one in ledger.waking(NOW, 1)] == ["never-seen"]


def test_who_wakes_says_whether_it_has_a_version_or_sightings(ledger: Ledger) -> None:
    ledger.note(state())
    (fresh,) = ledger.waking(NOW, 10)
    assert fresh.fresh
    assert not fresh.sighted
    ledger.record(event(), version("k1", VersionState.CURRENT))
    ledger.note(Sighting(NAME, "k9", "t", HERE, 1))
    (known,) = ledger.waking(NOW, 10)
    assert not known.fresh
    assert known.sighted


def test_who_is_put_off_sleeps_unless_it_was_touched_meanwhile(ledger: Ledger) -> None:
    for name in ("one", "two"):
        ledger.note(replace(state(name), wake_at=NOW))
    found = ledger.waking(NOW, 10)
    ledger.note(replace(state("two"), wake_at=None))
    ledger.postpone({one: NOW + timedelta(minutes=30) for one in found})
    assert [one.name for one in ledger.waking(NOW, 10)] == ["two"]
