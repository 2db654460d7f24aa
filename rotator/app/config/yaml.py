"""Reads YAML the way version 1.2 means it, and says where things stand; it knows nothing of what the keys mean.

PyYAML follows YAML 1.1: `no` is False there, `02:00` is 120, a date becomes an object, and the last of two equal keys
wins in silence. So scalars are read here by the core schema of YAML 1.2.2 (section 10.3.2), equal keys are a fault, and
tags and merge keys are refused. Values are built from the events of libyaml, which is some ten times faster than
PyYAML's own constructors and keeps no marks. `locate` reads a second time, when there is a fault to point at.

No text of the file is ever part of a message, because what stands in the wrong place may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

MAX_DEPTH: Final = 32
MAX_NODES: Final = 4_000_000

KeyPath = tuple[str | int, ...]

_WORDS: Final[dict[str, object]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_DECIMAL = re.compile(r"[-+]?[0-9]{1,1000}\Z")
_OCTAL = re.compile(r"0o[0-7]{1,20}\Z")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,15}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_STR_TAG = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Spot:
    """Where something stands; line and column count from 1. key: where the key in front of it stands, if it has one."""

    line: int
    column: int
    key: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class YamlFault:
    """Something that YAML allows and we do not, or that is not YAML at all."""

    line: int
    column: int
    path: KeyPath
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a text says. data: None when it could not be read to its end."""

    data: Any
    faults: tuple[YamlFault, ...]


def parse(text: str) -> Parsed:
    """Read one document. Never raises for what the text holds: everything wrong is in `faults`."""
    builder = _Builder(text, frozenset())
    try:
        data = builder.document()
    except _Unreadable as unreadable:
        return Parsed(None, (*builder.faults, unreadable.fault))
    return Parsed(data, tuple(builder.faults))


def locate(text: str, wanted: Collection[KeyPath]) -> dict[KeyPath, Spot]:
    """Return where the values at these paths stand, and those of all their parents, as far as the text has them."""
    paths = {path[:length] for path in wanted for length in range(len(path) + 1)}
    builder = _Builder(text, paths)
    with suppress(_Unreadable):  # `parse` has reported it; what was found before it is still right
        builder.document()
    return builder.spots


def find_text(text: str, scalar: str) -> Spot | None:
    """Return where this scalar stands for the first time, or None."""
    found: list[Spot] = []

    def look(event: Any) -> None:
        if event.value == scalar and not found:
            found.append(Spot(event.start_mark.line + 1, event.start_mark.column + 1))

    builder = _Builder(text, frozenset(), look)
    with suppress(_Unreadable):  # as in `locate`
        builder.document()
    return found[0] if found else None


