"""The files of one configuration and the credentials in them, each with its place; it judges only readability."""

from __future__ import annotations

import codecs
import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rotator.app.config.faults import Fault, key_path
from rotator.app.config.schema import Credential, PolicySection, ProviderPlace, StorePlace
from rotator.app.config.verifying import Verify
from rotator.app.config.yaml import KeyPath, Spot, locate, parse

MAX_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read. path: as it was named, for messages. base: its folder, absolute. data: what it says."""

    path: Path
    base: Path
    content: bytes = field(repr=False)
    text: str = field(repr=False)
    data: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pending:
    """A fault whose line is not looked up yet. path: in the file. at_key: its last key is wrong, not what it holds."""

    source: Source
    path: KeyPath
    message: str
    hint: str = ""
    at_key: bool = False


@dataclass(frozen=True, slots=True)
class Sound:
    """The sections of a credential, without what does not fit the grammar; None for one of which nothing is left.

    wrong: what was left out; of a value that stands there nothing is known, also not that it is the default.
    """

    provider: ProviderPlace | None = None
    store: StorePlace | None = None
    verify: Verify | None = None
    policy: PolicySection | None = None
    wrong: frozenset[KeyPath] = frozenset()

    def knows(self, *paths: KeyPath) -> bool:
        """Say whether all of these values are known, be it as the default."""
        return not any(
            path[: len(wrong)] == wrong or wrong[: len(path)] == path for path in paths for wrong in self.wrong
        )


NOTHING: Final = Sound()


@dataclass(slots=True)
class Entry:
    """A credential as the files say it: its own words, and those with the defaults laid under them.

    model: None when it does not fit the grammar; then `sound` has what does, so that faults between such values are
    found in the same run.
    """

    source: Source
    index: int
    main: Source
    own: Any = field(repr=False)
    merged: dict[str, Any] = field(repr=False)
    model: Credential | None = field(default=None, repr=False)
    sound: Sound = field(default=NOTHING, repr=False)

    @property
    def label(self) -> str:
        """Return how messages name this place: file and path."""
        return f"{self.source.path}: credentials[{self.index}]"

    def says(self, path: KeyPath) -> bool:
        """Say whether the credential itself has a value there."""
        return _has(self.own, path)

    def inherits(self, path: KeyPath) -> bool:
        """Say whether the defaults have a value there."""
        return _has(self.main.data.get("defaults"), path)

    def fault(self, path: KeyPath, message: str, hint: str = "", *, at_key: bool = False) -> Pending:
        """Return a fault at a path of this credential, placed in the defaults when its value comes from there."""
        if path and not self.says(path) and self.inherits(path):
            return Pending(self.main, ("defaults", *path), message, hint, at_key)
        return Pending(self.source, ("credentials", self.index, *path), message, hint, at_key)


def _has(data: object, path: KeyPath) -> bool:
    for part in path:
        if not isinstance(data, Mapping | list):
            return False
        try:
            data = data[part]  # type: ignore[index]
        except (LookupError, TypeError):
            return False
    return True


def read(path: Path) -> tuple[Source | None, list[Fault]]:
    """Read and parse one file; None when it holds nothing that could be looked at further."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return None, [Fault(path, 0, 0, "", *_unreadable(error))]
    if len(content) > MAX_BYTES:
        return None, [Fault(path, 0, 0, "", "larger than 64 MiB", "Split it with `include`.")]
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return None, [Fault(path, line, column, "", "not UTF-8", "Save the file in UTF-8.")]
    parsed = parse(text)
    base = Path(os.path.abspath(path)).parent
    faults = [
        Fault(path, fault.line, fault.column, key_path(fault.path), fault.message, fault.hint)
        for fault in parsed.faults
    ]
    return Source(path, base, content, text, parsed.data), faults


def _unreadable(error: OSError | ValueError) -> tuple[str, str]:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return ("there is no such file", "Name it with --config, or see `rotator sandbox` for one to begin with.")
        case IsADirectoryError():
            return "a folder, not a file", "Name the file in it."
        case PermissionError():
            return ("this user may not read it", "Run as the user of the service, or grant it the right to read.")
        case OSError():
            return f"cannot be read: {error.strerror}", "Look at the file system."
        case _:
            return "not a path", "Name a file."


