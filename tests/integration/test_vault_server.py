"""The real Vault behind the fixtures does what the tests of rotator take for granted about it."""

from __future__ import annotations

import json
import signal
import ssl
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.servers.vault_server import Mounts, VaultServer

pytestmark = pytest.mark.vault

PATH = "partners/a"


@pytest.fixture(scope="module")
def own(new_vault_server: Callable[[], VaultServer]) -> VaultServer:
    return new_vault_server()


@pytest.fixture
def own_mounts(own: VaultServer) -> Mounts:
    return own.new_mounts()


def write(server: VaultServer, mounts: Mounts, value: str, cas: int, token: str | None = None) -> int:
    body = {"data": {"value": value}, "options": {"cas": cas}}
    return server.request("POST", f"{mounts.consumers}/data/{PATH}", body, token=token).status


def read(server: VaultServer, mounts: Mounts) -> tuple[int, str]:
    data = server.done("GET", f"{mounts.consumers}/data/{PATH}")["data"]
    return data["metadata"]["version"], data["data"]["value"]


def test_it_is_a_real_vault_or_openbao_that_serves_https_and_http(vault_server: VaultServer) -> None:
    reply = vault_server.request("GET", "sys/health", token="")
    assert (reply.status, reply.body["initialized"], reply.body["sealed"]) == (200, True, False)
    assert reply.body["version"].split(".")[0].isdigit()
    with urllib.request.urlopen(f"{vault_server.plain_address}/v1/sys/health") as answer:
        assert answer.status == HTTPStatus.OK


def test_its_certificate_is_trusted_by_nobody_without_the_ca(vault_server: VaultServer) -> None:
    with pytest.raises(OSError) as caught:
        urllib.request.urlopen(f"{vault_server.address}/v1/sys/health")
    assert isinstance(caught.value.args[0], ssl.SSLCertVerificationError)


def test_each_test_has_mounts_of_its_own(vault_server: VaultServer, mounts: Mounts) -> None:
    assert write(vault_server, mounts, "first", 0) == HTTPStatus.OK
    other = vault_server.new_mounts()
    assert write(vault_server, other, "first", 0) == HTTPStatus.OK
    vault_server.unmount(other)
    assert write(vault_server, other, "first", 0) == HTTPStatus.NOT_FOUND


def test_an_approle_of_the_documentation_may_write_where_the_policy_says_and_nowhere_else(
    vault_server: VaultServer, mounts: Mounts
) -> None:
    role = vault_server.approle(mounts.policy())
    login = {"role_id": role.role_id, "secret_id": role.secret_id}
    token = vault_server.request("POST", "auth/approle/login", login, token="").body["auth"]["client_token"]
    assert write(vault_server, mounts, "first", 0, token=token) == HTTPStatus.OK
    elsewhere = vault_server.request("POST", f"{mounts.consumers}/data/others/a", {"data": {}}, token=token)
    assert elsewhere.status == HTTPStatus.FORBIDDEN


def test_a_token_has_the_rights_of_its_policy_only(vault_server: VaultServer, mounts: Mounts) -> None:
    token = vault_server.token(mounts.policy('path "kv/data/*" { capabilities = ["create"] }'))
    assert write(vault_server, mounts, "first", 0, token=token) == HTTPStatus.OK
    assert write(vault_server, mounts, "second", 1, token=token) == HTTPStatus.FORBIDDEN


def test_beyond_the_rate_it_answers_429_with_retry_after_only_when_told_to(
    vault_server: VaultServer, mounts: Mounts
) -> None:
    for tell_when in (False, True):
        with vault_server.rate_limit(f"{mounts.consumers}/", 1, tell_when=tell_when):
            replies = [vault_server.request("GET", f"{mounts.consumers}/data/{PATH}") for _ in range(4)]
        assert replies[-1].status == HTTPStatus.TOO_MANY_REQUESTS
        assert ("Retry-After" in replies[-1].headers) is tell_when
    assert vault_server.request("GET", f"{mounts.consumers}/data/{PATH}").status == HTTPStatus.NOT_FOUND


def test_the_audit_log_records_paths_and_never_a_value(
    vault_server: VaultServer, mounts: Mounts, tmp_path: Path
) -> None:
    with vault_server.audit_log(tmp_path / "audit") as log:
        write(vault_server, mounts, "canary", 0)
    text = log.read_text()
    paths = [json.loads(line)["request"]["path"] for line in text.splitlines()]
    assert f"{mounts.consumers}/data/{PATH}" in paths
    assert "canary" not in text


def test_sealed_it_answers_503_and_unsealed_it_knows_everything(own: VaultServer, own_mounts: Mounts) -> None:
    write(own, own_mounts, "first", 0)
    own.seal()
    assert own.health() == HTTPStatus.SERVICE_UNAVAILABLE
    assert write(own, own_mounts, "second", 1) == HTTPStatus.SERVICE_UNAVAILABLE
    own.unseal()
    assert read(own, own_mounts) == (1, "first")


def test_stepped_down_it_answers_500_and_comes_back_by_itself(own: VaultServer, own_mounts: Mounts) -> None:
    write(own, own_mounts, "first", 0)
    own.step_down()
    assert own.health() == HTTPStatus.TOO_MANY_REQUESTS
    assert write(own, own_mounts, "second", 1) == HTTPStatus.INTERNAL_SERVER_ERROR
    own.wait_until_active()
    assert read(own, own_mounts) == (1, "first")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_restarted_it_is_at_the_same_address_with_the_same_content(
    own: VaultServer, own_mounts: Mounts, how: signal.Signals
) -> None:
    write(own, own_mounts, "first", 0)
    own.halt(how)
    assert own.health() == 0
    own.start()
    assert read(own, own_mounts) == (1, "first")


def test_in_an_audit_blackout_a_write_is_done_and_answered_500(own: VaultServer, own_mounts: Mounts) -> None:
    write(own, own_mounts, "first", 0)
    for version in range(1, 21):
        with own.audit_blackout(f"{own_mounts.consumers}/data/{PATH}") as device:
            assert own.request("GET", f"{own_mounts.consumers}/data/{PATH}").status == HTTPStatus.OK
            assert write(own, own_mounts, f"value {version}", version) == HTTPStatus.INTERNAL_SERVER_ERROR
            assert device.broken.wait(10)
            assert own.request("GET", f"{own_mounts.consumers}/data/{PATH}").status == HTTPStatus.INTERNAL_SERVER_ERROR
            assert own.health() == HTTPStatus.OK
            device.mend()
            assert read(own, own_mounts) == (version + 1, f"value {version}")
    assert write(own, own_mounts, "a blind retry", 1) == HTTPStatus.BAD_REQUEST


def test_a_blackout_that_is_not_met_changes_nothing(own: VaultServer, own_mounts: Mounts) -> None:
    with own.audit_blackout("another/path") as device:
        assert write(own, own_mounts, "first", 0) == HTTPStatus.OK
        assert not device.broken.is_set()
    assert f"create {own_mounts.consumers}/data/{PATH}" in device.requests
    assert read(own, own_mounts) == (1, "first")
