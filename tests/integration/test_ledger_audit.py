"""The audit records in a real file: tampering is found and named, and what was accepted stays in sight."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.chain import KEYS, ZEROS, Flaw, first_break, link, record_of
from rotator.clock import ManualClock, SystemClock
from rotator.event import Event, EventName, Outcome
from rotator.model import (
    Act,
    Binding,
    CredentialState,
    Intent,
    Origin,
    Phase,
    Reason,
    Request,
    Rotation,
    Version,
    VersionState,
)
from rotator.notes import Step
from rotator.persistence import database as opening
from rotator.persistence import trail
from rotator.persistence.ledger import SqlLedger
from rotator.persistence.reading import AuditFilter, Reader
from rotator.ports import Head

NOW = datetime(2026, 11, 24, 14, 1, 7, tzinfo=UTC)
STATE = CredentialState("a", Binding("iss", "app", "vault:a"), "contoso", "entra")
COUNT = 60


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a state with sixty records, one a minute."""
    path, clock = tmp_path / "rotator.db", ManualClock(NOW)
    with SqlLedger(path, clock) as ledger:
        for number in range(1, COUNT + 1):
            ledger.record(
                Event(
                    EventName.VERSION_CREATED if number % 2 else EventName.VERSION_RETIRED,
                    "dana" if number % 3 else "daemon",
                    f"c{number % 5}",
                    f"r{number % 7}",
                    Outcome.SUCCEEDED if number % 2 else None,
                    detail=f"number {number}",
                )
            )
            clock.advance(timedelta(minutes=1))
    return path


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        for statement in statements:
            other.execute(statement)


@pytest.fixture
def ledger(database: Path) -> Iterator[SqlLedger]:
    with SqlLedger(database, ManualClock(NOW + timedelta(days=1))) as opened:
        yield opened


def numbers(records: object) -> list[int]:
    return [one["seq"] for one in records]  # type: ignore[attr-defined]


# -------------------------------------------------------------------------------------------------------------- whole


def test_records_are_those_that_were_written(database: Path) -> None:
    with Reader(database) as reader:
        records = list(reader.audit())
        assert [tuple(one) for one in records] == [KEYS] * COUNT
        assert first_break(records) is None
        event = Event(EventName.VERSION_CREATED, "dana", "c1", "r1", Outcome.SUCCEEDED, detail="number 1")
        assert records[0] == record_of(event, 1, NOW, ZEROS)
        assert reader.head() == Head(COUNT, str(records[-1]["hash"]))
        found = reader.verify()
    assert (found.first, found.last, found.head.seq, found.broken, found.accepted) == (1, COUNT, COUNT, None, ())


