"""Checkpoints are written on time and signed; pruned records are where the chain says they are."""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.app import auditing, checkpoints, keeping, pruning
from rotator.app.auditing import ChainVerified, Filter
from rotator.app.checking import check
from rotator.app.checkpointing import Checkpointing
from rotator.app.results import Item
from rotator.app.rotating import Wish, rotate
from rotator.app.usage import UsageFault
from rotator.chain import KEYS, link
from rotator.errors import ChainBroken, Misconfigured, Refused, RotatorError, Transient
from rotator.exports import signing
from rotator.persistence.ledger import SqlLedger
from rotator.seals import Checkpoint, said_in, text_of
from tests.fakes.app_bench import DAY, Bench

HOUR = timedelta(hours=1)


def configured(bench: Bench, audit: str) -> None:
    text = bench.config.read_text(encoding="utf-8")
    head, _, rest = text.partition("stores:")
    kept = "\n".join(line for line in head.splitlines() if not line.startswith("audit:"))
    bench.config.write_text(f"{kept}\naudit: {audit}\nstores:{rest}", encoding="utf-8")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    configured(bench, '{signing_key: "file:audit-key.pem"}')
    rotated(bench)
    return bench


def rotated(bench: Bench, **wish: object) -> None:
    with bench.house() as house:
        assert rotate(house, Wish(**wish)).exit_status == 0  # type: ignore[arg-type]


def records(bench: Bench, **wanted: object) -> list[Item]:
    with bench.house() as house:
        return list(auditing.audit_stream(house, Filter(**wanted)))  # type: ignore[arg-type]


def made(bench: Bench) -> list[int]:
    return [int(str(item["seq"])) for item in records(bench, event="audit.checkpoint")]


def verified(bench: Bench, *segments: Path) -> ChainVerified:
    with bench.house() as house:
        return auditing.audit_verify(house, segments=segments)


def pruned(bench: Bench, out: Path) -> pruning.Pruned:
    with bench.house() as house:
        return pruning.prune(house, house.clock.now(), out)


def forge(bench: Bench, seq: int, change: Callable[[dict[str, object]], None]) -> None:
    """Change a record and write all after it anew with fitting hashes, the head too: what an attacker can do."""
    path = bench.folder / "state/rotator.db"
    with sqlite3.connect(path) as database:
        database.row_factory = sqlite3.Row
        (before,) = database.execute("SELECT hash FROM audit WHERE seq = ?", (seq - 1,)).fetchone()
        for item in [one for one in records(bench) if int(str(one["seq"])) >= seq]:
            record = dict(item)
            if record["seq"] == seq:
                change(record)
            record["prev_hash"] = before
            record["hash"] = before = link(record, before)
            names = [key for key in KEYS if key not in {"seq", "time"}]
            statement = f"UPDATE audit SET {', '.join(f'{name} = ?' for name in names)} WHERE seq = ?"
            database.execute(statement, (*(record[name] for name in names), record["seq"]))
        database.execute("UPDATE audit_head SET hash = ?", (before,))
    database.close()


# --------------------------------------------------------------------------------------------------------- checkpoints


def test_the_first_run_makes_a_key_and_signs_a_checkpoint_that_stores_name(bench: Bench) -> None:
    key = bench.folder / "audit-key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    (seq,) = made(bench)
    found = verified(bench)
    assert found.exit_status == 0 and found.last == seq
    assert found.checkpoint is not None and (found.checkpoint.seq, found.checkpoint.trusted) == (seq, True)
    assert found.compared[0].message == f"agrees with the head in vault, which names record {seq}"


def test_a_checkpoint_names_the_record_before_it_and_the_state(bench: Bench) -> None:
    *_, before, item = records(bench)
    said = said_in(item)
    assert said is not None and signing.is_signed(said)
    assert (said.hash, said.state) == (before["hash"], owner(bench))
    assert item["reason"] == "checkpoint" and item["detail"] == text_of(said)


def owner(bench: Bench) -> str:
    with SqlLedger(bench.folder / "state/rotator.db", bench.clock) as ledger:
        return ledger.owner


