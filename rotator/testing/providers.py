"""What every provider must promise, as tests that its author runs: pytest collects them by their names.

    from rotator.testing.providers import *

    @pytest.fixture
    def bench() -> Bench: ...

The bench holds the provider and the truth behind it: a stand-in of the issuer, or the real one. A promise that a test
names is the one that `rotator.ports.Provider` makes; rotator's own providers pass the same suite. It starts nothing.
"""

from __future__ import annotations

import re
import threading
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from enum import Enum
from typing import Final, Protocol

import pytest

from rotator.errors import NoFreeSlot, OutcomeUnknown, Refused, RotatorError, Throttled, Transient
from rotator.finding import Severity
from rotator.model import Act, Procedure
from rotator.ports import Issued, Provider, Retired
from rotator.secret import Secret

__all__ = [
    "test_a_check_of_a_good_application_finds_no_fault_and_changes_nothing",
    "test_a_creation_may_take_effect_after_its_answer_was_lost",
    "test_a_creation_whose_answer_is_lost_is_unknown_and_the_list_tells",
    "test_a_key_id_that_never_was_is_already_gone",
    "test_a_list_changes_nothing",
    "test_a_list_shows_all_versions_foreign_ones_too",
    "test_a_retired_version_is_gone_and_no_other",
    "test_a_retirement_whose_answer_is_lost_is_unknown_and_may_be_repeated",
    "test_an_application_that_does_not_exist_is_refused_in_every_call",
    "test_closing_twice_is_fine",
    "test_each_issue_is_another_version_with_another_value",
    "test_eight_threads_get_eight_versions",
    "test_every_error_says_what_to_do_next_and_holds_no_value",
    "test_slots_are_counted_and_a_third_version_is_refused",
    "test_two_versions_may_live_at_once",
    "test_what_a_list_does_not_show_yet_can_be_retired_and_is_not_said_to_be_gone",
    "test_what_a_list_still_shows_is_gone_all_the_same_when_it_is_retired_again",
    "test_what_is_issued_says_from_when_to_when_it_is_valid",
    "test_what_is_issued_works_carries_the_tag_and_leaves_the_others_alone",
    "test_what_somebody_else_removed_is_already_gone",
    "test_what_was_retired_is_already_gone",
    "test_what_was_throttled_or_refused_was_not_done",
]
"""What a star import takes: the tests."""

TAG: Final = "rotator/i-1/kontrolle-plus-prod/r-1/1"
DAYS: Final = timedelta(days=90)


class Fate(Enum):
    """What becomes of one mutating call, instead of plain success."""

    LOST = "lost"  # done, the answer is lost
    NEVER = "never"  # not done, the answer is lost all the same
    LATE = "late"  # the answer is lost, and it is done only later
    THROTTLED = "throttled"  # not done, and said so, with 30 seconds to wait
    REFUSED = "refused"  # not done, and said so


class Bench(Protocol):
    """A provider with one application that holds one version made by somebody else, and the truth behind it."""

    application: str
    nobody: str  # the name of an application that does not exist

    @property
    def provider(self) -> Provider:
        """The provider under test."""

    def another(self) -> Provider:
        """Return a second provider of the same issuer, which is closed by the test."""

    def truth(self) -> dict[str, str | None]:
        """Key id and label of every version that exists."""

    def accepts(self, client_id: str, value: Secret) -> bool:
        """Whether that is a live value."""

    def remove(self, key_id: str) -> None:
        """Let somebody else remove a version."""

    def two_slots(self) -> None:
        """Let the application hold two versions from now on."""

    def fate(self, act: Act, fate: Fate) -> None:
        """Let the next call of `act` end so."""

    def haunt(self) -> None:
        """Let what was late take effect."""


def foreign(bench: Bench) -> str:
    """Return the key id of the version that was there before."""
    return next(key_id for key_id, tag in bench.truth().items() if tag in ("made in the portal", "made by hand"))


def carried(issued: Issued) -> str:
    """Return which field holds what must stay secret: a client secret, or the private key of a certificate."""
    return next(name for name in ("client_secret", "private_key") if name in issued.values)


def test_two_versions_may_live_at_once(bench: Bench) -> None:
    assert bench.provider.procedure is Procedure.OVERLAP


def test_what_is_issued_works_carries_the_tag_and_leaves_the_others_alone(bench: Bench) -> None:
    before = bench.truth()
    issued = bench.provider.create(bench.application, TAG, DAYS)
    value = issued.values.secret(carried(issued))
    assert value is not None and bench.accepts(issued.client_id, value)
    assert bench.truth() == {**before, issued.version.key_id: TAG}
    assert issued.version.tag == TAG


