"""The tamper suite: whatever is done to the audit records of a real state, `audit verify` ends with 4 and says where.

Two attackers: one who changes rows, and one who knows the form and writes every hash after his change anew, the head
too. The second is found by what he cannot reach: the head in the store, and the signatures.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rotator.app import auditing
from rotator.app.auditing import ChainVerified
from rotator.app.rotating import Wish, rotate
from rotator.chain import KEYS, ZEROS, link
from rotator.persistence.rows import record_of
from tests.fakes.app_bench import Bench

Rows = list[dict[str, Any]]
KEY = 'audit: {signing_key: "file:audit-key.pem"}\n'


def made(folder: Path, *, signed: bool) -> Bench:
    folder.mkdir(exist_ok=True)
    bench = Bench(folder)
    if signed:
        text = bench.config.read_text(encoding="utf-8")
        bench.config.write_text(text.replace("stores:", KEY + "stores:", 1), encoding="utf-8")
    rotated(bench)
    return bench


def rotated(bench: Bench, **wish: object) -> None:
    with bench.house() as house:
        assert rotate(house, Wish(**wish)).exit_status == 0  # type: ignore[arg-type]


def verified(bench: Bench, *, offline: bool = False) -> ChainVerified:
    with bench.house() as house:
        return auditing.audit_verify(house, offline=offline)


def state(bench: Bench) -> Path:
    return bench.folder / "state/rotator.db"


def change(bench: Bench, *statements: str) -> None:
    with closing(sqlite3.connect(state(bench))) as database, database:
        for statement in statements:
            database.execute(statement)


def write_anew(bench: Bench, alter: Callable[[Rows], object]) -> None:
    """Alter the rows, then give them numbers, links and hashes that fit, and the head as well."""
    with closing(sqlite3.connect(state(bench))) as database, database:
        database.row_factory = sqlite3.Row
        rows = [dict(row) for row in database.execute("SELECT * FROM audit ORDER BY seq")]
        alter(rows)
        before = ZEROS
        database.execute("DELETE FROM audit")
        for seq, row in enumerate(rows, 1):
            row |= {"seq": seq, "prev_hash": before}
            row["hash"] = before = link(record_of(tuple(row[key] for key in KEYS)), before)
            marks = ", ".join(f":{key}" for key in KEYS)
            database.execute(f"INSERT INTO audit ({', '.join(KEYS)}) VALUES ({marks})", row)
        database.execute("UPDATE audit_head SET seq = ?, hash = ?", (len(rows), before))


# ---------------------------------------------------------------------------------------------------- who changes rows

COPY = (
    "INSERT INTO audit SELECT {seq}, time, event, credential, rotation_id, actor, outcome, reason, key_id, store_path, "
    "store_version, request_id, detail, {previous}, hash FROM audit {which}"
)
ROWS = {
    "edit the actor": (["UPDATE audit SET actor = 'nobody' WHERE seq = 7"], 7, "was changed"),
    "edit the time by a microsecond": (["UPDATE audit SET time = time + 1 WHERE seq = 7"], 7, "was changed"),
    "edit a null": (["UPDATE audit SET request_id = 'x' WHERE seq = 7"], 7, "was changed"),
    "edit the first": (["UPDATE audit SET detail = 'x' WHERE seq = 1"], 1, "was changed"),
    "edit a hash": (["UPDATE audit SET hash = prev_hash WHERE seq = 7"], 7, "was changed"),
    "delete one": (["DELETE FROM audit WHERE seq = 7"], 8, "Record 7 is missing"),
    "delete some": (["DELETE FROM audit WHERE seq BETWEEN 7 AND 9"], 10, "Records 7 to 9 are missing"),
    "delete the first": (["DELETE FROM audit WHERE seq = 1"], 2, "Record 1 is missing"),
    "swap two": (
        [
            "UPDATE audit SET seq = -7 WHERE seq = 7",
            "UPDATE audit SET seq = 7 WHERE seq = 8",
            "UPDATE audit SET seq = 8 WHERE seq = -7",
        ],
        7,
        "was changed",
    ),
    "move one to the end": (["UPDATE audit SET seq = (SELECT max(seq) + 1 FROM audit) WHERE seq = 7"], 8, "missing"),
    "insert a copy before the first": (
        [
            COPY.format(seq="0", previous="prev_hash", which="WHERE seq = 1"),
        ],
        0,
        "",
    ),
    "append one": (
        [
            COPY.format(seq="seq + 1", previous="hash", which="ORDER BY seq DESC LIMIT 1"),
        ],
        None,
        "was changed",
    ),
    "cut the tail": (["DELETE FROM audit WHERE seq > (SELECT max(seq) - 3 FROM audit)"], None, "head"),
    "empty it": (["DELETE FROM audit"], None, "head"),
    "remove the head": (["DELETE FROM audit_head"], None, "is lost"),
}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("attack", ROWS)
def test_a_changed_row_is_found_by_the_chain_alone(tmp_path: Path, attack: str, signed: bool) -> None:
    bench = made(tmp_path, signed=signed)
    assert verified(bench).exit_status == 0
    statements, seq, words = ROWS[attack]
    change(bench, *statements)
    found = verified(bench, offline=True)
    assert found.exit_status == 4
    assert found.broken is not None and words in found.broken
    if seq is not None and found.record:
        assert found.record[0]["seq"] == seq


# ------------------------------------------------------------------------------------------- who writes hashes as well

ANEW: dict[str, Callable[[Rows], object]] = {
    "edit": lambda rows: rows[6].update(actor="nobody"),
    "delete": lambda rows: rows.pop(6),
    "insert": lambda rows: rows.insert(6, dict(rows[5])),
    "reorder": lambda rows: rows.insert(3, rows.pop(6)),
    "cut the beginning": lambda rows: rows.__delitem__(slice(0, 5)),
    "cut the tail": lambda rows: rows.__delitem__(slice(-3, None)),
    "forge all": lambda rows: [row.update(actor="nobody") for row in rows],
}


@pytest.mark.parametrize("attack", ANEW)
def test_a_chain_that_was_written_anew_is_found_by_the_head_in_the_store(tmp_path: Path, attack: str) -> None:
    bench = made(tmp_path, signed=False)
    write_anew(bench, ANEW[attack])
    assert verified(bench, offline=True).exit_status == 0, "the chain alone cannot know"
    found = verified(bench)
    assert found.exit_status == 4
    assert [one.agrees for one in found.compared] == [False]
    assert "names record" in found.compared[0].message


@pytest.mark.parametrize("attack", [one for one in ANEW if one != "cut the tail"])
def test_a_chain_that_was_written_anew_does_not_fit_its_signatures(tmp_path: Path, attack: str) -> None:
    bench = made(tmp_path, signed=True)
    write_anew(bench, ANEW[attack])
    found = verified(bench, offline=True)
    assert found.exit_status == 4 and found.broken is not None and "is a checkpoint of another record" in found.broken


def test_rotations_after_it_do_not_wipe_the_evidence_out(tmp_path: Path) -> None:
    bench = made(tmp_path, signed=False)
    write_anew(bench, ANEW["edit"])
    rotated(bench, names=("one",), now=True)
    assert verified(bench).exit_status == 4


# ----------------------------------------------------------------------------------------------------- whole databases


@pytest.mark.parametrize("signed", [False, True])
def test_a_rollback_to_a_backup_is_found_by_the_head_in_the_store(tmp_path: Path, signed: bool) -> None:
    bench = made(tmp_path, signed=signed)
    shutil.copy(state(bench), tmp_path / "backup")
    rotated(bench, names=("one",), now=True)
    shutil.copy(tmp_path / "backup", state(bench))
    found = verified(bench)
    assert found.exit_status == 4 and "there is no such record any more" in found.compared[0].message


def test_a_rollback_that_went_on_is_found_too(tmp_path: Path) -> None:
    bench = made(tmp_path, signed=False)
    shutil.copy(state(bench), tmp_path / "backup")
    rotated(bench, names=("one",), now=True)
    shutil.copy(tmp_path / "backup", state(bench))
    change(bench, "DELETE FROM rotations WHERE outcome IS NULL")
    with bench.house() as house:
        for _ in range(8):
            rotate(house, Wish(names=("two",), now=True))
    assert verified(bench).exit_status == 4


def test_two_databases_that_were_swapped_are_both_found(tmp_path: Path) -> None:
    benches = [made(tmp_path / name, signed=False) for name in ("here", "there")]
    here, there = map(state, benches)
    shutil.move(here, tmp_path / "aside")
    shutil.move(there, here)
    shutil.move(tmp_path / "aside", there)
    for bench in benches:
        assert verified(bench, offline=True).exit_status == 0, "each is whole by itself"
        found = verified(bench)
        assert found.exit_status == 4 and "no head of this record" in found.compared[0].message
        with bench.house() as house:
            rotate(house, Wish())
        assert verified(bench).exit_status == 4, "and it stays so until a person accepts it"
        with bench.house() as house:
            auditing.audit_accept(house, "known")
        assert verified(bench).exit_status == 0


def test_two_signed_databases_that_were_swapped_are_found_offline_too(tmp_path: Path) -> None:
    benches = [made(tmp_path / name, signed=True) for name in ("here", "there")]
    shutil.copy(state(benches[1]), state(benches[0]))
    found = verified(benches[0], offline=True)
    assert (
        found.exit_status == 4 and found.broken is not None and "none with the key of the configuration" in found.broken
    )