class _Unreadable(Exception):
    """Reading cannot go on after this fault."""

    def __init__(self, fault: YamlFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class _Builder:
    """Turns events into plain values. Nesting and size are limited, so hostile text costs no more than large text."""

    def __init__(self, text: str, wanted: Collection[KeyPath], look: Callable[[Any], None] | None = None) -> None:
        self._text = text
        self._wanted = wanted
        self._look = look
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0
        self._path: list[str | int] = []
        self.faults: list[YamlFault] = []
        self.spots: dict[KeyPath, Spot] = {}
        self._next: Callable[[], Any] = _parser(text).get_event

    def document(self) -> Any:
        """Return the value of the one document, None when there is none."""
        try:
            self._next()
            event = self._next()
            if isinstance(event, StreamEndEvent):
                return None
            data = self._node(self._next())
            while not isinstance(event, DocumentEndEvent):
                event = self._next()
            event = self._next()
        except yaml.YAMLError as error:
            raise _Unreadable(self._unreadable(error)) from None
        if isinstance(event, DocumentStartEvent):
            self._fault(event, "a second document begins here", "Keep one document in a file.")
        return data

    def _node(self, event: Any, key: tuple[int, int] | None = None) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES:,} values", "Split the file with `include`.")
        if self._wanted and tuple(self._path) in self._wanted:
            mark = event.start_mark
            self.spots[tuple(self._path)] = Spot(mark.line + 1, mark.column + 1, key)
        if isinstance(event, AliasEvent):
            return self._alias(event)
        before = self._nodes
        if isinstance(event, ScalarEvent):
            value = self._scalar(event)
        else:
            if len(self._path) >= MAX_DEPTH:
                self._stop(event, f"nested deeper than {MAX_DEPTH} levels", "")
            if event.tag is not None and event.tag != "!":
                self._fault(event, "a tag (!) has no meaning here", "Leave it out.")
            value = self._mapping() if isinstance(event, MappingStartEvent) else self._sequence()
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._nodes - before + 1)
        return value

    def _alias(self, event: Any) -> Any:
        known = self._anchors.get(event.anchor)
        if known is None:
            hint = "An anchor stands before its aliases. Text that begins with * needs quotes."
            self._fault(event, "an alias (*) to an anchor that does not exist", hint)
            return None
        value, size = known
        self._nodes += size  # what an alias stands for is walked again by everybody who reads the value
        if self._nodes > MAX_NODES:
            self._stop(event, f"aliases that unfold to more than {MAX_NODES:,} values", "")
        return value

    def _mapping(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first: dict[str, int] = {}
        path = self._path
        while not isinstance(event := self._next(), MappingEndEvent):
            mark = event.start_mark
            if not isinstance(event, ScalarEvent):
                self._fault(event, "a key must be plain text", "Put it in quotes if it begins with one of * & [ {.")
                if not isinstance(event, AliasEvent):
                    self._skip()
                self._node(self._next())
                continue
            name = event.value
            path.append(name)
            try:
                if name == "<<" and event.implicit[0]:
                    hint = "Say what credentials share under `defaults`."
                    path.pop()
                    self._fault(event, "merge keys (<<) are not part of YAML 1.2", hint)
                    path.append(name)
                    self._node(self._next())
                elif name in first:
                    self._fault(event, f"stands here a second time, after line {first[name]}", "Keep one of the two.")
                    self._aside(self._next())
                else:
                    first[name] = mark.line + 1
                    result[name] = self._node(self._next(), (mark.line + 1, mark.column + 1))
            finally:
                path.pop()
        return result

    def _aside(self, event: Any) -> None:
        """Read a value that does not count, without overwriting where the one that counts stands."""
        wanted, self._wanted = self._wanted, frozenset()
        self._node(event)
        self._wanted = wanted

    def _sequence(self) -> list[Any]:
        result: list[Any] = []
        path = self._path
        while not isinstance(event := self._next(), SequenceEndEvent):
            path.append(len(result))
            result.append(self._node(event))
            path.pop()
        return result

    def _skip(self) -> None:
        """Pass over the rest of a collection whose start was just read."""
        depth = 1
        while depth:
            event = self._next()
            if isinstance(event, MappingStartEvent | SequenceStartEvent):
                depth += 1
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                depth -= 1

    def _scalar(self, event: ScalarEvent) -> Any:
        if self._look is not None:
            self._look(event)
        value: str = event.value
        if event.tag is not None or not event.implicit[0]:
            if event.tag not in (None, "!", _STR_TAG):
                self._fault(event, "a tag (!) has no meaning here", "Text that begins with ! needs quotes.")
            return value
        if value in _WORDS:
            return _WORDS[value]
        return _number(value) if value[0] in "+-.0123456789" else value

    def _fault(self, event: Any, message: str, hint: str) -> None:
        mark = event.start_mark
        self.faults.append(YamlFault(mark.line + 1, mark.column + 1, tuple(self._path), message, hint))

    def _stop(self, event: Any, message: str, hint: str) -> None:
        mark = event.start_mark
        raise _Unreadable(YamlFault(mark.line + 1, mark.column + 1, (), message, hint))

    def _unreadable(self, error: yaml.YAMLError) -> YamlFault:
        if isinstance(error, yaml.reader.ReaderError):
            before = self._text.encode("utf-8", "surrogatepass")[: error.position].decode("utf-8", "replace")
            line, column = (before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
            return YamlFault(line, column, (), "a character that YAML does not allow", "Remove it.")
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        if line > (last := self._text.count("\n") + 1):  # libyaml puts the end of the stream on a line of its own
            line, column = last, len(self._text) - self._text.rfind("\n")
        message, hint = _in_plain_words(getattr(error, "problem", None) or "")
        return YamlFault(line, column, (), message, hint)


def _parser(text: str) -> Any:
    """Return the parser of libyaml, or PyYAML's own where it was built without it; the events are the same."""
    if yaml.__with_libyaml__:
        from yaml import cyaml

        return cyaml.CParser(text)  # type: ignore[attr-defined]  # the stubs leave it out
    return yaml.SafeLoader(text)


def _number(value: str) -> Any:
    if _DECIMAL.match(value):
        return int(value)
    if _OCTAL.match(value):
        return int(value, 0)
    if _HEXADECIMAL.match(value):
        return int(value, 0)
    if _SPECIAL.match(value):
        return float(value.replace(".", ""))
    return float(value) if _FLOAT.match(value) else value


_PROBLEMS: Final = (
    (
        "mapping values are not allowed",
        "a colon where none may stand",
        "Text that holds a colon and a space needs quotes.",
    ),
    (
        "cannot start any token",
        "a character that cannot begin a value",
        "Indent with spaces, not tabs; text that begins with @ ` or % needs quotes.",
    ),
    ("unexpected end of stream", "the file ends inside a quoted text", "A closing quote is missing."),
    ("expected ',' or ']'", "a list in brackets is not closed before this", "Look for a missing ] or comma."),
    ("expected ',' or '}'", "a mapping in braces is not closed before this", "Look for a missing } or comma."),
    ("did not find expected '-' indicator", "not part of the list above it", "Look at the indentation."),
    ("did not find expected key", "not a key of the mapping above it", "Look at the indentation."),
    ("could not find expected ':'", "a colon is missing", "A key is followed by a colon and a space."),
    ("unknown escape character", "an unknown escape in a quoted text", "Use 'single quotes', or double the backslash."),
    ("maximum nesting depth", f"nested deeper than {MAX_DEPTH} levels", ""),
)


def _in_plain_words(problem: str) -> tuple[str, str]:
    for found, message, hint in _PROBLEMS:
        if found in problem:
            return f"not valid YAML: {message}", hint
    # libyaml's own words quote no text of the file, but PyYAML's pure parser quotes characters: say no more than where.
    return ("not valid YAML from here on", "Look at quotes, brackets and indentation just before this place.")
