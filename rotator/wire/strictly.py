"""Reads JSON that a stranger wrote: bounded in depth, no key twice, no NaN; raises one error for all that is wrong."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 32


class NotJson(ValueError):
    """The text is not JSON as we accept it; the message never repeats it."""


def read_json(text: bytes) -> Any:
    """Return what UTF-8 JSON says. Raises NotJson; a key that stands twice would mean two things to two readers."""
    try:
        content = text.decode("utf-8")
        _measure(content)
        return json.loads(content, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):  # ValueError: JSON, UTF-8, and numbers of more than 4,300 digits
        raise NotJson("not JSON as it is accepted here") from None


def read_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises NotJson for anything else."""
    value = read_json(text)
    if not isinstance(value, dict):
        raise NotJson("not a JSON object")
    return value


def _measure(content: str) -> None:
    """Refuse deep nesting before the parser recurses into it."""
    depth, in_text, escaped = 0, False, False
    for character in content:
        if in_text:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_text = False
        elif character == '"':
            in_text = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise NotJson("nested too deeply")
        elif character in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise NotJson("a key stands twice")
    return result


def _refuse(constant: str) -> NoReturn:
    raise NotJson("NaN and infinity are no JSON")
