"""What the configuration says is what stores, issuers and proofs are told."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.app.config import load, systems
from rotator.app.house import House, Use
from rotator.app.wiring import Parts, expectations
from rotator.clock import ManualClock
from rotator.errors import Misconfigured
from rotator.expect import CredentialKind, Expectations, RefreshToken
from rotator.provers.client_credentials import ClientCredentialsProver
from rotator.provers.request import ProofRequest, Signature
from rotator.providers import entra_settings
from rotator.providers.entra import EntraProvider
from rotator.secret import Fields
from rotator.stores import vault_settings

TENANT, APP = "11111111-2222-3333-4444-555555555555", "7f3c0c52-0000-4000-8000-000000000001"
CLIENT = "5a6d0f1e-0000-4000-8000-000000000001"
TEXT = """\
version: 1
state: {{url: "sqlite:///state/rotator.db"}}
stores:
  vault:
    kind: vault
    address: https://vault.example.com:8200
    namespace: team
    mount: kv
    staging_mount: staging
    ca_file: ca.pem
    proxy: http://proxy.example.com:3128
    auth: {vault_auth}
  local: {{kind: embedded, path: secrets, key: "file:keys/store-key"}}
providers:
  contoso: {{kind: entra, tenant: {tenant}, ca_file: graph.pem, proxy: "http://proxy.example.com:3128", auth: {auth}}}
credentials:
  - name: one
    provider: {{use: contoso, app_id: {app}}}
    store: {{use: {store}, path: partners/one}}
    verify: {verify}
