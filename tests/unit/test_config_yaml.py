"""Scalars mean what YAML 1.2 says, and what is not plain data is refused with its place."""

from __future__ import annotations

import math

import pytest

from rotator.app.config.yaml import MAX_DEPTH, find_text, locate, parse


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("off", "off"),
        ("y", "y"),
        ("NO", "NO"),
        ("02:00", "02:00"),
        ("12:30:00", "12:30:00"),
        ("190:20:30", "190:20:30"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("012", 12),
        ("-7", -7),
        ("0o14", 12),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ('"1"', "1"),
        ("'true'", "true"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("9" * 30, int("9" * 30)),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(text: str, meant: object) -> None:
    parsed = parse(f"a: {text}")
    assert not parsed.faults
    found = parsed.data["a"]
    assert (found, type(found)) == (meant, type(meant))


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(parse("a: .nan").data["a"])


def test_keys_are_text_as_it_stands() -> None:
    assert parse("{1: a, true: b, null: c, 02:00: d}").data == {"1": "a", "true": "b", "null": "c", "02:00": "d"}


def test_every_repeated_key_is_told_with_its_place_and_the_first_one_counts() -> None:
    parsed = parse("a: 1\nb: {c: 1,\n  c: 2}\na: 3\n")
    assert parsed.data == {"a": 1, "b": {"c": 1}}
    assert [(f.line, f.column, f.path, f.message) for f in parsed.faults] == [
        (3, 3, ("b", "c"), "stands here a second time, after line 2"),
        (4, 1, ("a",), "stands here a second time, after line 1"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a: &x 1\nb: *y", 2, 4, "an alias (*) to an anchor that does not exist"),
        ("a: &x [*x]", 1, 8, "an alias (*) to an anchor that does not exist"),
        ("a: !!int '1'", 1, 4, "a tag (!) has no meaning here"),
        ("a: !!python/object:os.system {}", 1, 4, "a tag (!) has no meaning here"),
        ("? [a]\n: 1", 1, 3, "a key must be plain text"),
        ("a: &x {b: 1}\nc:\n  <<: *x", 3, 3, "merge keys (<<) are not part of YAML 1.2"),
        ("a: 1\n---\nb: 2", 2, 1, "a second document begins here"),
        ("a: 1\nb: c: 2", 2, 5, "not valid YAML: a colon where none may stand"),
        ("a: [1,\nb: 2", 2, 5, "not valid YAML: a list in brackets is not closed before this"),
        ("a: {b: 1\nc: 2", 2, 2, "not valid YAML: a mapping in braces is not closed before this"),
        ("a:\n\t- 1", 2, 1, "not valid YAML: a character that cannot begin a value"),
        ('ä: 1\na: "x', 2, 6, "not valid YAML: the file ends inside a quoted text"),
        ('ä: "\\q"', 1, 5, "not valid YAML: an unknown escape in a quoted text"),
        ("ä: 1\nb: é\x07", 2, 5, "a character that YAML does not allow"),
        ("- a\nb: c", 2, 1, "not valid YAML: not part of the list above it"),
        ("a: b\n  c: d", 2, 4, "not valid YAML: a colon where none may stand"),
    ],
)
def test_what_is_not_plain_data_is_refused_at_its_place(text: str, line: int, column: int, message: str) -> None:
    fault = parse(text).faults[0]
    assert (fault.line, fault.column, fault.message) == (line, column, message)


def test_an_alias_stands_for_what_its_anchor_holds() -> None:
    assert parse("a: &x {b: [1, 2]}\nc: *x\n").data == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}


def test_aliases_that_unfold_without_end_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    fault = parse("\n".join(lines)).faults[-1]
    assert fault.message == "aliases that unfold to more than 4,000,000 values"
    assert fault.line == 7


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{a: " * 500, "- " * 5_000, "\n".join("  " * n + "a:" for n in range(99))]
)
def test_nesting_without_end_is_refused(text: str) -> None:
    assert parse(text).faults[-1].message.endswith(f"nested deeper than {MAX_DEPTH} levels")


@pytest.mark.parametrize("text", ["", "# only words\n", "---\n", "--- null\n"])
def test_a_text_that_says_nothing_is_nothing(text: str) -> None:
    assert parse(text).data is None
    assert not parse(text).faults


def test_values_and_keys_are_found_again_by_their_path() -> None:
    text = "a:\n  - b: x\n    ü: {d: y}\n"
    spots = locate(text, [("a", 0, "ü", "d"), ("a", 1), ("z",)])
    assert (spots["a", 0, "ü", "d"].line, spots["a", 0, "ü", "d"].column) == (3, 12)
    assert spots["a", 0, "ü", "d"].key == (3, 9)
    assert (spots["a", 0].line, spots["a", 0].column) == (2, 5)
    assert ("a", 1) not in spots
    assert (spots[()].line, spots[()].column) == (1, 1)


def test_the_place_of_a_repeated_key_does_not_hide_the_first() -> None:
    assert locate("a: x\na: y\n", [("a",)])["a",].line == 1


def test_a_scalar_is_found_by_its_text() -> None:
    spot = find_text('a: b\nc: ["env:X"]\n', "env:X")
    assert spot is not None
    assert (spot.line, spot.column) == (2, 5)
    assert find_text("a: b", "c") is None


def test_without_libyaml_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yaml.__with_libyaml__", False)
    parsed = parse("a: &x [no, 02:00, 1, ~]\nb: *x\na: 2\n")
    assert parsed.data == {"a": ["no", "02:00", 1, None], "b": ["no", "02:00", 1, None]}
    assert [(fault.line, fault.column) for fault in parsed.faults] == [(3, 1)]
    assert parse("a: [").faults
