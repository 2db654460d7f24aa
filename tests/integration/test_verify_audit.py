"""The small verifier, which shares no line with rotator, finds what rotator finds and accepts what rotator writes."""

from __future__ import annotations

import ast
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rotator.app import auditing, pruning
from rotator.app.auditing import Filter
from rotator.app.rotating import Wish, rotate
from rotator.chain import link
from rotator.exports import Form
from tests.checks import audit_format
from tests.fakes.app_bench import DAY, Bench

TOOL = Path(__file__).parents[2] / "tools/verify_audit.py"


def check(*words: object) -> tuple[int, str]:
    done = subprocess.run([sys.executable, TOOL, *map(str, words)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    text = bench.config.read_text(encoding="utf-8")
    bench.config.write_text(text.replace("stores:", 'audit: {signing_key: "file:key.pem"}\nstores:', 1))
    with bench.house() as house:
        rotate(house, Wish())
    return bench


def exported(bench: Bench, name: str = "export.jsonl") -> Path:
    path = bench.folder / name
    with bench.house() as house:
        path.write_text("".join(auditing.audit_export(house, Filter(), Form.JSONL)), encoding="utf-8")
    return path


def fingerprint(bench: Bench) -> str:
    with bench.house() as house:
        signed = auditing.audit_verify(house).checkpoint
    assert signed is not None
    return signed.key


def test_it_is_small_and_needs_the_standard_library_and_one_more() -> None:
    text = TOOL.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 150
    names = {
        (node.module or "").partition(".")[0] if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert names - sys.stdlib_module_names == {"cryptography"}


def test_it_accepts_the_test_vectors_of_the_page(tmp_path: Path) -> None:
    page = (TOOL.parents[1] / "docs/reference/audit-format.md").read_text(encoding="utf-8")
    path = tmp_path / "vectors.jsonl"
    path.write_text(page.partition("```json\n")[2].partition("```")[0], encoding="utf-8")
    name = page.partition("fingerprint is `")[2].partition("`")[0]
    code, said = check("--key", name, path)
    assert code == 0 and "records 1 to 3" in said
    assert [json.loads(line) for line in path.read_text().splitlines()] == audit_format.vectors()


def test_it_accepts_an_export_and_the_segments_before_it(bench: Bench) -> None:
    code, said = check("--key", fingerprint(bench), exported(bench))
    assert code == 0 and "holds: records 1 to" in said
    bench.clock.advance(DAY)
    segment = bench.folder / "segment.jsonl"
    with bench.house() as house:
        pruning.prune(house, house.clock.now(), segment)
    rest = exported(bench)
    for files in ([segment], [rest], [segment, rest]):
        code, said = check("--key", fingerprint(bench), *files)
        assert code == 0, said
    assert check(rest, segment)[0] == 4, "in the wrong order they are no chain"


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def edit(lines: list[dict[str, Any]]) -> None:
    lines[4]["actor"] = "nobody"


def edit_with_its_hash(lines: list[dict[str, Any]]) -> None:
    edit(lines)
    lines[4]["hash"] = link(lines[4], lines[4]["prev_hash"])


def write_anew(lines: list[dict[str, Any]]) -> None:
    edit(lines)
    for before, line in itertools.pairwise(lines[3:]):
        line["prev_hash"] = before["hash"]
        line["hash"] = link(line, before["hash"])


def add_a_key(lines: list[dict[str, Any]]) -> None:
    lines[4]["more"] = None


def cut_the_beginning(lines: list[dict[str, Any]]) -> None:
    del lines[:3]


def swap(lines: list[dict[str, Any]]) -> None:
    lines[3], lines[4] = lines[4], lines[3]


def remove(lines: list[dict[str, Any]]) -> None:
    del lines[4]


@pytest.mark.parametrize("change", [edit, edit_with_its_hash, write_anew, add_a_key, cut_the_beginning, swap, remove])
def test_it_finds_what_was_changed(bench: Bench, change: Callable[[list[dict[str, Any]]], None]) -> None:
    path = exported(bench)
    lines = lines_of(path)
    change(lines)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    code, said = check(path)
    assert code == 4 and said.startswith("BROKEN: ")


def test_another_key_than_the_one_that_was_named_is_refused(bench: Bench) -> None:
    assert check("--key", "0" * 64, exported(bench))[0] == 4


@pytest.mark.parametrize("text", ["no json\n", "[]\n", "5\n", '{"seq": 1}\n', '{"a": 1, "a": 2}\n', '{"seal": []}\n'])
def test_what_is_no_export_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    code, said = check(path)
    assert code == 4 and "Traceback" not in said
    assert check(tmp_path / "missing")[0] == 2
