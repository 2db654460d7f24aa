"""The command's side: has the daemon do an act, and follows it; without a daemon the act is done here.

It goes on where a restart of the daemon has cut it off. A command that is stopped leaves what it asked for to the
daemon.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from rotator.app.handover.acts import ACTS
from rotator.app.handover.wire import VERSION, Line, pack, unpack
from rotator.app.house import LOCK_PATIENCE, House
from rotator.app.reading import Fetched
from rotator.clock import elapsed
from rotator.errors import Broken, Busy, Denied, RotatorError
from rotator.secret import Secret

KIND: Final = "daemon"
"""How the lock of the state calls a daemon."""

BACK_WITHIN: Final = timedelta(seconds=60)
"""So long a daemon that went away in the middle is waited for."""

RUNTIME: Final = Path("/run/rotator/rotator.sock")
"""Where the unit's daemon listens: its RuntimeDirectory=, see systemd.exec(5)."""

READERS: Final = "rotator-readers"
"""The group whose members may look, where there is one."""

_LOOK: Final = timedelta(milliseconds=250)
_FINISHED_LATER: Final = frozenset({"adopt", "intake"})
"""What the next visit finishes once it is staged; before, a person asks for it again."""

_REPEATABLE: Final = frozenset(
    {"verify", "check", "pause", "resume", "follow", "status", "plan", "history", "records", "record"}
)
"""What may be asked for again when the answer was lost: doing it twice is doing it once."""


def place_of(database: Path, environ: Mapping[str, str]) -> Path:
    """Return where a daemon on this state listens: in its runtime folder, else beside the state."""
    folder = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(folder) / RUNTIME.name if folder else database.with_name(f"{database.name}.sock")


def for_readers(place: Path) -> Path:
    """Return where those are answered who may only look."""
    return place.with_name(f"{place.stem}.read{place.suffix}")


def reading_place(database: Path, environ: Mapping[str, str]) -> Path | None:
    """Return where a daemon answers somebody who may not read its state; None where nobody listens."""
    place = for_readers(place_of(database, environ) if environ.get("RUNTIME_DIRECTORY") else RUNTIME)
    return place if place.is_socket() else None


def ask(house: House, place: Path, act: str, given: Mapping[str, Any]) -> Any:
    """Have the daemon that listens there do one act, and follow it. Returns and raises what the act does."""
    return _Call(house, place, act, given).made()


def carried(house: House, act: str, **given: Any) -> Any:
    """Do an act of `ACTS`: in the daemon where there is one, else here. Returns and raises what the act does."""
    place = _daemon(house)
    if place is None:
        try:
            return ACTS[act](house, **given)
        except Busy as error:  # a daemon may have been quicker to take the state; nothing was begun
            place = _daemon(house) if error.code == "state_locked" else None
            if place is None:
                raise
    return _Call(house, place, act, given).made()


def handed_over(house: House) -> bool:
    """Say whether a daemon would do it."""
    return _daemon(house) is not None


def _daemon(house: House) -> Path | None:
    """Return where the daemon on this state listens; None when there is none."""
    try:
        holder = house.builder.holder(house.database, house.clock)
    except (RotatorError, OSError):  # it is another user's
        place = place_of(house.database, house.environ) if house.environ.get("RUNTIME_DIRECTORY") else RUNTIME
        return place if place.is_socket() else None
    if holder is None or not holder[1].startswith(KIND):
        return None
    said = holder[1].removeprefix(KIND).strip()
    return Path(said) if said else place_of(house.database, {})


