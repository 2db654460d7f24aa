"""`rotate` as the command line calls it: selection, exit status, patience, and what is left behind."""

from __future__ import annotations

import os
import pwd
import re
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import NoReturn

import pytest

from rotator.app import heads
from rotator.app.keeping import Farewell, forget, pause
from rotator.app.planning import plan
from rotator.app.results import Rotated
from rotator.app.rotating import Wish, rotate
from rotator.app.state import see_whose_it_is
from rotator.app.usage import UsageFault
from rotator.app.watching import status
from rotator.clock import ManualClock
from rotator.errors import Denied, Misconfigured, RotatorError, Throttled, Transient
from rotator.model import Act
from rotator.ports import Answer, Snapshot, Verdict
from rotator.secret import Fields
from rotator.testing.providers import Fate
from tests.fakes.app_bench import DAY, Bench
from tests.fakes.memory_store import MemoryDocuments

KEYS = [
    "name",
    "rotation_id",
    "outcome",
    "reason",
    "new_key_id",
    "old_key_ids",
    "store_path",
    "store_version",
    "proofs",
    "started_at",
    "finished_at",
    "error",
]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def run(bench: Bench, *names: str, **wish: object) -> Rotated:
    with bench.house() as house:
        return rotate(house, Wish(names=names, **wish))  # type: ignore[arg-type]


def outcomes(found: Rotated) -> dict[object, object]:
    return {item["name"]: item["outcome"] for item in found.items}


def park(bench: Bench, name: str) -> None:
    """Let a credential park: somebody edits what its consumers read."""
    bench.document(name, key_id="somebody-else", client_secret="typed by hand")
    found = run(bench, name, now=True)
    assert outcomes(found) == {name: "parked"}


# ----------------------------------------------------------------------------------------------------------- a pass


def test_a_pass_without_names_rotates_what_is_due_and_every_item_has_the_keys_of_the_contract(bench: Bench) -> None:
    found = run(bench)
    assert found.exit_status == 0
    assert [list(item) for item in found.items] == [KEYS, KEYS]
    assert [(item["name"], item["outcome"], item["reason"]) for item in found.items] == [
        ("one", "promoted", "never_rotated"),
        ("two", "promoted", "never_rotated"),
    ]
    assert found.places == {"one": "kv/partners/one", "two": "kv/partners/two"}
    assert bench.issuer.accepts(bench.app("one"), bench.value_of("one"))


def test_a_second_pass_has_nothing_to_do(bench: Bench) -> None:
    run(bench)
    found = run(bench)
    assert (outcomes(found), found.exit_status) == ({"one": "skipped", "two": "skipped"}, 0)
    assert len(bench.issuer.mutations) == 2


def test_only_what_was_named_is_visited(bench: Bench) -> None:
    assert outcomes(run(bench, "two")) == {"two": "promoted"}
    assert bench.issuer.truth(bench.app("one")) == ()


def test_the_one_before_is_retired_when_its_grace_is_over(bench: Bench) -> None:
    first = run(bench, "one").items[0]["new_key_id"]
    run(bench, "one", now=True)
    bench.clock.advance(DAY + timedelta(hours=1))
    found = run(bench, "one")
    assert (found.items[0]["outcome"], found.items[0]["old_key_ids"]) == ("retired", [first])
    assert found.exit_status == 0


# ------------------------------------------------------------------------------------------------------- usage faults


@pytest.mark.parametrize(
    "wish",
    [
        Wish(now=True),
        Wish(names=("one",), everything=True, now=True),
        Wish(names=("one",), labels={"env": "prod"}, now=True),
        Wish(labels={"env": "prod"}, everything=True, now=True),
        Wish(names=("one",), emergency=True),
        Wish(labels={"env": "nowhere"}, now=True),
    ],
    ids=str,
)
def test_a_wish_that_contradicts_itself_is_a_fault_of_usage_and_nothing_is_opened(bench: Bench, wish: Wish) -> None:
    with bench.house() as house, pytest.raises(UsageFault) as caught:
        rotate(house, wish)
    assert caught.value.exit_status == 2
    assert caught.value.hint
    assert bench.made == []


def test_an_unknown_name_is_a_fault_of_usage_that_names_the_near_one(bench: Bench) -> None:
    with bench.house() as house, pytest.raises(UsageFault, match='Did you mean "one"') as caught:
        rotate(house, Wish(names=("oone",)))
    assert caught.value.exit_status == 2
    assert not (bench.folder / "state").exists()


