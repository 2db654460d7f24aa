"""Turns what pydantic says into sentences for the person who wrote the file; it never repeats a value from it.

A key is repeated only where it looks like a key: in `{token: pa,ss}` the second half of a secret becomes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rotator.app.config.faults import did_you_mean, one_of
from rotator.app.config.parts import Section
from rotator.app.config.values import Wrong
from rotator.app.config.yaml import KeyPath

_SAFE_KEY = re.compile(r"[a-z][a-z0-9_]{0,30}\Z", re.ASCII)

_SHAPES = {
    "string_type": "must be text; put it in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "none_required": "must be null",
}


@dataclass(frozen=True, slots=True)
class Explained:
    """A fault with its path in the data that was checked. at_key: the key is what is wrong, not its value."""

    path: KeyPath
    message: str
    hint: str = ""
    at_key: bool = False


def explain(
    error: ValidationError, model: type[Section], data: object
) -> list[Explained]:
    """Return the faults of one validation. Those of a section whose `kind` or `method` is wrong are only that one."""
    faults = [
        _explained(detail, model, data)
        for detail in error.errors(include_url=False, include_input=False)
    ]
    choices = {
        fault.path[:-1]
        for fault in faults
        if fault.path and fault.path[-1] in ("kind", "method")
    }
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
        return Explained(
            _plain(loc[:-2]),
            f"the key {message}" if not message.startswith("must") else message,
            hint,
        )
    path = _plain(loc)
    if kind == "missing":
        return Explained(path[:-1], f"`{path[-1]}` is missing")
    if kind == "extra_forbidden":
        return _unknown_key(path, _keys(_annotation(model, loc[:-1])), data)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_variant(path, _annotation(model, loc), data)
    message, hint = _sentence(detail)
    return Explained(path, message, hint)


def _sentence(detail: ErrorDetails) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    if isinstance(wrong := context.get("error"), Wrong):
        return wrong.message, wrong.hint
    if kind in ("literal_error", "enum"):
        return f"must be one of {_choices(str(context['expected']))}", ""
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = (
            f"at least {context['ge']}"
            if "ge" in context
            else f"at most {context['le']}"
        )
        return f"must be {bound}", ""
    return _SHAPES.get(kind, "not what is allowed here"), ""


def _choices(expected: str) -> str:
    return expected.replace("'", "").replace(" or ", ", ")


def _plain(loc: tuple[str | int, ...]) -> KeyPath:
    """Drop the marks that pydantic puts into a location for the variant it tried."""
    return tuple(
        part for part in loc if not (isinstance(part, str) and part.startswith("@"))
    )


def _unknown_key(path: KeyPath, known: list[str], data: object) -> Explained:
    key = str(path[-1])
    allowed = f"Allowed: {one_of(known)}." if known else ""
    value = data
    for part in path:
        value = value[part] if isinstance(value, Mapping | list) else None  # type: ignore[index]
    if not _SAFE_KEY.match(key) or value is None:
        return Explained(path, "an unknown key", allowed, at_key=True)
    return Explained(
        path, f'unknown key "{key}".{did_you_mean(key, known)}', allowed, at_key=True
    )


def _wrong_variant(path: KeyPath, annotation: Any, data: object) -> Explained:
    tags = [
        member.__metadata__[-1].tag.removeprefix("@") for member in _members(annotation)
    ]
    key = "method" if path[-1] == "auth" else "kind"
    value = data
    for part in path:
        value = value[part]  # type: ignore[index]
    if not isinstance(value, Mapping):
        return Explained(
            path, "must be a mapping", f"Begin with {key}: one of {one_of(tags)}."
        )
    if value.get(key) is None:
        return Explained(path, f"`{key}` is missing; one of {one_of(tags)}")
    guess = did_you_mean(str(value[key]), tags)
    return Explained(
        (*path, key),
        f"must be one of {one_of(tags)}.{guess}"
        if guess
        else f"must be one of {one_of(tags)}",
    )


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the variants of a tagged union."""
    while hasattr(annotation, "__metadata__") and not hasattr(
        annotation.__metadata__[-1], "tag"
    ):
        annotation = annotation.__origin__
    yield from get_args(annotation)


def _annotation(model: type[Section], loc: tuple[str | int, ...]) -> Any:
    """Return the type at a location: walk down the models as pydantic did."""
    current: Any = model
    for part in loc:
        bare = _bare(current)
        if isinstance(part, str) and part.startswith("@"):
            current = next(
                m for m in _members(current) if m.__metadata__[-1].tag == part
            )
        elif isinstance(bare, type) and issubclass(bare, Section):
            field = bare.model_fields.get(str(part))
            current = field.annotation if field is not None else None
        else:
            arguments = get_args(bare)
            current = arguments[-1] if arguments else None
    return current


def _bare(annotation: Any) -> Any:
    """Strip what stands around a type: Annotated, and the None of an optional one."""
    while True:
        if hasattr(annotation, "__metadata__"):
            annotation = annotation.__origin__
            continue
        arguments = [
            argument for argument in get_args(annotation) if argument is not type(None)
        ]
        if len(arguments) == 1 and type(None) in get_args(annotation):
            annotation = arguments[0]
            continue
        return annotation


def _keys(annotation: Any) -> list[str]:
    """Return the keys that a section allows."""
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, Section):
        return list(bare.model_fields)
    return []
