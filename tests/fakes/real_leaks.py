"""Looks for secrets in whatever a program left behind, in every form in which a careless line would show one.

It knows the values; it does not know where they may be. That is for the caller to say.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

PART = 16
"""So many characters of the beginning or the end of a value are a leak already."""

PATTERNS = {
    "a Vault token": re.compile(rb"hv[sb]\.[A-Za-z0-9_-]{20,}"),
    "a JWT": re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\."),
}
"""What nobody told us the value of, and what gives itself away by its form."""

Haystack = tuple[str, bytes]


def forms(value: str, client_id: str = "") -> dict[str, bytes]:
    """Return the value as logs, URLs, headers, JSON and dumps would show it. value: ASCII, 16 characters at least."""
    raw = value.encode("ascii")
    basic = f"{client_id}:{value}"
    quoted_basic = f"{quote(client_id, safe='')}:{quote(value, safe='')}"
    found = {
        "raw": raw,
        "beginning": raw[:PART],
        "end": raw[-PART:],
        "reversed": raw[::-1],
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "hex, spaced": raw.hex(" ").encode(),
        "percent-encoded": quote(value, safe="").encode(),
        "percent-encoded, every character": "".join(f"%{byte:02X}" for byte in raw).encode(),
        "JSON": json.dumps(value)[1:-1].encode(),
        "JSON, every character": "".join(f"\\u{byte:04x}" for byte in raw).encode(),
        "repr of bytes": repr(raw)[2:-1].encode(),
        "UTF-16": value.encode("utf-16-le"),
        "basic": base64.b64encode(basic.encode()),
        "basic, quoted": base64.b64encode(quoted_basic.encode()),
    }
    for offset in range(3):
        found[f"base64, {offset} before"] = _base64(raw, offset)
        found[f"base64url, {offset} before"] = _base64(raw, offset).translate(bytes.maketrans(b"+/", b"-_"))
    return found


def _base64(raw: bytes, offset: int) -> bytes:
    """Return the part of its base64 that is the same whatever stands before and after it."""
    encoded = base64.b64encode(b"\0" * offset + raw)
    start, whole = (0, 2, 3)[offset], (offset + len(raw)) // 3 * 4
    return encoded[start:whole]


class Search:
    """A search for some values. values: name to value."""

    def __init__(self, values: Mapping[str, str], client_id: str = "") -> None:
        self._needles = [
            (name, form, needle) for name, value in values.items() for form, needle in forms(value, client_id).items()
        ]

    def in_(self, haystacks: Iterable[Haystack]) -> set[str]:
        """Return where what was found, in which form; never the value."""
        found = set()
        for where, content in haystacks:
            found |= {f"{name} ({form}) in {where}" for name, form, needle in self._needles if needle in content}
            found |= {f"{name} in {where}" for name, pattern in PATTERNS.items() if pattern.search(content)}
        return found


def files(folder: Path, without: Iterable[str] = ()) -> Iterator[Haystack]:
    """Yield every file below a folder but those with these names. One that vanishes meanwhile is left out."""
    for path in sorted(folder.rglob("*")):
        if path.name not in without and path.is_file():
            with contextlib.suppress(OSError):
                yield str(path.relative_to(folder)), path.read_bytes()


def process(pid: int) -> Iterator[Haystack]:
    """Yield what every user, or every child, can see of a process and of its children."""
    pids = [pid]
    for one in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
            for name in ("cmdline", "environ", "comm"):
                yield f"/proc/{one}/{name}", Path(f"/proc/{one}/{name}").read_bytes()


class Watch:
    """Looks again and again while something runs. A context manager. looks: how often it did."""

    def __init__(self, pid: int, folder: Path, without: Iterable[str]) -> None:
        self._pid, self._folder, self._without = pid, folder, tuple(without)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch")
        self.seen: dict[Haystack, None] = {}
        self.looks = 0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.is_set():
            self.seen |= dict.fromkeys((*process(self._pid), *files(self._folder, self._without)))
            self.looks += 1
            self._over.wait(0.005)
