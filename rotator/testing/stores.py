"""What every store must promise, as tests that its author runs: pytest collects them by their names.

    from rotator.testing.stores import *

    @pytest.fixture
    def bench() -> Bench: ...

A promise that a test names is the one that `rotator.ports.Documents` makes; rotator's own stores pass the same suite.
It starts nothing.
"""

from __future__ import annotations

import secrets
import traceback
from datetime import timedelta
from typing import Protocol

import pytest

from rotator.clock import SystemClock
from rotator.errors import Misconfigured, WriteConflict
from rotator.finding import Severity
from rotator.ports import Documents, Store
from rotator.secret import Fields
from rotator.testing.stores_at_once import (
    PATH,
    fields,
    test_of_32_parallel_writers_of_a_new_document_exactly_one_wins,
    test_of_32_parallel_writers_of_the_next_version_exactly_one_wins,
    test_who_reads_while_it_is_written_sees_one_version_as_a_whole,
)

__all__ = [
    "documents",
    "test_a_clock_of_a_store_goes_on_and_is_told_where_there_is_no_document_yet",
    "test_a_conflict_names_both_versions_and_the_path_but_no_value",
    "test_a_conflict_with_exactly_what_we_wrote_is_our_own_success",
    "test_a_deleted_latest_version_keeps_its_number_and_can_be_written_over",
    "test_a_document_without_fields_is_not_a_deleted_one",
    "test_a_field_more_or_less_is_not_what_we_wrote",
    "test_a_path_of_the_grammar_is_taken",
    "test_a_path_that_could_mean_something_else_is_refused_before_anything_is_sent",
    "test_a_path_that_was_never_written_is_at_version_0_without_fields",
    "test_a_staging_document_has_no_readable_older_version",
    "test_a_usable_store_is_found_usable_and_the_check_writes_nothing",
    "test_a_version_that_never_was_has_no_fields",
    "test_a_write_that_expects_another_version_conflicts_and_changes_nothing",
    "test_an_older_version_has_the_time_at_which_it_was_written",
    "test_closing_twice_is_fine",
    "test_consumer_documents_keep_ten_versions",
    "test_documents_and_areas_do_not_touch_each_other",
    "test_each_write_is_the_next_version",
    "test_erasing_everything_keeps_the_number",
    "test_erasing_leaves_the_named_version_and_the_numbers",
    "test_erasing_what_is_not_there_is_nothing",
    "test_no_value_is_in_what_is_raised_shown_or_logged",
    "test_of_32_parallel_writers_of_a_new_document_exactly_one_wins",
    "test_of_32_parallel_writers_of_the_next_version_exactly_one_wins",
    "test_older_versions_of_a_consumer_document_can_be_read",
    "test_our_own_write_is_recognised_below_a_later_one",
    "test_texts_of_every_kind_survive_unchanged",
    "test_the_times_of_a_store_with_a_clock_are_aware_and_close_together",
    "test_two_who_have_opened_the_store_see_what_the_other_writes",
    "test_version_0_is_the_document_before_it_was_written",
    "test_what_was_written_is_read_back_with_its_version",
    "test_who_reads_while_it_is_written_sees_one_version_as_a_whole",
]
"""What a star import takes: the tests."""


class Bench(Protocol):
    """A store, and what a test must be able to do behind its back. tells_time: it has a clock of its own."""

    tells_time: bool

    @property
    def store(self) -> Store:
        """The store under test."""

    def another(self) -> Store:
        """Return the same store, opened once more, as another process would."""

    def lose_latest(self, documents: Documents, path: str) -> None:
        """Make the latest version unreadable while its number stays."""


@pytest.fixture(params=["consumers", "staging"])
def documents(bench: Bench, request: pytest.FixtureRequest) -> Documents:
    found: Documents = getattr(bench.store, request.param)
    return found


def test_a_path_that_was_never_written_is_at_version_0_without_fields(documents: Documents) -> None:
    seen = documents.read(PATH)
    assert (seen.version, seen.fields) == (0, None)
    assert documents.history(PATH) == ()


