"""Vendors with a single slot, and one without labels, as their descriptions in the documentation say: over real TLS."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rotator.app.adopting import adopt
from rotator.app.config import load
from rotator.app.house import House, Use
from rotator.app.rotating import Wish, rotate
from rotator.app.usage import UsageFault
from rotator.clock import SystemClock
from rotator.errors import Refused
from rotator.finding import Severity
from rotator.model import Procedure
from rotator.sandbox.tls import prepare_tls
from rotator.secret import Fields, Secret
from tests.fakes.sendgrid import Vendor, serving
from tests.fakes.single_vendors import Auth0, Okta

VENDORS = Path(__file__).parents[2] / "docs" / "how-to" / "vendors"
HEAD = """\
version: 1
state: {url: "sqlite:///rotator.db"}
stores:
  local: {kind: embedded, path: secrets, key: "file:store-key"}
"""
REGENERATING = """\
providers:
  v:
    kind: http
    base_url: https://v.example
    ca_file: ca.pem
    auth: {method: bearer, token: "file:admin"}
    slots: {live: 1}
    operations:
      regenerate: {request: "POST /clients/{client}/regenerate", secret: /secret, expires_at: /ends}
      read: {request: "GET /clients/{client}/secret", secret: /secret, expires_at: /ends}
credentials:
  - name: shop
    provider: {use: v, client_id: shop, with: {client: shop}}
    store: {use: local, path: partners/shop}
    verify: {token_url: https://v.example/token, spacing: 0s, negative_control: false, expect: {token_type: bearer}}
    policy: {lifetime: 90d, rotate_before: 30d}
"""


class Regenerating:
    """A vendor that makes the value, and shows it again when asked. lost: so many changes are answered with a 502."""

    def __init__(self) -> None:
        self.admin, self.value, self.lost, self.asked = secrets.token_urlsafe(24), secrets.token_urlsafe(24), 0, 0

    def answer(self, method: str, path: str, key: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Return status and body."""
        if path == "/token":
            known = body.get("client_secret") == self.value
            return (200, {"access_token": "t", "token_type": "Bearer", "expires_in": 3600}) if known else (401, {})
        if key != self.admin:
            return 401, {}
        if (method, path) == ("POST", "/clients/shop/regenerate"):
            self.value, self.asked = secrets.token_urlsafe(24), self.asked + 1
            if self.lost:
                self.lost -= 1
                return 502, None
        return 200, {"secret": self.value, "ends": "2036-01-01T00:00:00Z"}


@contextmanager
def configured(tmp_path: Path, vendor: Vendor, text: str, hosts: str) -> Iterator[Path]:
    """Serve the vendor, and write a configuration that speaks to it in place of the host that the description names."""
    tls = prepare_tls(tmp_path, SystemClock().now())
    with serving(vendor, tls) as address:
        text = text.replace(hosts, address).replace("use: vault", "use: local")
        text = text.replace("    auth:", "    ca_file: ca.pem\n    auth:", 1) if "ca_file" not in text else text
        text = text.replace("    verify:\n", "    verify:\n      spacing: 0s\n")
        (tmp_path / "config.yaml").write_text(HEAD + text, encoding="utf-8")
        yield tmp_path / "config.yaml"


def put(path: Path, value: str) -> None:
    path.write_text(value, encoding="ascii")
    path.chmod(0o600)


def rotated(config: Path, name: str, **wish: Any) -> Any:
    with House(load(config), environ={}, argv=("rotator", "test")) as house:
        return rotate(house, Wish(names=(name,), **wish))


def shown(config: Path, name: str) -> str:
    """Return the value that consumers read."""
    with House(load(config), environ={}, argv=("rotator", "test")) as house:
        (credential,) = house.chosen((name,))
        fields = house.store(credential.store, Use.LOOK).consumers.read(credential.path).fields
    secret = fields.secret("client_secret") if fields is not None else None
    assert secret is not None
    return secret.reveal()


def test_the_secret_of_auth0_is_chosen_and_set(tmp_path: Path) -> None:
    vendor = Auth0()
    text = (VENDORS / "auth0.yaml").read_text(encoding="utf-8")
    text = text.replace("/etc/rotator/auth0-manager-secret", "manager").replace("the-client-id-of-rotator", "manager")
    put(tmp_path / "manager", vendor.manager[1])
    with configured(tmp_path, vendor, text, "https://example.eu.auth0.com") as config:
        found = rotated(config, "auth0-shop-prod")
        assert (found.exit_status, found.items[0]["outcome"]) == (0, "promoted"), found.troubles
        assert shown(config, "auth0-shop-prod") == vendor.clients["shop"]
        assert len(vendor.clients["shop"]) == 64
        vendor.broken = 1
        before = vendor.clients["shop"]
        found = rotated(config, "auth0-shop-prod", now=True)
        assert (found.exit_status, found.items[0]["outcome"]) == (0, "promoted"), found.troubles
    assert vendor.clients["shop"] != before
    assert len(vendor.changes) == 3 and vendor.changes[1] == vendor.changes[2], "the same value was set again"
    for value in (*vendor.changes, vendor.manager[1]):
        assert value.encode() not in (tmp_path / "rotator.db").read_bytes()


@pytest.mark.parametrize(("lost", "asked"), [(0, 1), (1, 1)])
def test_a_value_that_can_be_read_again_survives_a_lost_answer(tmp_path: Path, lost: int, asked: int) -> None:
    vendor = Regenerating()
    put(tmp_path / "admin", vendor.admin)
    text = REGENERATING.replace("rotate_before: 30d}", "rotate_before: 30d, quarantine: 1s}")
    with configured(tmp_path, vendor, text, "https://v.example") as config:
        assert load(config).config.models[0].procedure is Procedure.READ_BACK
        vendor.lost = lost
        found = rotated(config, "shop", now=True)
        assert (found.exit_status, found.items[0]["outcome"]) == (0, "promoted"), found.troubles
        assert shown(config, "shop") == vendor.value
    assert vendor.asked == asked


def test_without_accept_gap_a_person_starts_each_rotation(tmp_path: Path) -> None:
    vendor = Regenerating()
    put(tmp_path / "admin", vendor.admin)
    with configured(tmp_path, vendor, REGENERATING, "https://v.example") as config:
        found = rotated(config, "shop")
        assert vendor.asked == 0 and found.items[0]["outcome"] == "skipped", found.items
        found = rotated(config, "shop", now=True)
        assert vendor.asked == 1 and found.items[0]["outcome"] == "promoted", found.troubles


def test_a_value_that_is_shown_once_needs_accept_gap_even_then(tmp_path: Path) -> None:
    vendor = Regenerating()
    put(tmp_path / "admin", vendor.admin)
    blind = "\n".join(line for line in REGENERATING.splitlines() if not line.startswith("      read:")) + "\n"
    with configured(tmp_path, vendor, blind, "https://v.example") as config:
        found = rotated(config, "shop", now=True)
        assert vendor.asked == 0 and found.exit_status != 0
        assert "accept_gap: true" in str(found.items[0]), found.items
        config.write_text(config.read_text().replace("rotate_before: 30d}", "rotate_before: 30d, accept_gap: true}"))
        found = rotated(config, "shop", now=True)
        assert (found.exit_status, found.items[0]["outcome"]) == (0, "promoted"), found.troubles
        assert shown(config, "shop") == vendor.value


def test_what_is_in_the_store_is_adopted_and_replaced_when_asked(tmp_path: Path) -> None:
    vendor = Regenerating()
    put(tmp_path / "admin", vendor.admin)
    with configured(tmp_path, vendor, REGENERATING, "https://v.example") as config:
        with House(load(config), environ={}, argv=("rotator", "test")) as house:
            (credential,) = house.chosen(("shop",))
            fields = Fields({"client_id": "shop", "client_secret": Secret(vendor.value), "note": "by hand"})
            house.store("local", Use.CHANGE).consumers.write(credential.path, fields, 0)
        before = vendor.value
        with House(load(config), environ={}, argv=("rotator", "test")) as house:
            with pytest.raises(UsageFault, match="says when the version of shop was made"):
                adopt(house, "shop", None, None)
            found = adopt(house, "shop", None, house.clock.now() - timedelta(days=1))
            assert (found.exit_status, found.items[0]["outcome"]) == (0, "promoted")
            assert found.items[0]["reason"] == "adopted"
        assert shown(config, "shop") == before and vendor.asked == 0
        with House(load(config), environ={}, argv=("rotator", "test")) as house, pytest.raises(Refused):
            adopt(house, "shop", None, None)
        found = rotated(config, "shop", now=True)
        assert (found.exit_status, found.items[0]["outcome"]) == (0, "promoted"), found.troubles
        assert shown(config, "shop") == vendor.value != before


def test_check_names_the_procedure_that_follows_and_reads_where_it_can(tmp_path: Path) -> None:
    vendor = Regenerating()
    put(tmp_path / "admin", vendor.admin)
    with (
        configured(tmp_path, vendor, REGENERATING, "https://v.example") as config,
        House(load(config), environ={}, argv=("rotator", "test")) as house,
    ):
        (credential,) = house.chosen(("shop",))
        provider = house.provider(credential.provider)
        found = provider.check(credential.application, credential.policy.lifetime, "shop", "rotator/x/shop/")
        assert [one.outcome for one in found] == [Severity.OK, Severity.OK]
        assert "read-back" in found[0].message
        vendor.admin = "changed"
        found = provider.check(credential.application, credential.policy.lifetime, "shop", "rotator/x/shop/")
        assert found[1].outcome is Severity.FAIL


def test_the_secrets_of_okta_are_rotated_and_an_answer_that_is_lost_calls_a_person(tmp_path: Path) -> None:
    vendor = Okta()
    text = (VENDORS / "okta.yaml").read_text(encoding="utf-8").replace("/etc/rotator/okta-token", "admin")
    text = text.replace("grace: 24h}", "grace: 24h, quarantine: 1s}")
    put(tmp_path / "admin", vendor.key)
    with configured(tmp_path, vendor, text, "https://example.okta.com") as config:
        found = rotated(config, "okta-shop-prod")
        assert (found.exit_status, found.items[0]["outcome"]) == (0, "promoted"), found.troubles
        (first,) = vendor.secrets
        found = rotated(config, "okta-shop-prod", now=True, emergency=True)
        assert found.exit_status == 0, found.troubles
        (second,) = vendor.secrets
        assert second != first and shown(config, "okta-shop-prod") == vendor.values[second]
        vendor.lost = 1
        found = rotated(config, "okta-shop-prod", now=True)
        stranger = next(one for one in vendor.secrets if one != second)
        assert found.items[0]["outcome"] == "parked"
        assert stranger in str(found.items[0]), "the version that appeared is named"
        assert second in vendor.secrets and shown(config, "okta-shop-prod") == vendor.values[second]


def test_a_rotation_that_began_with_another_description_changes_nothing_at_the_vendor(tmp_path: Path) -> None:
    vendor = Regenerating()
    put(tmp_path / "admin", vendor.admin)
    with (
        configured(tmp_path, vendor, REGENERATING, "https://v.example") as config,
        House(load(config), environ={}, argv=("rotator", "test")) as house,
    ):
        (credential,) = house.chosen(("shop",))
        slot = house.kit(credential, Use.CHANGE).slot
        with pytest.raises(Refused, match="described for the procedure read-back now"):
            slot.set(credential.application, "tag", Secret("chosen-before"), credential.policy.lifetime)
    assert vendor.asked == 0
