"""A store in memory for simulations, with the semantics of KV version 2; it survives nothing and injects no faults.

Beside the port it offers what a person with a console can do (`put`, `delete_latest`) and the `truth` that an oracle
needs: every version that was ever written, those included that the port no longer shows.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rotator.clock import Clock
from rotator.errors import Refused, WriteConflict
from rotator.finding import Finding, Severity
from rotator.ports import Snapshot
from rotator.secret import Fields
from rotator.stores.paths import checked


@dataclass(frozen=True, slots=True)
class Written:
    """One write that took effect, in the order of all writes of its area."""

    path: str
    version: int
    fields: Fields
    at: datetime


@dataclass(slots=True)
class _Document:
    latest: int = 0
    versions: dict[int, Fields | None] = field(default_factory=dict)  # None: deleted
    times: dict[int, datetime] = field(default_factory=dict)


class MemoryDocuments:
    """One area. clock: the store's own, which its Date and its times of writing follow."""

    def __init__(self, clock: Clock, kept: int) -> None:
        self._clock = clock
        self._kept = kept
        self._lock = threading.Lock()
        self._documents: dict[str, _Document] = {}
        self._writes = 0
        self._strange: set[tuple[str, int]] = set()
        self.truth: list[Written] = []

    def read(self, path: str, version: int | None = None) -> Snapshot:
        """Return the latest version, or a given one."""
        checked(path)
        with self._lock:
            document = self._documents.get(path, _Document())
            asked = document.latest if version is None else max(version, 0)
            if (path, asked) in self._strange:
                raise Refused(f"{path} holds a number.", hint="Store texts.", code="not_text")
            return Snapshot(asked, document.versions.get(asked), document.times.get(asked), self._clock.now())

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        """Write the next version, if the document is at version `expected`."""
        checked(path)
        with self._lock:
            document = self._documents.get(path, _Document())
            if document.latest != expected:
                if document.versions.get(expected + 1) == fields:
                    at = document.times[expected + 1]
                    return Snapshot(expected + 1, fields, at, self._clock.now(), self._request_id())
                raise WriteConflict(
                    f"{path} is at version {document.latest}, not at {expected}", hint="Look at what was written."
                )
            return self._append(path, fields)

    def history(self, path: str) -> tuple[int, ...]:
        """Return the numbers of the versions that can still be read, oldest first."""
        checked(path)
        with self._lock:
            versions = self._documents.get(path, _Document()).versions
            return tuple(sorted(number for number, fields in versions.items() if fields is not None))

    def erase_before(self, path: str, version: int) -> None:
        """Drop every version older than `version`."""
        checked(path)
        with self._lock:
            versions = self._documents.get(path, _Document()).versions
            for number in [number for number in versions if number < version]:
                del versions[number]

    # ------------------------------------------------------------------------------------------- what a person can do

    def put(self, path: str, fields: Fields) -> Snapshot:
        """Write without a check, as somebody who edits the document by hand."""
        with self._lock:
            return self._append(checked(path), fields)

    def put_strange(self, path: str) -> None:
        """Write a version that holds anything but texts: it is refused to whoever reads it."""
        with self._lock:
            self._strange.add((path, self._append(checked(path), Fields({})).version))

    def delete_latest(self, path: str) -> None:
        """Delete the latest version; its number stays."""
        with self._lock:
            document = self._documents[path]
            document.versions[document.latest] = None

    def delete_all(self, path: str) -> None:
        """Delete the document with its numbers: the next version is 1 again."""
        with self._lock:
            self._documents.pop(path, None)

    def paths(self) -> tuple[str, ...]:
        """Return the paths of all documents that exist."""
        with self._lock:
            return tuple(sorted(self._documents))

    def _append(self, path: str, fields: Fields) -> Snapshot:
        document = self._documents.setdefault(path, _Document())
        now = self._clock.now()
        document.latest += 1
        document.versions[document.latest] = fields
        document.times[document.latest] = now
        for number in sorted(document.versions)[: -self._kept]:
            del document.versions[number]
        self.truth.append(Written(path, document.latest, fields, now))
        return Snapshot(document.latest, fields, now, now, self._request_id())

    def _request_id(self) -> str:
        self._writes += 1
        return f"memory-{self._writes}"


class MemoryStore:
    """A consumers' area and a staging area with one clock. kept: how many versions a consumer document keeps."""

    consumers: MemoryDocuments
    staging: MemoryDocuments

    def __init__(self, clock: Clock, kept: int = 10) -> None:
        self.clock = clock
        self.consumers = MemoryDocuments(clock, kept)
        self.staging = MemoryDocuments(clock, 1)
        self.closed = False

    def check(self, paths: Sequence[str]) -> Sequence[Finding]:
        """Find nothing wrong."""
        for path in paths:
            checked(path)
        return [Finding("memory", "store", Severity.OK, "in memory")]

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