# ---------------------------------------------------------------------------------------------------------------- now


def test_now_rotates_what_is_not_due_and_records_who_asked_and_why(bench: Bench) -> None:
    run(bench)
    found = run(bench, "one", now=True, note="leaver process")
    assert [(item["outcome"], item["reason"]) for item in found.items] == [("promoted", "requested")]
    with bench.house() as house:
        reader = house.reader()
        (asked,) = [one for one in reader.audit() if one["event"] == "request.received"]
        assert reader.requests_open("one") == ()
        assert (asked["actor"], asked["detail"], asked["reason"]) == (house.actor, "leaver process", "rotate")


def test_labels_choose_and_all_means_all(bench: Bench) -> None:
    run(bench)
    assert outcomes(run(bench, labels={"env": "test"}, now=True)) == {"two": "promoted"}
    assert outcomes(run(bench, everything=True, now=True)) == {"one": "promoted", "two": "promoted"}


def test_the_end_of_the_old_secret_is_told_after_a_promotion(bench: Bench) -> None:
    run(bench)
    (remark,) = run(bench, "one", now=True).remarks
    assert "works until 2026-11-25 12:00 UTC, then it is retired" in remark.message


def test_an_emergency_leaves_no_old_secret(bench: Bench) -> None:
    old = run(bench, "one").items[0]["new_key_id"]
    found = run(bench, "one", now=True, emergency=True)
    assert found.exit_status == 0
    assert [held.key_id for held in bench.issuer.truth(bench.app("one"))] == [found.items[0]["new_key_id"]]
    assert found.items[0]["old_key_ids"] == [old]


def test_a_request_that_could_not_be_served_is_kept_and_answered_by_one_rotation(bench: Bench) -> None:
    run(bench)
    bench.broken["vault"] = Transient("Vault is sealed", hint="unseal it")
    assert run(bench, "one", now=True, note="leaver").exit_status == 69
    assert run(bench, "one", now=True, emergency=True).exit_status == 69
    assert run(bench, "one", now=True).exit_status == 69, "and what was an emergency stays one"
    with bench.house() as house:
        (kept,) = house.reader().requests_open("one")
        assert (kept.emergency, kept.note) == (True, "leaver")
    bench.broken.clear()
    bench.clock.advance(timedelta(hours=1))
    assert outcomes(run(bench, "one")) == {"one": "promoted"}
    with bench.house() as house:
        assert house.reader().requests_open("one") == ()
    assert outcomes(run(bench, "one")) == {"one": "skipped"}


# --------------------------------------------------------------------------------------------------- parked and paused


def test_who_does_not_wait_leaves_a_request_that_the_next_pass_answers(bench: Bench) -> None:
    run(bench)
    found = run(bench, "two", now=True, no_wait=True, note="leaver")
    (item,) = found.items
    assert (item["outcome"], item["reason"], found.exit_status) == ("planned", "requested", 0)
    assert len(bench.issuer.mutations) == 2
    assert "rotator rotate two" in found.remarks[0].hint
    assert [(one["outcome"], one["reason"]) for one in run(bench).items] == [
        ("skipped", None),
        ("promoted", "requested"),
    ]


def test_a_parked_credential_is_no_more_asked_for_by_who_does_not_wait(bench: Bench) -> None:
    run(bench)
    park(bench, "one")
    assert run(bench, "one", now=True, no_wait=True).exit_status == 1


def test_a_paused_credential_that_is_named_is_told_to_be_paused(bench: Bench) -> None:
    run(bench)
    with bench.house() as house:
        pause(house, ["one"])
    found = run(bench, "one")
    assert [(remark.name, remark.message[:9]) for remark in found.remarks] == [("one", "paused at")]


def test_a_forgotten_name_that_means_another_application_now_is_a_new_credential_for_everybody(bench: Bench) -> None:
    run(bench)
    with bench.house() as house:
        forget(house, "one", Farewell.LEAVE)
    assert run(bench, "one", now=True, dry_run=True).exit_status == 1
    bench.write()
    moved = bench.config.read_text(encoding="utf-8").replace("path: partners/one", "path: partners/uno")
    bench.config.write_text(moved, encoding="utf-8")
    with bench.house() as house:
        (item, _) = status(house).items
        assert (item["state"], item["next"]["reason"]) == ("unknown", "never_rotated")
        assert [one["name"] for one in plan(house, ["one"]).items][:1] == ["one"]
        assert plan(house, ["one"]).remarks == ()
    assert [one["outcome"] for one in run(bench, "one", now=True, dry_run=True).items] == ["planned"]
    assert outcomes(run(bench, "one")) == {"one": "promoted"}


