"""Dynamic client registration (RFC 7591, RFC 7592) at a real Keycloak, from the configuration to the deletion."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rotator.app.config import load
from rotator.app.house import House, Use
from rotator.app.rotating import Wish, rotate
from rotator.clock import SystemClock
from rotator.errors import Denied, Refused
from rotator.ports import Retired
from rotator.providers.described_settings import Bearer, Vendor
from rotator.providers.registration import RegistrationProvider
from rotator.secret import Fields, Secret
from tests.servers.keycloak_server import Realm

pytestmark = [pytest.mark.keycloak, pytest.mark.slow, pytest.mark.timeout(300)]

DAY = timedelta(days=1)


def initial(realm: Realm) -> str:
    """Return a token that lets us register."""
    said = realm.server.admin("POST", f"/{realm.name}/clients-initial-access", {"count": 20, "expiration": 600})
    return str(said["token"])


def path(realm: Realm) -> str:
    return f"/realms/{realm.name}/clients-registrations/openid-connect"


def provider(realm: Realm, token: str) -> RegistrationProvider:
    auth = Bearer(lambda: Secret(token))
    vendor = Vendor(name="k", base_url=realm.server.address, auth=auth, ca_file=realm.server.ca_file)
    return RegistrationProvider(vendor, path(realm), {"shop-2": {"client_name": "Shop"}}, SystemClock())


def there(realm: Realm, client_id: str) -> bool:
    return bool(realm.server.admin("GET", f"/{realm.name}/clients?clientId={client_id}"))


def test_a_client_is_registered_works_and_is_deleted_by_its_own_token_alone(realm: Realm) -> None:
    registrations = provider(realm, initial(realm))
    issued = registrations.create("shop-2", "rotator/i/n/r/1", DAY)
    value = issued.values.secret("client_secret")
    assert value is not None and realm.accepts(issued.client_id, value.reveal())
    assert realm.client(issued.client_id)["name"] == "Shop (rotator/i/n/r/1)"
    kept = issued.keepsake
    assert kept is not None
    other = registrations.create("shop-2", "rotator/i/n/r/2", DAY)
    assert other.keepsake is not None and other.client_id != issued.client_id
    token = other.keepsake.secret("registration_access_token")
    assert token is not None
    mixed = kept.merged({"registration_access_token": token})
    with pytest.raises(Denied):
        registrations.retire_with("shop-2", issued.client_id, mixed, again=False)
    assert there(realm, issued.client_id)
    assert registrations.retire_with("shop-2", issued.client_id, kept, again=False) is Retired.DONE
    assert not there(realm, issued.client_id) and there(realm, other.client_id)
    assert registrations.retire_with("shop-2", issued.client_id, kept, again=True) is Retired.ALREADY_GONE


def test_a_token_goes_to_no_other_server(realm: Realm) -> None:
    registrations = provider(realm, initial(realm))
    thief = Fields(
        {"registration_client_uri": "https://thief.example/x", "registration_access_token": Secret("t" * 20)}
    )
    with pytest.raises(Refused, match="another server"):
        registrations.retire_with("shop-2", "x", thief, again=False)


def test_who_may_not_register_is_told_so(realm: Realm) -> None:
    with pytest.raises(Denied):
        provider(realm, "not-a-token").create("shop-2", "tag", DAY)


def configured(realm: Realm, tmp_path: Path, more: str = "") -> Path:
    """Return a configuration that registers `shop-2`. more: further keys of the provider."""
    (tmp_path / "initial").write_text(initial(realm))
    (tmp_path / "initial").chmod(0o600)
    config, server = tmp_path / "config.yaml", realm.server
    config.write_text(
        f"""\
version: 1
state: {{url: "sqlite:///rotator.db"}}
stores: {{local: {{kind: embedded, path: secrets, key: "file:store-key"}}}}
providers:
  k:
    kind: dynamic_registration
    registration_url: {server.address}{path(realm)}
    initial_access_token: "file:initial"
    ca_file: {server.ca_file}
{more}credentials:
  - name: shop-2
    provider: {{use: k, metadata: {{client_name: Shop}}}}
    store: {{use: local, path: partners/shop}}
    verify:
      token_url: {realm.token_url}
      ca_file: {server.ca_file}
      client_auth: client_secret_post
      spacing: 0s
      expect: {{token_type: bearer, min_lifetime: 1m}}
    policy: {{lifetime: 90d, rotate_before: 30d, grace: 1h}}
"""
    )
    return config


def test_consumers_switch_id_and_secret_in_one_write_and_the_old_client_is_deleted(
    realm: Realm, tmp_path: Path
) -> None:
    config = configured(realm, tmp_path)

    def rotated(**wish: Any) -> tuple[str, str]:
        with House(load(config), environ={}, argv=("rotator", "test")) as house:
            found = rotate(house, Wish(names=("shop-2",), **wish))
            assert found.exit_status == 0, found.troubles
            fields = house.store("local", Use.LOOK).consumers.read("partners/shop").fields
        assert fields is not None
        secret = fields.secret("client_secret")
        assert secret is not None and "registration_access_token" not in fields
        return str(fields.text("client_id")), secret.reveal()

    first = rotated()
    assert realm.accepts(*first)
    second = rotated(now=True)
    assert second[0] != first[0] and realm.accepts(*second) and realm.accepts(*first), "the old one has its grace"
    third = rotated(now=True, emergency=True)
    assert realm.accepts(*third)
    assert not there(realm, first[0]) and not there(realm, second[0])
    assert third[1].encode() not in (tmp_path / "rotator.db").read_bytes()


def test_where_an_update_brings_a_new_secret_the_client_stays(realm: Realm, tmp_path: Path) -> None:
    realm.keep_two(remaining=3600)
    config = configured(realm, tmp_path, "    in_place: true\n")
    config.write_text(
        config.read_text().replace("lifetime: 90d, rotate_before: 30d", "lifetime: 1h, rotate_before: 1m")
    )
    config.write_text(config.read_text().replace("grace: 1h", "grace: 10s"))
    seen = []
    for _ in range(3):
        with House(load(config), environ={}, argv=("rotator", "test")) as house:
            found = rotate(house, Wish(names=("shop-2",), now=True))
            assert (found.exit_status, found.items[0]["outcome"]) == (0, "promoted"), found.troubles
            fields = house.store("local", Use.LOOK).consumers.read("partners/shop").fields
        assert fields is not None
        secret = fields.secret("client_secret")
        assert secret is not None and realm.accepts(str(fields.text("client_id")), secret.reveal())
        seen.append((fields.text("client_id"), secret.reveal()))
    assert len({client for client, _ in seen}) == 1, "the client stays"
    assert len({value for _, value in seen}) == 3, "and its secret is another each time"
