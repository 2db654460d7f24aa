"""Tables and texts: aligned, whole when piped, and at 80 columns readable from the left."""

from __future__ import annotations

import pytest

from rotator.cli.notes import notes
from rotator.cli.page import GREEN, Page, width_of
from rotator.cli.table import Column, render
from rotator.cli.words import count, fold, listed, short_key

PIPE = Page(None, colour=False, unicode=True)


def screen(width: int, *, colour: bool = False, unicode: bool = True) -> Page:
    return Page(width, colour=colour, unicode=unicode)


COLUMNS = (Column("NAME", stays=True), Column("STATE", paint=lambda text: GREEN if text == "ok" else None), Column("B"))
ROWS = [["kontrolle-plus-prod", "ok", "b" * 30], ["x", "parked", "c"]]


def test_a_table_is_aligned_and_has_no_spaces_at_the_end() -> None:
    assert list(render(COLUMNS, ROWS, PIPE)) == [
        "NAME                 STATE   B",
        "kontrolle-plus-prod  ok      " + "b" * 30,
        "x                    parked  c",
    ]


def test_columns_drop_from_the_right_where_there_is_no_room() -> None:
    assert next(render(COLUMNS, ROWS, screen(58))) == "NAME                 STATE"
    assert next(render(COLUMNS, ROWS, screen(59))) == "NAME                 STATE   B"
    assert next(render(COLUMNS, ROWS, screen(26))) == "NAME"


def test_a_name_never_wraps_however_narrow_the_terminal() -> None:
    assert list(render(COLUMNS, [["n" * 63, "ok", "b"]], screen(40)))[1] == "n" * 63


def test_a_column_of_sentences_folds_instead_of_dropping_and_keeps_its_place() -> None:
    columns = (Column("NAME", stays=True), Column("WHY", folds=True))
    lines = list(render(columns, [["some-name", "word " * 20]], screen(50)))
    assert len(lines) == 4
    assert all(width_of(line) <= 50 for line in lines)
    assert [line[:11].strip() for line in lines] == ["NAME", "some-name", "", ""]


def test_other_columns_drop_before_sentences_get_too_narrow() -> None:
    columns = (Column("NAME", stays=True), Column("EXPIRES"), Column("WHY", stays=True, folds=True))
    lines = list(render(columns, [["n" * 20, "e" * 20, "word " * 20]], screen(60)))
    assert "EXPIRES" not in lines[0]
    assert "WHY" in lines[0]


def test_nothing_is_folded_or_dropped_in_a_pipe() -> None:
    columns = (Column("NAME", stays=True), Column("WHY", folds=True))
    assert list(render(columns, [["x", "word " * 200]], PIPE))[1].count("word") == 200


def test_colours_do_not_move_what_stands_beside_them() -> None:
    plain, coloured = (list(render(COLUMNS, ROWS, screen(80, colour=on))) for on in (False, True))
    assert "\x1b[32mok\x1b[0m      bbb" in coloured[1]
    assert [line.replace("\x1b[32m", "").replace("\x1b[1m", "").replace("\x1b[0m", "") for line in coloured] == plain


def test_a_hostile_cell_cannot_move_the_cursor() -> None:
    line = list(render(COLUMNS, [["x", "\x1b[2Jgone\rback\x9b", "b"]], PIPE))[1]
    assert line.isprintable()


def test_a_terminal_without_unicode_gets_ascii() -> None:
    lines = list(render(COLUMNS, [["x", "4c1e…9a02 · ok", "b"]], screen(80, unicode=False)))
    assert lines[1] == "x     4c1e...9a02 - ok  b"


def test_wide_characters_count_twice() -> None:
    assert width_of("名前") == 4
    assert width_of("e\u0301") == 1


def test_folding_breaks_between_words_only() -> None:
    assert fold("one two three", 8) == ["one two", "three"]
    assert fold("a-word-that-is-too-long b", 8) == ["a-word-that-is-too-long", "b"]
    assert fold("one two three", None) == ["one two three"]


def test_a_command_at_the_end_is_never_broken() -> None:
    text = "Restore the role at the issuer, then: rotator resume fieldops-cert"
    assert fold(text, 40) == ["Restore the role at the issuer, then:", "rotator resume fieldops-cert"]
    assert fold(text, 90) == [text]
    assert fold("then: rotator resume a-credential-with-a-long-name", 20) == [
        "then:",
        "rotator resume a-credential-with-a-long-name",
    ]


def test_notes_stand_beside_their_names_with_the_next_step_below() -> None:
    remarks = [("a", "First thing.", "then: rotator resume a"), ("long-name", "Second thing.", "")]
    assert list(notes(remarks, PIPE)) == [
        "",
        "a          First thing.",
        "           then: rotator resume a",
        "long-name  Second thing.",
    ]
    assert list(notes([], PIPE)) == []


def test_notes_fold_at_80_columns_and_never_become_wider_than_120() -> None:
    for width, widest in ((80, 80), (200, 120)):
        lines = list(notes([("name", "word " * 80, "")], screen(width)))
        assert max(map(width_of, lines)) <= widest
        assert all(line.startswith(" " * 6) for line in lines[2:])


@pytest.mark.parametrize(
    ("words", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_read_like_sentences(words: list[str], said: str) -> None:
    assert listed(words) == said


def test_counts_and_keys_are_said_as_people_do() -> None:
    assert (count(1, "warning"), count(2, "warning"), count(0, "warning")) == ("1 warning", "2 warnings", "0 warnings")
    assert short_key("4c1e0000-0000-4000-8000-000000009a02") == "4c1e…9a02"
    assert (short_key("short"), short_key(None)) == ("short", "")


def test_a_held_space_keeps_a_figure_with_its_unit() -> None:
    assert fold("verify 39\N{NO-BREAK SPACE}s", 10) == ["verify", "39 s"]
    assert list(render((Column("A"),), [["39\N{NO-BREAK SPACE}s"]], PIPE)) == ["A", "39 s"]