def test_a_chain_longer_than_a_page_is_walked_to_its_end(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Reader(database) as reader:
        for page in (1, 7, COUNT - 1, COUNT, COUNT + 1):
            monkeypatch.setattr(trail, "PAGE", page)
            assert reader.verify().last == COUNT
            assert reader.verify().broken is None
            assert numbers(reader.audit()) == list(range(1, COUNT + 1))
            assert numbers(reader.audit_tail(limit=10)) == list(range(COUNT - 9, COUNT + 1))


def test_an_empty_chain_is_whole(tmp_path: Path) -> None:
    with SqlLedger(tmp_path / "rotator.db", SystemClock()) as ledger:
        found = ledger.verify()
        assert (found.first, found.last, found.head, found.broken) == (0, 0, Head(0, ZEROS), None)
        assert list(ledger.audit()) == ledger.audit_tail() == []


# ----------------------------------------------------------------------------------------------------------- tampering


@pytest.mark.parametrize(
    ("statements", "seq", "flaw"),
    [
        (["UPDATE audit SET detail = 'another' WHERE seq = 17"], 17, Flaw.EDITED),
        (["UPDATE audit SET time = time + 1 WHERE seq = 17"], 17, Flaw.EDITED),
        (["UPDATE audit SET time = 9223372036854775807 WHERE seq = 17"], 17, Flaw.EDITED),
        (["UPDATE audit SET credential = NULL WHERE seq = 1"], 1, Flaw.EDITED),
        (["UPDATE audit SET store_version = 9007199254740993 WHERE seq = 17"], 17, Flaw.EDITED),
        (["UPDATE audit SET detail = CAST(x'ff' AS TEXT) WHERE seq = 17"], 17, Flaw.EDITED),
        (["DELETE FROM audit WHERE seq = 17"], 18, Flaw.MISSING),
        (["DELETE FROM audit WHERE seq <= 17"], 18, Flaw.MISSING),
        (["DELETE FROM audit WHERE seq > 17"], 18, Flaw.CUT),
        (["DELETE FROM audit WHERE seq = 60"], 60, Flaw.CUT),
        (["DELETE FROM audit"], 1, Flaw.CUT),
        (["UPDATE audit_head SET seq = 59"], 61, Flaw.CUT),
        (["UPDATE audit_head SET hash = '0'"], 61, Flaw.CUT),
        (["DELETE FROM audit_head"], 61, Flaw.CUT),
        (
            ["UPDATE audit SET seq = -1 WHERE seq = 17", "UPDATE audit SET seq = 17 WHERE seq = 18"],
            -1,
            Flaw.REORDERED,
        ),
        (
            [
                "UPDATE audit SET seq = 1000 WHERE seq = 17",
                "UPDATE audit SET seq = 17 WHERE seq = 18",
                "UPDATE audit SET seq = 18 WHERE seq = 1000",
            ],
            17,
            Flaw.EDITED,
        ),
        (["UPDATE audit SET seq = 9223372036854775807 WHERE seq = 60"], 9223372036854775807, Flaw.MISSING),
        (
            [f"INSERT INTO audit SELECT 61, {', '.join(KEYS[1:])} FROM audit WHERE seq = 60"],
            61,
            Flaw.EDITED,
        ),
    ],
)
def test_tampering_is_found_and_the_first_broken_record_is_named(
    database: Path, statements: list[str], seq: int, flaw: Flaw
) -> None:
    tamper(database, *statements)
    with Reader(database) as reader:
        found = reader.verify().broken
        assert found is not None
        assert (found.seq, found.flaw) == (seq, flaw)
        assert found.reason.endswith(".")
        list(reader.audit())
        reader.audit_tail()


def test_a_record_that_was_written_anew_with_its_hash_is_found_by_the_next(database: Path) -> None:
    with Reader(database) as reader:
        record = {**(reader.audit_one(17) or {}), "actor": "mallory"}
    made_anew = link(record, str(record["prev_hash"]))
    tamper(database, f"UPDATE audit SET actor = 'mallory', hash = '{made_anew}' WHERE seq = 17")
    with Reader(database) as reader:
        found = reader.verify().broken
    assert (found.seq, found.flaw) == (18, Flaw.UNLINKED)


def test_a_cut_tail_is_found_by_a_head_kept_elsewhere_even_when_ours_was_cut_too(database: Path) -> None:
    with Reader(database) as reader:
        elsewhere, earlier = reader.head(), Head(40, str(reader.audit_one(40)["hash"]))
    tamper(
        database,
        "DELETE FROM audit WHERE seq > 40",
        f"UPDATE audit_head SET seq = 40, hash = '{earlier.hash}'",
    )
    with Reader(database) as reader:
        assert reader.verify().broken is None
        assert reader.verify(earlier).broken is None
        found = reader.verify(elsewhere).broken
        assert (found.seq, found.flaw) == (41, Flaw.CUT)
        assert "names record 60" in found.reason


def test_a_chain_written_anew_from_some_record_on_is_found_by_a_head_kept_elsewhere(tmp_path: Path) -> None:
    heads = []
    for actor in ("dana", "mallory"):
        with SqlLedger(tmp_path / f"{actor}.db", ManualClock(NOW)) as ledger:
            for number in range(5):
                ledger.record(Event(EventName.SECRET_READ, actor if number == 2 else "x"))
            heads.append(ledger.head())
    with Reader(tmp_path / "mallory.db") as reader:
        assert reader.verify().broken is None
        assert reader.verify(heads[1]).broken is None
        found = reader.verify(heads[0]).broken
        assert (found.seq, found.flaw) == (5, Flaw.CUT)


def test_records_written_after_a_tail_was_cut_do_not_heal_it(database: Path, ledger: SqlLedger) -> None:
    ledger.close()
    tamper(database, "DELETE FROM audit WHERE seq > 40")
    with SqlLedger(database, ManualClock(NOW)) as again:
        again.record(Event(EventName.SECRET_READ, "x"))
        assert again.head().seq == 61
        assert (again.verify().broken.seq, again.verify().broken.flaw) == (61, Flaw.MISSING)


# ------------------------------------------------------------------------------------------------------------- accepted


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE audit SET detail = 'another' WHERE seq = 17"],
        ["DELETE FROM audit WHERE seq BETWEEN 17 AND 19", "UPDATE audit SET actor = 'x' WHERE seq = 40"],
        [f"UPDATE audit SET actor = 'x' WHERE seq = {seq}" for seq in range(5, 50, 2)],
    ],
)
def test_an_accepted_break_is_told_and_no_longer_broken(database: Path, statements: list[str]) -> None:
    tamper(database, *statements)
    with SqlLedger(database, ManualClock(NOW)) as ledger:
        before = ledger.verify()
        assert ledger.accept("dana", "restored from a backup") == before
        after = ledger.verify()
        assert after.broken is None
        assert after.accepted == before.unaccepted
        last = ledger.audit_tail(AuditFilter(event="audit.accepted"))
        assert last[-1]["actor"] == "dana"
        assert str(last[-1]["detail"]).endswith("restored from a backup")
        assert str(before.broken.seq) in str(last[0]["detail"])
        ledger.record(Event(EventName.SECRET_READ, "x"))
        assert ledger.verify().broken is None