"""
APPROLE = '{method: approle, mount: roles, role_id: "file:role-id", secret_id: "file:secret-id"}'
VERIFY = "{scope: api://one/.default, expect: {aud: api://one, roles: [A]}}"


def house(
    folder: Path,
    *,
    vault_auth: str = APPROLE,
    auth: str = "{method: managed_identity}",
    verify: str = VERIFY,
    store: str = "vault",
) -> House:
    config = folder / "config.yaml"
    text = TEXT.format(vault_auth=vault_auth, tenant=TENANT, auth=auth, app=APP, verify=verify, store=store)
    config.write_text(text, encoding="utf-8")
    return House(load(config), environ={}, argv=("rotator", "check"), clock=ManualClock())


def parts(house: House) -> Parts:
    made = house.builder
    assert isinstance(made, Parts)
    return made


# --------------------------------------------------------------------------------------------------------------- vault


def settings(house: House) -> vault_settings.VaultSettings:
    section = house.config.stores["vault"]
    (house.config.path.parent / "ca.pem").touch()
    house_of = parts(house)
    return house_of.vault_settings("vault", section)  # type: ignore[arg-type]


def test_a_vault_store_is_told_all_that_is_configured(tmp_path: Path) -> None:
    told = settings(house(tmp_path))
    assert (told.name, told.address, told.mount, told.staging_mount) == (
        "vault",
        "https://vault.example.com:8200",
        "kv",
        "staging",
    )
    assert (told.namespace, told.ca_file, told.proxy) == ("team", tmp_path / "ca.pem", "http://proxy.example.com:3128")


def test_secrets_of_a_login_are_read_at_use_and_again_when_they_were_replaced(tmp_path: Path) -> None:
    auth = settings(house(tmp_path)).auth
    assert isinstance(auth, vault_settings.AppRoleAuth)
    assert auth.mount == "roles"
    (tmp_path / "secret-id").write_text("first\n", encoding="utf-8")
    assert auth.secret_id().reveal() == "first"
    (tmp_path / "secret-id").write_text("second\n", encoding="utf-8")
    assert auth.secret_id().reveal() == "second"
    with pytest.raises(Misconfigured):
        auth.role_id()


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ('{method: token, token: "file:t"}', vault_settings.TokenAuth),
        ('{method: cert, role: r, certificate: "file:c", key: "file:k"}', vault_settings.CertAuth),
        ('{method: jwt, role: r, token: "file:t"}', vault_settings.JwtAuth),
        ("{method: kubernetes, role: r}", vault_settings.KubernetesAuth),
    ],
)
def test_every_way_to_log_in_to_vault_is_wired(tmp_path: Path, written: str, kind: type) -> None:
    auth = settings(house(tmp_path, vault_auth=written)).auth
    assert isinstance(auth, kind)
    (tmp_path / "c").write_text("the certificate", encoding="utf-8")
    (tmp_path / "k").write_text("the key", encoding="utf-8")
    if isinstance(auth, vault_settings.CertAuth):
        assert (auth.certificate().reveal(), auth.key().reveal()) == ("the certificate", "the key")


# ------------------------------------------------------------------------------------------------------------ embedded


def embedded(folder: Path) -> House:
    return house(folder, store="local")


def test_the_key_of_an_embedded_store_is_made_by_the_first_change_and_not_by_a_look(tmp_path: Path) -> None:
    key = tmp_path / "keys/store-key"
    with embedded(tmp_path) as looking:
        looking.need_secrets(looking.chosen())
        assert looking.store("local", Use.LOOK).consumers.read("partners/one").version == 0
        assert not key.exists()
        looking.store("local", Use.CHANGE).staging.write("one", Fields({"a": "b"}), 0)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with embedded(tmp_path) as again:
        fields = again.store("local", Use.LOOK).staging.read("one").fields
    assert fields is not None
    assert fields.text("a") == "b"


@pytest.mark.parametrize("use", list(Use))
def test_a_lost_key_is_never_replaced_by_one_that_opens_nothing(tmp_path: Path, use: Use) -> None:
    with embedded(tmp_path) as first:
        first.store("local", Use.CHANGE).staging.write("one", Fields({"a": "b"}), 0)
    (tmp_path / "keys/store-key").unlink()
    with embedded(tmp_path) as later:
        with pytest.raises(Misconfigured) as caught:
            later.need_secrets(later.chosen())
        with pytest.raises(Misconfigured):
            later.store("local", use)
    assert caught.value.code == "secret_missing"
    assert not (tmp_path / "keys/store-key").exists()


def entra_told(it: House) -> entra_settings.EntraSettings:
    section = it.config.providers["contoso"]
    assert isinstance(section, systems.EntraProvider)
    return parts(it).entra_settings("contoso", section)


def test_a_vault_reference_is_read_through_the_named_store_at_use(tmp_path: Path) -> None:
    auth = f"{{method: client_secret, client_id: {CLIENT}, client_secret: 'vault:local/graph/one#secret'}}"
    with house(tmp_path, auth=auth, store="local") as it:
        local = it.store("local", Use.CHANGE)
        it.need_secrets(it.chosen())
        login = entra_told(it).auth
        assert isinstance(login, entra_settings.ClientSecretAuth)
        assert callable(login.client_secret)
        with pytest.raises(Misconfigured, match="no such document") as caught:
            login.client_secret()
        assert "config.yaml:" in caught.value.message
        local.consumers.write("graph/one", Fields({"other": "x"}), 0)
        with pytest.raises(Misconfigured, match="no such field"):
            login.client_secret()
        local.consumers.write("graph/one", Fields({"secret": "from the store"}), 1)
        assert login.client_secret().reveal() == "from the store"


def test_the_secrets_of_a_store_that_is_only_referred_to_are_needed_too(tmp_path: Path) -> None:
    auth = f"{{method: client_secret, client_id: {CLIENT}, client_secret: 'vault:vault/graph/one#secret'}}"
    with house(tmp_path, auth=auth, store="local") as it, pytest.raises(Misconfigured) as caught:
        it.need_secrets(it.chosen())
    assert "role-id" in caught.value.message
    assert "secret-id" in caught.value.message


# --------------------------------------------------------------------------------------------------------------- entra


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        (f'{{method: client_secret, client_id: {CLIENT}, client_secret: "file:s"}}', entra_settings.ClientSecretAuth),
        (f'{{method: certificate, client_id: {CLIENT}, certificate: "file:s"}}', entra_settings.CertificateAuth),
        (f"{{method: managed_identity, client_id: {CLIENT}}}", entra_settings.ManagedIdentityAuth),
        (f"{{method: workload_identity, client_id: {CLIENT}, token_file: t}}", entra_settings.WorkloadIdentityAuth),
    ],
)
def test_every_way_to_log_in_to_entra_is_wired(tmp_path: Path, written: str, kind: type) -> None:
    with house(tmp_path, auth=written) as it:
        told = entra_told(it)
    assert isinstance(told.auth, kind)
    assert told.auth.client_id == CLIENT
    assert (told.tenant, told.authority, told.graph) == (
        TENANT,
        "https://login.microsoftonline.com",
        "https://graph.microsoft.com/v1.0",
    )
    assert (told.ca_file, told.proxy) == (tmp_path / "graph.pem", "http://proxy.example.com:3128")
    if not isinstance(told.auth, entra_settings.ManagedIdentityAuth):
        assert told.auth.named.endswith(("/s", "/t"))


def test_parts_are_made_without_being_contacted_and_only_once(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    with house(tmp_path) as it:
        assert it.provider("contoso") is it.provider("contoso")
        (one,) = it.config.models
        assert it.prover(one) is it.prover(one)
        assert isinstance(parts(it).provider("contoso", it.config.providers["contoso"]), EntraProvider)


# -------------------------------------------------------------------------------------------------------------- proofs


def request(house: House) -> ProofRequest:
    (one,) = house.config.models
    asked = house.config.verification(house.config.named[one.name])
    return parts(house).proof_request(asked, house.config.providers[one.provider])


def promised(house: House) -> Expectations:
    (section,) = house.config.credentials
    return expectations(house.config.verification(section), house.config.providers["contoso"])


def test_a_proof_asks_what_the_configuration_says(tmp_path: Path) -> None:
    verify = (
        "{scope: api://one/.default, client_auth: client_secret_basic, client_id: other, params: {resource: r},"
        " ca_file: own.pem, expect: {aud: [a, b], roles: [A], scope: [s], iss: i, token_type: Bearer,"
        " refresh_token: works, min_lifetime: 7m}}"
    )
    told = request(house(tmp_path, verify=verify))
    assert told.token_url == f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"
    assert (told.client_auth.value, told.client_id, told.scope) == (
        "client_secret_basic",
        "other",
        "api://one/.default",
    )
    assert (dict(told.params), told.ca_file) == ({"resource": "r"}, tmp_path / "own.pem")
    assert told.signature is Signature.JWKS
    assert told.keys_url == f"https://login.microsoftonline.com/{TENANT}/v2.0/.well-known/openid-configuration"
    assert told.expectations == Expectations(
        aud=("a", "b"),
        roles=("A",),
        iss="i",
        min_lifetime=timedelta(minutes=7),
        scope=("s",),
        token_type="bearer",
        refresh_token=RefreshToken.WORKS,
        client_claims=("azp", "appid"),
        tenant=TENANT,
        credential_kind=CredentialKind.SECRET,
    )


def test_a_token_of_entra_must_name_our_client_our_tenant_and_a_secret(tmp_path: Path) -> None:
    told = promised(house(tmp_path))
    assert (told.client_claims, told.tenant, told.credential_kind) == (
        ("azp", "appid"),
        TENANT,
        CredentialKind.SECRET,
    )
    assert told.min_lifetime == timedelta(minutes=5)


def test_so_must_one_of_the_tenants_endpoint_with_keys_of_its_own(tmp_path: Path) -> None:
    keys = "{scope: s/.default, expect: {aud: a, signature: {jwks_url: https://login.microsoftonline.com/keys}}}"
    assert promised(house(tmp_path, verify=keys)).tenant == TENANT


@pytest.mark.parametrize(
    "verify",
    [
        "{token_url: https://vendor.example/token, expect: {aud: a, signature: unverified}}",
        "{token_url: https://vendor.example/token, expect: {aud: a, signature: {jwks_url: https://vendor.example/k}}}",
        "{scope: s/.default, expect: {aud: a, signature: unverified}}",
    ],
)
def test_a_token_of_another_issuer_or_an_opaque_one_need_not(tmp_path: Path, verify: str) -> None:
    told = promised(house(tmp_path, verify=verify))
    assert (told.client_claims, told.tenant, told.credential_kind) == ((), None, None)
    assert told.aud == ("a",)


def test_the_parts_are_the_real_ones(tmp_path: Path) -> None:
    with house(tmp_path) as it:
        (one,) = it.config.models
        section = it.config.stores["vault"]
        with pytest.raises(Misconfigured, match=r"ca\.pem"):
            parts(it).store("vault", section, None)
        asked = it.config.verification(it.config.named[one.name])
        made = parts(it).prover(one, asked, it.config.providers[one.provider])
        assert isinstance(made, ClientCredentialsProver)
