"""The install id of each staging area: made once, kept there, and so shared by all states that work on it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Final

from rotator.errors import WriteConflict
from rotator.ports import Documents
from rotator.secret import Fields

INSTALL: Final = "_install"
"""Where the staging area keeps it; no credential can be called so."""


class Installs:
    """What is known of the staging areas, by the names of their stores. Safe for use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._asking: dict[str, threading.Lock] = {}

    def of(self, name: str, staging: Callable[[], Documents], *, may_make: bool) -> str:
        """Return the id of one staging area; empty where there is none and none may be made."""
        with self._lock:
            one_at_a_time = self._asking.setdefault(name, threading.Lock())
        with one_at_a_time:  # another store is not waited for
            found = self._known.get(name) or _find(staging(), may_make=may_make)
            if found:
                self._known[name] = found
            return found


def _find(staging: Documents, *, may_make: bool) -> str:
    snapshot = staging.read(INSTALL)
    found = snapshot.fields.text("id") if snapshot.fields is not None else None
    if found is not None or not may_make:
        return found or ""
    try:
        made = secrets.token_hex(8)
        staging.write(INSTALL, Fields({"id": made}), snapshot.version)
    except WriteConflict:
        theirs = staging.read(INSTALL).fields
        return (theirs.text("id") if theirs is not None else None) or ""
    return made
