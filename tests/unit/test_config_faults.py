"""Every fault of a file is told at once, with its place, what is wrong and what is allowed, and never with a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator.app.config import ConfigFaults, load
from tests.fakes.config_cases_credentials import CREDENTIALS
from tests.fakes.config_cases_systems import SYSTEMS
from tests.fakes.config_cases_vendors import VENDORS
from tests.fakes.config_files import MARK, ONE, PROVIDERS, credential, document, faults, store, write

CASES = {**SYSTEMS, **VENDORS, **CREDENTIALS}


ASK_FOR_REFERENCE = (
    "a secret must not stand here; say where it is: env:NAME, file:PATH, cred:NAME or vault:STORE/path#field\n"
    "  Put the secret into one of these and name it here; if it was saved in this file, replace it at its issuer."
)


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_a_fault_says_where_it_is_and_what_is_allowed(tmp_path: Path, text: str, expected: list[str]) -> None:
    path, places = write(tmp_path, text)
    wanted = [f"config.yaml:{place}: {words.removeprefix(': ')}" for place, words in zip(places, expected, strict=True)]
    assert sorted(faults(path)) == sorted(wanted)


CANARY = "hunter2-CANARY-q8Xz"

LITERALS = [
    document(stores=store(f"{{kind: vault, address: https://v, auth: {{method: token, token: {CANARY}}}}}")),
    document(stores=store(f"{{kind: vault, address: https://v, auth: {{method: token, token: x:{CANARY}}}}}")),
    document(stores=store(f"{{kind: vault, address: https://v, auth: {{method: token, token: 'vault:{CANARY}'}}}}")),
    document(stores=store(f"{{kind: vault, address: https://v, auth: {{method: token, token: 'env:{CANARY}'}}}}")),
    document(stores=store(f"{{kind: vault, address: https://v, auth: {{method: token, token: 'cred:/{CANARY}'}}}}")),
    document(stores=store(f"{{kind: vault, address: https://v, auth: {{method: token, token: a, {CANARY}, c}}}}")),
    document(stores=store(f"{{kind: vault, address: https://v, auth: {{method: token, token: a, {CANARY.lower()}}}}}")),
    document(stores=store(f"{{kind: vault, address: https://v, auth: {{method: token, token: [{CANARY}]}}}}")),
    document(stores=store(f"{{kind: vault, address: https://v, auth: {{method: token, token: *{CANARY}}}}}")),
    document(stores=store(f"{{kind: vault, address: https://v, auth: {{method: token, token: !{CANARY} x}}}}")),
    document(stores=store(f"{{kind: vault, address: https://v, auth: {{method: {CANARY}}}}}")),
    document(stores=store(f"{{kind: vault, address: 'https://u:{CANARY}@v', auth: {{method: token, token: file:t}}}}")),
    document(stores=store(f"{{kind: vault, address: https://v, token: {CANARY}, auth: {CANARY}}}")),
    document(stores=store(f"{{kind: embedded, path: s, key: {CANARY}}}")),
    document(stores=store(f'{{kind: embedded, path: s, key: "{CANARY}\n}}')),
    document(stores=store(f"{{kind: embedded, path: s, key: {CANARY}: x\n}}")),
    document(
        providers=PROVIDERS.replace("managed_identity", f"client_secret, client_secret: {CANARY}, client_id: {CANARY}")
    ),
    document(providers=PROVIDERS.replace("managed_identity", f"client_secret, password: {CANARY}")),
    document(credentials=credential(f"verify: {{client_secret: {CANARY}, client_auth: {CANARY}, proofs: {CANARY}}}")),
    document(credentials=credential(f"verify: {{params: {{client_secret: {CANARY}, password: {CANARY}}}}}")),
    document(
        credentials=credential(f"store: {{use: '{CANARY}', path: '{CANARY}!', fields: {{client_secret: '{CANARY}?'}}}}")
    ),
    document(f"audit: {{signing_key: {CANARY}}}"),
    document(f"notifications: [{{kind: webhook, secret: {CANARY}}}]"),
    document(f"state: {{url: 'postgresql://u:{CANARY}@h/d'}}"),
    document(f"service: {{listen: {CANARY}}}"),
    f"{CANARY}: x\nversion: 1\n",
    CANARY,
    f"- {CANARY}",
]


@pytest.mark.parametrize("text", LITERALS)
def test_a_literal_secret_is_a_fault_that_does_not_repeat_it(tmp_path: Path, text: str) -> None:
    path, _ = write(tmp_path, text)
    with pytest.raises(ConfigFaults) as caught:
        load(path)
    shown = f"{caught.value} {caught.value!r} {caught.value.hint} {caught.value.faults} {caught.getrepr(style='long')}"
    assert CANARY not in shown.replace(text, "")
    assert CANARY.lower() not in shown.replace(text, "")


def test_a_reference_is_asked_for_in_place_of_a_secret(tmp_path: Path) -> None:
    path, [place] = write(tmp_path, document(stores=store(f"{{kind: embedded, path: s, key: {MARK}{CANARY}}}")))
    assert faults(path) == [f"config.yaml:{place}: stores.other.key: {ASK_FOR_REFERENCE}"]


def test_the_faults_end_with_their_number(tmp_path: Path) -> None:
    path, _ = write(tmp_path, "version: 2\n")
    with pytest.raises(ConfigFaults, match=r"\n1 fault; nothing was contacted\.$") as caught:
        load(path)
    assert caught.value.exit_status == 78
    path, _ = write(tmp_path, "version: 2\nx: 1\n")
    with pytest.raises(ConfigFaults, match=r"\n2 faults; nothing was contacted\.$"):
        load(path)


def test_faults_stand_in_the_order_of_the_files(tmp_path: Path) -> None:
    write(tmp_path, "credentials:\n  - {name: A}\nx: 1\n", "credentials.d/a.yaml")
    path, _ = write(tmp_path, "include: [credentials.d/*.yaml]\nversion: 2\ny: 1\n")
    with pytest.raises(ConfigFaults) as caught:
        load(path)
    places = [(fault.file.name, fault.line, fault.column) for fault in caught.value.faults]
    assert places[:2] == [("config.yaml", 2, 10), ("config.yaml", 3, 1)]
    assert [place[0] for place in places[2:]] == ["a.yaml"] * (len(places) - 2)
    assert places == sorted(places, key=lambda place: (place[0] == "a.yaml", place[1], place[2]))


def test_yaml_faults_do_not_hide_those_of_the_grammar(tmp_path: Path) -> None:
    path, _ = write(tmp_path, "version: 2\nversion: 1\nx: 1\n")
    assert faults(path) == [
        "config.yaml:1:10: version: must be 1",
        "config.yaml:2:1: version: stands here a second time, after line 1\n  Keep one of the two.",
        (
            'config.yaml:3:1: unknown key "x".\n  Allowed: version, include, state, stores, providers, defaults, '
            "credentials, service, audit, notifications."
        ),
    ]


def test_a_fault_of_a_provider_does_not_hide_those_of_its_credentials(tmp_path: Path) -> None:
    provider = PROVIDERS.replace("tenant: 11111111-2222-3333-4444-555555555555", f"tenant: {MARK}contoso!")
    certificate = ONE.replace("}", f", credential: {MARK}passkey}}")
    first = credential(f"verify: {MARK}{{expect: {{aud: api://one}}}}")
    second = credential(certificate, name="two", path="partners/two").removeprefix("credentials:\n")
    path, places = write(tmp_path, document(providers=provider, credentials=first + second))
    told = [" ".join(fault.split(": ")[:2]) for fault in faults(path)]
    assert told == [
        f"config.yaml:{places[0]} providers.contoso.tenant",
        f"config.yaml:{places[1]} credentials[0].verify",
        f"config.yaml:{places[2]} credentials[1].provider.credential",
    ]