def test_what_is_changed_after_a_break_was_accepted_is_a_new_break(database: Path) -> None:
    tamper(database, "UPDATE audit SET detail = 'another' WHERE seq = 17")
    with SqlLedger(database, ManualClock(NOW)) as ledger:
        ledger.accept("dana", "known")
    tamper(database, "UPDATE audit SET detail = 'a third' WHERE seq = 17")
    with Reader(database) as reader:
        assert reader.verify().broken.seq == 17
    tamper(database, "UPDATE audit SET detail = 'another' WHERE seq = 17")
    with Reader(database) as reader:
        assert reader.verify().broken is None
    tamper(database, "UPDATE audit SET detail = 'x' WHERE seq = 30")
    with Reader(database) as reader:
        assert (reader.verify().broken.seq, len(reader.verify().accepted)) == (30, 1)


def test_more_removed_before_a_gap_that_was_accepted_is_a_new_break(database: Path) -> None:
    tamper(database, "DELETE FROM audit WHERE seq IN (17, 18)")
    with SqlLedger(database, ManualClock(NOW)) as ledger:
        ledger.accept("dana", "known")
        assert ledger.verify().broken is None
    tamper(database, "DELETE FROM audit WHERE seq = 16")
    with Reader(database) as reader:
        assert (reader.verify().broken.seq, reader.verify().broken.flaw) == (19, Flaw.MISSING)


def test_after_a_tail_was_cut_accepting_goes_on_from_the_last_record_as_it_stands(database: Path) -> None:
    with Reader(database) as reader:
        elsewhere, last = reader.head(), str(reader.audit_one(40)["hash"])
    tamper(database, "DELETE FROM audit WHERE seq > 40")
    with SqlLedger(database, ManualClock(NOW)) as ledger:
        ledger.accept("dana", "the disk was lost", elsewhere)
        assert ledger.head().seq == 41
        assert ledger.audit_one(41)["prev_hash"] == last
        assert "41 cut" in str(ledger.audit_one(41)["detail"])
        assert ledger.verify().broken is None


@pytest.mark.parametrize("statement", ["DELETE FROM audit_head", "UPDATE audit_head SET seq = 7", "DELETE FROM audit"])
def test_a_head_that_does_not_fit_can_be_accepted(database: Path, statement: str) -> None:
    tamper(database, statement)
    with SqlLedger(database, ManualClock(NOW)) as ledger:
        ledger.accept("dana", "known")
        assert ledger.verify().broken is None
        ledger.record(Event(EventName.SECRET_READ, "x"))
        assert ledger.verify().broken is None


def test_words_that_look_like_an_acceptance_accept_nothing(database: Path) -> None:
    tamper(database, "UPDATE audit SET detail = 'another' WHERE seq = 17")
    with SqlLedger(database, ManualClock(NOW)) as ledger:
        mark = ledger.verify().broken.mark
        detail = f"accepted 17 edited {mark}: by whom?"
        ledger.record(Event(EventName.SECRET_READ, "x", detail=detail))
        ledger.record(Event(EventName.AUDIT_ACCEPTED, "x", detail=f"no break: {detail}"))
        assert ledger.verify().broken.seq == 17


# ------------------------------------------------------------------------------------------------------------- asking


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (AuditFilter(), range(1, 61)),
        (AuditFilter(since=NOW + timedelta(minutes=50)), range(51, 61)),
        (AuditFilter(until=NOW + timedelta(minutes=3)), range(1, 4)),
        (AuditFilter(credential="c0"), range(5, 61, 5)),
        (AuditFilter(event="version.created"), range(1, 61, 2)),
        (AuditFilter(outcome="succeeded"), range(1, 61, 2)),
        (AuditFilter(actor="daemon"), range(3, 61, 3)),
        (AuditFilter(rotation="r0"), range(7, 61, 7)),
        (AuditFilter(rotation="r"), range(1, 61)),
        (AuditFilter(rotation="0"), range(0)),
        (AuditFilter(rotation="r0", event="version.retired"), range(14, 61, 14)),
        (AuditFilter(credential="no-such"), range(0)),
    ],
)
def test_filters_choose(database: Path, wanted: AuditFilter, expected: range, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "PAGE", 13)
    with Reader(database) as reader:
        assert numbers(reader.audit(wanted)) == list(expected)
        assert numbers(reader.audit(wanted, after_seq=20)) == [seq for seq in expected if seq > 20]
        assert numbers(reader.audit(wanted, limit=3)) == list(expected)[:3]
        assert numbers(reader.audit_tail(wanted, 3)) == list(expected)[-3:]
        assert reader.audit_tail(wanted, 0) == []