def test_what_was_written_is_read_back_with_its_version(documents: Documents) -> None:
    written = documents.write(PATH, fields(), expected=0)
    seen = documents.read(PATH)
    assert written.version == seen.version == 1
    assert written.fields == seen.fields == fields()
    assert seen.written_at == written.written_at


def test_texts_of_every_kind_survive_unchanged(documents: Documents) -> None:
    odd = fields(
        text='~#+%25 "\\\n\t ä€𝄞\u2028',
        empty="",
        **{"with space": " x ", "ünicode": "ö", "zero\x00": "\x00", "a.b/c": "1"},
    )
    documents.write(PATH, odd, expected=0)
    assert documents.read(PATH).fields == odd


def test_a_document_without_fields_is_not_a_deleted_one(documents: Documents) -> None:
    documents.write(PATH, Fields({}), expected=0)
    seen = documents.read(PATH)
    assert seen.version == 1
    assert seen.fields is not None and len(seen.fields) == 0


def test_each_write_is_the_next_version(documents: Documents) -> None:
    for expected in range(3):
        assert documents.write(PATH, fields(f"value-{expected}"), expected).version == expected + 1
    assert documents.read(PATH).fields == fields("value-2")


@pytest.mark.parametrize("expected", [0, 1, 3, 99])
def test_a_write_that_expects_another_version_conflicts_and_changes_nothing(
    documents: Documents, expected: int
) -> None:
    documents.write(PATH, fields("first"), expected=0)
    documents.write(PATH, fields("second"), expected=1)
    with pytest.raises(WriteConflict) as caught:
        documents.write(PATH, fields("late"), expected=expected)
    assert caught.value.__cause__ is None
    assert documents.read(PATH).fields == fields("second")
    assert documents.read(PATH).version == 2


def test_a_conflict_names_both_versions_and_the_path_but_no_value(documents: Documents) -> None:
    documents.write(PATH, fields("first-value-of-it"), expected=0)
    with pytest.raises(WriteConflict) as caught:
        documents.write(PATH, fields("second-value-of-it"), expected=7)
    assert PATH in caught.value.message
    assert "version 1" in caught.value.message and "7" in caught.value.message
    assert "value-of-it" not in f"{caught.value.message}{caught.value.hint}"
    assert caught.value.hint


