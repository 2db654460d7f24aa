"""`rotator read`: gives one field of the current version to a consumer; the reading is recorded before the value leaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rotator.app.house import House
from rotator.app.results import Item


@dataclass(frozen=True, slots=True)
class ToFile:
    """A file to be replaced atomically. mode, group: for a new file; an existing one keeps its own unless they are given."""

    path: Path
    mode: int | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class ToStream:
    """Standard output, which the caller has seen to be no terminal."""

    stream: BinaryIO


@dataclass(frozen=True, slots=True)
class Read:
    """items: empty, there is nothing to print. version: of the document that was read. changed: whether the file was."""

    items: tuple[Item, ...]
    version: int
    changed: bool
    exit_status: int = 0


def read(house: House, name: str, field: str, target: ToFile | ToStream) -> Read:
    """Write one field of a credential's consumer document. Raises UsageFault (2), Refused when there is no such field."""
    raise NotImplementedError
