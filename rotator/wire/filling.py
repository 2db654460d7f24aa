"""Puts values into the places that a description names in braces, and takes values out by JSON pointers. No language.

`{name}` is a place; other braces are text. A JSON text that is nothing but `{lifetime_seconds}` becomes a number, since
issuers want one; every other place is filled with text. Pointers are those of RFC 6901.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

PLACE: Final = re.compile(r"\{([a-z][a-z0-9_]{0,40})\}", re.ASCII)

_NUMBERS: Final = frozenset({"lifetime_seconds"})

Pointer = tuple[str, ...]


def places(template: Any) -> frozenset[str]:
    """Return the names of all places in a text, or in the texts of JSON data."""
    return frozenset(name for text in _texts(template) for name in PLACE.findall(text))


def alone(template: Any) -> frozenset[str]:
    """Return the names of the places that are all of a text in JSON data, so that it arrives as it is."""
    wholes = (PLACE.fullmatch(text) for text in _texts(template))
    return frozenset(whole[1] for whole in wholes if whole is not None)


def unquoted(template: Any) -> Iterator[str]:
    """Yield the names of places that lack their quotes: YAML takes `{tag}` for a mapping with the key `tag`."""
    if isinstance(template, Mapping):
        bare = [str(key) for key, value in template.items() if value is None] if len(template) == 1 else []
        yield from (name for name in bare if PLACE.fullmatch(f"{{{name}}}"))
        template = list(template.values())
    if isinstance(template, Sequence) and not isinstance(template, str):
        for value in template:
            yield from unquoted(value)


def _texts(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping):
        for key, value in template.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(template, Sequence):
        for value in template:
            yield from _texts(value)


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """Return JSON data with every place filled. Raises KeyError for a place without a value."""
    if isinstance(template, str):
        whole = PLACE.fullmatch(template)
        if whole is not None and whole[1] in _NUMBERS:
            return int(values[whole[1]])
        return PLACE.sub(lambda match: values[match[1]], template)
    if isinstance(template, Mapping):
        return {filled(str(key), values): filled(value, values) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [filled(value, values) for value in template]
    return template


def filled_path(template: str, values: Mapping[str, str]) -> str:
    """Return a path with every place filled and encoded, so that no value becomes another path. Raises KeyError."""
    return PLACE.sub(lambda match: quote(values[match[1]], safe=""), template)


def pointer(text: str) -> Pointer:
    """Return the parts of a JSON pointer. Raises ValueError for what is none."""
    if text == "":
        return ()
    if not text.startswith("/") or re.search(r"~(?![01])", text):
        raise ValueError
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def at(document: Any, where: Pointer) -> Any:
    """Return what a pointer leads to; None where there is nothing."""
    for part in where:
        if isinstance(document, Mapping):
            document = document.get(part)
        elif isinstance(document, list) and part.isascii() and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        else:
            return None
    return document


def text_at(document: Any, where: Pointer | None) -> str | None:
    """Return a text or a whole number as text; None where there is neither."""
    found = at(document, where) if where is not None else None
    if isinstance(found, str):
        return found
    return str(found) if isinstance(found, int) and not isinstance(found, bool) else None