def test_whoever_appends_next_writes_a_due_checkpoint_and_nobody_sooner(bench: Bench) -> None:
    with bench.house() as house:
        keeping.pause(house, ["one"])
    assert len(made(bench)) == 1, "the last one is not an hour old"
    bench.clock.advance(HOUR)
    with bench.house() as house:
        keeping.resume(house, ["one"])
    assert len(made(bench)) == 2
    assert verified(bench).exit_status == 0


def test_a_reader_writes_none_and_a_run_that_appends_nothing_neither(bench: Bench) -> None:
    bench.clock.advance(HOUR * 2)
    with bench.house() as house:
        auditing.audit_list(house, Filter())
    with bench.house() as house:
        house.ledger()
    assert len(made(bench)) == 1


def test_who_runs_all_the_time_writes_one_on_time_without_any_event(bench: Bench) -> None:
    with bench.house() as house:
        assert not checkpoints.on_time(house)
        bench.clock.advance(HOUR)
        assert checkpoints.on_time(house)
        assert not checkpoints.on_time(house)
    found = verified(bench)
    assert len(made(bench)) == 2
    assert found.compared[0].agrees and f"names record {found.last}" in found.compared[0].message


def test_a_checkpoint_that_the_store_does_not_take_is_written_all_the_same(bench: Bench) -> None:
    bench.clock.advance(HOUR)
    bench.broken["vault"] = Transient("vault is down.", hint="Wait.")
    with bench.house() as house:
        assert checkpoints.on_time(house)
    assert len(made(bench)) == 2


def test_without_a_key_a_checkpoint_says_that_nobody_has_signed_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    configured(bench, "{checkpoint_every: 30m}")
    rotated(bench)
    found = verified(bench)
    assert (len(made(bench)), found.exit_status, found.checkpoint) == (1, 0, None)