def test_a_parked_credential_that_was_named_is_refused_with_the_way_out(bench: Bench) -> None:
    run(bench)
    park(bench, "one")
    found = run(bench, "one", now=True)
    assert found.exit_status == 1
    assert found.items[0]["outcome"] == "skipped"
    assert found.items[0]["error"]["code"] == "parked"
    assert "rotator resume one" in found.troubles[0].error.hint


def test_with_all_a_parked_credential_is_skipped_and_the_others_are_rotated(bench: Bench) -> None:
    run(bench)
    park(bench, "one")
    found = run(bench, everything=True, now=True)
    assert (outcomes(found), found.exit_status) == ({"one": "skipped", "two": "promoted"}, 0)
    assert found.troubles == ()
    assert [remark.name for remark in found.remarks] == ["one", "two"]


def test_a_plain_pass_says_that_a_parked_credential_needs_attention(bench: Bench) -> None:
    run(bench)
    park(bench, "one")
    found = run(bench)
    assert (outcomes(found)["one"], found.exit_status) == ("parked", 1)


def test_who_names_a_credential_does_not_wait_until_its_next_attempt_is_due(bench: Bench) -> None:
    bench.broken["vault"] = Denied("The token lacks update.", hint="Grant it.")
    assert run(bench, "one").exit_status == 77
    bench.broken.clear()
    assert [one.error.code for one in run(bench).troubles] == ["retry"]
    assert (outcomes(run(bench, "one")), run(bench, "one").exit_status) == ({"one": "promoted"}, 0)


# --------------------------------------------------------------------------------- what is looked at, due or not


def test_a_pass_notices_at_once_what_somebody_has_edited(bench: Bench) -> None:
    run(bench)
    bench.document("one", key_id="somebody-else", client_secret="typed by hand")
    assert (outcomes(run(bench))["one"], run(bench, "one").exit_status) == ("parked", 1)


def test_two_passes_a_quarantine_apart_sweep_what_nothing_names(bench: Bench) -> None:
    run(bench)
    (ours,) = bench.issuer.truth(bench.app("one"))
    stray = bench.issuer.foreign(bench.app("one"), tag=re.sub("/[0-9a-f]{32}/1$", f"/{'0' * 32}/1", str(ours.tag)))
    run(bench)
    bench.clock.advance(timedelta(minutes=2))
    assert stray.key_id in {one.key_id for one in bench.issuer.truth(bench.app("one"))}
    found = run(bench)
    assert [remark.message for remark in found.remarks] == [f"Retired an orphan: key {stray.key_id}"]
    assert [one.key_id for one in bench.issuer.truth(bench.app("one"))] == [ours.key_id]


# --------------------------------------------------------------------------------------------------- exit status


def test_the_only_one_asked_for_has_its_own_status(bench: Bench) -> None:
    bench.broken["vault"] = Denied("Vault refused", hint="ask for the right")
    found = run(bench, "one")
    assert found.exit_status == 77
    assert found.troubles[0].error.message == "Vault refused"


def test_several_that_fail_alike_share_their_status(bench: Bench) -> None:
    bench.broken["vault"] = Transient("Vault is sealed", hint="unseal it")
    assert run(bench).exit_status == 69


def test_several_that_end_differently_have_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"one": ("prod", "contoso", "vault"), "two": ("prod", "fabrikam", "second")})
    bench.broken["second"] = Transient("second is sealed", hint="unseal it")
    found = run(bench)
    assert (outcomes(found), found.exit_status) == ({"one": "promoted", "two": "skipped"}, 1)


def test_a_store_that_cannot_be_reached_is_remembered_as_the_credentials_error(bench: Bench) -> None:
    bench.broken["vault"] = Transient("Vault is sealed", hint="unseal it", code="sealed")
    run(bench, "one")
    with bench.house() as house:
        (item,) = status(house, ["one"]).items
    assert item["error"]["code"] == "sealed", "even the first look at it is remembered"
    bench.broken.clear()
    bench.clock.advance(timedelta(hours=1))
    run(bench, "one")
    bench.broken["vault"] = Transient("Vault is sealed", hint="unseal it", code="sealed")
    run(bench, "one", now=True)
    with bench.house() as house:
        (item,) = status(house, ["one"]).items
    assert item["error"]["code"] == "sealed"
    assert bench.issuer.accepts(bench.app("one"), bench.value_of("one"))


