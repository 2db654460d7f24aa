"""Turns what pydantic says into sentences for the person who wrote the file; it never repeats a value from it.

A key is repeated only where it looks like a key: in `{token: pa,ss}` the second half of a secret becomes one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rotator.app.config.faults import did_you_mean, one_of
from rotator.app.config.parts import FOREIGN, Coming, Pluggable, Section, key_of
from rotator.app.config.values import Wrong
from rotator.app.config.yaml import KeyPath

_SAFE_KEY = re.compile(r"[a-z][a-z0-9_]{0,30}\Z", re.ASCII)

_SHAPES = {
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
}


@dataclass(frozen=True, slots=True)
class Explained:
    """A fault with its path in the data that was checked.

    at_key: the last key of the path is what is wrong, not its value. extra: the key has no meaning here.
    """

    path: KeyPath
    message: str
    hint: str = ""
    at_key: bool = False
    extra: bool = False


def explain(error: ValidationError, model: type[Section], data: object) -> list[Explained]:
    """Return the faults of one validation. Those of a section whose `kind` or `method` is wrong are only that one."""
    faults = [_explained(detail, model, data) for detail in error.errors(include_url=False, include_input=False)]
    choices = {fault.path[:-1] for fault in faults if fault.path and fault.path[-1] in ("kind", "method")}
    return [
        fault
        for fault in faults
        if fault.path[-1:] in (("kind",), ("method",))
        or not any(fault.path[: len(chosen)] == chosen for chosen in choices)
    ]


def _explained(detail: ErrorDetails, model: type[Section], data: object) -> Explained:
    loc, kind = detail["loc"], detail["type"]
    if loc and loc[-1] == "[key]":
        message, hint = _sentence(detail)
        start = "a key is " if message.startswith("not") else "a key " if message.startswith("must") else ""
        return Explained(_walk(model, loc[:-1])[0], start + message, hint, at_key=True)
    path, annotation = _walk(model, loc)
    if kind == "missing":
        return Explained(path[:-1], f"`{path[-1]}` is missing")
    if kind == "extra_forbidden":
        return _unknown_key(path, _keys(_walk(model, loc[:-1])[1]), data)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_variant(path, annotation, data)
    message, hint = _sentence(detail)
    return Explained(path, message, hint)


def _sentence(detail: ErrorDetails) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    if isinstance(wrong := context.get("error"), Wrong):
        return wrong.message, wrong.hint
    if kind in ("literal_error", "enum"):
        expected = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        return f"must be {'one of ' if ',' in expected else ''}{expected}", ""
    return _SHAPES.get(kind, "not what is allowed here"), ""


def _unknown_key(path: KeyPath, known: list[str], data: object) -> Explained:
    key = str(path[-1])
    allowed = f"Allowed: {one_of(known)}." if known else ""
    if not _SAFE_KEY.match(key) or _at(data, path) is None:
        return Explained(path, "an unknown key", allowed, at_key=True, extra=True)
    message = f'unknown key "{key}".{did_you_mean(key, known)}'
    return Explained(path, message, allowed, at_key=True, extra=True)


def _wrong_variant(path: KeyPath, annotation: Any, data: object) -> Explained:
    known = sorted({*_variants(annotation)} - {FOREIGN.removeprefix("@")}, key=list(_variants(annotation)).index)
    known += _added(annotation)
    key = "method" if path[-1] == "auth" else "kind"
    value = _at(data, path)
    if not isinstance(value, Mapping):
        return Explained(path, "must be a mapping", f"Begin with {key}: one of {one_of(known)}.")
    if value.get(key) is None:
        return Explained(path, f"`{key}` is missing; one of {one_of(known)}")
    if value[key] in _coming(annotation):
        return Explained((*path, key), f"`{value[key]}` comes with a later release")
    guess = did_you_mean(str(value[key]), known)
    return Explained((*path, key), f"must be one of {one_of(known)}{guess and '.' + guess}")


def _at(data: object, path: KeyPath) -> object:
    """Return what stands at a path, None where there is nothing."""
    for part in path:
        try:
            data = data[part]  # type: ignore[index]
        except (LookupError, TypeError):
            return None
    return data


def _walk(model: type[Section], loc: tuple[str | int, ...]) -> tuple[KeyPath, Any]:
    """Return the path in the data and the type there: a location of pydantic also names the variants it tried."""
    path: list[str | int] = []
    current: Any = model
    for part in loc:
        variant = _variants(current).get(str(part).removeprefix("@")) if str(part).startswith("@") else None
        if variant is not None:
            current = variant
            continue
        path.append(part)
        bare = _bare(current)
        if isinstance(bare, type) and issubclass(bare, Section):
            fields = {key_of(bare, name): field for name, field in bare.model_fields.items()}
            field = fields.get(str(part))
            current = field.annotation if field is not None else None
        else:
            arguments = get_args(bare)
            current = arguments[-1] if arguments else None
    return tuple(path), current


def _variants(annotation: Any) -> dict[str, Any]:
    """Return the variants of a tagged union by their names; none for anything else."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    tagged = [member for member in get_args(annotation) if hasattr(member, "__metadata__")]
    marks = [(member, getattr(member.__metadata__[-1], "tag", None)) for member in tagged]
    return {mark.removeprefix("@"): member for member, mark in marks if mark is not None}


def _coming(annotation: Any) -> tuple[str, ...]:
    """Return the names of variants that a later release will know."""
    while hasattr(annotation, "__metadata__"):
        for mark in annotation.__metadata__:
            if isinstance(mark, Coming):
                return mark.names
        annotation = annotation.__origin__
    return ()


def _added(annotation: Any) -> tuple[str, ...]:
    """Return the names of variants that installed packages add."""
    while hasattr(annotation, "__metadata__"):
        for mark in annotation.__metadata__:
            if isinstance(mark, Pluggable):
                return mark.added
        annotation = annotation.__origin__
    return ()


def _bare(annotation: Any) -> Any:
    """Strip what stands around a type: Annotated, and the None of an optional one."""
    while True:
        if hasattr(annotation, "__metadata__"):
            annotation = annotation.__origin__
            continue
        arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
        if len(arguments) == 1 and type(None) in get_args(annotation):
            annotation = arguments[0]
            continue
        return annotation


def _keys(annotation: Any) -> list[str]:
    """Return the keys that a section allows."""
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, Section):
        return [key_of(bare, name) for name in bare.model_fields]
    return []
