"""`audit` and `db`: the record is read, its chain and its copies elsewhere compared, breaks accepted by name."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from rotator.app import auditing, databases, keeping
from rotator.app.auditing import ChainVerified, Filter
from rotator.app.judging import orphans
from rotator.app.rotating import Wish, rotate
from rotator.app.usage import UsageFault
from rotator.app.watching import status
from rotator.errors import Busy, ChainBroken, Refused, StateUnusable, Transient
from rotator.persistence import trail
from rotator.persistence.lock import StateLock
from tests.fakes.app_bench import DAY, START, Bench

KEYS = [
    "seq",
    "time",
    "event",
    "credential",
    "rotation_id",
    "actor",
    "outcome",
    "reason",
    "key_id",
    "store_path",
    "store_version",
    "request_id",
    "detail",
    "prev_hash",
    "hash",
]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    rotated(bench)
    return bench


def rotated(bench: Bench, **wish: object) -> None:
    with bench.house() as house:
        assert rotate(house, Wish(**wish)).exit_status == 0  # type: ignore[arg-type]


def verified(bench: Bench, *, offline: bool = False) -> ChainVerified:
    with bench.house() as house:
        return auditing.audit_verify(house, offline=offline)


def tamper(bench: Bench, statement: str) -> None:
    with sqlite3.connect(bench.folder / "state/rotator.db") as database:
        database.execute(statement)
    database.close()


# ---------------------------------------------------------------------------------------------------------------- list


def test_records_are_listed_oldest_first_with_the_keys_of_the_contract(bench: Bench) -> None:
    with bench.house() as house:
        found = auditing.audit_list(house, Filter()).items
        assert [list(item) for item in found] == [KEYS] * len(found)
        assert [item["seq"] for item in found] == list(range(1, len(found) + 1))
        assert [item["seq"] for item in auditing.audit_list(house, Filter(), last=3).items] == [
            item["seq"] for item in found[-3:]
        ]


def test_filters_keep_what_fits(bench: Bench) -> None:
    with bench.house() as house:
        mine = auditing.audit_list(house, Filter(credential="one", event="version.promoted")).items
        assert [item["outcome"] for item in mine] == ["intended", "succeeded"]
        assert auditing.audit_list(house, Filter(until=START)).items == ()
        assert auditing.audit_list(house, Filter(since=START + DAY)).items == ()
        assert auditing.audit_list(house, Filter(actor="nobody-such")).items == ()
        by_rotation = auditing.audit_list(house, Filter(rotation=str(mine[0]["rotation_id"]), outcome="succeeded"))
        assert {item["credential"] for item in by_rotation.items} == {"one"}


def test_one_record_is_shown_by_its_number(bench: Bench) -> None:
    with bench.house() as house:
        assert auditing.audit_show(house, 2).items[0]["seq"] == 2
        with pytest.raises(UsageFault):
            auditing.audit_show(house, 9999)


def test_without_a_state_there_are_no_records_and_nothing_to_verify(tmp_path: Path) -> None:
    with Bench(tmp_path).house() as house:
        assert auditing.audit_list(house, Filter()).items == ()
        with pytest.raises(StateUnusable) as caught:
            auditing.audit_verify(house)
    assert caught.value.code == "state_missing"


# -------------------------------------------------------------------------------------------------------------- verify


def test_a_whole_chain_agrees_with_the_head_in_the_store(bench: Bench) -> None:
    found = verified(bench)
    assert (found.exit_status, found.broken, found.first) == (0, None, 1)
    assert [(one.store, one.agrees) for one in found.compared] == [("vault", True)]


def test_an_edited_record_is_named_and_the_status_is_4(bench: Bench) -> None:
    tamper(bench, "UPDATE audit SET actor = 'somebody else' WHERE seq = 5")
    found = verified(bench, offline=True)
    assert (found.exit_status, found.record[0]["seq"], found.compared) == (4, 5, ())
    assert "Record 5" in (found.broken or "")


def test_a_tail_that_was_cut_with_its_head_is_found_by_the_copy_in_the_store(bench: Bench) -> None:
    tamper(bench, "DELETE FROM audit WHERE seq > 5")
    tamper(bench, "UPDATE audit_head SET seq = 5, hash = (SELECT hash FROM audit WHERE seq = 5)")
    assert verified(bench, offline=True).exit_status == 0, "the file alone cannot show it"
    found = verified(bench)
    assert (found.exit_status, found.broken, found.compared[0].agrees) == (4, None, False)
    assert "no such record" in found.compared[0].message


def test_a_rotation_does_not_wipe_out_the_evidence_of_a_cut_tail(bench: Bench) -> None:
    rotated(bench, names=("one",), now=True)
    tamper(bench, "DELETE FROM audit WHERE seq > 5")
    tamper(bench, "UPDATE audit_head SET seq = 5, hash = (SELECT hash FROM audit WHERE seq = 5)")
    with bench.house() as house:
        rotate(house, Wish(names=("two",)))
    assert verified(bench).exit_status == 4


def test_a_store_that_cannot_be_reached_is_said_and_changes_nothing(bench: Bench) -> None:
    bench.broken["vault"] = Transient("sealed", hint="unseal it")
    found = verified(bench)
    assert (found.exit_status, found.compared[0].agrees) == (0, None)
    assert "not compared with vault: sealed" in found.compared[0].message


# ------------------------------------------------------------------------------------------------------- what it means


def standing(bench: Bench) -> list[str]:
    with bench.house() as house:
        return [one.message for one in status(house).remarks if one.name == "audit"]


def strict(bench: Bench) -> None:
    text = bench.config.read_text(encoding="utf-8")
    bench.config.write_text(text.replace("stores:", "audit: {on_break: stop}\nstores:", 1), encoding="utf-8")


def test_a_break_is_a_line_in_status_and_rotations_go_on(bench: Bench) -> None:
    assert standing(bench) == []
    tamper(bench, "UPDATE audit SET detail = 'nothing to see' WHERE seq = 7")
    assert standing(bench) == [
        "The audit chain is broken. Record 7 was changed after it was written: its hash is that of another content."
    ]
    with bench.house() as house:
        found = rotate(house, Wish(names=("one",), now=True))
    assert (found.items[0]["outcome"], found.exit_status) == ("promoted", 0)
    assert found.remarks[0].name == "audit"
    with bench.house() as house:
        auditing.audit_accept(house, "seen")
    assert standing(bench) == []


def test_a_break_among_old_records_is_found_by_the_walk_of_the_day(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "GLANCE", 5)
    tamper(bench, "UPDATE audit SET detail = 'nothing to see' WHERE seq = 2")
    assert standing(bench) == [], "a glance does not reach it"
    rotated(bench)
    assert standing(bench) == [], "it was walked along today"
    bench.clock.advance(DAY)
    rotated(bench)
    assert len(standing(bench)) == 1


def test_where_a_break_stops_everything_nothing_is_changed_until_it_is_accepted(bench: Bench) -> None:
    strict(bench)
    tamper(bench, "DELETE FROM audit WHERE seq = 5")
    before = len(bench.issuer.mutations)
    for act in (
        lambda house: rotate(house, Wish(names=("one",), now=True)),
        lambda house: keeping.retire(house, "one"),
        lambda house: keeping.forget(house, "one", keeping.Farewell.RETIRE),
        lambda house: orphans(house, retire=True),
    ):
        with bench.house() as house, pytest.raises(ChainBroken) as caught:
            act(house)
        assert caught.value.exit_status == 4
        assert "audit accept" in caught.value.hint
    assert len(bench.issuer.mutations) == before
    with bench.house() as house:
        auditing.audit_accept(house, "seen")
    with bench.house() as house:
        assert rotate(house, Wish(names=("one",), now=True)).exit_status == 0


def test_a_walk_answers_machines_whether_it_holds_or_not(bench: Bench) -> None:
    (item,) = verified(bench).items
    assert (item["outcome"], item["first_seq"], item["record"], item["message"]) == ("verified", 1, None, None)
    assert item["compared"] == [
        {
            "store": "vault",
            "agrees": True,
            "message": f"agrees with the head in vault, which names record {item['last_seq']}",
        }
    ]
    tamper(bench, "UPDATE audit SET actor = 'nobody' WHERE seq = 3")
    (item,) = verified(bench).items
    assert (item["outcome"], item["record"]["seq"]) == ("broken", 3)


# -------------------------------------------------------------------------------------------------------------- accept


def test_an_accepted_break_is_recorded_with_its_reason_and_no_longer_fails(bench: Bench) -> None:
    tamper(bench, "UPDATE audit SET actor = 'somebody else' WHERE seq = 5")
    with bench.house() as house:
        (item,) = auditing.audit_accept(house, "restored by hand, ticket 4711").items
    assert item["event"] == "audit.accepted"
    assert "ticket 4711" in item["detail"]
    found = verified(bench)
    assert (found.exit_status, len(found.accepted)) == (0, 1)
    tamper(bench, "UPDATE audit SET actor = 'somebody else' WHERE seq = 6")
    assert verified(bench).exit_status == 4


def test_a_cut_tail_can_be_accepted_and_the_store_follows(bench: Bench) -> None:
    tamper(bench, "DELETE FROM audit WHERE seq > 5")
    tamper(bench, "UPDATE audit_head SET seq = 5, hash = (SELECT hash FROM audit WHERE seq = 5)")
    with bench.house() as house:
        auditing.audit_accept(house, "disk failed")
    assert verified(bench).exit_status == 0


def test_a_break_is_not_accepted_without_a_reason(bench: Bench) -> None:
    with bench.house() as house, pytest.raises(UsageFault):
        auditing.audit_accept(house, "  ")


# ------------------------------------------------------------------------------------------------------------ database


def test_the_schema_is_named(bench: Bench) -> None:
    with bench.house() as house:
        found = databases.db_current(house)
        assert (found.exit_status, found.current) == (0, found.newest)
        assert "up to date" in databases.db_upgrade(house).message


def test_a_schema_of_the_future_is_not_said_to_be_upgraded_soon(bench: Bench) -> None:
    rotated(bench)
    tamper(bench, "UPDATE alembic_version SET version_num = '9999'")
    with bench.house() as house:
        found = databases.db_current(house)
        looked = databases.examine(house)
    assert (found.exit_status, found.current) == (1, "9999")
    assert [one.outcome.value for one in looked] == ["fail"]
    assert all("newer version" in hint for hint in (found.hint, looked[0].hint))


def test_upgrade_makes_a_state_that_is_missing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.house() as house:
        assert "was made" in databases.db_upgrade(house).message
    assert (bench.folder / "state/rotator.db").stat().st_mode & 0o777 == 0o600


def test_a_backup_is_a_copy_and_overwrites_nothing(bench: Bench, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    with bench.house() as house:
        assert str(target) in databases.db_backup(house, target).message
        with pytest.raises(StateUnusable) as caught:
            databases.db_backup(house, target)
    assert caught.value.code == "file_exists"
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_restore_wakes_every_credential_and_accepts_what_is_missing(bench: Bench, tmp_path: Path) -> None:
    with bench.house() as house:
        databases.db_backup(house, tmp_path / "old.db")
    rotated(bench, names=("one",), now=True)
    with bench.house() as house:
        found = databases.db_restore(house, tmp_path / "old.db")
        assert "The state before is in" in found.message
    with bench.house() as house:
        reader = house.reader()
        assert [one.state.wake_at for one in reader.every()] == [None, None]
        assert [one["event"] for one in reader.audit()][-1] == "audit.accepted"
    assert verified(bench).exit_status == 0
    with bench.house() as house:
        assert rotate(house, Wish()).exit_status == 0
    live = {held.key_id for held in bench.issuer.truth(bench.app("one"))}
    assert len(live) == 2, "what the restored state did not know is in its grace, not swept"
    assert bench.issuer.accepts(bench.app("one"), bench.value_of("one"))


def test_a_damaged_state_can_be_restored(bench: Bench, tmp_path: Path) -> None:
    with bench.house() as house:
        databases.db_backup(house, tmp_path / "old.db")
    database = bench.folder / "state/rotator.db"
    database.write_bytes(b"\0" * database.stat().st_size)
    with bench.house() as house:
        databases.db_restore(house, tmp_path / "old.db")
    assert verified(bench).exit_status == 0


def test_nothing_is_restored_while_somebody_writes(bench: Bench, tmp_path: Path) -> None:
    shutil.copy(bench.folder / "state/rotator.db", tmp_path / "old.db")
    (tmp_path / "old.db").chmod(0o600)
    with (
        StateLock(bench.folder / "state/rotator.db", bench.clock, "daemon"),
        bench.house() as house,
        pytest.raises(Busy),
    ):
        databases.db_restore(house, tmp_path / "old.db")


@pytest.mark.parametrize(("name", "said"), [("junk.db", "is no SQLite database"), ("gone.db", "There is no backup")])
def test_what_is_no_backup_is_refused_and_the_state_stays(bench: Bench, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "junk.db").write_bytes(b"junk" * 5000)
    before = (bench.folder / "state/rotator.db").read_bytes()
    with bench.house() as house, pytest.raises(Refused, match=said) as caught:
        databases.db_restore(house, tmp_path / name)
    assert "rotator db backup FILE" in caught.value.hint
    assert (bench.folder / "state/rotator.db").read_bytes() == before