# ------------------------------------------------------------------------------------------------------------ patience


def test_a_vendor_that_throttles_for_seconds_is_waited_for(bench: Bench) -> None:
    bench.issuer.retry_after = timedelta(seconds=20)
    bench.issuer.fate(Act.CREATE, Fate.THROTTLED)
    began = bench.clock.now()
    found = run(bench, "one")
    assert (outcomes(found), found.exit_status) == ({"one": "promoted"}, 0)
    assert timedelta(seconds=20) <= bench.clock.now() - began < timedelta(seconds=60)
    assert found.troubles == ()


def test_a_vendor_that_throttles_for_minutes_is_left_for_later(bench: Bench) -> None:
    bench.issuer.retry_after = timedelta(minutes=5)
    bench.issuer.fate(Act.CREATE, Fate.THROTTLED)
    began = bench.clock.now()
    found = run(bench, "one")
    assert (found.exit_status, found.items[0]["error"]["code"]) == (75, "throttled")
    assert bench.clock.now() - began < timedelta(seconds=60)


@pytest.mark.parametrize("asked", [{}, {"now": True}, {"now": True, "emergency": True}])
def test_who_names_it_does_not_wait_as_long_as_the_vendor_asks(bench: Bench, asked: dict[str, bool]) -> None:
    bench.issuer.retry_after = timedelta(hours=5)
    bench.issuer.fate(Act.CREATE, Fate.THROTTLED)
    assert run(bench, "one").exit_status == 75
    later = run(bench)
    (trouble,) = [one for one in later.troubles if one.name == "one"]
    assert trouble.error.hint == "Without waiting: rotator rotate one"
    assert outcomes(run(bench, "one", **asked)) == {"one": "promoted"}


def test_a_token_endpoint_that_throttles_for_seconds_is_waited_for(bench: Bench) -> None:
    run(bench, "one")
    slowly = Verdict(Answer.SILENT, "throttled", "slowly", retry_after=timedelta(seconds=20))
    bench.provers["one"].flaky(slowly)
    began = bench.clock.now()
    assert outcomes(run(bench, "one", now=True)) == {"one": "promoted"}
    assert timedelta(seconds=20) <= bench.clock.now() - began < timedelta(seconds=60)


def test_a_token_endpoint_that_throttles_for_hours_is_75_and_the_secret_stays_staged(bench: Bench) -> None:
    bench.provers["one"].flaky(Answer.REFUSED)  # the negative control
    bench.provers["one"].always = Verdict(Answer.SILENT, "throttled", "slowly", retry_after=timedelta(hours=5))
    began = bench.clock.now()
    found = run(bench, "one")
    assert (found.exit_status, found.items[0]["error"]["code"]) == (75, "throttled")
    assert "staging area" in found.items[0]["error"]["hint"]
    assert bench.clock.now() - began < timedelta(minutes=5), "nobody sleeps for hours with a claim in hand"
    assert bench.store.staging.read("one").fields.text("stage") == "staged"
    bench.provers["one"].always = None
    assert outcomes(run(bench, "one")) == {"one": "promoted"}
    assert len([one for one in bench.issuer.mutations if one.act is Act.CREATE]) == 1


def test_patience_with_a_vendor_ends_after_a_minute(bench: Bench) -> None:
    bench.issuer.retry_after = timedelta(seconds=25)
    bench.issuer.fate(Act.CREATE, *[Fate.THROTTLED] * 9)
    began = bench.clock.now()
    assert run(bench, "one").exit_status == 75
    assert bench.clock.now() - began <= timedelta(seconds=65)


def test_a_store_that_throttles_the_last_write_is_waited_for_and_then_all_is_well(bench: Bench) -> None:
    write = bench.store.staging.write
    throttled = [Throttled("slow down", hint="wait", retry_after=timedelta(seconds=1))]

    def once(path: str, fields: Fields, expected: int) -> Snapshot:
        if fields.text("stage") == "idle" and throttled:
            raise throttled.pop()
        return write(path, fields, expected)

    bench.store.staging.write = once  # type: ignore[method-assign]
    began = bench.clock.now()
    found = run(bench, "one")
    assert (outcomes(found), found.exit_status, found.troubles) == ({"one": "promoted"}, 0, ())
    assert bench.clock.now() - began < timedelta(seconds=15)
    assert bench.store.staging.read("one").fields.text("stage") == "idle"


