"""Every command as a process, against real issuers on loopback: what it prints, in which form, and how it ends."""

from __future__ import annotations

import json

import pytest

from tests.e2e.cli_bench import Bench, bench, interrupted, without_escapes

__all__ = ["bench"]

pytestmark = pytest.mark.slow

ONE, TWO = "kontrolle-plus-prod", "site-reports-prod"

KEYS = {
    "status": {
        *("name", "provider", "kind", "state", "current", "previous", "previous_all", "next", "last_rotation", "error"),
    },
    "plan": {"name", "action", "at", "reason", "sentence"},
    "rotate": {
        *("name", "rotation_id", "outcome", "reason", "new_key_id", "old_key_ids", "store_path", "store_version"),
        *("proofs", "started_at", "finished_at", "error"),
    },
    "orphans": {"provider", "application", "key_id", "tag", "created_at", "expires_at", "class"},
    "check": {"subject", "check", "outcome", "message", "hint"},
    "verify": {"name", "outcome", "proofs", "expires_at", "error"},
    "audit": {
        *("seq", "time", "event", "credential", "rotation_id", "actor", "outcome", "reason", "key_id", "store_path"),
        *("store_version", "request_id", "detail", "prev_hash", "hash"),
    },
}


def test_a_credential_is_rotated_watched_proved_and_recorded(bench: Bench) -> None:
    rotated = bench.run("rotate", ONE, "-o", "json")
    assert rotated.code == 0, rotated.err
    (item,) = rotated.items
    assert item["outcome"] == "promoted"
    assert set(item) >= KEYS["rotate"]
    assert [line.split()[1] for line in rotated.err.splitlines() if line.startswith(ONE)][-1] == "promote"

    assert bench.run("read", ONE, "--field", "client_secret", "--to", "secret").code == 0
    value = (bench.folder / "secret").read_text(encoding="utf-8").strip()
    assert len(value) > 20

    (status, other) = bench.run("-o", "json", "status").items
    assert set(status) >= KEYS["status"]
    assert (status["state"], other["state"]) == ("ok", "unknown")
    assert bench.run("verify", ONE, "-o", "json").items[0]["outcome"] == "proved"
    assert set(bench.run("plan", "-o", "json").items[0]) >= KEYS["plan"]
    assert set(bench.run("orphans", "-o", "json").items[0]) >= KEYS["orphans"]
    assert set(bench.run("check", "-o", "json").items[0]) >= KEYS["check"]
    history = bench.run("history", ONE, "-o", "json").items[0]
    assert set(history) >= KEYS["rotate"] | {"steps"}
    assert [step["step"] for step in history["steps"]][-1] == "promote"
    records = bench.run("audit", "list", "-o", "jsonl").out.splitlines()
    assert set(json.loads(records[0])) >= KEYS["audit"]

    verified = bench.run("audit", "verify")
    assert verified.code == 0
    assert verified.out.startswith(f"chain verified: 1 to {len(records)}, head ")
    shown = bench.run("audit", "show", "1")
    assert shown.out.startswith("seq ")
    assert value not in "".join(bench.printed)


def test_persons_pause_resume_retire_and_forget(bench: Bench) -> None:
    assert bench.run("rotate", ONE).code == 0
    assert bench.run("pause", ONE).err == f"Paused: {ONE}.\n"
    refused = bench.run("rotate", "--now", ONE)
    assert (refused.code, refused.out) == (1, "")
    assert f"rotator resume {ONE}" in refused.err
    assert bench.run("resume", ONE).err == f"Resumed: {ONE}.\n"
    assert bench.run("rotate", "--now", ONE, "--reason", "leaver process").code == 0
    retired = bench.run("retire", ONE, "--yes")
    assert retired.code == 0, retired.err
    assert retired.out.startswith(f"{ONE}  retired ")
    assert "leaver process" in bench.run("audit", "list", "--event", "request.received").out
    forgotten = bench.run("forget", ONE, "--leave")
    assert (forgotten.code, forgotten.err) == (0, f"Forgotten: {ONE}.\n")


def test_a_rehearsal_changes_nothing(bench: Bench) -> None:
    planned = bench.run("rotate", "--now", ONE, "--dry-run", "-o", "json")
    assert (planned.code, planned.items[0]["outcome"]) == (0, "planned")
    assert not (bench.folder / "rotator.db").exists()


def test_the_state_is_copied_and_put_back(bench: Bench) -> None:
    assert bench.run("rotate", ONE).code == 0
    assert bench.run("db", "current").code == 0
    backup = bench.run("db", "backup", "copy.db")
    assert backup.code == 0, backup.err
    again = bench.run("db", "backup", "copy.db")
    assert again.code != 0
    restored = bench.run("db", "restore", "copy.db", "--yes")
    assert restored.code == 0, restored.err
    assert bench.run("audit", "verify", "--offline").code == 0


# ----------------------------------------------------------------------------------------------------------- exit codes


def test_an_unknown_name_is_2_with_the_one_that_was_meant(bench: Bench) -> None:
    for command in (["rotate"], ["status"], ["verify"], ["history"], ["pause"], ["read", "--field", "x", "--to", "y"]):
        done = bench.run(*command, "kontrolle-plus-prd")
        assert (done.code, done.out) == (2, "")
        assert f'Did you mean "{ONE}"?' in done.err


def test_issuers_that_cannot_be_reached_are_69_and_json_stays_valid(bench: Bench) -> None:
    bench.sandbox.stop()
    done = bench.run("rotate", ONE, "-o", "json")
    assert done.code == 69
    assert done.items[0]["error"]["hint"]
    assert done.err.splitlines()[-1].startswith("  ")