def test_without_either_there_are_none(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    rotated(bench)
    assert made(bench) == []


def test_a_raw_key_in_base64_will_do_and_what_is_no_key_is_refused_without_being_told(bench: Bench) -> None:
    raw = base64.b64encode(bytes(range(32))).decode()
    (bench.folder / "raw").write_text(raw + "\n")
    configured(bench, '{signing_key: "file:raw"}')
    rotated(bench, names=("one",), now=True)
    assert len(made(bench)) == 2, "another key signs at once"
    found = verified(bench)
    assert found.exit_status == 0 and found.checkpoint is not None and "another key before" in found.checkpoint.note
    (bench.folder / "raw").write_text(raw[:-8] + "canary!\n")
    with bench.house() as house, pytest.raises(Misconfigured) as caught:
        rotate(house, Wish())
    assert caught.value.exit_status == 78 and raw[:10] not in repr(caught.value) and "canary" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_missing_key_that_cannot_be_made_ends_a_rotation_before_it_begins(bench: Bench) -> None:
    configured(bench, '{signing_key: "cred:audit-key"}')
    before = len(bench.issuer.mutations)
    with bench.house() as house, pytest.raises(Misconfigured):
        rotate(house, Wish(names=("one",), now=True))
    assert len(bench.issuer.mutations) == before
    found = verified(bench)
    assert found.exit_status == 0 and found.checkpoint is not None
    assert found.checkpoint.trusted is None and "not known here" in found.checkpoint.note


def test_the_key_is_in_its_file_and_nowhere_else(bench: Bench, tmp_path: Path) -> None:
    raw = base64.b64encode(bytes(range(100, 132)))
    (bench.folder / "raw").write_bytes(raw + b"\n")
    configured(bench, '{signing_key: "file:raw", mirror: ["file:copy.jsonl"]}')
    rotated(bench, names=("one",), now=True)
    bench.clock.advance(DAY)
    assert pruned(bench, tmp_path / "segment.jsonl").seal is not None
    with bench.house() as house:
        signer = checkpoints.signer_of(house)
        assert raw.decode() not in repr((signer, vars(house), house.config))
    found = [path.name for path in tmp_path.rglob("*") if path.is_file() and raw[:20] in path.read_bytes()]
    assert found == ["raw"]


# ------------------------------------------------------------------------------------------------------------- forgery


def test_records_written_anew_with_fitting_hashes_do_not_get_past_a_signed_checkpoint(bench: Bench) -> None:
    forge(bench, 4, lambda record: record.update(actor="nobody"))
    (seq,) = made(bench)
    found = verified(bench)
    assert found.exit_status == 4
    assert found.broken == f"Record {seq} is a checkpoint of another record than the one before it."


def test_a_checkpoint_signed_anew_with_another_key_is_no_checkpoint_of_ours(bench: Bench) -> None:
    other = signing.Signer(lambda: base64.b64encode(bytes(32)).decode())
    forge(bench, 4, lambda record: record.update(actor="nobody"))
    *_, before, item = records(bench)

    def sign(record: dict[str, object]) -> None:
        said = said_in(item)
        assert isinstance(said, Checkpoint)
        record["detail"] = text_of(other.signed(replace(said, hash=str(before["hash"]))))

    forge(bench, int(str(item["seq"])), sign)
    found = verified(bench)
    assert (
        found.exit_status == 4 and found.broken is not None and "none with the key of the configuration" in found.broken
    )


def test_a_signature_that_does_not_fit_is_named(bench: Bench) -> None:
    (seq,) = made(bench)
    forge(bench, seq, lambda record: record.update(detail=str(record["detail"]).replace('"state":"', '"state":"0', 1)))
    found = verified(bench)
    assert (
        found.exit_status == 4
        and found.broken is not None
        and "was not made with the key that it names" in found.broken
    )
    with bench.house() as house:
        auditing.audit_accept(house, "known")
    assert verified(bench).broken is None


# --------------------------------------------------------------------------------------------------------------- prune


def test_pruned_records_are_in_the_segment_and_the_chain_verifies_from_the_seal(bench: Bench, tmp_path: Path) -> None:
    before = records(bench)
    bench.clock.advance(DAY)
    out = tmp_path / "segment.jsonl"
    found = pruned(bench, out)
    assert found.seal is not None and (found.seal.first, found.seal.last) == (1, len(before) - 1)
    *lines, seal = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert lines == before[:-1] and seal["seal"]["last"] == len(lines)
    assert out.stat().st_mode & 0o777 == 0o600
    assert [item["seq"] for item in records(bench)] == [len(before), len(before) + 1]
    chain = verified(bench, out)
    assert chain.exit_status == 0 and chain.first == len(before) and chain.sealed == (found.seal,)
    assert [one.agrees for one in chain.compared] == [True, True]
    with bench.house() as house, pytest.raises(UsageFault, match="was exported and pruned"):
        auditing.audit_show(house, 3)


def test_segment_follows_segment(bench: Bench, tmp_path: Path) -> None:
    outs = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for out in outs:
        bench.clock.advance(DAY)
        rotated(bench, names=("one",), now=True)
        bench.clock.advance(DAY * 2)
        assert pruned(bench, out).seal is not None
    assert verified(bench, *outs[-1:]).exit_status == 0
    firsts = [json.loads(out.read_text().splitlines()[0]) for out in outs]
    lasts = [json.loads(out.read_text().splitlines()[-2]) for out in outs]
    assert [one["prev_hash"] for one in firsts[1:]] == [one["hash"] for one in lasts[:-1]]


@pytest.mark.parametrize("change", [b'"actor":"', b"\n"])
def test_a_segment_that_was_changed_is_found(bench: Bench, tmp_path: Path, change: bytes) -> None:
    bench.clock.advance(DAY)
    out = tmp_path / "segment.jsonl"
    pruned(bench, out)
    text = out.read_bytes()
    out.write_bytes(text.replace(change, change + b"x" if change != b"\n" else b" \n", 1))
    found = verified(bench, out)
    assert (found.exit_status, found.compared[-1].agrees) == (4, False)
    out.write_bytes(text.rpartition(b'{"seal"')[0])
    assert "seal stands" in verified(bench, out).compared[-1].message
    out.write_text("no segment")
    with pytest.raises(Refused):
        verified(bench, out)


def test_an_attacker_who_cuts_the_beginning_has_no_seal_for_it(bench: Bench) -> None:
    with sqlite3.connect(bench.folder / "state/rotator.db") as database:
        database.execute("DELETE FROM audit WHERE seq < 6")
    database.close()
    found = verified(bench)
    assert (found.exit_status, found.broken) == (
        4,
        "Records 1 to 5 are missing, and no seal in the chain says what became of that.",
    )


@pytest.mark.parametrize("at", ["attest", "remove_through"])
def test_a_crash_while_pruning_loses_nothing_and_the_next_one_finishes(
    bench: Bench, tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(records(bench))
    bench.clock.advance(DAY)

    def dies(*_: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(SqlLedger, at, dies)
        pruned(bench, tmp_path / "first.jsonl")
    assert len(records(bench)) == count + (at == "remove_through")
    assert verified(bench).exit_status == 0
    bench.clock.advance(DAY)
    again = pruned(bench, tmp_path / "second.jsonl")
    assert again.finished == (count - 1 if at == "remove_through" else 0)
    assert verified(bench, tmp_path / "second.jsonl").exit_status == 0


def test_half_removed_the_chain_still_holds(bench: Bench, tmp_path: Path) -> None:
    bench.clock.advance(DAY)
    real = SqlLedger.remove_through
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqlLedger, "remove_through", lambda ledger, seq: real(ledger, seq // 2))
        pruned(bench, tmp_path / "segment.jsonl")
    found = verified(bench, tmp_path / "segment.jsonl")
    assert found.exit_status == 0 and 1 < found.first < found.last - 2


def test_nothing_is_pruned_without_a_key_into_a_file_that_exists_or_from_a_broken_chain(
    bench: Bench, tmp_path: Path
) -> None:
    bench.clock.advance(DAY)
    out = tmp_path / "segment.jsonl"
    out.write_text("mine")
    count = len(records(bench))

    def refused(kind: type[RotatorError]) -> None:
        with pytest.raises(kind):
            pruned(bench, out)
        assert len(records(bench)) == count

    refused(Refused)
    assert out.read_text() == "mine" and [path.name for path in tmp_path.glob(".segment*")] == []
    out.unlink()
    bench.broken["vault"] = Transient("vault is down.", hint="Wait.")
    refused(Transient)
    bench.broken.clear()
    with sqlite3.connect(bench.folder / "state/rotator.db") as database:
        database.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 3")
    database.close()
    refused(ChainBroken)
    configured(bench, "{}")
    refused(Misconfigured)
    assert not out.exists()
    with bench.house() as house, pytest.raises(UsageFault):
        pruning.prune(house, house.clock.now() + DAY, out)


# ----------------------------------------------------------------------------------------------------------- companion


def test_the_companion_of_the_daemon_writes_one_and_says_what_keeps_it_from_it(bench: Bench) -> None:
    with bench.house() as house:
        house.ledger()
        bench.clock.advance(HOUR)
        companion = Checkpointing(house)
        companion.start()
        deadline = time.monotonic() + 20
        while len(list(auditing.audit_stream(house, Filter(event="audit.checkpoint")))) < 2:
            assert companion.beat() is None and time.monotonic() < deadline
            time.sleep(0.01)
        companion.stop()
        assert companion.beat() is None
    configured(bench, '{signing_key: "cred:audit-key"}')
    with bench.house() as house:
        companion = Checkpointing(house)
        with pytest.raises(Misconfigured):
            companion.start()
        companion.stop()


# --------------------------------------------------------------------------------------------------------------- check


def test_check_looks_at_the_key_and_makes_none(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    configured(bench, '{signing_key: "file:audit-key.pem"}')
    key = tmp_path / "audit-key.pem"

    def said() -> list[tuple[str, str]]:
        with bench.house() as house:
            return [
                (str(one.outcome), one.message) for one in check(house, offline=True).findings if one.subject == "audit"
            ]

    assert said() == [("ok", f"file:{key} will be made by the first checkpoint")]
    assert not key.exists()
    key.write_text("no key")
    key.chmod(0o600)
    assert [outcome for outcome, _ in said()] == ["ok", "fail"]