@pytest.mark.parametrize("now", [False, True])
def test_the_fresh_claim_of_another_is_waited_for_and_looked_at_every_few_seconds(bench: Bench, now: bool) -> None:
    staging, kept = bench.store.staging, list[Snapshot]()
    run(bench, "one")
    before = staging.read("one").fields or Fields({})
    bench.clock.advance(timedelta(days=61))
    staging.put("one", before.merged({"owner": "another", "stage": "claimed", "rotation_id": "theirs"}))

    def wait(duration: timedelta, interrupt: Event | None = None) -> bool:
        if bench.clock.now() - began >= timedelta(seconds=3) and not kept:
            kept.append(staging.put("one", before))
        return ManualClock.wait(bench.clock, duration, interrupt)

    began, bench.clock.wait = bench.clock.now(), wait  # type: ignore[method-assign]
    found = run(bench, "one", now=now)
    assert (outcomes(found), found.exit_status) == ({"one": "promoted"}, 0)
    assert bench.clock.now() - began < timedelta(seconds=10)


def test_a_claim_that_is_not_given_up_is_waited_for_ten_seconds(bench: Bench) -> None:
    run(bench, "one")
    before = bench.store.staging.read("one").fields
    assert before is not None
    bench.store.staging.put("one", before.merged({"owner": "another", "stage": "claimed", "rotation_id": "theirs"}))
    began = bench.clock.now()
    found = run(bench, "one", now=True)
    assert (found.exit_status, found.items[0]["error"]["code"]) == (75, "claimed")
    assert timedelta(seconds=8) <= bench.clock.now() - began <= timedelta(seconds=11)


def test_a_request_to_stop_ends_the_waiting(bench: Bench) -> None:
    bench.issuer.retry_after = timedelta(seconds=20)
    bench.issuer.fate(Act.CREATE, Fate.THROTTLED)
    bench.stop.set()
    began = bench.clock.now()
    assert run(bench, "one").exit_status == 75
    assert bench.clock.now() - began < timedelta(seconds=20)
    assert bench.issuer.mutations == []


# ------------------------------------------------------------------------------------------------------ nothing changes


def test_a_dry_run_contacts_nobody_and_says_what_would_be_done(bench: Bench) -> None:
    found = run(bench, "one", now=True, dry_run=True)
    assert (outcomes(found), found.exit_status) == ({"one": "planned"}, 0)
    assert found.items[0]["reason"] == "requested"
    assert "promote it to kv/partners/one" in [remark.message for remark in found.remarks]
    assert bench.made == []
    assert not (bench.folder / "state").exists()


def test_a_dry_run_of_a_pass_skips_what_is_not_due_and_says_when_it_will_be(bench: Bench) -> None:
    run(bench)
    found = run(bench, dry_run=True)
    assert (outcomes(found), found.exit_status) == ({"one": "skipped", "two": "skipped"}, 0)
    assert found.remarks[0].message == "not due yet: 30 d are left of 90 d"


def test_a_dry_run_refuses_what_the_real_run_refuses(bench: Bench) -> None:
    run(bench)
    park(bench, "one")
    assert run(bench, "one", now=True, dry_run=True).exit_status == 1


def test_observing_now_is_planned_and_nothing_is_changed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, mode="observe")
    found = run(bench, "one", now=True)
    assert (outcomes(found), found.exit_status) == ({"one": "planned"}, 0)
    assert bench.made == []
    assert bench.issuer.mutations == []


def test_an_observing_pass_looks_and_plans_and_writes_to_no_store(tmp_path: Path) -> None:
    bench = Bench(tmp_path, mode="observe")
    found = run(bench)
    assert (outcomes(found), found.exit_status) == ({"one": "planned", "two": "planned"}, 0)
    assert bench.issuer.mutations == []
    assert (bench.store.staging.paths(), bench.store.consumers.paths()) == ((), ())


# ---------------------------------------------------------------------------------------------------------- secrets


