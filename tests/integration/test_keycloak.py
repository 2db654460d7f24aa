"""The keycloak provider against a real Keycloak: one secret that can be read again, or two where the realm says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rotator.app.config import load
from rotator.app.house import House, Use
from rotator.app.keeping import Farewell, forget
from rotator.app.rotating import Wish, rotate
from rotator.clock import SystemClock
from rotator.errors import Denied, NoFreeSlot, OutcomeUnknown, Refused, Transient
from rotator.finding import Severity
from rotator.model import Procedure
from rotator.ports import Retired
from rotator.providers.described_settings import Bearer, Call, ClientCredentials, Vendor
from rotator.providers.described_wire import Wire
from rotator.providers.keycloak import KeycloakProvider
from rotator.secret import Secret
from rotator.wire.exchange import Reply, Unanswered
from tests.servers.keycloak_server import Realm

pytestmark = [pytest.mark.keycloak, pytest.mark.slow, pytest.mark.timeout(300)]

HOUR = timedelta(hours=1)


def provider(realm: Realm, wire: Callable[[Vendor], Wire] | None = None, token: str = "") -> KeycloakProvider:
    manager = Secret(realm.client("manager")["secret"])
    login: Any = ClientCredentials(realm.token_url, "manager", lambda: manager, None, basic=True)
    vendor = Vendor(
        name="kc",
        base_url=realm.server.address,
        auth=Bearer(lambda: Secret(token)) if token else login,
        ca_file=realm.server.ca_file,
    )
    return KeycloakProvider(vendor, realm.name, SystemClock(), wire(vendor) if wire else None)


class LosesAnswers(Wire):
    """A connection that loses the answer to the next request of a method."""

    lost: str = ""

    def send(self, call: Call, values: Any, raw: Any = None) -> Reply:
        reply = super().send(call, values, raw)
        if call.method == self.lost:
            self.lost = ""
            raise Unanswered("unreachable_later", "The connection was reset.")
        return reply


def configured(realm: Realm, folder: Path, policy: str = "accept_gap: true") -> Path:
    """Return a configuration that rotates `shop`."""
    secret = folder / "manager"
    secret.write_text(realm.client("manager")["secret"], encoding="ascii")
    secret.chmod(0o600)
    path, server = folder / "config.yaml", realm.server
    path.write_text(
        f"""\
version: 1
state: {{url: "sqlite:///rotator.db"}}
stores: {{local: {{kind: embedded, path: secrets, key: "file:store-key"}}}}
providers:
  kc:
    kind: keycloak
    base_url: {server.address}
    realm: {realm.name}
    ca_file: {server.ca_file}
    auth:
      method: client_credentials
      token_url: {realm.token_url}
      client_id: manager
      client_secret: "file:manager"
credentials:
  - name: shop
    provider: {{use: kc, client: shop}}
    store: {{use: local, path: partners/shop}}
    verify: {{spacing: 0s, expect: {{aud: account, min_lifetime: 1m, iss: "{server.address}/realms/{realm.name}"}}}}
    policy: {{lifetime: 1h, rotate_before: 10m, grace: 5m, quarantine: 1s, {policy}}}
