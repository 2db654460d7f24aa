"""The conformance kit notices each broken promise: a provider that breaks one fails at the test of that promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.clock import ManualClock, SystemClock
from rotator.errors import OutcomeUnknown, Refused, Transient
from rotator.model import Act
from rotator.ports import Issued, Listing, Provider, Retired
from rotator.secret import Secret
from rotator.testing import lives, providers
from rotator.testing.providers import Fate
from tests.fakes.memory_issuer import MemoryIssuer

APP = "kontrolle"


@dataclass
class MemoryBench:
    """The issuer in memory, and the truth behind it."""

    issuer: MemoryIssuer
    clock: ManualClock
    application: str = APP
    nobody: str = "nobody"

    @property
    def provider(self) -> Provider:
        return self.issuer

    def another(self) -> Provider:
        return self.issuer

    def truth(self) -> dict[str, str | None]:
        return {held.key_id: held.tag for held in self.issuer.truth(APP)}

    def accepts(self, client_id: str, value: Secret) -> bool:
        return self.issuer.accepts(client_id, value)

    def remove(self, key_id: str) -> None:
        self.issuer.remove(APP, key_id)

    def two_slots(self) -> None:
        self.issuer.applications[APP].slots = 2

    def fate(self, act: Act, fate: Fate) -> None:
        self.issuer.fate(act, fate)

    def haunt(self) -> None:
        self.clock.advance(self.issuer.ghost_delay)


def bench_of(kind: type[MemoryIssuer]) -> MemoryBench:
    clock = ManualClock(SystemClock().now())
    issuer = kind(clock)
    issuer.add(APP)
    issuer.foreign(APP)
    return MemoryBench(issuer, clock)


class ForgetsTheTag(MemoryIssuer):
    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        return super().create(application, "rotator", lifetime)


class AnswersBeforeItIsDone(MemoryIssuer):
    """The version exists only at the next call."""

    waiting: Callable[[], object] | None = None

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        self.run()
        issued = super().create(application, tag, lifetime)
        held = self.applications[application].versions.pop()
        self.waiting = lambda: self.applications[application].versions.append(held)
        return issued

    def list(self, application: str) -> Listing:
        self.run()
        return super().list(application)

    def run(self) -> None:
        if self.waiting is not None:
            self.waiting()
        self.waiting = None


class RemovesAnotherToo(MemoryIssuer):
    def retire(self, application: str, key_id: str) -> Retired:
        done = super().retire(application, key_id)
        others = [one for one in self.truth(application) if one.key_id != key_id]
        if others:
            self.remove(application, others[0].key_id)
        return done


class LeaksInAnError(MemoryIssuer):
    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        try:
            return super().create(application, tag, lifetime)
        except OutcomeUnknown:
            value = self.applications[application].versions[-1].value.reveal()
            raise OutcomeUnknown(f"Lost: {value}", hint="Look.") from None


class LeaksTheLostOne(MemoryIssuer):
    """Only the value that was made by the very call that failed is in its error."""

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        before = len(self.applications[application].versions) if application in self.applications else 0
        try:
            return super().create(application, tag, lifetime)
        except OutcomeUnknown:
            made = self.applications[application].versions[before:]
            raise OutcomeUnknown("".join(one.value.reveal() for one in made) or "Lost.", hint="Look.") from None


class LeaksInTheCause(MemoryIssuer):
    """The message is clean; what it was raised from is not, and a traceback shows both."""

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        try:
            return super().create(application, tag, lifetime)
        except OutcomeUnknown as lost:
            value = self.applications[application].versions[-1].value.reveal()
            raise lost from ValueError(value)


class LeaksInTheRequestId(MemoryIssuer):
    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        issued = super().create(application, tag, lifetime)
        return replace(issued, request_id=issued.values.reveal()["client_secret"])


class HidesTheForeign(MemoryIssuer):
    def list(self, application: str) -> Listing:
        listing = super().list(application)
        mine = tuple(one for one in listing.versions if (one.tag or "").startswith("rotator/"))
        return replace(listing, versions=mine)


class RemembersItsList(MemoryIssuer):
    """The first list is shown for ever."""

    first: Listing | None = None

    def list(self, application: str) -> Listing:
        self.first = self.first or super().list(application)
        return self.first


class TakesTooMany(MemoryIssuer):
    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        app = self._app(application)
        app.slots = None
        return super().create(application, tag, lifetime)


class RetiresOnce(MemoryIssuer):
    """What is gone already is an error."""

    def retire(self, application: str, key_id: str) -> Retired:
        done = super().retire(application, key_id)
        if done is Retired.ALREADY_GONE:
            raise Refused("There is no such version.", hint="Look.")
        return done


class SaysRefusedForLost(MemoryIssuer):
    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        try:
            return super().create(application, tag, lifetime)
        except OutcomeUnknown:
            raise Refused("It did not answer.", hint="Try again.") from None


class SaysNotDoneForLost(MemoryIssuer):
    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        try:
            return super().create(application, tag, lifetime)
        except OutcomeUnknown:
            raise Transient("It did not answer.", hint="Try again.") from None


class TriesAgainByItself(MemoryIssuer):
    """A creation without an answer is sent once more, which leaves two versions."""

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        try:
            return super().create(application, tag, lifetime)
        except OutcomeUnknown:
            return super().create(application, tag, lifetime)


class BelievesItsList(MemoryIssuer):
    """What the list does not show is not there, it thinks; but lists lag behind."""

    def retire(self, application: str, key_id: str) -> Retired:
        if not any(one.key_id == key_id for one in self.list(application).versions):
            return Retired.ALREADY_GONE
        return super().retire(application, key_id)


class InsistsOnItsList(MemoryIssuer):
    """What the list still shows cannot be gone, it thinks, and calls for a person."""

    def retire(self, application: str, key_id: str) -> Retired:
        done = super().retire(application, key_id)
        if done is Retired.ALREADY_GONE and any(one.key_id == key_id for one in self.list(application).versions):
            raise Refused("It is listed and cannot be removed.", hint="Look.")
        return done


class CountsByItsList(MemoryIssuer):
    """Removes, to make room, whatever the list shows beyond two: so its own successor, too."""

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        for one in self.list(application).versions[1:]:
            super().retire(application, one.key_id)
        return super().create(application, tag, lifetime)


ISSUED = "what_is_issued_works_carries_the_tag_and_leaves_the_others_alone"
ERRORS = "every_error_says_what_to_do_next_and_holds_no_value"
UNCLEAR = "a_creation_whose_answer_is_lost_is_unknown_and_the_list_tells"


@pytest.mark.parametrize(
    ("broken", "promise", "facts"),
    [
        (ForgetsTheTag, ISSUED, ()),
        (AnswersBeforeItIsDone, ISSUED, ()),
        (RemovesAnotherToo, "a_retired_version_is_gone_and_no_other", ()),
        (LeaksInAnError, ERRORS, ()),
        (LeaksTheLostOne, ERRORS, ()),
        (LeaksInTheCause, ERRORS, ()),
        (LeaksInTheRequestId, ERRORS, ()),
        (HidesTheForeign, "a_list_shows_all_versions_foreign_ones_too", ()),
        (RemembersItsList, "slots_are_counted_and_a_third_version_is_refused", ()),
        (TakesTooMany, "slots_are_counted_and_a_third_version_is_refused", ()),
        (RetiresOnce, "what_was_retired_is_already_gone", ()),
        (SaysRefusedForLost, UNCLEAR, (Fate.LOST, 1)),
        (SaysNotDoneForLost, UNCLEAR, (Fate.LOST, 1)),
        (TriesAgainByItself, UNCLEAR, (Fate.LOST, 1)),
        (BelievesItsList, "what_a_list_does_not_show_yet_can_be_retired_and_is_not_said_to_be_gone", ("lag",)),
        (InsistsOnItsList, "what_a_list_still_shows_is_gone_all_the_same_when_it_is_retired_again", ("lag",)),
        (CountsByItsList, "each_issue_is_another_version_with_another_value", ()),
    ],
)
def test_a_broken_promise_is_noticed(
    broken: type[MemoryIssuer], promise: str, facts: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    test = getattr(providers, f"test_{promise}")
    given = (monkeypatch,) if facts == ("lag",) else facts
    test(bench_of(MemoryIssuer), *given)
    with pytest.raises((AssertionError, pytest.fail.Exception, Transient, Refused)):  # or what it raised itself
        test(bench_of(broken), *given)


def test_a_provider_that_believes_its_own_stale_list_fails_in_a_life_whose_lists_lag(tmp_path: Path) -> None:
    """What it says is gone lives on, unknown to everybody."""
    bench = bench_of(BelievesItsList)
    bench.issuer.stale_reads = 10_000
    with pytest.raises(AssertionError):
        lives.test_a_death_while_lists_lag_behind_ends_with_one_version_that_works(bench, tmp_path)