def test_no_value_is_in_what_is_raised_shown_or_logged(documents: Documents, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    first, second = secrets.token_hex(), secrets.token_hex()  # a traceback shows the lines of this test, too
    written = documents.write(PATH, fields(first), expected=0)
    with pytest.raises(WriteConflict) as caught:
        documents.write(PATH, fields(second), expected=7)
    raised = "".join(traceback.format_exception(caught.value))
    shown = f"{documents!r}{documents.read(PATH)!r}{written!r}{documents.history(PATH)!r}"
    said = raised + shown + caplog.text
    assert first not in said and second not in said


def test_a_conflict_with_exactly_what_we_wrote_is_our_own_success(documents: Documents) -> None:
    documents.write(PATH, fields("first"), expected=0)
    documents.write(PATH, fields("second"), expected=1)
    again = documents.write(PATH, fields("second"), expected=1)
    assert again.version == 2
    assert documents.read(PATH).version == 2


def test_our_own_write_is_recognised_below_a_later_one(bench: Bench) -> None:
    consumers = bench.store.consumers
    consumers.write(PATH, fields("ours"), expected=0)
    consumers.write(PATH, fields("theirs"), expected=1)
    assert consumers.write(PATH, fields("ours"), expected=0).version == 1
    assert consumers.read(PATH).fields == fields("theirs")


def test_a_field_more_or_less_is_not_what_we_wrote(documents: Documents) -> None:
    documents.write(PATH, fields("same", extra="1"), expected=0)
    with pytest.raises(WriteConflict):
        documents.write(PATH, fields("same"), expected=0)


def test_two_who_have_opened_the_store_see_what_the_other_writes(bench: Bench) -> None:
    other = bench.another()
    for ours, theirs in ((bench.store.consumers, other.consumers), (bench.store.staging, other.staging)):
        assert (ours.read(PATH).version, theirs.read(PATH).version) == (0, 0)
        ours.write(PATH, fields("ours"), expected=0)
        assert theirs.read(PATH).fields == fields("ours")
        theirs.write(PATH, fields("theirs"), expected=1)
        assert ours.read(PATH).fields == fields("theirs")
        with pytest.raises(WriteConflict):
            ours.write(PATH, fields("late"), expected=1)
        ours.erase_before(PATH, 2)
        assert ours.history(PATH) == theirs.history(PATH) == (2,)
    other.close()


def test_older_versions_of_a_consumer_document_can_be_read(bench: Bench) -> None:
    consumers = bench.store.consumers
    for expected in range(3):
        consumers.write(PATH, fields(f"value-{expected}"), expected)
    assert consumers.history(PATH) == (1, 2, 3)
    assert consumers.read(PATH, 2).fields == fields("value-1")
    assert consumers.read(PATH, 2).version == 2
    assert consumers.read(PATH).version == 3


def test_a_version_that_never_was_has_no_fields(documents: Documents) -> None:
    documents.write(PATH, fields(), expected=0)
    assert documents.read(PATH, 99).fields is None
    assert documents.read(PATH, 99).version == 99


def test_version_0_is_the_document_before_it_was_written(documents: Documents) -> None:
    documents.write(PATH, fields(), expected=0)
    seen = documents.read(PATH, 0)
    assert (seen.version, seen.fields) == (0, None)


def test_consumer_documents_keep_ten_versions(bench: Bench) -> None:
    consumers = bench.store.consumers
    for expected in range(12):
        consumers.write(PATH, fields(f"value-{expected}"), expected)
    assert consumers.history(PATH) == tuple(range(3, 13))
    assert consumers.read(PATH, 2).fields is None
    assert consumers.read(PATH, 3).fields == fields("value-2")


def test_a_deleted_latest_version_keeps_its_number_and_can_be_written_over(bench: Bench) -> None:
    consumers = bench.store.consumers
    consumers.write(PATH, fields("first"), expected=0)
    consumers.write(PATH, fields("second"), expected=1)
    bench.lose_latest(consumers, PATH)
    seen = consumers.read(PATH)
    assert (seen.version, seen.fields) == (2, None)
    assert 2 not in consumers.history(PATH)
    with pytest.raises(WriteConflict):
        consumers.write(PATH, fields("third"), expected=0)
    assert consumers.write(PATH, fields("third"), expected=2).version == 3
    assert consumers.read(PATH).fields == fields("third")


def test_a_staging_document_has_no_readable_older_version(bench: Bench) -> None:
    staging = bench.store.staging
    staging.write("kontrolle-plus-prod", fields("candidate"), expected=0)
    staging.write("kontrolle-plus-prod", Fields({"phase": "promoted"}), expected=1)
    assert staging.history("kontrolle-plus-prod") == (2,)
    assert staging.read("kontrolle-plus-prod", 1).fields is None


def test_erasing_leaves_the_named_version_and_the_numbers(documents: Documents) -> None:
    documents.write(PATH, fields("first"), expected=0)
    documents.write(PATH, fields("second"), expected=1)
    documents.erase_before(PATH, 2)
    documents.erase_before(PATH, 2)
    assert documents.history(PATH) == (2,)
    assert documents.read(PATH, 1).fields is None
    assert documents.read(PATH).fields == fields("second")
    assert documents.write(PATH, fields("third"), expected=2).version == 3


def test_erasing_everything_keeps_the_number(documents: Documents) -> None:
    documents.write(PATH, fields("first"), expected=0)
    documents.erase_before(PATH, 2)
    seen = documents.read(PATH)
    assert (seen.version, seen.fields) == (1, None)
    assert documents.history(PATH) == ()


def test_erasing_what_is_not_there_is_nothing(documents: Documents) -> None:
    documents.erase_before(PATH, 5)
    assert documents.read(PATH).version == 0


def test_documents_and_areas_do_not_touch_each_other(bench: Bench) -> None:
    store = bench.store
    store.consumers.write("a", fields("consumers"), expected=0)
    store.staging.write("a", fields("staged"), expected=0)
    store.consumers.write("a/b", fields("below"), expected=0)
    store.consumers.write("a.b", fields("beside"), expected=0)
    store.consumers.write("a/b/c.sealed", fields("deeper"), expected=0)
    assert store.consumers.read("a").fields == fields("consumers")
    assert store.staging.read("a").fields == fields("staged")
    assert store.consumers.read("a/b").fields == fields("below")
    assert store.consumers.read("a.b").fields == fields("beside")
    assert store.consumers.read("a/b/c.sealed").fields == fields("deeper")
    assert store.consumers.read("a/b/c").version == 0
    assert store.consumers.read("A").version == store.staging.read("A").version == 0
    for elsewhere in ("staging/a", ".staging/a", "rotator/a", "staging.a", "a/staging"):
        assert store.consumers.read(elsewhere).version == 0
    store.staging.erase_before("a", 2)
    assert store.consumers.history("a") == (1,)


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a b", "a%2fb", "a\nb", "ä", "a?version=1", "a#b", "x" * 600],
)
def test_a_path_that_could_mean_something_else_is_refused_before_anything_is_sent(
    documents: Documents, path: str
) -> None:
    for attempt in (
        lambda: documents.read(path),
        lambda: documents.write(path, fields(), 0),
        lambda: documents.history(path),
        lambda: documents.erase_before(path, 1),
    ):
        with pytest.raises(Misconfigured) as caught:
            attempt()
        assert caught.value.code == "bad_store_path"


