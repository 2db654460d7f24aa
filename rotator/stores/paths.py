"""The grammar of document paths, the same for every store; it normalises nothing, it only says yes or no.

A path that a client library or a proxy would rewrite (`a//b`, `a/../c`, `%2e`) could leave the area it was meant for,
so such a path is refused before anything is sent.
"""

from __future__ import annotations

import re

from rotator.errors import Misconfigured

_PATH = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_LONGEST = 512


def checked(path: str) -> str:
    """Return `path` when it is a document path, else raise Misconfigured. At most 512 characters."""
    if len(path) > _LONGEST or not _PATH.fullmatch(path) or any(part in (".", "..") for part in path.split("/")):
        raise Misconfigured(
            f"{path[:80]!r} is not a path of the store",
            hint="Use names of letters, digits, dot, dash and underscore, joined by single slashes, without . and ...",
            code="bad_store_path",
        )
    return path