def test_a_missing_secret_is_78_before_anything_is_contacted(bench: Bench) -> None:
    (bench.folder / "graph.pem").unlink()
    for command in (["rotate"], ["orphans"]):
        done = bench.run(*command)
        assert (done.code, done.out) == (78, "")
        assert "graph.pem" in done.err


def test_a_wrong_configuration_is_78_with_file_line_and_column(bench: Bench) -> None:
    path = bench.folder / "config.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("use: contoso", "use: contso"), encoding="utf-8")
    for command in ("status", "rotate", "plan", "check"):
        done = bench.run(command)
        assert (done.code, done.out) == (78, "")
        assert done.err.startswith("config.yaml:")
        assert 'Did you mean "contoso"?' in done.err


def test_a_changed_record_is_4(bench: Bench) -> None:
    import sqlite3

    assert bench.run("rotate", ONE).code == 0
    with sqlite3.connect(bench.folder / "rotator.db") as database:
        table = next(row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE name LIKE '%audit%'"))
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        column = "actor" if "actor" in columns else "record"
        for trigger in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger[0]}")
        database.execute(f"UPDATE {table} SET {column} = replace({column}, 'o', 'x') WHERE seq = 2")
    broken = bench.run("audit", "verify", "--offline")
    assert broken.code == 4
    assert broken.out.startswith("chain broken:")


# ---------------------------------------------------------------------------------------------------------- interrupts


def test_ctrl_c_leaves_the_rest_to_the_next_run_and_says_so(bench: Bench) -> None:
    with bench.begin("rotate", TWO, "-v") as process:
        said = interrupted(process, "not accepted yet")
    assert process.returncode == 75, said
    assert "Stopping: the step in hand is finished" in said
    assert "rotator rotate" in said.splitlines()[-1]
    assert "Traceback" not in said
    again = bench.run("rotate", TWO, "-o", "json")
    assert (again.code, again.items[0]["outcome"]) == (0, "promoted")
    assert [item["class"] for item in bench.run("orphans", "-o", "json").items].count("orphan") == 0


def test_a_second_ctrl_c_ends_at_once_and_nothing_is_lost(bench: Bench) -> None:
    with bench.begin("rotate", TWO, "-v") as process:
        said = interrupted(process, "not accepted yet", "Stopping")
    assert process.returncode in (75, 130), said  # 75 when it had ended by itself before the second one came
    assert "Traceback" not in said
    again = bench.run("rotate", TWO, "-o", "json")
    assert (again.code, again.items[0]["outcome"]) == (0, "promoted")


@pytest.mark.parametrize("command", [("rotate", "--now", "--emergency", ONE), ("retire", ONE)])
def test_ctrl_c_at_a_question_ends_at_once_and_nothing_was_begun(bench: Bench, command: tuple[str, ...]) -> None:
    code, drawn = bench.on_a_terminal(*command, ctrl_c_at="[y/N]")
    assert code == 130, drawn
    assert "nothing was begun" in drawn
    assert bench.run("status", "-o", "json").items[0]["last_rotation"] is None


# ------------------------------------------------------------------------------------------------------------ terminals


def test_a_terminal_shows_each_step_and_what_consumers_read(bench: Bench) -> None:
    code, drawn = bench.on_a_terminal("rotate", "--now", ONE, "--reason", "leaver process")
    text = without_escapes(drawn)
    assert code == 0, text
    for step in ("✓ baseline", "✓ create", "✓ stage", "✓ verify", "✓ promote"):
        assert step in text
    assert '"leaver process"' in text
    assert "Consumers read" in text


def test_a_terminal_is_asked_before_an_act_that_cannot_be_taken_back(bench: Bench) -> None:
    assert bench.run("rotate", ONE).code == 0
    code, drawn = bench.on_a_terminal("retire", ONE, answer="n\n")
    assert code == 1
    assert "[y/N]" in drawn
    assert "Nothing was changed." in drawn


def test_colours_are_for_terminals_that_want_them(bench: Bench) -> None:
    assert "\x1b[" in bench.on_a_terminal("status")[1]
    for environ, args in (({"NO_COLOR": "1"}, ()), ({"TERM": "dumb"}, ()), ({}, ("--no-color",))):
        assert "\x1b[" not in bench.on_a_terminal("status", *args, environ=environ)[1]
    assert "\x1b[" not in bench.run("status").out


def test_a_dumb_terminal_gets_plain_lines_of_progress(bench: Bench) -> None:
    code, drawn = bench.on_a_terminal("rotate", ONE, environ={"TERM": "dumb"})
    assert code == 0
    assert "\x1b[" not in drawn
    assert f"{ONE}  promote" in drawn


def test_a_plan_on_a_terminal_begins_with_a_picture_that_fits(bench: Bench) -> None:
    assert bench.run("rotate", ONE).code == 0
    lines = without_escapes(bench.on_a_terminal("plan", columns=100)[1]).splitlines()
    assert lines[0].split()[0] == "today"
    assert max(map(len, lines)) <= 100
    assert "today" not in bench.run("plan").out.splitlines()[0]


def test_quiet_says_nothing_beside_the_data(bench: Bench) -> None:
    done = bench.run("rotate", ONE, "-q", "-o", "jsonl")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["outcome"] == "promoted"


def test_a_value_goes_into_a_pipe_but_never_onto_a_terminal(bench: Bench) -> None:
    assert bench.run("rotate", ONE).code == 0
    code, drawn = bench.on_a_terminal("read", ONE, "--field", "client_secret", "--to", "-")
    assert code == 2
    assert "A secret is not printed on a terminal." in drawn
    piped = bench.run("read", ONE, "--field", "client_secret", "--to", "-")
    assert piped.code == 0
    assert len(piped.out.strip()) > 20
    assert piped.err == ""
    assert piped.out.strip() not in drawn