@pytest.mark.parametrize("path", ["a", "A-1_x.y", ".hidden", "...", "a/b/c/d", "x" * 300])
def test_a_path_of_the_grammar_is_taken(documents: Documents, path: str) -> None:
    documents.write(path, fields(), expected=0)
    assert documents.read(path).fields == fields()


def test_a_usable_store_is_found_usable_and_the_check_writes_nothing(bench: Bench) -> None:
    findings = bench.store.check([PATH])
    assert {finding.outcome for finding in findings} <= {Severity.OK, Severity.WARN}
    assert bench.store.consumers.read(PATH).version == bench.store.staging.read(PATH).version == 0
    bench.store.consumers.write(PATH, fields(), expected=0)
    assert {finding.outcome for finding in bench.store.check([PATH])} <= {Severity.OK, Severity.WARN}
    assert bench.store.consumers.history(PATH) == (1,)


def test_closing_twice_is_fine(bench: Bench) -> None:
    store = bench.another()
    store.consumers.read(PATH)
    store.close()
    store.close()


def test_the_times_of_a_store_with_a_clock_are_aware_and_close_together(bench: Bench) -> None:
    written = bench.store.consumers.write(PATH, fields(), expected=0)
    seen = bench.store.consumers.read(PATH)
    if not bench.tells_time:
        assert (seen.written_at, seen.store_now, written.store_now) == (None, None, None)
        return
    assert seen.written_at is not None and seen.store_now is not None
    assert seen.written_at.utcoffset() == seen.store_now.utcoffset() == timedelta(0)
    assert abs(seen.store_now - seen.written_at) < timedelta(minutes=1)


def test_an_older_version_has_the_time_at_which_it_was_written(bench: Bench) -> None:
    consumers = bench.store.consumers
    first = consumers.write(PATH, fields("first"), expected=0)
    _let_time_pass()
    second = consumers.write(PATH, fields("second"), expected=1)
    assert consumers.read(PATH, 1).written_at == first.written_at
    assert consumers.read(PATH).written_at == second.written_at
    if first.written_at is not None and second.written_at is not None:
        assert first.written_at < second.written_at


def test_a_clock_of_a_store_goes_on_and_is_told_where_there_is_no_document_yet(documents: Documents) -> None:
    before = documents.read("nobody").store_now
    written = documents.write(PATH, fields(), expected=0)
    assert (before is None) == (written.store_now is None)
    if before is None:
        return
    _let_time_pass()
    after, other = documents.read(PATH).store_now, documents.read("nobody").store_now
    assert after is not None and other is not None
    assert before < after and before < other


def _let_time_pass() -> None:
    """Wait for so long that a clock of whole seconds shows it."""
    SystemClock().wait(timedelta(seconds=1.1))
