"""Writes configuration files for tests, and reads off them where a fault must be told to stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator.app.config import ConfigFaults, Loaded, load

MARK = "§"
LATER = "comes with a later release\n  Leave it out; it would do nothing, and nothing here is ignored."
NOT_A_DURATION = "not a duration; a whole number and one unit of s, m, h, d, w, such as 90s or 30d"

STORES = """\
stores:
  vault:
    kind: vault
    address: https://vault.example.com:8200
    auth: {method: approle, role_id: "file:role-id", secret_id: cred:vault-secret-id}
  local: {kind: embedded, path: secrets, key: "file:store.key"}
"""

PROVIDERS = """\
providers:
  contoso:
    kind: entra
    tenant: 11111111-2222-3333-4444-555555555555
    auth: {method: managed_identity}
"""

CREDENTIALS = """\
credentials:
  - name: one
    provider: {use: contoso, app_id: 7f3c0c52-0000-4000-8000-000000000001}
    store: {use: vault, path: partners/one}
    verify: {scope: api://one/.default, expect: {aud: api://one}}
"""

ONE = "provider: {use: contoso, app_id: 7f3c0c52-0000-4000-8000-000000000001}"
TWO = "provider: {use: contoso, app_id: 7f3c0c52-0000-4000-8000-000000000002}"
VERIFY = "verify: {scope: api://one/.default, expect: {aud: api://one}}"


def document(
    *more: str,
    version: str = "version: 1\n",
    stores: str = STORES,
    providers: str = PROVIDERS,
    credentials: str = CREDENTIALS,
) -> str:
    """Return a whole configuration that is right, but for what is given."""
    return "".join([version, stores, providers, *(f"{part}\n" for part in more), credentials])


def credential(*lines: str, name: str = "one", provider: str = ONE, path: str = "partners/one") -> str:
    """Return the section of one credential; lines that are given replace those of the same key."""
    standard = [f"name: {name}", provider, f"store: {{use: vault, path: {path}}}", VERIFY]
    given = {line.lstrip(MARK).partition(":")[0] for line in lines}
    kept = [line for line in standard if line.partition(":")[0] not in given]
    body = "\n".join([*kept, *lines]).replace("\n", "\n    ")
    return f"credentials:\n  - {body}\n"


def store(line: str) -> str:
    """Return the stores with one more, called `other`."""
    return f"{STORES}  other: {line}\n"


def policy(line: str) -> str:
    """Return a configuration whose credential has this policy."""
    return document(credentials=credential(f"policy: {{{line}}}"))


def verify(line: str) -> str:
    """Return a configuration whose credential is proved like this."""
    return document(credentials=credential(f"verify: {{scope: api://one/.default, {line}}}"))


def write(folder: Path, text: str, name: str = "config.yaml") -> tuple[Path, list[str]]:
    """Write a file without its marks and return its path and the places that were marked, as `line:column`."""
    places = []
    for number, line in enumerate(text.split("\n"), 1):
        before = 0
        for part in line.split(MARK)[:-1]:
            before += len(part)
            places.append(f"{number}:{before + 1}")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace(MARK, ""), encoding="utf-8")
    return path, places


def loaded(folder: Path, text: str) -> Loaded:
    """Write and load a configuration that must be right."""
    return load(write(folder, text)[0])


def faults(path: Path) -> list[str]:
    """Load a configuration that must be wrong; return its faults as they are shown, without the folder."""
    with pytest.raises(ConfigFaults) as caught:
        load(path)
    assert caught.value.__context__ is None, "a cause could carry what stands in the file"
    assert str(caught.value).endswith("nothing was contacted.")
    return [str(fault).replace(f"{path.parent}/", "") for fault in caught.value.faults]
