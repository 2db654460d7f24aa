"""The use cases over a real Vault, with no more rights than the documented policy gives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rotator.app.auditing import audit_verify
from rotator.app.checking import check
from rotator.app.judging import orphans, verify
from rotator.app.keeping import Farewell, forget
from rotator.app.rotating import Wish, rotate
from rotator.clock import ManualClock
from rotator.finding import Severity
from tests.fakes.app_bench import Bench
from tests.integration.vault_bench import VaultBench
from tests.servers.vault_server import VaultServer

pytestmark = pytest.mark.vault


@pytest.fixture
def vault(vault_server: VaultServer) -> Iterator[VaultBench]:
    made = VaultBench(vault_server)
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path: Path, vault: VaultBench) -> Bench:
    made = Bench(tmp_path, real=frozenset({"vault"}), clock=ManualClock(datetime.now(UTC)))
    text = made.config.read_text(encoding="utf-8").replace("https://vault.example.com:8200", vault.address)
    mounts = f"mount: {vault.consumers}\n    staging_mount: {vault.staging}"
    made.config.write_text(text.replace("mount: kv", mounts, 1), encoding="utf-8")
    (tmp_path / "vault-token").write_text(vault.child_token().reveal(), encoding="utf-8")
    return made


def test_a_life_in_a_real_vault_needs_no_more_than_the_documented_policy(bench: Bench, vault: VaultBench) -> None:
    with bench.house() as house:
        assert [one for one in check(house).findings if one.outcome is Severity.FAIL] == []
        assert rotate(house, Wish()).exit_status == 0
    with bench.house() as house:
        again = rotate(house, Wish(names=("one",), now=True, emergency=True))
        assert (again.exit_status, again.items[0]["store_version"]) == (0, 2)
        assert again.places["one"] == f"{vault.consumers}/partners/one"
        assert verify(house, ["one", "two"]).exit_status == 0
        assert {item["class"] for item in orphans(house).items} == {"current"}
        found = audit_verify(house)
        assert (found.exit_status, [one.agrees for one in found.compared]) == (0, [True])
        forget(house, "two", Farewell.LEAVE)
    _, document = vault.root("get", f"{vault.consumers}/data/partners/one")
    assert document["data"]["data"]["key_id"] == again.items[0]["new_key_id"]
    _, install = vault.root("get", f"{vault.staging}/data/_install")
    assert list(install["data"]["data"]) == ["id"]


def test_a_token_without_rights_is_77_and_nothing_is_issued(bench: Bench, vault: VaultBench) -> None:
    restricted = vault.root(
        "post", "auth/token/create", {"policies": ["nothing-at-all"], "no_default_policy": True, "ttl": "1h"}
    )[1]["auth"]["client_token"]
    (bench.folder / "vault-token").write_text(restricted, encoding="utf-8")
    with bench.house() as house:
        found = rotate(house, Wish())
        assert found.exit_status == 77
        assert all(one.error.hint for one in found.troubles)
        assert check(house).exit_status == 77
    assert bench.issuer.mutations == []