def test_a_walk_misses_nothing_that_is_appended_meanwhile(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "PAGE", 50)
    walk = ledger.audit()
    seen = [next(walk)["seq"] for _ in range(55)]  # in the second page, which is not full
    for _ in range(50):
        ledger.record(Event(EventName.SECRET_READ, "x"))
    assert [*seen, *numbers(walk)] == list(range(1, COUNT + 51))


def test_one_record_can_be_asked_for(database: Path) -> None:
    with Reader(database) as reader:
        assert reader.audit_one(17)["detail"] == "number 17"
        assert reader.audit_one(0) is None
        assert reader.audit_one(61) is None


def test_the_history_of_a_credential_comes_with_its_steps(ledger: SqlLedger) -> None:
    event = Event(EventName.ROTATION_STARTED, "dana", "a")
    for number in (1, 2, 3):
        rotation = Rotation(f"r{number}", "a", number, 1, Phase.PROMOTED, 1, Reason.REQUESTED, "dana", NOW)
        ledger.record(event, rotation, replace(rotation, id=f"other{number}", credential="b"))
        ledger.note(*(Step(rotation.id, step, "done", NOW, number, "", 0.5) for step in ("create", "stage")))
    told = ledger.rotations("a", 2)
    assert [one.rotation.id for one in told] == ["r3", "r2"]
    assert [(step.step, step.attempt) for step in told[0].steps] == [("create", 3), ("stage", 3)]
    assert ledger.rotations("no-such") == ()


def test_requests_names_and_versions_can_be_asked_for(ledger: SqlLedger) -> None:
    event = Event(EventName.REQUEST_RECEIVED, "dana", "a")
    request = Request("q2", "a", "dana", "leaver", NOW)
    gone = Version("a", "k0", VersionState.RETIRED, Origin.OURS, created_at=NOW)
    ledger.record(event, request, replace(request, id="q1"), replace(request, id="q0", answered_by="r1"), gone)
    ledger.note(STATE, replace(STATE, name="0"))
    assert [one.id for one in ledger.requests_open("a")] == ["q2", "q1"]
    assert ledger.names() == ("0", "a")
    assert ledger.versions("a") == (gone,)


# ---------------------------------------------------------------------------------------------------- at the same time


@pytest.mark.parametrize("mode", [("delete", "EXTRA"), ("wal", "FULL")])
def test_readers_and_a_writer_work_at_once_and_see_only_whole_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: tuple[str, str]
) -> None:
    monkeypatch.setattr(opening, "journal", lambda _: mode)
    path, clock = tmp_path / "rotator.db", SystemClock()
    done = threading.Event()
    faults: list[str] = []

    def read() -> None:
        with Reader(path) as reader:
            while not done.is_set():
                found = reader.verify()
                if found.broken is not None:
                    faults.append(found.broken.reason)
                for one in reader.every():
                    torn = len(one.versions) != one.state.failures
                    faults.extend([f"{one.state.failures} failures, {len(one.versions)} versions"] if torn else [])

    with SqlLedger(path, clock) as ledger:
        ledger.record(Event(EventName.STATE_REBUILT, "x"), STATE)
        readers = [threading.Thread(target=read) for _ in range(2)]
        for one in readers:
            one.start()
        for number in range(1, 151):
            version = Version("a", f"k{number:03}", VersionState.PREVIOUS, Origin.OURS)
            ledger.record(Event(EventName.VERSION_PROMOTED, "x", "a"), version, replace(STATE, failures=number))
        done.set()
        for one in readers:
            one.join()
        assert ledger.verify().last == 151
    assert faults == []


def test_threads_that_record_at_once_keep_the_chain_whole(tmp_path: Path) -> None:
    with SqlLedger(tmp_path / "rotator.db", SystemClock()) as ledger:
        event = Event(EventName.VERSION_CREATED, "x", "a")

        def work(name: str) -> None:
            for number in range(40):
                intent = Intent(f"{name}{number}", "a", Act.CREATE, SystemClock().instant())
                ledger.record(event, intent, replace(event, detail=name))

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        found = ledger.verify()
        assert (found.last, found.broken) == (320, None)
        assert len(ledger.unsettled("a")) == 160