class _Call:
    """One act that the daemon does."""

    def __init__(self, house: House, place: Path, act: str, given: Mapping[str, Any]) -> None:
        self._house, self._place = house, place
        self._act, self._given = act, dict(given)
        self._began = house.clock.now()
        self._asked = False
        self._known = {one.name: one for one in house.config.models}

    def made(self) -> Any:
        """Return the answer. Raises what the act raises, Busy (75) when the daemon does not come back in time."""
        lost = self._attempt()
        while lost is not None:
            again = self._again()
            if again is None:
                raise lost
            self._act, self._given = again
            lost = self._attempt()
        return self._answer

    def _attempt(self) -> Busy | None:
        """Ask once. Returns why there is no answer, when it may come from another attempt."""
        line = self._connected()
        try:
            line.send(self._question())
            return self._heard(line)
        except (OSError, ValueError):
            return _gone_away(self._act)
        finally:
            line.close()

    def _again(self) -> tuple[str, dict[str, Any]] | None:
        """Return what to ask after an answer was lost; None when only a person should."""
        if self._act in _REPEATABLE:
            return self._act, self._given
        if self._act == "rotate" and self._given["names"] and not self._given["no_wait"]:
            return "follow", {"names": self._given["names"], "since": self._began.isoformat()}
        if self._act in _FINISHED_LATER:
            return "follow", {"names": [self._given["name"]], "since": self._began.isoformat()}
        return None

    def _connected(self) -> Line:
        """Return a connection. A daemon that is just starting is waited for, one that starts again longer."""
        began, patience = self._house.clock.instant(), BACK_WITHIN if self._asked else LOCK_PATIENCE
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                connection.connect(str(self._place))
            except PermissionError:
                connection.close()
                raise _not_allowed(self._place) from None
            except OSError:
                connection.close()
            else:
                self._asked = True
                return Line(connection)
            spent = elapsed(began, self._house.clock.instant())
            if spent is None or spent > patience or self._house.clock.wait(_LOOK, self._house.stop):
                raise _gone_away(self._act) if self._asked else _deaf(self._place)

    def _question(self) -> dict[str, Any]:
        question = {
            "rotator": VERSION,
            "act": self._act,
            "given": pack(self._given),
            "state": str(self._house.database),
        }
        sudo = self._house.environ.get("SUDO_UID")
        return {**question, "sudo_uid": sudo} if sudo and os.geteuid() == 0 else question

    def _heard(self, line: Line) -> Busy | None:
        """Follow until the answer. Returns why there is none."""
        line.patience(_LOOK.total_seconds())
        while True:
            try:
                frame = line.receive()
            except TimeoutError:
                if self._house.stop.is_set():
                    raise _left(self._act) from None
                continue
            if frame is None:
                return _gone_away(self._act)
            if "told" in frame:
                self._pass_on(frame["told"])
            elif "failed" in frame:
                error = unpack(frame["failed"])
                if error.code == "interrupted" and not self._house.stop.is_set():
                    return _gone_away(self._act)
                raise error
            else:
                self._answer = _unpacked(frame.get("done"))
                return None

    def _pass_on(self, told: Any) -> None:
        with suppress(ValueError, TypeError):
            name, step, state, text = told
            credential = self._known.get(name)
            if credential is not None:
                self._house.progress(credential, step, state, text)


def _unpacked(done: Any) -> Any:
    if isinstance(done, dict) and done.get("is") == "fetched":
        return Fetched(Secret(done["of"]["value"]), int(done["of"]["version"]))
    try:
        return unpack(done)
    except (ValueError, TypeError):
        raise Broken(
            "The daemon's answer cannot be read: it is of another version.",
            hint="Restart it after an update: systemctl restart rotator",
            code="other_version",
        ) from None


def _gone_away(act: str) -> Busy:
    return Busy(
        f"The daemon that was asked to {act} has gone away without an answer.",
        hint="What it had begun it settles when it is back: systemctl status rotator; then: rotator status",
        code="daemon_gone",
    )


def _deaf(place: Path) -> Busy:
    return Busy(
        f"A daemon has the state, and does not listen at {place}.",
        hint="See in its log why: journalctl -u rotator. With the daemon stopped, commands work without it.",
        code="daemon_deaf",
    )


def _left(act: str) -> Busy:
    return Busy(
        f"Stopped watching; the daemon goes on with what it was asked to {act}.",
        hint="See how it ends: rotator status",
        code="left_to_daemon",
    )


def _not_allowed(place: Path) -> Denied:
    return Denied(
        f"This user may not ask the daemon for changes: {place} is not his to write to.",
        hint="Become a member of the group that owns the socket, or run it as its owner: sudo -u rotator rotator …",
        code="not_allowed",
    )
