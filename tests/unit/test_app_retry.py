"""What is asked again when it failed by chance, and what never is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import NoReturn

import pytest

from rotator.app.retry import TRIES, Again, SteadyDocuments, SteadyProvider, SteadyStore
from rotator.clock import ManualClock
from rotator.errors import Busy, ClockWrong, Denied, Misconfigured, OutcomeUnknown, RotatorError, Throttled, Transient
from rotator.kit import Interrupted
from rotator.model import Act
from rotator.ports import Snapshot
from rotator.secret import Fields
from rotator.testing.providers import Fate
from tests.fakes.memory_issuer import MemoryIssuer
from tests.fakes.memory_store import MemoryDocuments, MemoryStore

SHORT, LONG = timedelta(seconds=3), timedelta(minutes=5)


class Flaky:
    """A call that fails so many times before it succeeds."""

    def __init__(self, *errors: RotatorError) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def transient(**more: object) -> Transient:
    return Transient("down", hint="wait", **more)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def again(clock: ManualClock) -> Again:
    return Again(clock, threading.Event())


def test_what_failed_by_chance_is_asked_again_after_a_wait(clock: ManualClock, again: Again) -> None:
    call, began = Flaky(transient(), transient()), clock.now()
    assert again(call) == "done"
    assert call.calls == 3
    assert timedelta(0) < clock.now() - began <= timedelta(seconds=8)


def test_it_gives_up_after_a_few_tries_with_the_last_error(again: Again) -> None:
    errors = [transient(code=f"try{number}") for number in range(9)]
    call = Flaky(*errors)
    with pytest.raises(Transient) as caught:
        again(call)
    assert call.calls == TRIES
    assert caught.value is errors[TRIES - 1]


@pytest.mark.parametrize(
    "error",
    [
        OutcomeUnknown("lost", hint="read"),
        Busy("locked", hint="wait"),
        ClockWrong("an hour ahead", hint="set it"),
        Denied("no", hint="ask"),
        Misconfigured("no file", hint="make it"),
        Throttled("slowly", hint="wait", retry_after=LONG),
        transient(retry_after=LONG),
    ],
    ids=lambda error: f"{type(error).__name__}-{error.code}",
)
def test_what_waiting_a_moment_does_not_mend_is_not_asked_again(again: Again, error: RotatorError) -> None:
    call = Flaky(error)
    with pytest.raises(type(error)):
        again(call)
    assert call.calls == 1


def test_a_short_wait_that_was_asked_for_is_kept(clock: ManualClock, again: Again) -> None:
    began = clock.now()
    assert again(Flaky(Throttled("slowly", hint="wait", retry_after=SHORT))) == "done"
    assert clock.now() - began >= SHORT


def test_a_wait_ends_when_the_program_is_to_stop(clock: ManualClock) -> None:
    stop = threading.Event()
    stop.set()
    call = Flaky(transient())
    with pytest.raises(Interrupted):
        Again(clock, stop)(call)
    assert call.calls == 1


# --------------------------------------------------------------------------------------------- what is never repeated


class Counted(MemoryDocuments):
    """Documents whose every call fails with silence."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock, 10)
        self.calls: list[str] = []

    def _fail(self, name: str) -> Transient:
        self.calls.append(name)
        return transient()

    def read(self, path: str, version: int | None = None) -> NoReturn:
        raise self._fail("read")

    def write(self, path: str, fields: Fields, expected: int) -> NoReturn:
        raise self._fail("write")

    def history(self, path: str) -> NoReturn:
        raise self._fail("history")

    def erase_before(self, path: str, version: int) -> NoReturn:
        raise self._fail("erase_before")


@pytest.mark.parametrize(
    ("name", "call", "calls"),
    [
        ("read", lambda one: one.read("a"), TRIES),
        ("history", lambda one: one.history("a"), TRIES),
        ("write", lambda one: one.write("a", Fields({}), 0), 1),
        ("erase_before", lambda one: one.erase_before("a", 1), 1),
    ],
)
def test_a_document_is_read_again_and_never_written_again(
    clock: ManualClock, again: Again, name: str, call: Callable[[SteadyDocuments], object], calls: int
) -> None:
    below = Counted(clock)
    with pytest.raises(Transient):
        call(SteadyDocuments(below, again))
    assert below.calls == [name] * calls