""",
        encoding="utf-8",
    )
    return path


def rotated(path: Path, **wish: Any) -> Any:
    with House(load(path), environ={}, argv=("rotator", "test")) as house:
        return rotate(house, Wish(names=("shop",), **wish))


def shown(path: Path) -> str:
    with House(load(path), environ={}, argv=("rotator", "test")) as house:
        fields = house.store("local", Use.LOOK).consumers.read("partners/shop").fields
    secret = fields.secret("client_secret") if fields is not None else None
    assert secret is not None
    return secret.reveal()


# --------------------------------------------------------------------------------------------------- what Keycloak does


def test_without_the_policy_a_new_secret_ends_the_old_one_and_can_be_read_again(realm: Realm) -> None:
    keycloak = provider(realm)
    old = realm.client("shop")["secret"]
    assert keycloak.list("shop").procedure is Procedure.READ_BACK
    issued = keycloak.regenerate("shop", "tag", HOUR)
    value = issued.values.secret("client_secret")
    assert value is not None and realm.accepts("shop", value.reveal())
    assert not realm.accepts("shop", old)
    assert keycloak.read("shop").values.secret("client_secret") == value


def test_with_the_policy_the_old_one_lives_on_and_no_third_one_is_made(realm: Realm) -> None:
    realm.keep_two()
    realm.allow("manager", "view-realm")
    keycloak = provider(realm)
    listing, old = keycloak.list("shop"), realm.client("shop")["secret"]
    assert (listing.procedure, listing.free_slots) == (Procedure.OVERLAP, 1)
    issued = keycloak.create("shop", "tag", HOUR)
    new = issued.values.secret("client_secret")
    assert new is not None and realm.accepts("shop", new.reveal()) and realm.accepts("shop", old)
    assert issued.version.expires_at is not None
    assert keycloak.list("shop").free_slots == 0
    with pytest.raises(NoFreeSlot):
        keycloak.create("shop", "tag", HOUR)
    assert realm.accepts("shop", old), "a second one would have ended it"
    assert keycloak.retire("shop", listing.versions[0].key_id) is Retired.DONE
    assert not realm.accepts("shop", old) and realm.accepts("shop", new.reveal())
    assert keycloak.retire("shop", listing.versions[0].key_id) is Retired.ALREADY_GONE


def test_a_policy_that_is_off_or_not_for_this_client_keeps_one_secret_only(realm: Realm) -> None:
    realm.keep_two()
    realm.allow("manager", "view-realm")
    keycloak = provider(realm)
    keycloak.create("shop", "tag", HOUR)
    assert keycloak.list("shop").procedure is Procedure.OVERLAP
    for conditions in (
        [],
        [{"condition": "client-access-type", "configuration": {"type": ["public"]}}],
        [{"condition": "any-client", "configuration": {}}],
    ):
        policy = {"name": "two", "enabled": True, "conditions": conditions, "profiles": ["two"]}
        realm.server.admin("PUT", f"/{realm.name}/client-policies/policies", {"policies": [policy]})
        says, before = keycloak.list("shop").procedure, realm.client("shop")["secret"]
        realm.regenerate("shop")
        assert realm.accepts("shop", before) is (says is Procedure.OVERLAP), conditions


def test_a_candidate_is_taken_back_by_putting_the_old_one_in_its_place(realm: Realm) -> None:
    realm.keep_two()
    realm.allow("manager", "view-realm")
    keycloak = provider(realm)
    beginning = keycloak.list("shop").versions[0]
    keycloak.create("shop", "tag", HOUR)
    assert keycloak.retire("shop", "made-1") is Retired.ALREADY_GONE, "another one than that which lives"
    assert keycloak.retire("shop", beginning.key_id) is Retired.DONE
    before, listed = realm.client("shop")["secret"], keycloak.list("shop").versions[0]
    issued = keycloak.create("shop", "tag", HOUR)
    assert issued.version.key_id != listed.key_id, "they are told apart by the second in which they were made"
    assert keycloak.retire("shop", issued.version.key_id) is Retired.DONE
    assert realm.accepts("shop", before)
    value = issued.values.secret("client_secret")
    assert value is not None and not realm.accepts("shop", value.reveal())
    assert keycloak.list("shop").versions == (listed,), "with the times that it had"
    assert keycloak.retire("shop", issued.version.key_id) is Retired.ALREADY_GONE


def test_a_rotated_secret_that_somebody_else_has_made_is_left_to_its_end(realm: Realm) -> None:
    realm.keep_two()
    realm.allow("manager", "view-realm")
    keycloak = provider(realm)
    first = keycloak.list("shop").versions[0]
    issued = keycloak.create("shop", "tag", HOUR)
    realm.regenerate("shop")
    value = issued.values.secret("client_secret")
    assert value is not None
    made_at = realm.client("shop")["attributes"]["client.secret.creation.time"]
    if f"made-{made_at}" == issued.version.key_id:  # within the same second nobody can tell them apart
        realm.server.admin("PUT", f"/{realm.name}/clients/{realm.client('shop')['id']}", {
            "attributes": {**realm.client("shop")["attributes"], "client.secret.creation.time": str(int(made_at) + 1)},
        })  # fmt: skip
    with pytest.raises(Transient, match="may be what consumers use"):
        keycloak.retire("shop", first.key_id)
    assert realm.accepts("shop", value.reveal())


def test_what_cannot_be_done_is_said_with_what_to_do(realm: Realm) -> None:
    with pytest.raises(Refused, match="no client nobody"):
        provider(realm).list("nobody")
    with pytest.raises(Denied):
        provider(realm, token="wrong").list("shop")
    found = provider(realm).check("shop", HOUR, "shop", "rotator/")
    assert [one.outcome for one in found] == [Severity.OK, Severity.WARN, Severity.OK]
    realm.allow("manager", "view-realm")
    found = provider(realm).check("shop", HOUR, "shop", "rotator/")
    assert [one.outcome for one in found] == [Severity.OK, Severity.OK]


def test_a_lost_answer_is_unknown_and_never_asked_again(realm: Realm) -> None:
    wires: list[LosesAnswers] = []

    def losing(vendor: Vendor) -> Wire:
        wires.append(LosesAnswers(vendor, SystemClock()))
        return wires[0]

    keycloak = provider(realm, losing)
    old = realm.client("shop")["secret"]
    wires[0].lost = "POST"
    with pytest.raises(OutcomeUnknown):
        keycloak.regenerate("shop", "tag", HOUR)
    assert not realm.accepts("shop", old)
    value = keycloak.read("shop").values.secret("client_secret")
    assert value is not None and realm.accepts("shop", value.reveal())


# ------------------------------------------------------------------------------------------------------ whole rotations


def test_a_secret_is_rotated_by_necessity_and_proved_with_the_keys_of_the_realm(realm: Realm, tmp_path: Path) -> None:
    path = configured(realm, tmp_path)
    for _ in range(2):
        found = rotated(path, now=True)
        assert (found.exit_status, found.items[0]["outcome"], found.items[0]["proofs"]) == (0, "promoted", 3), (
            found.troubles
        )
        assert shown(path) == realm.client("shop")["secret"]
    assert shown(path).encode() not in (tmp_path / "rotator.db").read_bytes()


def test_a_secret_that_somebody_regenerated_in_the_console_is_read_and_shown(realm: Realm, tmp_path: Path) -> None:
    path = configured(realm, tmp_path)
    rotated(path, now=True)
    value = realm.regenerate("shop")
    assert shown(path) != value
    config = path.read_text().replace("spacing: 0s", "spacing: 0s, every: 1s")
    path.write_text(config)
    SystemClock().wait(timedelta(seconds=1.1))
    found = rotated(path)
    assert (found.exit_status, found.items[0]["outcome"]) == (0, "promoted"), found.troubles
    assert shown(path) == value == realm.client("shop")["secret"]


def test_where_the_realm_keeps_two_consumers_are_never_without_one(realm: Realm, tmp_path: Path) -> None:
    realm.keep_two()
    realm.allow("manager", "view-realm")
    path = configured(realm, tmp_path, "accept_gap: false")
    found = rotated(path)
    assert (found.exit_status, found.items[0]["outcome"]) == (0, "promoted"), found.troubles
    first = shown(path)
    uuid = realm.client("shop")["id"]
    realm.server.admin("DELETE", f"/{realm.name}/clients/{uuid}/client-secret/rotated")
    found = rotated(path, now=True)
    assert (found.exit_status, found.items[0]["outcome"]) == (0, "promoted"), found.troubles
    assert realm.accepts("shop", first) and realm.accepts("shop", shown(path)) and shown(path) != first
    second = shown(path)
    found = rotated(path, now=True, emergency=True)
    assert found.exit_status == 0, found.troubles
    assert shown(path) not in (first, second) and realm.accepts("shop", shown(path))
    assert not realm.accepts("shop", first) and not realm.accepts("shop", second)


def test_where_the_realm_keeps_two_what_a_person_made_is_shown_and_an_emergency_ends_it(
    realm: Realm, tmp_path: Path
) -> None:
    realm.keep_two()
    realm.allow("manager", "view-realm")
    path = configured(realm, tmp_path, "accept_gap: false")
    rotated(path)
    first = shown(path)
    SystemClock().wait(timedelta(seconds=1.1))  # within the same second nobody can tell them apart
    made = realm.regenerate("shop")
    found = rotated(path)
    assert (found.exit_status, found.items[0]["outcome"], found.items[0]["reason"]) == (0, "promoted", "adopted")
    assert shown(path) == made and realm.accepts("shop", made) and realm.accepts("shop", first)
    found = rotated(path, now=True, emergency=True)
    assert found.exit_status == 0, found.troubles
    assert shown(path) not in (first, made) and realm.accepts("shop", shown(path))
    assert not realm.accepts("shop", first) and not realm.accepts("shop", made)


def test_of_a_credential_that_left_the_configuration_nothing_is_ended_in_part(realm: Realm, tmp_path: Path) -> None:
    realm.keep_two()
    realm.allow("manager", "view-realm")
    path = configured(realm, tmp_path)
    before = realm.client("shop")["secret"]
    rotated(path)
    text = path.read_text()
    path.write_text(text[: text.index("credentials:")] + "credentials: []\n")
    with House(load(path), environ={}, argv=("rotator", "test")) as house, pytest.raises(Refused, match="single slot"):
        forget(house, "shop", Farewell.RETIRE)
    assert realm.accepts("shop", before)
    with House(load(path), environ={}, argv=("rotator", "test")) as house:
        assert forget(house, "shop", Farewell.LEAVE).changed == ("shop",)
