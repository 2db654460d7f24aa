"""Shows a configuration as it is understood, and its grammar as JSON Schema; secrets appear as references only."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import Field
from pydantic.json_schema import GenerateJsonSchema

from rotator.app.config import described, foreign, keycloak, manual, registration, schema, systems, telling, verifying
from rotator.app.config.config import Config, Verification
from rotator.app.config.foreign import Foreign
from rotator.app.config.parts import Section, key_of
from rotator.app.config.references import Reference
from rotator.app.config.requests import Line, Place
from rotator.app.config.systems import AnyProvider
from rotator.app.config.values import Copy, Hours, format_days, format_duration, format_hours


def effective(config: Config) -> dict[str, Any]:
    """Return the whole configuration with defaults laid under and paths absolute; loading it again gives the same."""
    return {
        "version": 1,
        "state": _shown(config.state),
        "stores": {name: _shown(store) for name, store in config.stores.items()},
        "providers": {
            name: {**_shown(provider), **_endpoints(provider)} for name, provider in config.providers.items()
        },
        "credentials": [_credential(config, credential) for credential in config.credentials],
        "service": _shown(config.service),
        "audit": _shown(config.audit),
        "notifications": [_shown(one) for one in config.notifications],
    }


def _credential(config: Config, credential: schema.Credential) -> dict[str, Any]:
    shown = _shown(credential)
    verification = config.verification(credential)
    _without_other_proofs(shown["verify"], verification)
    shown["verify"]["ca_file"] = None if verification.ca_file is None else str(verification.ca_file)
    shown["verify"]["proxy"] = verification.proxy
    shown["provider"] = {key: value for key, value in shown["provider"].items() if value or key == "use"}
    if config.providers[credential.provider.use].kind != "entra":
        del shown["provider"]["credential"]
    return shown


def _without_other_proofs(verify: dict[str, Any], asked: Verification) -> None:
    """Leave out what has no meaning for this kind of proof, and say what follows from the provider."""
    if asked.probe is not None:
        for key in ("token_url", "client_auth", "client_id", "scope", "params"):
            del verify[key]
        verify["expect"] = {"status": list(asked.probe.expect)}
        return
    for key in ("request", "credential_in"):
        del verify[key]
    del verify["expect"]["status"]
    verify["token_url"], verify["client_auth"] = asked.token_url, asked.client_auth.value
    verify["expect"]["signature"] = verify["expect"]["signature"] or asked.signature.value


def _endpoints(provider: AnyProvider) -> dict[str, str]:
    """Return the addresses that follow from the cloud."""
    if not isinstance(provider, systems.EntraProvider):
        return {}
    return {"authority": provider.authority_url, "graph": provider.graph_url}


def _shown(section: Section) -> dict[str, Any]:
    if isinstance(section, Foreign):
        return {"kind": section.kind, **section.settings}
    names = list(type(section).model_fields)
    return {key_of(type(section), name): _plain(getattr(section, name)) for name in names}


def _plain(value: Any) -> Any:
    """Return a value as it is written in the file."""
    match value:
        case Section():
            return _shown(value)
        case timedelta():
            return format_duration(value)
        case verifying.Signature():
            return {"jwks_url": value.url} if value.url is not None else value.mode.value
        case Hours():
            return format_hours(value)
        case frozenset():
            return format_days(value)
        case Enum():
            return value.value
        case Reference() | Path() | Copy() | Line() | Place():
            return str(value)
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
        case _:
            return value


class _WholeFile(schema.File):
    """A configuration file."""

    credentials: list[schema.Credential] = Field(default_factory=list)


def json_schema() -> dict[str, Any]:
    """Return the grammar as JSON Schema 2020-12, for editors. What it cannot say is checked at load all the same."""
    result = _WholeFile.model_json_schema(schema_generator=_Generator)
    definitions = result["$defs"]
    _describe(result, definitions)
    for key, name in (("policy", "PolicySection"), ("verify", "Verify"), ("store", "StorePlace")):
        partial = {word: value for word, value in definitions[name].items() if word != "required"}
        text = definitions["Defaults"]["properties"][key]["description"]
        definitions["Defaults"]["properties"][key] = {**partial, "description": text}
    definitions["StorePlace"]["required"].remove("use")  # it may stand in the defaults; a path is each credential's own
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "config.yaml of rotator",
        **{key: value for key, value in result.items() if key != "title"},
    }


class _Generator(GenerateJsonSchema):
    """Writes what pydantic would write in its own way: no titles, which only repeat the keys, and our durations."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Say that no field has a title."""
        return False

    def encode_default(self, dft: Any) -> Any:
        """Write a default as the file would."""
        return _plain(dft)


def _describe(result: dict[str, Any], definitions: dict[str, Any]) -> None:
    for module in (schema, verifying, systems, described, foreign, keycloak, manual, registration, telling):
        told = _texts(inspect.getsource(module))
        for name in told:
            target = result if name == "File" else definitions.get(name)
            if target is None:
                continue
            above = [base.__name__ for base in getattr(module, name).__mro__]
            texts = {field: text for base in reversed(above) for field, text in told.get(base, {}).items()}
            for field, text in texts.items():
                key = _called(module, name, field)
                if key in target["properties"]:
                    target["properties"][key]["description"] = text


def _called(module: ModuleType, name: str, field: str) -> str:
    """Return the key of a field in the file."""
    section = getattr(module, name)
    return key_of(section, field) if field in getattr(section, "model_fields", {}) else field


def _texts(source: str) -> dict[str, dict[str, str]]:
    """Return the texts under the fields of every class, which Python itself does not keep."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        texts = found.setdefault(node.name, {})
        for field, text in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                value = text.value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    texts[field.target.id] = value.value
    return found