def included(main: Source, patterns: Sequence[object]) -> tuple[list[Path], list[Pending]]:
    """Return the files that `include` names, each once, in the order of the patterns and then of their names."""
    paths: dict[str, Path] = {}
    faults: list[Pending] = []
    own = os.path.realpath(main.path)
    folder = glob.escape(os.path.dirname(main.path))
    for index, pattern in enumerate(patterns):
        if not isinstance(pattern, str) or not pattern:
            continue  # the grammar has said so
        wild = glob.has_magic(pattern)
        found = sorted(glob.glob(os.path.join(folder, pattern), recursive=True))
        if not found and not wild:
            faults.append(Pending(main, ("include", index), "there is no such file"))
        for path in found:
            if os.path.realpath(path) == own:
                faults.append(Pending(main, ("include", index), "includes this file itself"))
            else:
                paths.setdefault(os.path.realpath(path), Path(path))
    return list(paths.values()), faults


def entries(main: Source, sources: Iterable[Source]) -> Iterator[Entry]:
    """Yield every credential of all files, with the defaults of the main file laid under it."""
    defaults = _defaults(main)
    for source in sources:
        listed = source.data.get("credentials") if isinstance(source.data, dict) else None
        for index, own in enumerate(listed if isinstance(listed, list) else ()):
            merged = laid_under(defaults, _said(own)) if isinstance(own, dict) else {}
            yield Entry(source, index, main, own, merged)


def _said(own: dict[str, Any]) -> dict[str, Any]:
    """Take a section of which every line is commented out as not said, so that the defaults hold."""
    return {key: value for key, value in own.items() if value is not None or key not in ("policy", "verify", "store")}


def laid_under(default: Any, own: Any) -> Any:
    """Merge mappings key by key, all the way down; anything else is replaced, also by null."""
    if not isinstance(default, dict) or not isinstance(own, dict):
        return own
    return {
        **default,
        **{key: laid_under(default[key], value) if key in default else value for key, value in own.items()},
    }


def without(data: Any, paths: Iterable[KeyPath]) -> Any:
    """Return a copy of plain data that lacks what stands at these paths."""
    by_key: dict[str | int, list[KeyPath]] = {}
    for path in paths:
        by_key.setdefault(path[0], []).append(path[1:])
    if not isinstance(data, dict):
        return data
    return {
        key: without(value, [path for path in by_key.get(key, ()) if path])
        for key, value in data.items()
        if () not in by_key.get(key, ())
    }


def _defaults(main: Source) -> dict[str, Any]:
    """Return the defaults, with every section there and paths relative to the file that says them."""
    said = main.data.get("defaults") or {}
    sections = {key: said.get(key) or {} for key in ("policy", "verify", "store")} if isinstance(said, dict) else {}
    sections = {key: section if isinstance(section, dict) else {} for key, section in sections.items()}
    verify = sections.get("verify", {})
    ca_file = verify.get("ca_file")
    if isinstance(ca_file, str) and ca_file and not ca_file.startswith("~"):
        sections["verify"] = {**verify, "ca_file": str(main.base / ca_file)}
    if not sections.get("store"):
        sections.pop("store", None)  # so that a credential without a store is told so, and not about keys of it
    # What is said nowhere is checked as an empty section, so that pydantic builds one validator and not one a section.
    return {"policy": {}, **sections, "verify": {"expect": {}, **sections.get("verify", {})}}


def placed(pending: Iterable[Pending]) -> list[Fault]:
    """Look up lines and columns, once per file, and return each fault once."""
    by_source: dict[int, list[Pending]] = {}
    for fault in pending:
        by_source.setdefault(id(fault.source), []).append(fault)
    faults: dict[Fault, None] = {}
    for group in by_source.values():
        source = group[0].source
        spots = locate(source.text, {fault.path for fault in group})
        for fault in group:
            line, column = _position(spots, fault)
            shown = fault.path[:-1] if fault.at_key else fault.path
            faults[Fault(source.path, line, column, key_path(shown), fault.message, fault.hint)] = None
    return list(faults)


def _position(spots: Mapping[KeyPath, Spot], fault: Pending) -> tuple[int, int]:
    for length in range(len(fault.path), -1, -1):
        spot = spots.get(fault.path[:length])
        if spot is not None:
            exact = length == len(fault.path)
            return spot.key if fault.at_key and exact and spot.key else (spot.line, spot.column)
    return 1, 1