def test_a_missing_secret_is_78_before_anything_is_contacted(bench: Bench) -> None:
    (bench.folder / "graph-secret").unlink()
    (bench.folder / "vault-token").unlink()
    with bench.house() as house, pytest.raises(Misconfigured) as caught:
        rotate(house, Wish())
    assert caught.value.exit_status == 78
    assert "graph-secret" in caught.value.message
    assert "vault-token" in caught.value.message
    assert bench.made == []
    assert not (bench.folder / "state").exists()


def test_a_secret_that_this_run_does_not_use_may_be_missing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"one": ("prod", "contoso", "vault"), "two": ("prod", "fabrikam", "second")})
    (bench.folder / "graph-secret").unlink()
    assert run(bench, "two").exit_status == 0


# ------------------------------------------------------------------------------------------------- what is left behind


def test_two_stores_each_get_an_install_id_and_the_head_of_the_chain(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"one": ("prod", "contoso", "vault"), "two": ("prod", "fabrikam", "second")})
    run(bench)
    with bench.house() as house:
        reader = house.reader()
        for store in bench.stores.values():
            kept = heads.kept_in(store.staging, reader.owner)
            assert reader.audit_one(kept.seq)["hash"] == kept.hash
        ids = [store.staging.read("_install").fields.text("id") for store in bench.stores.values()]
    assert len(set(ids)) == 2
    assert all(held.tag.startswith(f"rotator/{ids[0]}/") for held in bench.issuer.truth(bench.app("one")))


def test_two_states_on_one_staging_area_are_one_install(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    run(bench, "one")
    before = bench.store.staging.read("_install")
    (bench.folder / "state").rename(bench.folder / "lost")
    run(bench, "one")
    assert bench.store.staging.read("_install").version == before.version
    assert len(bench.issuer.mutations) == 1, "the version in the store is known by its label"


def test_a_head_that_cannot_be_kept_does_not_change_what_was_rotated(bench: Bench) -> None:
    def refuse(path: str, fields: object, expected: int) -> object:
        if path.startswith("_head."):
            raise Denied("no", hint="ask")
        return real(path, fields, expected)  # type: ignore[arg-type]

    real = bench.store.staging.write
    bench.store.staging.write = refuse  # type: ignore[assignment,method-assign]
    assert run(bench, "one").exit_status == 0


def test_no_secret_value_reaches_the_state_or_the_items(bench: Bench) -> None:
    found = [run(bench), run(bench, everything=True, now=True)]
    values = [bench.value_of("one").reveal().encode(), bench.value_of("two").reveal().encode(), b"canary-9f2b7c"]
    files = [path.read_bytes() for path in (bench.folder / "state").iterdir()]
    for value in values:
        assert not any(value in content for content in [*files, repr(found).encode()])


def test_a_fault_of_the_state_stops_everything_before_a_call_is_made(bench: Bench) -> None:
    (bench.folder / "state").mkdir(mode=0o700)
    (bench.folder / "state" / "rotator.db").write_bytes(b"this is no database" * 100)
    (bench.folder / "state" / "rotator.db").chmod(0o600)
    with bench.house() as house, pytest.raises(RotatorError) as caught:
        rotate(house, Wish())
    assert caught.value.exit_status == 1
    assert bench.made == []


# -------------------------------------------------------------------------------------------------------- whose it is


def test_a_state_of_another_user_is_refused_with_the_command_that_would_do(bench: Bench) -> None:
    run(bench)
    database = bench.folder / "state" / "rotator.db"
    see_whose_it_is(database)
    with pytest.raises(Misconfigured, match="belongs to") as caught:
        see_whose_it_is(database, uid=os.geteuid() + 4711)
    assert f"sudo -u {pwd.getpwuid(os.geteuid()).pw_name} rotator" in caught.value.hint


def test_a_folder_that_is_not_there_yet_belongs_to_nobody(tmp_path: Path) -> None:
    see_whose_it_is(tmp_path / "missing" / "rotator.db", uid=os.geteuid() + 4711)


# --------------------------------------------------------------------------------------------------------- stopping


class SilentDocuments(MemoryDocuments):
    """A staging area that does not answer."""

    def read(self, path: str, version: int | None = None) -> NoReturn:
        raise Transient("no answer", hint="wait")


def test_a_request_to_stop_while_a_store_is_asked_again_is_75_and_an_answer(bench: Bench) -> None:
    bench.store.staging = SilentDocuments(bench.clock, 1)
    bench.stop.set()
    found = run(bench, "one")
    assert (found.exit_status, found.items[0]["error"]["code"]) == (75, "interrupted")
    assert bench.issuer.mutations == []
