"""The conformance kit notices each broken promise of a store, at the test of that promise."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from rotator.clock import SystemClock
from rotator.errors import WriteConflict
from rotator.finding import Finding
from rotator.ports import Documents, Snapshot, Store
from rotator.secret import Fields
from rotator.testing import stores
from tests.fakes.memory_store import MemoryDocuments, MemoryStore


@dataclass
class Bench:
    store: MemoryStore
    reopened: Callable[[], MemoryStore] | None = None
    tells_time: bool = True

    def another(self) -> Store:
        return self.reopened() if self.reopened is not None else self.store

    def lose_latest(self, documents: Documents, path: str) -> None:
        self.store.consumers.delete_latest(path)


# ------------------------------------------------------------------------------------------------- check-and-set


class LastOneWins(MemoryDocuments):
    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        return super().write(path, fields, self.read(path).version)


class CreatesOverWhatIsThere(MemoryDocuments):
    """0 stands for whatever is there."""

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        return super().write(path, fields, expected or self.read(path).version)


class LooksFirstAndWritesThen(MemoryDocuments):
    """Nobody is kept out between the two."""

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        if self.read(path).version != expected:
            return super().write(path, fields, expected)
        SystemClock().wait(timedelta(milliseconds=1))
        return self.put(path, fields)


class TakesAnyConflictForItsOwn(MemoryDocuments):
    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        try:
            return super().write(path, fields, expected)
        except WriteConflict:
            return self.read(path)


class KnowsItsOwnByTheSecretAlone(MemoryDocuments):
    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        try:
            return super().write(path, fields, expected)
        except WriteConflict:
            there = self.read(path)
            if there.fields is None or there.fields.text("client_secret") != fields.text("client_secret"):
                raise
            return there


class NeverKnowsItsOwn(MemoryDocuments):
    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        if self.read(path).version != expected:
            raise WriteConflict(f"{path} is at version 1, not at {expected}", hint="Look.")
        return super().write(path, fields, expected)


class WritesHalfOfItFirst(MemoryDocuments):
    """Field by field, so that a reader can come in between."""

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        written = super().write(path, fields, expected)
        document = self._documents[path]
        document.versions[written.version] = fields.without("twice")
        SystemClock().wait(timedelta(milliseconds=5))
        document.versions[written.version] = fields
        return written


# ------------------------------------------------------------------------------------------------- what was before


class ForgetsOlderVersions(MemoryDocuments):
    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        written = super().write(path, fields, expected)
        self.erase_before(path, written.version)
        return written


class ShowsTheLatestForAnyVersion(MemoryDocuments):
    def read(self, path: str, version: int | None = None) -> Snapshot:
        return super().read(path)


class ErasesNothing(MemoryDocuments):
    def erase_before(self, path: str, version: int) -> None:
        super().erase_before(path, 0)


class ErasesTheNamedOneToo(MemoryDocuments):
    def erase_before(self, path: str, version: int) -> None:
        super().erase_before(path, version + 1)


class CountsAnewAfterErasing(MemoryDocuments):
    def erase_before(self, path: str, version: int) -> None:
        super().erase_before(path, version)
        if not self.history(path):
            self.delete_all(path)


class ListsTheNewestFirst(MemoryDocuments):
    def history(self, path: str) -> tuple[int, ...]:
        return super().history(path)[::-1]


class ListsWhatWasEver(MemoryDocuments):
    def history(self, path: str) -> tuple[int, ...]:
        super().history(path)
        return tuple(range(1, self.read(path).version + 1))


class ListsTheLatestOnly(MemoryDocuments):
    def history(self, path: str) -> tuple[int, ...]:
        return super().history(path)[-1:]


# ------------------------------------------------------------------------------------------------------------ leaks


class LeaksInTheConflict(MemoryDocuments):
    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        try:
            return super().write(path, fields, expected)
        except WriteConflict as late:
            raise WriteConflict(f"{late.message}: {fields.reveal()}", hint="Look.") from None


class LeaksInTheContext(MemoryDocuments):
    """The message is clean; a traceback shows what was handled meanwhile, too."""

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        try:
            if self.read(path).version != expected:
                raise ValueError(fields.reveal())
        except ValueError:
            return super().write(path, fields, expected)
        return super().write(path, fields, expected)


class LeaksInItsRepr(MemoryDocuments):
    def __repr__(self) -> str:
        return f"{[one.fields.reveal() for one in self.truth]}"


class LeaksInTheRequestId(MemoryDocuments):
    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        return replace(super().write(path, fields, expected), request_id=fields.text("client_secret"))


class LeaksIntoTheLog(MemoryDocuments):
    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        logging.getLogger("safe").debug("PUT %s", fields.reveal())
        return super().write(path, fields, expected)


# ------------------------------------------------------------------------------------------------------- values, names


class TrimsValues(MemoryDocuments):
    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        return super().write(path, Fields({name: text.strip() for name, text in fields.reveal().items()}), expected)


class DropsWhatIsEmpty(MemoryDocuments):
    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        return super().write(path, Fields({name: text for name, text in fields.reveal().items() if text}), expected)


class TakesEmptyForDeleted(MemoryDocuments):
    def read(self, path: str, version: int | None = None) -> Snapshot:
        seen = super().read(path, version)
        return replace(seen, fields=seen.fields if seen.fields is not None and len(seen.fields) else None)


class KnowsNoCase(MemoryDocuments):
    def read(self, path: str, version: int | None = None) -> Snapshot:
        return super().read(path.lower(), version)


class TakesDotsForSlashes(MemoryDocuments):
    def read(self, path: str, version: int | None = None) -> Snapshot:
        return super().read(path.replace("/", ".") if ".." not in path else path, version)

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        return super().write(path.replace("/", ".") if ".." not in path else path, fields, expected)


class TakesAnyPath(MemoryDocuments):
    def read(self, path: str, version: int | None = None) -> Snapshot:
        return Snapshot(0, None)


# ------------------------------------------------------------------------------------------------------------- clocks


class TellsNoTime(MemoryDocuments):
    def read(self, path: str, version: int | None = None) -> Snapshot:
        return replace(super().read(path, version), store_now=None)


class TellsNoTimeOfWriting(MemoryDocuments):
    def read(self, path: str, version: int | None = None) -> Snapshot:
        return replace(super().read(path, version), written_at=None)


class TellsALocalTime(MemoryDocuments):
    def read(self, path: str, version: int | None = None) -> Snapshot:
        seen = super().read(path, version)
        return replace(seen, store_now=self._clock.now().replace(tzinfo=None))


class TakesTheTimeOfWritingForNow(MemoryDocuments):
    def read(self, path: str, version: int | None = None) -> Snapshot:
        seen = super().read(path, version)
        return replace(seen, store_now=seen.written_at)


class ClockStandsStill(MemoryDocuments):
    at: datetime | None = None

    def read(self, path: str, version: int | None = None) -> Snapshot:
        seen = super().read(path, version)
        self.at = self.at or seen.store_now
        return replace(seen, store_now=self.at)


class TellsTheTimeOfTheLatest(MemoryDocuments):
    def read(self, path: str, version: int | None = None) -> Snapshot:
        latest = super().read(path)
        return replace(super().read(path, version), written_at=latest.written_at)


def store_of(kind: type[MemoryDocuments]) -> MemoryStore:
    store = MemoryStore(SystemClock())
    store.consumers, store.staging = kind(store.clock, 10), kind(store.clock, 1)
    return store


CONFLICT = "a_write_that_expects_another_version_conflicts_and_changes_nothing"
OWN = "a_conflict_with_exactly_what_we_wrote_is_our_own_success"
RACE = "of_32_parallel_writers_of_the_next_version_exactly_one_wins"
WHOLE = "who_reads_while_it_is_written_sees_one_version_as_a_whole"
OLDER = "older_versions_of_a_consumer_document_can_be_read"
ERASING = "erasing_leaves_the_named_version_and_the_numbers"
LEAKS = "no_value_is_in_what_is_raised_shown_or_logged"
TEXTS = "texts_of_every_kind_survive_unchanged"
APART = "documents_and_areas_do_not_touch_each_other"
TIMES = "the_times_of_a_store_with_a_clock_are_aware_and_close_together"
GOES_ON = "a_clock_of_a_store_goes_on_and_is_told_where_there_is_no_document_yet"
UNSAFE = "a_path_that_could_mean_something_else_is_refused_before_anything_is_sent"


def bites(promise: str, good: Bench, bad: Bench, caplog: pytest.LogCaptureFixture, **facts: Any) -> None:
    """See the test of a promise pass with a store that keeps it, and fail with one that does not."""
    test = getattr(stores, f"test_{promise}")

    def run(bench: Bench, area: str) -> None:
        caplog.clear()
        given = {"bench": bench, "documents": getattr(bench.store, area), "caplog": caplog, **facts}
        test(**{name: given[name] for name in inspect.signature(test).parameters})

    run(good, "consumers")
    with pytest.raises((AssertionError, pytest.fail.Exception, WriteConflict, TypeError)):
        run(bad, "consumers")


@pytest.mark.parametrize(
    ("broken", "promise", "facts"),
    [
        (LastOneWins, CONFLICT, {"expected": 0}),
        (CreatesOverWhatIsThere, CONFLICT, {"expected": 0}),
        (LooksFirstAndWritesThen, RACE, {}),
        (TakesAnyConflictForItsOwn, CONFLICT, {"expected": 3}),
        (KnowsItsOwnByTheSecretAlone, "a_field_more_or_less_is_not_what_we_wrote", {}),
        (NeverKnowsItsOwn, OWN, {}),
        (WritesHalfOfItFirst, WHOLE, {}),
        (ForgetsOlderVersions, OLDER, {}),
        (ForgetsOlderVersions, "our_own_write_is_recognised_below_a_later_one", {}),
        (ShowsTheLatestForAnyVersion, OLDER, {}),
        (ShowsTheLatestForAnyVersion, "a_version_that_never_was_has_no_fields", {}),
        (ErasesNothing, ERASING, {}),
        (ErasesTheNamedOneToo, ERASING, {}),
        (CountsAnewAfterErasing, "erasing_everything_keeps_the_number", {}),
        (ListsTheNewestFirst, OLDER, {}),
        (ListsWhatWasEver, "consumer_documents_keep_ten_versions", {}),
        (ListsTheLatestOnly, OLDER, {}),
        (LeaksInTheConflict, "a_conflict_names_both_versions_and_the_path_but_no_value", {}),
        (LeaksInTheContext, LEAKS, {}),
        (LeaksInItsRepr, LEAKS, {}),
        (LeaksInTheRequestId, LEAKS, {}),
        (LeaksIntoTheLog, LEAKS, {}),
        (TrimsValues, TEXTS, {}),
        (DropsWhatIsEmpty, TEXTS, {}),
        (TakesEmptyForDeleted, "a_document_without_fields_is_not_a_deleted_one", {}),
        (KnowsNoCase, APART, {}),
        (TakesDotsForSlashes, APART, {}),
        (TakesAnyPath, UNSAFE, {"path": "../a"}),
        (TellsNoTime, TIMES, {}),
        (TellsNoTimeOfWriting, TIMES, {}),
        (TellsALocalTime, TIMES, {}),
        (TakesTheTimeOfWritingForNow, GOES_ON, {}),
        (ClockStandsStill, GOES_ON, {}),
        (TellsTheTimeOfTheLatest, "an_older_version_has_the_time_at_which_it_was_written", {}),
    ],
)
def test_a_broken_promise_is_noticed(
    broken: type[MemoryDocuments], promise: str, facts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    bites(promise, Bench(store_of(MemoryDocuments)), Bench(store_of(broken)), caplog, **facts)


# ------------------------------------------------------------------------------------------------------ whole stores


class StagesWhereConsumersRead(MemoryStore):
    """One area, in which the staged documents have names of their own."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        consumers = self.consumers

        class Below(MemoryDocuments):
            def read(self, path: str, version: int | None = None) -> Snapshot:
                return consumers.read(f"staging/{path}", version)

            def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
                return consumers.write(f"staging/{path}", fields, expected)

        self.staging = Below(self.clock, 1)


