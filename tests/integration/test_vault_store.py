"""The Vault store against the real Vault: rights, lives of tokens, retention, lost answers and a blinded audit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.clock import ManualClock, SystemClock
from rotator.errors import Denied, Misconfigured, OutcomeUnknown, Refused, Throttled, Transient, WriteConflict
from rotator.finding import Finding, Severity
from rotator.secret import Fields, Secret
from rotator.stores.vault import VaultStore
from rotator.stores.vault_settings import AppRoleAuth, JwtAuth, TokenAuth
from tests.fakes.audit_pipe import AuditPipe
from tests.fakes.cut_wire import CutWire
from tests.integration.vault_bench import POLICY, VaultBench
from tests.servers.vault_server import VaultServer

pytestmark = pytest.mark.vault

PATH = "partners/kontrolle-plus/prod"


def fields(text: str = "s3cret-value") -> Fields:
    return Fields({"client_id": "c-1", "client_secret": Secret(text)})


def failed(findings: object) -> list[Finding]:
    assert isinstance(findings, list)
    return [finding for finding in findings if finding.outcome is Severity.FAIL]


@pytest.fixture
def bench(vault_server: VaultServer) -> Iterator[VaultBench]:
    made = VaultBench(vault_server)
    yield made
    made.close()


@pytest.fixture(scope="module")
def own_server(new_vault_server: Callable[[], VaultServer]) -> VaultServer:
    """A server of this module alone, which may be sealed and broken."""
    return new_vault_server()


@pytest.fixture
def own_bench(own_server: VaultServer) -> Iterator[VaultBench]:
    made = VaultBench(own_server)
    yield made
    made.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


# --------------------------------------------------------------------------------------------------------------- rights


def test_the_policy_of_the_documentation_is_enough_for_everything(bench: VaultBench) -> None:
    store = bench.store_by_approle()
    assert failed(store.check([PATH])) == []
    store.staging.write("kontrolle-plus-prod", fields("candidate"), 0)
    store.consumers.write(PATH, fields("promoted"), 0)
    store.staging.write("kontrolle-plus-prod", Fields({"phase": "promoted"}), 1)
    store.staging.erase_before("kontrolle-plus-prod", 2)
    assert store.consumers.history(PATH) == (1,)
    assert store.staging.read("kontrolle-plus-prod", 1).fields is None
    store.close()


def test_the_check_tells_version_rights_and_retention_in_one_line(bench: VaultBench) -> None:
    findings = bench.store_by_approle().check([PATH])
    assert [finding.outcome for finding in findings] == [Severity.OK, Severity.OK]
    told = findings[0].message
    for part in ("1.", "unsealed", f"{bench.consumers}/data/{PATH}", bench.staging, "10 versions kept"):
        assert part in told


LINES = POLICY.read_text(encoding="utf-8").split("\n\n")
GRANTED = [line for line in LINES if line.lstrip("# ").count("path ") and "revoke-self" not in line]


@pytest.mark.parametrize("rule", GRANTED, ids=[line.partition('path "')[2].partition('"')[0] for line in GRANTED])
def test_each_rule_of_the_policy_is_needed_and_its_lack_is_found(bench: VaultBench, rule: str) -> None:
    store = bench.store_by_approle(policy=POLICY.read_text(encoding="utf-8").replace(rule, ""))
    assert [finding for finding in store.check([PATH]) if finding.outcome in (Severity.FAIL, Severity.WARN)]


@pytest.mark.parametrize("capability", ["create", "read", "update"])
def test_a_missing_capability_on_the_document_is_named_with_the_path(bench: VaultBench, capability: str) -> None:
    granted = '["create", "read", "update"]'
    policy = POLICY.read_text(encoding="utf-8")
    store = bench.store_by_approle(policy=policy.replace(granted, granted.replace(f'"{capability}"', '"list"'), 1))
    path = f"{bench.consumers}/data/{PATH}"
    if capability != "create":
        bench.root("post", path, {"data": {"a": "1"}, "options": {"cas": 0}})
    attempts = {
        "create": lambda: store.consumers.write(PATH, fields(), 0),
        "read": lambda: store.consumers.read(PATH),
        "update": lambda: store.consumers.write(PATH, fields(), 1),
    }
    with pytest.raises(Denied) as caught:
        attempts[capability]()
    assert path in caught.value.message and f'"{capability}"' in caught.value.message
    assert caught.value.exit_status == 77
    found = failed(store.check([PATH]))
    assert [finding.exit_status for finding in found] == [77]
    assert path in found[0].message and f'"{capability}"' in found[0].message


@pytest.mark.parametrize(
    ("area", "lacking"),
    [
        ("data", '"create", "read", "update"'),
        ("metadata", '"create", "read", "update", "list", "delete"'),
        ("destroy", '"update"'),
    ],
)
def test_a_right_that_is_missing_on_the_staging_mount_is_found(bench: VaultBench, area: str, lacking: str) -> None:
    deny = f'\npath "rotator/{area}/*" {{ capabilities = ["deny"] }}\n'
    found = failed(bench.store_by_approle(policy=POLICY.read_text(encoding="utf-8") + deny).check([PATH]))
    assert [finding.exit_status for finding in found] == [77]
    assert f"lacks {lacking} on {bench.staging}/{area}/" in found[0].message


def test_a_mount_without_any_right_on_it_is_denied_by_name(bench: VaultBench) -> None:
    store = bench.store_by_approle(policy="")
    with pytest.raises(Denied) as caught:
        store.consumers.read(PATH)
    assert bench.consumers in caught.value.message


# --------------------------------------------------------------------------------------------------------------- tokens


def test_a_token_revoked_in_mid_work_is_replaced_and_the_write_goes_through(bench: VaultBench) -> None:
    store = bench.store_by_approle()
    store.consumers.write(PATH, fields("first"), 0)
    bench.revoke_all_logins()
    assert store.consumers.write(PATH, fields("second"), 1).version == 2
    assert bench.logins() == 1


def test_a_given_token_that_is_revoked_is_said_to_be_dead(bench: VaultBench) -> None:
    token = bench.child_token()
    store = bench.store(auth=TokenAuth(lambda: token))
    store.consumers.read(PATH)
    bench.root("post", "auth/token/revoke", {"token": token.reveal()})
    with pytest.raises(Denied) as caught:
        store.consumers.read(PATH)
    assert caught.value.code == "token_dead"


def test_a_token_near_its_end_is_renewed_at_the_server(bench: VaultBench, clock: ManualClock) -> None:
    store = bench.store_by_approle(clock=clock)
    store.consumers.read(PATH)
    assert bench.renewals() == [False]
    clock.advance(timedelta(minutes=45))
    store.consumers.read(PATH)
    assert bench.renewals() == [True]


def test_the_login_is_revoked_at_the_end(bench: VaultBench) -> None:
    store = bench.store_by_approle()
    store.consumers.read(PATH)
    assert bench.logins() == 1
    store.close()
    assert bench.logins() == 0


def test_a_wrong_secret_id_is_a_refused_login_and_is_not_shown(bench: VaultBench) -> None:
    auth = bench.approle()
    assert isinstance(auth, AppRoleAuth)
    store = bench.store(auth=replace(auth, secret_id=lambda: Secret("11111111-canary")))
    with pytest.raises(Denied) as caught:
        store.consumers.read(PATH)
    assert caught.value.code == "login_refused" and "canary" not in caught.value.message


def test_a_login_by_jwt_works(bench: VaultBench) -> None:
    auth = bench.jwt()
    assert isinstance(auth, JwtAuth)
    store = bench.store(auth=auth)
    assert store.consumers.write(PATH, fields(), 0).version == 1
    assert failed(store.check([PATH])) == []


def test_a_configured_namespace_is_refused_by_a_server_that_ignores_it(bench: VaultBench) -> None:
    store = bench.store(namespace="team-a")
    with pytest.raises(Misconfigured) as caught:
        store.consumers.write(PATH, fields(), 0)
    assert caught.value.code == "namespace_ignored"
    assert bench.root("get", f"{bench.consumers}/data/{PATH}")[0] == 404
    assert failed(store.check([PATH]))[0].exit_status == 78


# --------------------------------------------------------------------------------------------------------------- mounts


def test_a_version_1_mount_is_refused_and_nothing_is_stored_there(bench: VaultBench) -> None:
    mount = bench.new_mount("1")
    store = bench.store(mount=mount)
    with pytest.raises(Misconfigured) as caught:
        store.consumers.write(PATH, fields(), 0)
    assert caught.value.code == "mount_version"
    assert bench.root("get", f"{mount}/data/{PATH}")[0] == 404
    assert failed(store.check([PATH]))[0].exit_status == 78


def test_a_mount_that_is_not_there_is_named(bench: VaultBench) -> None:
    store = bench.store_by_approle(mount="no-such-mount")
    with pytest.raises(Denied) as caught:
        store.consumers.read(PATH)
    assert "no-such-mount" in caught.value.message


def test_values_deleted_by_the_clock_fail_the_check_on_staging_and_on_the_consumers_side(bench: VaultBench) -> None:
    store = bench.store()
    bench.root("post", f"{bench.staging}/config", {"delete_version_after": "24h"})
    found = failed(store.check([PATH]))
    assert [finding.check for finding in found] == ["retention"]
    assert bench.staging in found[0].message
    bench.root("post", f"{bench.staging}/config", {"delete_version_after": "0s"})
    bench.root("post", f"{bench.consumers}/metadata/{PATH}", {"delete_version_after": "90m"})
    found = failed(store.check([PATH]))
    assert PATH in found[0].message and "1h30m" in found[0].message
    bench.root("delete", f"{bench.consumers}/metadata/{PATH}")
    bench.root("post", f"{bench.consumers}/config", {"delete_version_after": "24h"})
    assert len(failed(store.check([PATH]))) == 1
    bench.root("post", f"{bench.consumers}/config", {"delete_version_after": "-1s"})
    assert failed(store.check([PATH])) == []


@pytest.mark.parametrize(
    ("mount", "key", "outcome"),
    [(1, 0, Severity.FAIL), (0, 1, Severity.FAIL), (4, 1, Severity.WARN), (1, 5, Severity.OK), (0, 0, Severity.OK)],
)
def test_too_few_kept_versions_are_found(bench: VaultBench, mount: int, key: int, outcome: Severity) -> None:
    bench.root("post", f"{bench.consumers}/config", {"max_versions": mount})
    bench.root("post", f"{bench.consumers}/metadata/{PATH}", {"max_versions": key})
    findings = bench.store_by_approle().check([PATH])
    assert (
        max((finding.outcome for finding in findings), key=[Severity.OK, Severity.WARN, Severity.FAIL].index) is outcome
    )


# ------------------------------------------------------------------------------------------------------------ documents


@pytest.mark.parametrize("kept", [0, 10])
def test_a_staged_value_is_gone_once_the_document_is_written_without_it(bench: VaultBench, kept: int) -> None:
    bench.root("post", f"{bench.staging}/config", {"max_versions": kept})
    staging = bench.store_by_approle().staging
    staging.write("a", fields("one"), 0)
    staging.write("a", fields("two"), 1)
    staging.write("a", Fields({"phase": "promoted"}), 2)
    staging.erase_before("a", 3)
    for version in (1, 2):
        assert bench.root("get", f"{bench.staging}/data/a?version={version}")[1].get("data", {}).get("data") is None
        bench.root("post", f"{bench.staging}/undelete/a", {"versions": [version]})
        assert bench.root("get", f"{bench.staging}/data/a?version={version}")[0] == 404
    assert staging.history("a") == (3,)
    assert staging.read("a").fields == Fields({"phase": "promoted"})


def test_only_one_metadata_write_is_made_for_a_staging_document(bench: VaultBench) -> None:
    staging = bench.store().staging
    staging.write("a", fields("one"), 0)
    updated = bench.root("get", f"{bench.staging}/metadata/a")[1]["data"]
    assert updated["max_versions"] == 1
    staging.write("a", fields("two"), 1)
    staging.erase_before("a", 2)
    assert staging.history("a") == (2,)


def test_a_staging_document_made_by_another_hand_keeps_no_older_version_after_erasing(bench: VaultBench) -> None:
    for number in range(3):
        bench.root("post", f"{bench.staging}/data/a", {"data": {"n": str(number)}})
    staging = bench.store().staging
    staging.erase_before("a", 3)
    assert staging.history("a") == (3,)
    assert bench.root("get", f"{bench.staging}/metadata/a")[1]["data"]["max_versions"] == 1


def test_erasing_leaves_what_others_wrote_about_a_document(bench: VaultBench) -> None:
    about = {"custom_metadata": {"owner": "platform"}, "cas_required": True, "delete_version_after": "1h0m0s"}
    bench.root("post", f"{bench.staging}/metadata/a", about)
    store = bench.store()
    store.staging.write("a", fields(), 0)
    kept = bench.root("get", f"{bench.staging}/metadata/a")[1]["data"]
    assert {name: kept[name] for name in about} == about
    assert kept["max_versions"] == 1


def test_a_destroyed_version_has_no_fields(bench: VaultBench) -> None:
    consumers = bench.store().consumers
    consumers.write(PATH, fields("first"), 0)
    consumers.write(PATH, fields("second"), 1)
    bench.root("post", f"{bench.consumers}/destroy/{PATH}", {"versions": [1, 2]})
    assert (consumers.read(PATH).version, consumers.read(PATH).fields) == (2, None)
    assert consumers.read(PATH, 1).fields is None
    assert consumers.history(PATH) == ()
    assert consumers.write(PATH, fields("third"), 2).version == 3


def test_a_document_that_was_deleted_with_its_numbers_starts_again(bench: VaultBench) -> None:
    consumers = bench.store().consumers
    consumers.write(PATH, fields("first"), 0)
    consumers.write(PATH, fields("second"), 1)
    bench.root("delete", f"{bench.consumers}/metadata/{PATH}")
    assert consumers.read(PATH).version == 0
    with pytest.raises(WriteConflict):
        consumers.write(PATH, fields("third"), 2)
    assert consumers.write(PATH, fields("third"), 0).version == 1


def test_a_path_with_metadata_only_was_never_written(bench: VaultBench) -> None:
    bench.root("post", f"{bench.consumers}/metadata/{PATH}", {"custom_metadata": {"owner": "me"}})
    consumers = bench.store().consumers
    assert (consumers.read(PATH).version, consumers.history(PATH)) == (0, ())
    assert consumers.write(PATH, fields(), 0).version == 1


@pytest.mark.parametrize(("value", "kind"), [(8443, "number"), (True, "boolean"), (None, "null"), (["x"], "array")])
def test_a_value_that_is_no_text_is_refused_by_key_and_type(bench: VaultBench, value: object, kind: str) -> None:
    bench.root("post", f"{bench.consumers}/data/{PATH}", {"data": {"client_secret": "canary", "port": value}})
    with pytest.raises(Refused) as caught:
        bench.store().consumers.read(PATH)
    assert caught.value.code == "not_text"
    assert "'port'" in caught.value.message and kind in caught.value.message and "canary" not in caught.value.message


def test_a_document_that_is_too_large_is_refused_and_not_written(bench: VaultBench) -> None:
    consumers = bench.store().consumers
    for large in (Fields({"a": "x" * 1_100_000}), Fields({"a": "x" * 600_000, "b": "x" * 600_000})):
        with pytest.raises(Refused) as caught:
            consumers.write(PATH, large, 0)
        assert caught.value.code == "too_large"
    assert consumers.read(PATH).version == 0


def test_the_request_id_of_a_write_is_the_one_in_the_answer(bench: VaultBench) -> None:
    written = bench.store().consumers.write(PATH, fields(), 0)
    assert written.request_id is not None and len(written.request_id) == 36


# --------------------------------------------------------------------------------------------------------- lost answers


@pytest.fixture
def wire(bench: VaultBench) -> Iterator[CutWire]:
    made = CutWire("127.0.0.1", bench.port)
    yield made
    made.close()


def test_a_write_whose_answer_was_lost_is_found_done(bench: VaultBench, wire: CutWire) -> None:
    store = bench.store(address=bench.address.replace(str(bench.port), str(wire.port)))
    store.consumers.write(PATH, fields("first"), 0)
    wire.lose_next_answer()
    assert store.consumers.write(PATH, fields("second"), 1).version == 2
    assert wire.lost == 1
    assert store.consumers.history(PATH) == (1, 2)


def test_a_lost_answer_to_a_write_that_lost_its_race_is_a_conflict(bench: VaultBench, wire: CutWire) -> None:
    store = bench.store(address=bench.address.replace(str(bench.port), str(wire.port)))
    store.consumers.write(PATH, fields("first"), 0)
    bench.store().consumers.write(PATH, fields("theirs"), 1)
    wire.lose_next_answer()
    with pytest.raises(WriteConflict):
        store.consumers.write(PATH, fields("ours"), 1)
    assert store.consumers.read(PATH).fields == fields("theirs")


def test_32_writers_with_lost_answers_agree_with_the_store_on_who_won(bench: VaultBench, wire: CutWire) -> None:
    store = bench.store(address=bench.address.replace(str(bench.port), str(wire.port)), connections=32)
    store.consumers.write(PATH, fields("first"), 0)
    told: list[int] = []

    def write(number: int) -> None:
        if number % 4 == 0:
            wire.lose_next_answer()
        try:
            store.consumers.write(PATH, fields(f"writer-{number}"), 1)
        except (WriteConflict, OutcomeUnknown):
            return
        told.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) <= 1
    seen = bench.store().consumers.read(PATH)
    assert seen.version == 2
    assert not told or seen.fields == fields(f"writer-{told[0]}")


# ------------------------------------------------------------------------------------------------ outages of the server


def test_a_write_that_was_committed_and_answered_500_is_recognised_when_it_is_made_again(
    own_bench: VaultBench, tmp_path: Path
) -> None:
    store = own_bench.store()
    document = Fields({f"field-{number}": f"value-{number}" for number in range(120)})
    store.consumers.write(PATH, fields("first"), 0)
    pipe = AuditPipe(tmp_path / "audit")
    own_bench.root("post", "sys/audit/pipe", {"type": "file", "options": {"file_path": str(pipe.path)}})
    pipe.break_after(f"{own_bench.consumers}/data/{PATH}")
    try:
        with pytest.raises(OutcomeUnknown) as caught:
            store.consumers.write(PATH, document, 1)
        assert pipe.broken.wait(10) and "500" in caught.value.message
    finally:
        pipe.mend()
    assert store.consumers.read(PATH).version == 2
    assert store.consumers.write(PATH, document, 1).version == 2
    assert store.consumers.history(PATH) == (1, 2)


def test_a_sealed_server_is_said_to_be_sealed_and_works_again_when_it_is_not(own_bench: VaultBench) -> None:
    store = own_bench.store()
    store.consumers.write(PATH, fields("first"), 0)
    own_bench.seal()
    attempts: list[Callable[[], object]] = [
        lambda: store.consumers.read(PATH),
        lambda: store.consumers.write(PATH, fields(), 1),
    ]
    for attempt in attempts:
        with pytest.raises(Transient) as caught:
            attempt()
        assert caught.value.code == "sealed" and not isinstance(caught.value, OutcomeUnknown)
    finding = failed(store.check([PATH]))[0]
    assert ("sealed" in finding.message, finding.exit_status) == (True, 69)
    own_bench.unseal()
    assert store.consumers.write(PATH, fields("second"), 1).version == 2


def test_a_server_without_an_active_node_writes_nothing_and_says_so(own_bench: VaultBench) -> None:
    store = own_bench.store()
    store.consumers.write(PATH, fields("first"), 0)
    own_bench.root("put", "sys/step-down")
    refused = 0
    clock = SystemClock()
    for _ in range(200):
        try:
            store.consumers.write(PATH, fields("second"), 1)
            break
        except Transient as error:
            assert error.code == "standby" and not isinstance(error, OutcomeUnknown), error.message
            refused += 1
            clock.wait(timedelta(milliseconds=100))
    assert refused > 0
    assert store.consumers.read(PATH).version == 2


@pytest.mark.parametrize("headers", [False, True])
def test_a_rate_limit_is_a_throttle_with_the_time_it_says(own_bench: VaultBench, headers: bool) -> None:
    store = own_bench.store()
    store.consumers.read(PATH)
    own_bench.root("post", "sys/quotas/config", {"enable_rate_limit_response_headers": headers})
    own_bench.root(
        "post", "sys/quotas/rate-limit/few", {"path": f"{own_bench.consumers}/", "rate": 1, "interval": "30s"}
    )
    with pytest.raises(Throttled) as caught:
        for _ in range(5):
            store.consumers.read(PATH)
    wait = caught.value.retry_after
    assert wait is None if not headers else (wait is not None and timedelta(seconds=1) <= wait <= timedelta(seconds=31))
    with pytest.raises(Throttled):
        store.consumers.write(PATH, fields(), 0)
    own_bench.root("delete", "sys/quotas/rate-limit/few")
    assert store.consumers.read(PATH).version == 0


def test_a_vault_store_is_usable_from_its_settings_alone(bench: VaultBench) -> None:
    assert VaultStore(bench.settings(), SystemClock()).consumers.read(PATH).version == 0
