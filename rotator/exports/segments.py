"""Sealed segments: a file of audit records, one JSON object a line, and a last line with the seal. It removes nothing.

A segment appears whole or not at all and never replaces another file. The seal has the digest of the lines before it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from rotator.chain import Record
from rotator.errors import Refused
from rotator.exports.documents import plain
from rotator.seals import Seal, seal_of


def write_segment(path: Path, records: Iterable[Record], seal: Callable[[str], Seal]) -> Seal:
    """Write the records and their seal; when this returns, file and folder are on the disk.

    seal: makes it, told the SHA-256 of the lines. Raises Refused when the file exists or cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        digest = hashlib.sha256()
        with open(handle, "wb") as file:
            for record in records:
                line = plain(record).encode() + b"\n"
                digest.update(line)
                file.write(line)
            sealed = seal(digest.hexdigest())
            file.write(json.dumps({"seal": asdict(sealed)}, sort_keys=True, separators=(",", ":")).encode() + b"\n")
            file.flush()
            os.fsync(handle)
        os.link(name, path)  # unlike a rename it never replaces
        _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        Path(name).unlink(missing_ok=True)
    return sealed


class Segment:
    """A segment that is read once, line by line. After the last record `seal` and `digest` are known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seal: Seal | None = None
        self.digest = ""

    def records(self) -> Iterator[Record]:
        """Yield its records. Raises Refused for what is no segment."""
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                for line in file:
                    found = json.loads(line)
                    if not isinstance(found, dict) or self.seal is not None:
                        raise _no_segment(self.path, "has a line where none belongs")
                    if found.keys() == {"seal"}:
                        self.seal = seal_of(found["seal"])
                    else:
                        digest.update(line)
                        yield found
        except OSError as error:
            raise _no_segment(self.path, f"cannot be read: {error.strerror}") from None
        except ValueError:
            raise _no_segment(self.path, "has a line that is no record") from None
        self.digest = digest.hexdigest()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _no_segment(path: Path, what: str) -> Refused:
    return Refused(
        f"{path} {what}.", hint="A segment is what `rotator audit prune --out FILE` writes.", code="segment_unreadable"
    )


def _unwritable(path: Path, error: OSError) -> Refused:
    return Refused(
        f"{path} cannot be written: {error.strerror}. Nothing was removed.",
        hint="Name a file that does not exist yet, in a folder that this user may write to: --out FILE",
        code="file_unwritable",
    )
