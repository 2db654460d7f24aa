"""Where a configuration is looked for, what it is made of, and what it means once it is read."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import fields, replace
from datetime import time, timedelta
from pathlib import Path

import pytest
import yaml

from rotator.app.config import find, load
from rotator.app.config.show import effective, json_schema
from rotator.app.config.verifying import SignatureMode
from rotator.errors import Misconfigured
from rotator.model import RetireMode, Window
from tests.fakes.config_files import CREDENTIALS, TWO, credential, document, faults, loaded, policy, write

# ------------------------------------------------------------------------------------------------------- looking


def test_the_option_goes_before_the_variable_and_that_before_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    option, variable, here = (write(tmp_path, "", name)[0] for name in ("option.yaml", "variable.yaml", "config.yaml"))
    environ = {"ROTATOR_CONFIG": str(variable)}
    assert find(str(option), environ) == option
    assert find(None, environ) == variable
    assert find(None, {"ROTATOR_CONFIG": ""}) == Path("config.yaml")
    here.unlink()
    with pytest.raises(Misconfigured) as caught:
        find(None, {})
    for place in ("--config", "$ROTATOR_CONFIG", str(tmp_path / "config.yaml"), "/etc/rotator/config.yaml"):
        assert place in caught.value.message


@pytest.mark.parametrize(
    ("option", "environ", "blamed"),
    [("/no/such", {"ROTATOR_CONFIG": "/none"}, "--config"), (None, {"ROTATOR_CONFIG": "/no/such"}, "$ROTATOR_CONFIG")],
)
def test_a_file_that_was_named_is_not_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str | None, environ: dict[str, str], blamed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, document())
    with pytest.raises(Misconfigured) as caught:
        find(option, environ)
    assert f"/no/such, which {blamed} names" in caught.value.message


def test_a_file_that_cannot_be_read_is_one_clear_fault(tmp_path: Path) -> None:
    assert faults(tmp_path / "config.yaml") == [
        "config.yaml: there is no such file\n  Name it with --config, or see `rotator sandbox` for one to begin with."
    ]
    (tmp_path / "folder").mkdir()
    assert faults(tmp_path / "folder")[0].endswith("folder: a folder, not a file\n  Name the file in it.")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"version: 1\nname: \xe9\n")
    assert faults(latin) == ["latin.yaml:2:7: not UTF-8\n  Save the file in UTF-8."]
    for text in ("", "# nothing\n", "---\n"):
        assert faults(write(tmp_path, text)[0]) == ["config.yaml:1:1: the file is empty\n  Begin with `version: 1`."]
    for text in ("- a\n", "words\n", "12\n"):
        assert faults(write(tmp_path, text)[0]) == ["config.yaml:1:1: must be a mapping\n  Begin with `version: 1`."]
    assert faults(write(tmp_path, "a: [\n")[0])[0].startswith("config.yaml:2:1: not valid YAML")


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert loaded(tmp_path, "\ufeff" + document()).config.named.keys() == {"one"}


# ------------------------------------------------------------------------------------------------------- including


def test_credentials_come_from_all_files_in_order_and_share_the_defaults(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(
            tmp_path,
            credential(provider=TWO.replace("02}", f"0{name}}}"), name=name, path=name),
            f"credentials.d/{name}.yaml",
        )
    write(tmp_path, "# nothing yet\n", "credentials.d/empty.yaml")
    text = document("include: [credentials.d/*.yaml, none.d/*.yaml]", "defaults: {policy: {grace: 3h}}")
    result = loaded(tmp_path, text)
    assert list(result.config.named) == ["one", "a", "b"]
    assert {item.policy.grace for item in result.config.models} == {timedelta(hours=3)}
    assert [path.name for path in result.files] == ["config.yaml", "a.yaml", "b.yaml", "empty.yaml"]


def test_the_digest_changes_with_any_byte_of_any_file(tmp_path: Path) -> None:
    included, _ = write(tmp_path, "credentials: []\n", "more.yaml")
    text = document("include: [more.yaml]")
    first = loaded(tmp_path, text).digest
    assert first == loaded(tmp_path, text).digest
    assert len(bytes.fromhex(first)) == hashlib.sha256().digest_size
    included.write_text("credentials: [] \n", encoding="utf-8")
    assert loaded(tmp_path, text).digest != first


def test_a_fault_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    write(tmp_path, "credentials:\n  - name: A\nstores: {}\n", "credentials.d/a.yaml")
    write(tmp_path, "credentials: [\n", "credentials.d/b.yaml")
    path, _ = write(tmp_path, document("include: [credentials.d/*.yaml, absent.yaml, config.yaml]"))
    found = faults(path)
    assert "config.yaml:13:33: include[1]: there is no such file" in found
    assert "config.yaml:13:46: include[2]: includes this file itself" in found
    assert any(fault.startswith("credentials.d/a.yaml:2:11: credentials[0].name: not a name") for fault in found)
    assert "credentials.d/a.yaml:2:5: credentials[0]: `provider` is missing" in found
    assert 'credentials.d/a.yaml:3:1: unknown key "stores".\n  Allowed: version, credentials.' in found
    assert any(fault.startswith("credentials.d/b.yaml:2:1: not valid YAML") for fault in found)


def test_names_are_unique_over_all_files(tmp_path: Path) -> None:
    write(tmp_path, credential(provider=TWO, path="other"), "more.yaml")
    path, _ = write(tmp_path, document("include: [more.yaml]"))
    assert faults(path) == [
        (
            "more.yaml:2:11: credentials[0].name: this name is taken: config.yaml: credentials[0] has it\n"
            "  A name is for ever that of one credential; choose another."
        )
    ]


def test_a_relative_path_is_relative_to_the_file_that_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        credential(
            "verify: {scope: api://a/.default, ca_file: own.pem, expect: {aud: a}}", name="a", provider=TWO, path="a"
        ),
        "credentials.d/a.yaml",
    )
    heir = credential(name="b", provider=TWO.replace("02}", "03}"), path="b")
    write(tmp_path, heir, "credentials.d/b.yaml")
    text = document(
        "include: [credentials.d/*.yaml]",
        "state: {url: 'sqlite:///rotator.db'}",
        "service: {listen: 'unix:http.sock'}",
        "defaults: {verify: {ca_file: default.pem}}",
    )
    write(tmp_path, text)
    monkeypatch.chdir(tmp_path.parent)
    config = load(Path(tmp_path.name) / "config.yaml").config
    assert config.state.database == tmp_path / "rotator.db"
    assert config.service.listen == f"unix:{tmp_path}/http.sock"
    assert dict(config.references())["stores.local.key"].path == tmp_path / "store.key"
    assert config.verification(config.named["one"]).ca_file == tmp_path / "default.pem"
    assert config.verification(config.named["a"]).ca_file == tmp_path / "credentials.d" / "own.pem"
    assert config.verification(config.named["b"]).ca_file == tmp_path / "default.pem"


def test_an_absolute_state_stays_where_it_is(tmp_path: Path) -> None:
    config = loaded(tmp_path, document("state: {url: 'sqlite:////srv/rotator.db'}")).config
    assert config.state.database == Path("/srv/rotator.db")


# --------------------------------------------------------------------------------------------------------- meaning


def test_defaults_are_laid_under_key_by_key_and_null_takes_one_away(tmp_path: Path) -> None:
    text = document(
        "defaults:\n"
        "  policy: {lifetime: 10d, rotate_before: 5d, window: {days: mon-fri, hours: '09:00-16:00'}}\n"
        "  verify: {proofs: 7, expect: {roles: [A], min_lifetime: 1m}}\n"
        "  store: {use: local, fields: {client_secret: secret}}",
        credentials=credential(
            "store: {path: x, fields: {client_id: id}}",
            "policy: {rotate_before: 6d, window: {hours: '22:00-04:00', timezone: Europe/Zurich}}",
        )
        + credential("policy: {window: null}", "verify:", name="two", provider=TWO, path="two")
        .partition("\n")[2]
        .replace("verify:", "verify: {scope: a/.default, expect: {roles: [B]}}"),
    )
    config = loaded(tmp_path, text).config
    one, two = config.models
    assert (one.policy.lifetime, one.policy.rotate_before) == (timedelta(days=10), timedelta(days=6))
    assert one.policy.window == Window(frozenset(range(5)), time(22), time(4), "Europe/Zurich")
    assert (one.store, one.fields) == ("local", {"client_secret": "secret", "client_id": "id"})
    assert one.proof.proofs == 7
    expect = config.named["one"].verify.expect
    assert (expect.aud, expect.roles, expect.min_lifetime) == (("api://one",), ("A",), timedelta(minutes=1))
    assert two.policy.window is None
    assert config.named["two"].verify.expect.roles == ("B",)


def test_every_setting_of_policy_and_verify_reaches_the_core(tmp_path: Path) -> None:
    text = document(
        credentials=credential(
            "policy: {lifetime: 40d, rotate_before: 9d, grace: 2h, max_age: 20d, retire: manual, quarantine: 7s, "
            "max_creations: 5, accept_gap: true, prepare: 3h, alert_before: [4d], "
            "window: {days: mon, hours: '01:00-02:00'}}",
            "verify: {scope: a/.default, proofs: 4, spacing: 2s, deadline: 6m, every: 11h, max_refused: 13, "
            "negative_control: false, unsafe_plain_http: true, proxy: 'http://proxy.example:3128', expect: {aud: a}}",
        )
    )
    config = loaded(tmp_path, text).config
    (plain,) = loaded(tmp_path, document()).config.models
    (item,) = config.models
    proof = replace(item.proof, names_client=False)  # that one is not said but follows from `kind`
    assert [one.name for one in fields(proof) if getattr(proof, one.name) == getattr(plain.proof, one.name)] == []
    policies = (item.policy, plain.policy)
    assert [one.name for one in fields(item.policy) if len({getattr(each, one.name) for each in policies}) == 1] == []
    assert (item.policy.grace, item.policy.quarantine) == (timedelta(hours=2), timedelta(seconds=7))
    assert (item.policy.max_age, item.policy.prepare) == (timedelta(days=20), timedelta(hours=3))
    assert (item.policy.max_creations, item.policy.alert_before) == (5, (timedelta(days=4),))
    assert (item.proof.spacing, item.proof.deadline) == (timedelta(seconds=2), timedelta(minutes=6))
    assert (item.proof.every, item.proof.max_refused) == (timedelta(hours=11), 13)
    asked = config.verification(config.credentials[0])
    assert (asked.proxy, asked.unsafe_plain_http) == ("http://proxy.example:3128", True)


@pytest.mark.parametrize("key", ["policy", "verify", "store"])
def test_a_section_with_every_line_commented_out_keeps_the_defaults(tmp_path: Path, key: str) -> None:
    defaults = (
        "defaults:\n  policy: {grace: 3h}\n  verify: {scope: a/.default, proofs: 5, expect: {aud: a}}\n"
        "  store: {use: local, path: p}"
    )
    config = loaded(tmp_path, document(defaults, credentials=credential(f"{key}:"))).config
    assert config.models[0].policy.grace == timedelta(hours=3)
    assert config.models[0].proof.proofs == 5


def test_the_defaults_of_the_product(tmp_path: Path) -> None:
    config = loaded(tmp_path, document()).config
    item = config.models[0]
    assert item.policy.lifetime == timedelta(days=90)
    assert item.policy.rotate_before == timedelta(days=30)
    assert item.policy.grace == timedelta(hours=24)
    assert item.policy.retire is RetireMode.AFTER_GRACE
    assert item.policy.alert_before == (timedelta(days=14), timedelta(days=7), timedelta(days=1))
    assert (item.proof.proofs, item.proof.spacing, item.proof.deadline) == (
        3,
        timedelta(seconds=5),
        timedelta(minutes=15),
    )
    assert item.proof.negative_control
    assert (config.service.concurrency, config.service.listen) == (4, None)
    assert config.state.database == Path("/var/lib/rotator/rotator.db")


def test_an_entra_credential_knows_its_issuer_its_endpoint_and_its_keys(tmp_path: Path) -> None:
    config = loaded(tmp_path, document()).config
    base = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555"
    item, verification = config.models[0], config.verification(config.credentials[0])
    assert item.issuer == base
    assert item.kind == "entra"
    assert item.application == "7f3c0c52-0000-4000-8000-000000000001"
    assert item.token_url == verification.token_url == f"{base}/oauth2/v2.0/token"
    assert verification.keys_url == f"{base}/v2.0/.well-known/openid-configuration"
    assert verification.signature is SignatureMode.JWKS
    assert item.binding.store_path == "vault:partners/one"


@pytest.mark.parametrize(
    ("cloud", "authority", "graph"),
    [
        ("usgov", "https://login.microsoftonline.us", "https://graph.microsoft.us/v1.0"),
        ("dod", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us/v1.0"),
        ("china", "https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn/v1.0"),
    ],
)
def test_a_cloud_has_its_own_endpoints(tmp_path: Path, cloud: str, authority: str, graph: str) -> None:
    text = document(
        providers=(
            f"providers: {{contoso: {{kind: entra, cloud: {cloud}, tenant: contoso.example, "
            "auth: {method: managed_identity}}}\n"
        )
    )
    provider = loaded(tmp_path, text).config.providers["contoso"]
    assert (provider.authority_url, provider.graph_url) == (authority, graph)


def test_what_verify_does_not_say_comes_from_the_provider(tmp_path: Path) -> None:
    text = document(
        providers="providers: {contoso: {kind: entra, tenant: t.example, ca_file: p.pem, proxy: 'http://proxy:3128', "
        "authority: 'https://127.0.0.1:1/', graph: 'https://127.0.0.1:1/v1.0/', auth: {method: managed_identity}}}\n",
        credentials=credential(
            "verify: {scope: a, token_url: 'https://x/token/', expect: {signature: {jwks_url: 'https://x/keys'}}}"
        ),
    )
    config = loaded(tmp_path, text).config
    verification = config.verification(config.credentials[0])
    assert verification.token_url == "https://x/token/"
    assert (verification.signature, verification.keys_url) == (SignatureMode.JWKS_URL, "https://x/keys")
    assert verification.ca_file == tmp_path / "p.pem"
    assert verification.proxy == "http://proxy:3128"
    assert config.providers["contoso"].graph_url == "https://127.0.0.1:1/v1.0"


def test_an_object_id_is_told_from_an_app_id(tmp_path: Path) -> None:
    text = document(credentials=credential("provider: {use: contoso, object_id: 7F3C0C52-0000-4000-8000-000000000001}"))
    assert loaded(tmp_path, text).config.models[0].application == "object:7f3c0c52-0000-4000-8000-000000000001"


def test_what_is_read_does_not_change(tmp_path: Path) -> None:
    config = loaded(tmp_path, document()).config
    with pytest.raises(Exception, match="frozen"):
        config.credentials[0].policy.grace = timedelta(0)


# -------------------------------------------------------------------------------------------------------- warnings


def test_a_window_that_stays_shut_longer_than_rotate_before_is_a_warning(tmp_path: Path) -> None:
    window = "window: {days: mon-fri, hours: '09:00-16:00'}"
    at_limit = policy(f"rotate_before: 65h, grace: 1h, {window}")
    [warning] = loaded(tmp_path, at_limit).warnings
    assert warning.endswith(
        "config.yaml: credentials[0].policy.window: stays shut for up to 65h, and rotate_before is 65h; where no "
        "opening is left, the window yields"
    )
    assert not loaded(tmp_path, policy(f"rotate_before: 66h, grace: 1h, {window}")).warnings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (document(credentials=""), "no credentials"),
        (document(credentials=credential("verify: {scope: a/.default}")), "names neither audience nor roles"),
        (document(credentials=credential("verify: {scope: a, expect: {aud: a}}")), "end in /.default"),
        (policy("max_age: 1d, grace: 1d"), "a rotation waits until the old version is retired"),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(tmp_path: Path, text: str, words: str) -> None:
    [warning] = loaded(tmp_path, text).warnings
    assert words in warning


# --------------------------------------------------------------------------------------------------------- showing


def test_the_effective_configuration_says_the_same_when_it_is_loaded_again(tmp_path: Path) -> None:
    write(tmp_path, credential(name="a", provider=TWO, path="a"), "more.yaml")
    text = document(
        "include: [more.yaml]",
        "state: {url: 'sqlite:///r.db', mode: observe}",
        "service: {listen: '127.0.0.1:9633', tick: 90s}",
        "audit: {on_break: stop}",
        "defaults: {policy: {window: {days: 'fri-mon', hours: '22:00-04:00'}, alert_before: []}}",
    )
    first = effective(loaded(tmp_path, text).config)
    (tmp_path / "elsewhere").mkdir()
    again, _ = write(tmp_path / "elsewhere", yaml.safe_dump(first))
    assert effective(load(again).config) == first
    assert first["credentials"][0]["policy"]["window"] == {
        "days": "mon,fri,sat,sun",
        "hours": "22:00-04:00",
        "timezone": "UTC",
    }
    assert first["service"]["tick"] == "90s"
    assert first["stores"]["vault"]["auth"]["secret_id"] == "cred:vault-secret-id"
    assert first["stores"]["local"]["key"] == f"file:{tmp_path}/store.key"


def test_the_json_schema_describes_every_key(tmp_path: Path) -> None:
    schema = json_schema()
    bare = [
        f"{name}.{key}"
        for name, section in [("File", schema), *schema["$defs"].items()]
        for key, value in section.get("properties", {}).items()
        if not value.get("description")
    ]
    assert not bare
    assert schema["properties"]["credentials"]["items"] == {"$ref": "#/$defs/Credential"}
    assert "required" not in schema["$defs"]["Defaults"]["properties"]["store"]
    assert schema["$defs"]["StorePlace"]["required"] == ["path"], "the defaults may name the store for all"
    assert schema["$defs"]["PolicySection"]["properties"]["grace"]["default"] == "1d"
    assert schema["additionalProperties"] is False


# ----------------------------------------------------------------------------------------------------------- hygiene


def test_plugins_of_pydantic_never_see_the_configuration(tmp_path: Path) -> None:
    # In a process of its own: pydantic keeps the validators that it has built.
    write(tmp_path, document())
    program = (
        "import sys; from pathlib import Path; from rotator.app.config import load\n"
        "import importlib.metadata as m; m.entry_points = lambda **_: sys.exit('plugins were looked for')\n"
        "load(Path(sys.argv[1])); assert 'pydantic.plugin._loader' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "config.yaml")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_standard_credential_is_right(tmp_path: Path) -> None:
    assert not loaded(tmp_path, document(credentials=CREDENTIALS)).warnings
