"""`check`: every subject is looked at, none hides another, and nothing is changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rotator.app.checking import Checked, check
from rotator.app.keeping import pause
from rotator.app.rotating import Wish, rotate
from rotator.app.watching import status
from rotator.errors import Denied, Misconfigured, Transient
from rotator.finding import Finding, Severity
from rotator.notes import ProofSeen
from rotator.ports import Answer
from rotator.secret import Fields
from tests.fakes.app_bench import Bench

KEYS = ["subject", "check", "outcome", "message", "hint"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def run(bench: Bench, *, offline: bool = False) -> Checked:
    with bench.house() as house:
        return check(house, offline=offline)


def found(checked: Checked, subject: str, what: str) -> Finding:
    (finding,) = [one for one in checked.findings if (one.subject, one.check) == (subject, what)]
    return finding


def rotated(bench: Bench) -> None:
    with bench.house() as house:
        assert rotate(house, Wish()).exit_status == 0


def test_before_the_first_rotation_everything_is_well_and_nothing_is_made(bench: Bench) -> None:
    checked = run(bench)
    assert checked.exit_status == 0
    assert all(list(item) == KEYS for item in checked.items)
    assert found(checked, "one", "current version").outcome is Severity.SKIP
    assert "will be made" in found(checked, "state", "database").message
    assert not (bench.folder / "state").exists()
    assert (bench.store.staging.paths(), bench.store.consumers.paths()) == ((), ())
    assert bench.issuer.mutations == []


def test_what_consumers_read_is_proved(bench: Bench) -> None:
    rotated(bench)
    before = (
        bench.store.staging.paths(),
        len(bench.store.staging.truth),
        (bench.folder / "state/rotator.db").read_bytes(),
    )
    checked = run(bench)
    finding = found(checked, "one", "current version")
    assert (finding.outcome, finding.message) == (Severity.OK, "the secret in kv/partners/one gets a token as expected")
    assert "schema 0003; SQLite" in found(checked, "state", "database").message
    after = (
        bench.store.staging.paths(),
        len(bench.store.staging.truth),
        (bench.folder / "state/rotator.db").read_bytes(),
    )
    assert before == after


@pytest.mark.parametrize(
    ("answer", "status", "word"),
    [(Answer.REFUSED, 1, "is refused"), (Answer.UNFIT, 1, "scripted"), (Answer.SILENT, 69, "scripted")],
)
def test_a_current_version_that_does_not_pass_fails_with_its_own_status(
    bench: Bench, answer: Answer, status: int, word: str
) -> None:
    rotated(bench)
    bench.provers["one"].always = answer
    checked = run(bench)
    finding = found(checked, "one", "current version")
    assert (finding.outcome, checked.exit_status) == (Severity.FAIL, status)
    assert word in finding.message
    assert finding.hint
    assert found(checked, "two", "current version").outcome is Severity.OK


def test_a_parked_credential_fails_with_the_way_out(bench: Bench) -> None:
    rotated(bench)
    bench.store.consumers.put("partners/one", Fields({"key_id": "somebody-else", "client_secret": "typed by hand"}))
    with bench.house() as house:
        rotate(house, Wish())
    checked = run(bench, offline=True)
    finding = found(checked, "one", "standing")
    assert (finding.outcome, checked.exit_status) == (Severity.FAIL, 1)
    assert finding.message.startswith("parked: ")
    assert "rotator resume one" in finding.hint
    assert not [one for one in checked.findings if (one.subject, one.check) == ("two", "standing")]


def test_a_paused_credential_and_a_failed_attempt_are_warnings(bench: Bench) -> None:
    with bench.house() as house:
        pause(house, ["one"])
    del bench.issuer.applications[bench.app("two")]
    with bench.house() as house:
        rotate(house, Wish())
    checked = run(bench, offline=True)
    assert found(checked, "one", "standing").outcome is Severity.WARN
    assert found(checked, "two", "standing").message.startswith("the last attempt failed: There is no application")
    assert checked.exit_status == 0


def test_a_ca_file_that_is_not_there_is_found_offline_too(bench: Bench) -> None:
    text = bench.config.read_text(encoding="utf-8")
    bench.config.write_text(
        text.replace("    verify: {", "    verify: {ca_file: /nonexistent/ca.pem, ", 1), encoding="utf-8"
    )
    checked = run(bench, offline=True)
    finding = found(checked, "one", "ca_file")
    assert (finding.outcome, checked.exit_status) == (Severity.FAIL, 78)
    assert "/nonexistent/ca.pem cannot be read" in finding.message


def test_a_brake_that_is_on_is_shown_by_check_and_by_status(bench: Bench) -> None:
    rotated(bench)
    for name in ("one", "two", "three"):
        with bench.house() as house:
            house.ledger().note(ProofSeen("contoso", name, "invalid_client"))
    checked = run(bench, offline=True)
    finding = found(checked, "contoso", "brake")
    assert (finding.outcome, checked.exit_status) == (Severity.WARN, 0)
    assert "3 credentials of contoso fail alike (invalid_client): one, three, two." in finding.message
    with bench.house() as house:
        (remark,) = status(house).remarks
    assert (remark.name, remark.message) == ("contoso", finding.message)
    with bench.house() as house:
        house.ledger().note(ProofSeen("contoso", "two", None))
        assert status(house).remarks == ()


def test_a_document_that_is_gone_is_no_document_that_is_not_there_yet(bench: Bench) -> None:
    rotated(bench)
    bench.store.consumers.delete_all("partners/one")
    checked = run(bench)
    assert "kv/partners/one is gone" in found(checked, "one", "current version").message
    assert checked.exit_status == 1


def test_a_name_that_stands_for_something_else_is_a_wrong_configuration(bench: Bench) -> None:
    rotated(bench)
    moved = bench.config.read_text(encoding="utf-8").replace("path: partners/one", "path: partners/uno")
    bench.config.write_text(moved, encoding="utf-8")
    checked = run(bench, offline=True)
    assert "already stands for" in found(checked, "one", "standing").message
    assert checked.exit_status == 78
    (bench.folder / "state/rotator.db").unlink()
    checked = run(bench)
    assert "already stands for" in found(checked, "one", "standing").message, "another state's claim to the name counts"


def test_a_document_without_a_secret_is_a_warning(bench: Bench) -> None:
    bench.store.consumers.put("partners/one", Fields({"comment": "nothing yet"}))
    checked = run(bench)
    assert found(checked, "one", "current version").outcome is Severity.WARN
    assert checked.exit_status == 0


def test_one_failure_has_its_own_status_and_several_different_ones_have_one(bench: Bench) -> None:
    bench.broken["vault"] = Denied("no", hint="ask")
    assert run(bench).exit_status == 77
    bench.broken["contoso"] = Transient("down", hint="wait")
    assert run(bench).exit_status == 1


def test_a_broken_store_hides_no_issuer_and_is_told_once(bench: Bench) -> None:
    bench.broken["vault"] = Transient("sealed", hint="unseal it")
    checked = run(bench)
    assert found(checked, "vault", "store").outcome is Severity.FAIL
    assert found(checked, "one", "current version").outcome is Severity.SKIP
    assert found(checked, "one", "application").outcome is Severity.OK
    assert checked.exit_status == 69


def test_an_application_that_the_issuer_does_not_know_is_a_finding_of_its_own(bench: Bench) -> None:
    del bench.issuer.applications[bench.app("one")]
    checked = run(bench)
    assert "There is no application" in found(checked, "one", "provider").message
    assert found(checked, "two", "application").outcome is Severity.OK
    assert checked.exit_status == 1


def test_a_fault_of_our_own_is_a_finding_too(bench: Bench) -> None:
    del bench.provers["one"]
    checked = run(bench)
    assert found(checked, "one", "token endpoint").message == "rotator itself failed here (KeyError)"
    assert found(checked, "two", "token endpoint").outcome is Severity.OK


def test_a_missing_secret_is_told_and_what_needs_it_is_not_contacted(bench: Bench) -> None:
    (bench.folder / "graph-secret").unlink()
    checked = run(bench)
    finding = found(checked, "contoso", "secret")
    assert (finding.outcome, checked.exit_status) == (Severity.FAIL, 78)
    assert "config.yaml:" in finding.message
    assert "contoso" not in bench.made
    assert found(checked, "vault", "secret").outcome is Severity.OK


def test_offline_nothing_is_contacted(bench: Bench) -> None:
    checked = run(bench, offline=True)
    assert bench.made == []
    assert checked.findings[-1].outcome is Severity.SKIP
    assert checked.exit_status == 0


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_for_the_state_that_others_can_write_fails_before_the_first_rotation_does(
    bench: Bench, there: bool
) -> None:
    if there:
        rotated(bench)
    (bench.folder / "state").mkdir(mode=0o700, exist_ok=True)
    (bench.folder / "state").chmod(0o777)
    finding = found(run(bench), "state", "state")
    assert finding.outcome is Severity.FAIL
    assert "can be written by others" in finding.message and "chmod 700" in finding.hint
    assert bool(list((bench.folder / "state").iterdir())) is there


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_fails_before_the_first_write_does(
    bench: Bench, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:
        rotated(bench)
    facts = list(os.statvfs(bench.folder))
    facts[4] = 0  # f_bavail
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(facts))
    finding = found(run(bench), "state", "database")
    assert (finding.outcome, "no space is left" in finding.message) == (Severity.FAIL, True)


def test_a_state_that_is_none_fails_and_hides_nothing(bench: Bench) -> None:
    (bench.folder / "state").mkdir(mode=0o700)
    (bench.folder / "state/rotator.db").write_bytes(b"no database at all " * 200)
    (bench.folder / "state/rotator.db").chmod(0o600)
    checked = run(bench)
    assert found(checked, "state", "state").outcome is Severity.FAIL
    assert found(checked, "one", "application").outcome is Severity.OK
    assert checked.exit_status == 1


def test_a_warning_of_the_configuration_is_no_failure(bench: Bench) -> None:
    text = bench.config.read_text(encoding="utf-8")
    expect = ', expect: {aud: "api://x", roles: [ProviderApi.Access]}'
    assert expect in text
    bench.config.write_text(text.replace(expect, "", 1), encoding="utf-8")
    checked = run(bench)
    assert "names neither audience nor roles" in found(checked, "configuration", "warning").message
    assert checked.exit_status == 0


def test_a_wrong_key_of_the_store_is_78(bench: Bench) -> None:
    bench.broken["vault"] = Misconfigured("another key", hint="give the right one")
    assert run(bench).exit_status == 78