class HasOneArea(MemoryStore):
    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.staging = self.consumers


class KeepsWhatWasStaged(MemoryStore):
    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.staging = MemoryDocuments(self.clock, 10)


class KeepsOneVersion(MemoryStore):
    def __init__(self) -> None:
        super().__init__(SystemClock(), kept=1)


class WritesWhenItLooks(MemoryStore):
    def __init__(self) -> None:
        super().__init__(SystemClock())

    def check(self, paths: Sequence[str]) -> Sequence[Finding]:
        for path in paths:
            self.consumers.put(path, Fields({}))
        return super().check(paths)


class WritesOverWhenItLooks(MemoryStore):
    """Only what is there, to see whether it may."""

    def __init__(self) -> None:
        super().__init__(SystemClock())

    def check(self, paths: Sequence[str]) -> Sequence[Finding]:
        for path in paths:
            there = self.consumers.read(path)
            if there.fields is not None:
                self.consumers.write(path, there.fields, there.version)
        return super().check(paths)


class ClosesOnce(MemoryStore):
    def __init__(self) -> None:
        super().__init__(SystemClock())

    def close(self) -> None:
        assert not self.closed
        super().close()


USABLE = "a_usable_store_is_found_usable_and_the_check_writes_nothing"


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (StagesWhereConsumersRead, APART),
        (HasOneArea, APART),
        (KeepsWhatWasStaged, "a_staging_document_has_no_readable_older_version"),
        (KeepsOneVersion, "consumer_documents_keep_ten_versions"),
        (WritesWhenItLooks, USABLE),
        (WritesOverWhenItLooks, USABLE),
        (ClosesOnce, "closing_twice_is_fine"),
    ],
)
def test_a_store_that_breaks_a_promise_is_noticed(
    broken: Callable[[], MemoryStore], promise: str, caplog: pytest.LogCaptureFixture
) -> None:
    bites(promise, Bench(MemoryStore(SystemClock())), Bench(broken()), caplog)


def test_a_store_that_holds_its_documents_in_the_process_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    good, clock = MemoryStore(SystemClock()), SystemClock()
    forgetful = Bench(MemoryStore(clock), reopened=lambda: MemoryStore(clock))
    bites("two_who_have_opened_the_store_see_what_the_other_writes", Bench(good), forgetful, caplog)