def test_what_is_issued_says_from_when_to_when_it_is_valid(bench: Bench) -> None:
    issued = bench.provider.create(bench.application, TAG, DAYS)
    version = issued.version
    assert version.created_at is not None and version.expires_at is not None and issued.issuer_now is not None
    assert {moment.utcoffset() for moment in (version.created_at, version.expires_at, issued.issuer_now)} == {
        timedelta(0)
    }
    assert timedelta(0) <= DAYS - (version.expires_at - version.created_at) < timedelta(seconds=5)
    assert abs(issued.issuer_now - version.created_at) < timedelta(seconds=5)


def test_each_issue_is_another_version_with_another_value(bench: Bench) -> None:
    first = bench.provider.create(bench.application, TAG, DAYS)
    second = bench.provider.create(bench.application, TAG, DAYS)
    assert first.version.key_id != second.version.key_id
    assert first.values != second.values
    assert len(bench.truth()) == 3


def test_a_list_shows_all_versions_foreign_ones_too(bench: Bench) -> None:
    issued = bench.provider.create(bench.application, TAG, DAYS)
    listing = bench.provider.list(bench.application)
    assert {version.key_id: version.tag for version in listing.versions} == bench.truth()
    assert issued.version in listing.versions
    assert listing.issuer_now is not None
    assert listing.free_slots is None or listing.free_slots > 2


def test_a_list_changes_nothing(bench: Bench) -> None:
    before = bench.truth()
    assert bench.provider.list(bench.application).versions == bench.provider.list(bench.application).versions
    assert bench.truth() == before


def test_a_retired_version_is_gone_and_no_other(bench: Bench) -> None:
    before = bench.truth()
    issued = bench.provider.create(bench.application, TAG, DAYS)
    value = issued.values.secret(carried(issued))
    assert bench.provider.retire(bench.application, issued.version.key_id) is Retired.DONE
    assert value is not None and not bench.accepts(issued.client_id, value)
    assert bench.truth() == before


def test_what_somebody_else_removed_is_already_gone(bench: Bench) -> None:
    key_id = foreign(bench)
    bench.remove(key_id)
    assert bench.provider.retire(bench.application, key_id) is Retired.ALREADY_GONE


def test_what_was_retired_is_already_gone(bench: Bench) -> None:
    key_id = bench.provider.create(bench.application, TAG, DAYS).version.key_id
    assert bench.provider.retire(bench.application, key_id) is Retired.DONE
    assert bench.provider.retire(bench.application, key_id) is Retired.ALREADY_GONE


def test_a_key_id_that_never_was_is_already_gone(bench: Bench) -> None:
    assert bench.provider.retire(bench.application, str(uuid.uuid4())) is Retired.ALREADY_GONE


def test_what_a_list_does_not_show_yet_can_be_retired_and_is_not_said_to_be_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, before = bench.provider, bench.truth()
    stale = provider.list(bench.application)
    key_id = provider.create(bench.application, TAG, DAYS).version.key_id
    with monkeypatch.context() as lag:
        lag.setattr(type(provider), "list", lambda *_: stale)
        with suppress(Transient):  # it may say that it cannot tell yet
            assert provider.retire(bench.application, key_id) is Retired.DONE
    provider.retire(bench.application, key_id)
    assert bench.truth() == before


def test_what_a_list_still_shows_is_gone_all_the_same_when_it_is_retired_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, before = bench.provider, bench.truth()
    key_id = provider.create(bench.application, TAG, DAYS).version.key_id
    stale = provider.list(bench.application)
    with monkeypatch.context() as lag:
        lag.setattr(type(provider), "list", lambda *_: stale)
        with suppress(Transient):  # it may wait for a list that agrees
            assert provider.retire(bench.application, key_id) is Retired.DONE
        with suppress(Transient):
            assert provider.retire(bench.application, key_id) is Retired.ALREADY_GONE
    assert provider.retire(bench.application, key_id) is Retired.ALREADY_GONE
    assert bench.truth() == before


def test_slots_are_counted_and_a_third_version_is_refused(bench: Bench) -> None:
    bench.two_slots()
    assert bench.provider.list(bench.application).free_slots == 1
    bench.provider.create(bench.application, TAG, DAYS)
    assert bench.provider.list(bench.application).free_slots == 0
    before = bench.truth()
    with pytest.raises(NoFreeSlot):
        bench.provider.create(bench.application, TAG, DAYS)
    assert bench.truth() == before
    bench.provider.retire(bench.application, foreign(bench))
    assert bench.provider.list(bench.application).free_slots == 1