class SilentIssuer(MemoryIssuer):
    """An issuer that can say nothing at all about its versions."""

    lists = 0

    def list(self, application: str) -> NoReturn:
        self.lists += 1
        raise transient()


def test_the_list_of_an_issuer_is_asked_for_again(clock: ManualClock, again: Again) -> None:
    issuer = SilentIssuer(clock)
    with pytest.raises(Transient):
        SteadyProvider(issuer, again).list("app")
    assert issuer.lists == TRIES


def test_a_creation_whose_answer_is_lost_is_made_once(clock: ManualClock, again: Again) -> None:
    issuer = MemoryIssuer(clock)
    issuer.add("app")
    issuer.fate(Act.CREATE, Fate.LOST, Fate.LOST)
    with pytest.raises(OutcomeUnknown):
        SteadyProvider(issuer, again).create("app", "tag", timedelta(days=1))
    assert len(issuer.mutations) == 1


def test_a_throttled_creation_is_left_to_the_caller(clock: ManualClock, again: Again) -> None:
    issuer = MemoryIssuer(clock)
    issuer.add("app")
    issuer.retry_after = timedelta(seconds=1)
    issuer.fate(Act.CREATE, Fate.THROTTLED)
    with pytest.raises(Throttled):
        SteadyProvider(issuer, again).create("app", "tag", timedelta(days=1))
    assert not issuer.mutations


class HastyDocuments(MemoryDocuments):
    """Documents of which the first writes come too fast."""

    refusals = 2
    retry_after = timedelta(seconds=1)

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        if self.refusals:
            self.refusals -= 1
            raise Throttled("slow down", hint="wait", retry_after=self.retry_after)
        return super().write(path, fields, expected)


def test_a_write_that_came_too_fast_is_made_once_a_moment_later(clock: ManualClock, again: Again) -> None:
    documents, began = HastyDocuments(clock, 10), clock.now()
    assert SteadyDocuments(documents, again).write("a", Fields({"b": "c"}), 0).version == 1
    assert clock.now() - began >= timedelta(seconds=2)


def test_a_write_that_is_throttled_for_long_is_left_to_the_caller(clock: ManualClock, again: Again) -> None:
    documents = HastyDocuments(clock, 10)
    documents.retry_after = timedelta(minutes=1)
    with pytest.raises(Throttled):
        SteadyDocuments(documents, again).write("a", Fields({"b": "c"}), 0)
    assert documents.refusals == 1


def test_a_write_that_failed_otherwise_is_never_made_again(clock: ManualClock, again: Again) -> None:
    documents = MemoryDocuments(clock, 10)
    tried: list[str] = []

    def write(path: str, fields: Fields, expected: int) -> NoReturn:
        tried.append(path)
        raise transient()

    documents.write = write  # type: ignore[method-assign]
    with pytest.raises(Transient):
        SteadyDocuments(documents, again).write("a", Fields({"b": "c"}), 0)
    assert tried == ["a"]


def test_everything_else_passes_through(clock: ManualClock, again: Again) -> None:
    issuer, store = MemoryIssuer(clock), MemoryStore(clock)
    issuer.add("app")
    provider, steady = SteadyProvider(issuer, again), SteadyStore(store, again)
    made = provider.create("app", "tag", timedelta(days=1))
    assert [one.key_id for one in provider.list("app").versions] == [made.version.key_id]
    provider.retire("app", made.version.key_id)
    assert issuer.truth("app") == ()
    assert provider.check("app", timedelta(days=1), "x", "")[0].subject == "x"
    assert steady.staging.write("a", Fields({"b": "c"}), 0).version == 1
    assert (store.staging.paths(), store.consumers.paths()) == (("a",), ())
    assert steady.staging.history("a") == (1,)
    steady.close()
    provider.close()
    assert store.closed
    assert issuer.closed
