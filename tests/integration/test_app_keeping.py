"""`pause`, `resume`, `retire` and `forget`, and `verify` and `orphans`: what persons decide, and what they look at."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.app.house import Use
from rotator.app.judging import Orphaned, Verified, orphans, verify
from rotator.app.keeping import Ended, Farewell, Kept, forget, pause, resume, retire
from rotator.app.results import Rotated
from rotator.app.rotating import Wish, rotate
from rotator.app.usage import UsageFault
from rotator.app.watching import status
from rotator.errors import Busy, Misconfigured, Refused, Throttled, Transient
from rotator.model import Act, VersionState
from rotator.persistence.lock import StateLock
from rotator.ports import Answer, Verdict
from rotator.testing.providers import Fate
from tests.fakes.app_bench import DAY, Bench

VERIFY_KEYS = ["name", "outcome", "proofs", "expires_at", "error"]
ORPHAN_KEYS = ["provider", "application", "key_id", "tag", "created_at", "expires_at", "class"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def rotated(bench: Bench, *names: str, **wish: object) -> Rotated:
    with bench.house() as house:
        return rotate(house, Wish(names=names, **wish))  # type: ignore[arg-type]


def state_of(bench: Bench, name: str) -> object:
    with bench.house() as house:
        return status(house, [name]).items[0]["state"]


def events(bench: Bench, name: str) -> list[dict[str, object]]:
    with bench.house() as house:
        return [dict(one) for one in house.reader().audit() if one["event"] == name]


# -------------------------------------------------------------------------------------------------- pause and resume


def paused(bench: Bench, *names: str, **more: object) -> Kept:
    with bench.house() as house:
        return pause(house, names, **more)  # type: ignore[arg-type]


def resumed(bench: Bench, *names: str) -> Kept:
    with bench.house() as house:
        return resume(house, names)


def test_a_paused_credential_stands_still_until_it_is_resumed(bench: Bench) -> None:
    rotated(bench)
    found = paused(bench, "one", note="migration")
    assert (found.changed, found.items[0]["state"], found.exit_status) == (("one",), "paused", 0)
    bench.clock.advance(70 * DAY)
    assert [item["outcome"] for item in rotated(bench).items] == ["skipped", "promoted"]
    assert resumed(bench, "one").changed == ("one",)
    assert [item["outcome"] for item in rotated(bench, "one").items] == ["promoted"]
    (asked,) = events(bench, "request.received")
    assert (asked["reason"], asked["detail"], asked["credential"]) == ("pause", "migration", "one")
    assert len(events(bench, "rotation.resumed")) == 1


def test_a_pause_withdraws_what_was_asked_for_and_says_so(bench: Bench) -> None:
    rotated(bench)
    bench.broken["vault"] = Transient("sealed", hint="unseal it", code="sealed")
    found = rotated(bench, "one", now=True, emergency=True)
    (remark,) = found.remarks
    assert "stays open: the next pass rotates it, as an emergency without a grace" in remark.message
    assert remark.hint == "To withdraw it: rotator pause one"
    bench.broken.clear()
    assert paused(bench, "one", note="false alarm").changed == ("one",)
    assert paused(bench, "one").changed == ()
    assert str(events(bench, "request.received")[-1]["detail"]).startswith("false alarm; withdraws the rotation that ")
    assert resumed(bench, "one").changed == ("one",)
    bench.clock.advance(timedelta(hours=1))
    assert [item["outcome"] for item in rotated(bench).items] == ["skipped", "skipped"]


def test_what_was_asked_for_before_the_first_visit_is_one_request_and_can_be_withdrawn(bench: Bench) -> None:
    rotated(bench, "one", now=True, no_wait=True)
    rotated(bench, "one", now=True, no_wait=True, note="again")
    with bench.house() as house:
        (asked,) = house.reader().requests_open("one")
    assert asked.note == "again"
    paused(bench, "one")
    with bench.house() as house:
        assert house.reader().requests_open("one") == ()


def test_what_is_paused_already_can_have_its_request_withdrawn(bench: Bench) -> None:
    rotated(bench)
    rotated(bench, "one", now=True, no_wait=True)
    with bench.house() as house:  # as one that was paused before a pause withdrew anything
        ledger = house.ledger()
        ledger.note(replace(ledger.tracked("one").state, paused_at=bench.clock.now()))
    assert paused(bench, "one").changed == ("one",)
    with bench.house() as house:
        assert house.reader().requests_open("one") == ()


def test_all_can_be_paused_at_once_and_what_is_paused_already_stays_so(bench: Bench) -> None:
    paused(bench, "one")
    assert paused(bench, everything=True).changed == ("two",)
    assert paused(bench, everything=True).changed == ()


def test_a_credential_that_was_never_seen_can_be_paused(bench: Bench) -> None:
    paused(bench, "one")
    assert state_of(bench, "one") == "paused"
    assert [item["outcome"] for item in rotated(bench).items] == ["skipped", "promoted"]


def test_what_stands_still_for_no_reason_is_not_resumed(bench: Bench) -> None:
    rotated(bench)
    assert resumed(bench, "one").changed == ()
    assert events(bench, "rotation.resumed") == []


def test_resume_takes_what_stands_in_the_store_as_it_is(bench: Bench) -> None:
    rotated(bench, "one")
    bench.document("one", key_id="by-hand", client_secret="typed by hand")
    assert rotated(bench, "one", now=True).items[0]["outcome"] == "parked"
    found = resumed(bench, "one")
    assert (found.changed, found.items[0]["error"]) == (("one",), None)
    with bench.house() as house:
        tracked = house.reader().tracked("one")
        assert tracked.state.not_before is None
        (current,) = [one for one in tracked.versions if one.state is VersionState.CURRENT]
        assert current.store_version is None
    bench.clock.advance(timedelta(hours=1))
    assert rotated(bench, "one", now=True).items[0]["outcome"] == "promoted"


def test_resume_ends_the_wait_after_a_failure(bench: Bench) -> None:
    bench.issuer.retry_after = timedelta(hours=1)
    bench.issuer.fate(Act.CREATE, Fate.THROTTLED)
    assert rotated(bench, "one").exit_status == 75
    assert rotated(bench).items[0]["reason"] == "retry"
    assert resumed(bench, "one").changed == ("one",)
    assert rotated(bench).items[0]["outcome"] == "promoted"


@pytest.mark.parametrize("act", [paused, resumed])
def test_an_unknown_name_is_a_fault_of_usage(bench: Bench, act: object) -> None:
    with pytest.raises(UsageFault):
        act(bench, "three")  # type: ignore[operator]
    assert not (bench.folder / "state").exists()


# -------------------------------------------------------------------------------------------------------------- retire


def retired(bench: Bench, name: str, key_id: str | None = None) -> Ended:
    with bench.house() as house:
        return retire(house, name, key_id=key_id)


def test_retire_ends_a_grace_after_a_proof(bench: Bench) -> None:
    old = rotated(bench, "one").items[0]["new_key_id"]
    new = rotated(bench, "one", now=True).items[0]["new_key_id"]
    found = retired(bench, "one")
    assert (found.key_ids, found.items[0]["outcome"], found.items[0]["old_key_ids"]) == ((old,), "retired", [old])
    assert [held.key_id for held in bench.issuer.truth(bench.app("one"))] == [new]


def test_nothing_is_retired_while_the_current_one_does_not_pass(bench: Bench) -> None:
    rotated(bench, "one")
    rotated(bench, "one", now=True)
    bench.provers["one"].always = Answer.REFUSED
    with pytest.raises(Refused):
        retired(bench, "one")
    assert len(bench.issuer.truth(bench.app("one"))) == 2


def test_there_must_be_something_to_retire(bench: Bench) -> None:
    rotated(bench, "one")
    with pytest.raises(Refused) as caught:
        retired(bench, "one", "no-such-key")
    assert caught.value.code == "nothing_to_retire"


# -------------------------------------------------------------------------------------------------------------- forget


def forgotten(bench: Bench, name: str, how: Farewell) -> Kept:
    with bench.house() as house:
        return forget(house, name, how)


def test_what_is_left_to_others_works_on(bench: Bench) -> None:
    rotated(bench)
    found = forgotten(bench, "one", Farewell.LEAVE)
    assert (found.changed, found.items[0]["state"]) == (("one",), "unknown")
    assert bench.issuer.accepts(bench.app("one"), bench.value_of("one"))


def test_a_wish_for_a_forgotten_credential_is_refused_and_not_kept_for_later(bench: Bench) -> None:
    rotated(bench)
    forgotten(bench, "one", Farewell.LEAVE)
    found = rotated(bench, "one", now=True)
    assert (found.exit_status, found.items[0]["outcome"], found.items[0]["reason"]) == (1, "skipped", "forgotten")
    assert "another name" in found.troubles[0].error.hint
    assert events(bench, "request.received") == []
    everything = rotated(bench, now=True, everything=True)
    assert [item["outcome"] for item in everything.items] == ["skipped", "promoted"]
    assert everything.exit_status == 0


def test_forget_can_retire_everything_of_ours(bench: Bench) -> None:
    rotated(bench)
    forgotten(bench, "one", Farewell.RETIRE)
    assert bench.issuer.truth(bench.app("one")) == ()
    assert len(bench.issuer.truth(bench.app("two"))) == 1


def test_what_has_left_the_configuration_can_be_left_to_others(bench: Bench) -> None:
    rotated(bench)
    bench.write(without=("two",))
    found = forgotten(bench, "two", Farewell.LEAVE)
    assert (found.changed, found.items[0]["name"]) == (("two",), "two")
    assert len(bench.issuer.truth(bench.app("two"))) == 1
    assert [one["credential"] for one in events(bench, "credential.forgotten")] == ["two"]
    with bench.house() as house:
        assert [item["name"] for item in status(house).items] == ["one"]
    assert forgotten(bench, "two", Farewell.LEAVE).changed == ()


def test_what_has_left_the_configuration_is_retired_where_its_issuer_is_known_still(bench: Bench) -> None:
    rotated(bench)
    theirs = bench.issuer.foreign(bench.app("two"))
    bench.write(without=("two",))
    assert forgotten(bench, "two", Farewell.RETIRE).changed == ("two",)
    assert [one.key_id for one in bench.issuer.truth(bench.app("two"))] == [theirs.key_id]
    assert len(bench.issuer.truth(bench.app("one"))) == 1
    assert [one["reason"] for one in events(bench, "credential.forgotten")] == ["retire"]


def test_what_has_left_the_configuration_with_its_issuer_is_not_retired(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"one": ("prod", "contoso", "vault"), "two": ("prod", "fabrikam", "vault")})
    rotated(bench)
    bench.write(without=("two",))
    text = bench.config.read_text(encoding="utf-8")
    bench.config.write_text(text.replace("  fabrikam:", "  other:"), encoding="utf-8")
    with pytest.raises(Refused) as caught:
        forgotten(bench, "two", Farewell.RETIRE)
    assert "--leave" in caught.value.hint
    with bench.house() as house:
        tracked = house.reader().tracked("two")
    assert tracked.state.forgotten_at is None and [one.state for one in tracked.versions] == [VersionState.CURRENT]


def test_a_credential_whose_store_has_gone_too_is_forgotten_in_the_state_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"one": ("prod", "contoso", "vault"), "two": ("prod", "fabrikam", "second")})
    rotated(bench)
    bench.write(without=("two",))
    text = bench.config.read_text(encoding="utf-8")
    start, end = text.index("  second:"), text.index("providers:")
    bench.config.write_text(text[:start] + text[end:], encoding="utf-8")
    bench.made.clear()
    assert forgotten(bench, "two", Farewell.LEAVE).changed == ("two",)
    assert bench.made == []
    with bench.house() as house:
        assert house.reader().tracked("two").versions == ()


def test_a_name_that_nobody_knows_cannot_be_forgotten(bench: Bench) -> None:
    rotated(bench)
    with pytest.raises(UsageFault):
        forgotten(bench, "three", Farewell.LEAVE)


def test_while_observing_nothing_is_retired_or_forgotten(tmp_path: Path) -> None:
    bench = Bench(tmp_path, mode="observe")
    for act in (
        lambda: retired(bench, "one"),
        lambda: forgotten(bench, "one", Farewell.RETIRE),
        lambda: looked(bench, retire=True),
    ):
        with pytest.raises(Refused) as caught:
            act()
        assert (caught.value.code, caught.value.exit_status) == ("observing", 1)
    assert bench.made == []


# -------------------------------------------------------------------------------------------------------------- verify


def verified(bench: Bench, *names: str) -> Verified:
    with bench.house() as house:
        return verify(house, names)


def test_a_version_that_works_is_proved(bench: Bench) -> None:
    rotated(bench, "one")
    rotated(bench, "two")
    found = verified(bench, "one", "two")
    assert [list(item) for item in found.items] == [VERIFY_KEYS] * 2
    assert found.items[0] == {
        "name": "one",
        "outcome": "proved",
        "proofs": 1,
        "expires_at": "2027-02-22T12:00:00Z",
        "error": None,
    }
    assert found.exit_status == 0


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        (Answer.REFUSED, "refused", 1),
        (Answer.UNFIT, "refused", 1),
        (Answer.SILENT, "unreachable", 69),
        (Verdict(Answer.SILENT, "throttled", "slowly", retry_after=timedelta(minutes=1)), "unreachable", 75),
    ],
)
def test_one_that_does_not_pass_says_why(bench: Bench, answer: Answer | Verdict, outcome: str, status: int) -> None:
    rotated(bench)
    ends = verified(bench, "one").items[0]["expires_at"]
    assert ends
    bench.provers["one"].always = answer
    found = verified(bench, "one")
    assert (found.items[0]["outcome"], found.exit_status) == (outcome, status)
    assert found.items[0]["error"]["hint"]
    assert found.items[0]["expires_at"] == ends
    assert verified(bench, "one", "two").exit_status == 1
    assert isinstance(found.troubles[0].error, Throttled) is (status == 75)


def test_where_nothing_can_be_read_nothing_is_said_of_the_secret(bench: Bench) -> None:
    rotated(bench)
    bench.broken["vault"] = Transient("sealed", hint="unseal it", code="sealed")
    found = verified(bench, "one")
    assert (found.items[0]["outcome"], found.items[0]["error"]["code"], found.exit_status) == (
        "unreachable",
        "sealed",
        69,
    )


def test_verify_needs_a_name(bench: Bench) -> None:
    with pytest.raises(UsageFault):
        verified(bench)


def test_a_missing_secret_is_78_and_nothing_is_contacted(bench: Bench) -> None:
    (bench.folder / "vault-token").unlink()
    for act in (lambda: verified(bench, "one"), lambda: looked(bench), lambda: retired(bench, "one")):
        with pytest.raises(Misconfigured) as caught:
            act()
        assert caught.value.exit_status == 78
    assert bench.made == []


# ------------------------------------------------------------------------------------------------------------- orphans


def looked(bench: Bench, *, retire: bool = False, check: bool = False) -> Orphaned:
    with bench.house() as house:
        return orphans(house, retire=retire, check=check)


def orphaned(bench: Bench) -> str:
    """Let an orphan be: a creation whose answer is lost, made late, after everybody has looked."""
    rotated(bench)
    with bench.house() as house:
        tag = f"rotator/{house.store('vault', Use.LOOK).staging.read('_install').fields.text('id')}/one/lost/1"
    return bench.issuer.create(bench.app("one"), tag, 90 * DAY).version.key_id


def test_every_version_at_the_issuers_is_listed_with_what_it_is(bench: Bench) -> None:
    lost = orphaned(bench)
    foreign = bench.issuer.foreign(bench.app("two")).key_id
    found = looked(bench)
    assert all(list(item) == ORPHAN_KEYS for item in found.items)
    assert {item["key_id"]: item["class"] for item in found.items if item["class"] != "current"} == {
        lost: "orphan",
        foreign: "foreign",
    }
    assert found.exit_status == 0
    assert looked(bench, check=True).exit_status == 1


def test_foreign_ones_do_not_fail_the_check(bench: Bench) -> None:
    rotated(bench)
    bench.issuer.foreign(bench.app("two"))
    assert looked(bench, check=True).exit_status == 0


def test_listing_needs_no_lock_and_no_state(bench: Bench) -> None:
    bench.issuer.foreign(bench.app("one"))
    assert [item["class"] for item in looked(bench).items] == ["foreign"]
    assert not (bench.folder / "state").exists()
    assert bench.store.staging.paths() == ()
    rotated(bench)
    with StateLock(bench.folder / "state/rotator.db", bench.clock):
        assert len(looked(bench).items) == 3


def test_our_orphans_are_retired_and_foreign_ones_never(bench: Bench) -> None:
    lost = orphaned(bench)
    foreign = bench.issuer.foreign(bench.app("one")).key_id
    found = looked(bench, retire=True, check=True)
    assert (found.retired, found.exit_status) == ((lost,), 0)
    left = {held.key_id for held in bench.issuer.truth(bench.app("one"))}
    assert (lost in left, foreign in left) == (False, True)


def test_one_issuer_that_fails_hides_no_other(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"one": ("prod", "contoso", "vault"), "two": ("prod", "fabrikam", "second")})
    rotated(bench)
    bench.broken["fabrikam"] = Transient("down", hint="wait")
    found = looked(bench)
    assert [item["provider"] for item in found.items] == ["contoso"]
    assert (found.troubles[0].name, found.exit_status) == ("two", 69)


# ---------------------------------------------------------------------------------------------------------------- lock


def test_a_state_in_use_is_waited_for_ten_seconds_then_75(bench: Bench) -> None:
    rotated(bench)
    began = bench.clock.now()
    with StateLock(bench.folder / "state/rotator.db", bench.clock, "daemon"), pytest.raises(Busy) as caught:
        rotated(bench)
    assert caught.value.exit_status == 75
    assert "daemon" in caught.value.message
    assert timedelta(seconds=10) <= bench.clock.now() - began < timedelta(seconds=11)


def test_a_fate_of_the_issuer_reaches_nobody_else(bench: Bench) -> None:
    bench.issuer.fate(Act.CREATE, Fate.REFUSED)
    assert sorted(str(item["outcome"]) for item in rotated(bench).items) == ["abandoned", "promoted"]