def test_an_application_that_does_not_exist_is_refused_in_every_call(bench: Bench) -> None:
    calls: tuple[Callable[[], object], ...] = (
        lambda: bench.provider.create(bench.nobody, TAG, DAYS),
        lambda: bench.provider.list(bench.nobody),
        lambda: bench.provider.retire(bench.nobody, str(uuid.uuid4())),
    )
    for call in calls:
        with pytest.raises(Refused) as caught:
            call()
        assert caught.value.code == "application_not_found"


@pytest.mark.parametrize(("fate", "made"), [(Fate.LOST, 1), (Fate.NEVER, 0)])
def test_a_creation_whose_answer_is_lost_is_unknown_and_the_list_tells(bench: Bench, fate: Fate, made: int) -> None:
    bench.fate(Act.CREATE, fate)
    with pytest.raises(OutcomeUnknown):
        bench.provider.create(bench.application, TAG, DAYS)
    assert list(bench.truth().values()).count(TAG) == made
    assert [version.tag for version in bench.provider.list(bench.application).versions].count(TAG) == made


def test_a_creation_may_take_effect_after_its_answer_was_lost(bench: Bench) -> None:
    bench.fate(Act.CREATE, Fate.LATE)
    with pytest.raises(OutcomeUnknown):
        bench.provider.create(bench.application, TAG, DAYS)
    assert TAG not in bench.truth().values()
    bench.haunt()
    assert [version.tag for version in bench.provider.list(bench.application).versions].count(TAG) == 1


@pytest.mark.parametrize(("fate", "then"), [(Fate.LOST, Retired.ALREADY_GONE), (Fate.NEVER, Retired.DONE)])
def test_a_retirement_whose_answer_is_lost_is_unknown_and_may_be_repeated(
    bench: Bench, fate: Fate, then: Retired
) -> None:
    key_id = bench.provider.create(bench.application, TAG, DAYS).version.key_id
    bench.fate(Act.RETIRE, fate)
    with pytest.raises(OutcomeUnknown):
        bench.provider.retire(bench.application, key_id)
    assert bench.provider.retire(bench.application, key_id) is then
    assert key_id not in bench.truth()


@pytest.mark.parametrize("act", [Act.CREATE, Act.RETIRE])
@pytest.mark.parametrize(("fate", "kind"), [(Fate.THROTTLED, Throttled), (Fate.REFUSED, Refused)])
def test_what_was_throttled_or_refused_was_not_done(
    bench: Bench, act: Act, fate: Fate, kind: type[RotatorError]
) -> None:
    before, key_id = bench.truth(), foreign(bench)
    bench.fate(act, fate)
    provider, application = bench.provider, bench.application
    calls: dict[Act, Callable[[], object]] = {
        Act.CREATE: lambda: provider.create(application, TAG, DAYS),
        Act.RETIRE: lambda: provider.retire(application, key_id),
    }
    with pytest.raises(kind) as caught:
        calls[act]()
    assert not isinstance(caught.value, OutcomeUnknown)
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == timedelta(seconds=30)
    assert bench.truth() == before


def test_every_error_says_what_to_do_next_and_holds_no_value(bench: Bench) -> None:
    issued = bench.provider.create(bench.application, TAG, DAYS)
    value = issued.values.reveal()[carried(issued)]
    for fate in Fate:
        bench.fate(Act.CREATE, fate)
        with pytest.raises(RotatorError) as caught:
            bench.provider.create(bench.application, TAG, DAYS)
        assert caught.value.hint and caught.value.message
        said = "".join(traceback.format_exception(caught.value)) + f"{caught.value!r}{caught.value.hint}{issued!r}"
        assert value not in said
        words = set(re.split(r"[\s\"'(),:;<>=\[\]{}]+|\.(?=\s|$)", said)) - {""}
        leaked = any(bench.accepts(issued.client_id or bench.application, Secret(word)) for word in words)
        assert not leaked, "an error holds the value of the very call that failed"
    bench.haunt()


def test_eight_threads_get_eight_versions(bench: Bench) -> None:
    start = threading.Barrier(8)

    def create(number: int) -> str:
        start.wait()
        return bench.provider.create(bench.application, f"{TAG}{number}", DAYS).version.key_id

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(create, range(8)))
    assert len(made) == 8
    assert made <= set(bench.truth())


def test_a_check_of_a_good_application_finds_no_fault_and_changes_nothing(bench: Bench) -> None:
    before = bench.truth()
    findings = bench.provider.check(bench.application, DAYS, "kontrolle-plus-prod", "")
    assert {finding.outcome for finding in findings} == {Severity.OK}
    assert "kontrolle-plus-prod" in {finding.subject for finding in findings}
    assert bench.truth() == before


def test_closing_twice_is_fine(bench: Bench) -> None:
    provider = bench.another()
    provider.list(bench.application)
    provider.close()
    provider.close()
