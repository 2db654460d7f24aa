"""Frames between a command and the daemon: one JSON object a line, limited in length. No `Secret` fits into one.

What a use case answers is a frozen dataclass of texts, numbers and our own errors; `pack` writes it and `unpack` makes
the same again. Only the classes named here travel: whatever else is met is refused, a `Secret` first of all.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final

from rotator import errors
from rotator.app.auditing import Records
from rotator.app.checking import Checked
from rotator.app.judging import Orphaned, Verified
from rotator.app.keeping import Ended, Kept
from rotator.app.planning import Planned
from rotator.app.pruning import Pruned
from rotator.app.results import Remark, Rotated, Trouble
from rotator.app.usage import UsageFault
from rotator.app.watching import Told, Watched
from rotator.errors import Broken, RotatorError, Transient
from rotator.finding import Finding, Severity
from rotator.seals import Seal

VERSION: Final = 1
"""Of this language; both sides must speak the same, and come from one installation anyway."""

LONGEST: Final = 16 << 20
"""Bytes of one frame: the answer about 10,000 credentials has some 6 MB."""

Frame = dict[str, Any]

_CLASSES: Final = {
    one.__name__: one
    for one in (
        *(Rotated, Kept, Ended, Verified, Orphaned, Records, Checked, Finding, Remark, Trouble),
        *(Watched, Told, Planned, Pruned, Seal),
    )
}
_ERRORS: Final = {
    **{
        name: one
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, RotatorError) and one is not RotatorError
    },
    "UsageFault": UsageFault,
}


def pack(thing: object) -> Any:
    """Return what JSON can write of an answer. Raises TypeError for anything that does not travel."""
    if thing is None or isinstance(thing, (bool, int, float)):
        return thing
    if isinstance(thing, Severity):
        return {"is": "Severity", "of": thing.value}
    if isinstance(thing, str):
        return str(thing)
    if isinstance(thing, datetime):
        return {"is": "time", "of": thing.isoformat()}
    if isinstance(thing, tuple):
        return {"is": "tuple", "of": [pack(one) for one in thing]}
    if isinstance(thing, list):
        return [pack(one) for one in thing]
    if isinstance(thing, Mapping):
        return {"is": "map", "of": {str(key): pack(value) for key, value in thing.items()}}
    if isinstance(thing, RotatorError):
        return {"is": "error", "of": _said(thing)}
    kind = type(thing).__name__
    if _CLASSES.get(kind) is type(thing):
        return {"is": kind, "of": {one.name: pack(getattr(thing, one.name)) for one in fields(thing)}}
    raise TypeError(f"a {kind} does not travel")


def unpack(found: Any) -> Any:
    """Return what `pack` was given. Raises ValueError for anything else."""
    if isinstance(found, list):
        return [unpack(one) for one in found]
    if not isinstance(found, dict):
        return found
    kind, of = found.get("is"), found.get("of")
    match kind:
        case "tuple" if isinstance(of, list):
            return tuple(unpack(one) for one in of)
        case "map" if isinstance(of, dict):
            return {key: unpack(value) for key, value in of.items()}
        case "error" if isinstance(of, dict):
            return _error(of)
        case "time":
            return datetime.fromisoformat(str(of))
        case "Severity":
            return Severity(str(of))
        case str() if kind in _CLASSES and isinstance(of, dict):
            made = _CLASSES[kind]
            known = {one.name for one in fields(made)}
            return made(**{key: unpack(value) for key, value in of.items() if key in known})
    raise ValueError("not a frame of rotator")


def _said(error: RotatorError) -> Frame:
    wait = error.retry_after if isinstance(error, Transient) else None
    return {
        "kind": next((one.__name__ for one in type(error).__mro__ if one.__name__ in _ERRORS), Broken.__name__),
        "message": error.message,
        "hint": error.hint,
        "code": error.code,
        "retry_after_seconds": wait.total_seconds() if wait is not None else None,
    }


def _error(of: Frame) -> RotatorError:
    made: type[Any] = _ERRORS.get(str(of.get("kind")), Broken)
    more: dict[str, Any] = {}
    wait = of.get("retry_after_seconds")
    if issubclass(made, Transient) and isinstance(wait, (int, float)):
        more["retry_after"] = timedelta(seconds=wait)
    error: RotatorError = made(str(of.get("message")), hint=str(of.get("hint")), code=str(of.get("code")), **more)
    return error


class Line:
    """One connection. Not for use by two threads at once, but for `close`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = bytearray()

    def send(self, frame: Frame) -> None:
        """Send a frame. Raises OSError (TimeoutError when the other side does not read)."""
        self._connection.sendall(json.dumps(frame, separators=(",", ":")).encode() + b"\n")

    def receive(self, longest: int = LONGEST) -> Frame | None:
        """Return the next frame; None when the other side has left. What was read in part is kept for the next call.

        Raises TimeoutError and other OSError, and ValueError for what is no frame, or too long a one.
        """
        while True:
            end = self._rest.find(b"\n")
            if end >= 0:
                line = bytes(self._rest[:end])
                del self._rest[: end + 1]
                found = json.loads(line)
                if not isinstance(found, dict):
                    raise ValueError("not a frame of rotator")
                return found
            if len(self._rest) > longest:
                raise ValueError("too long a frame")
            piece = self._connection.recv(65536)
            if not piece:
                return None
            self._rest += piece

    def patience(self, seconds: float) -> None:
        """Set how long `receive` waits."""
        self._connection.settimeout(seconds)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
