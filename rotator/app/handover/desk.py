"""The daemon's side: listens on a Unix socket, does what is asked, tells how it goes. It delays no tick.

Who may ask is said by the owner, group and mode of the socket (unix(7)); in whose name it is done, by the kernel
(SO_PEERCRED). A caller that is slow, silent or gone costs a thread and nothing else: what he asked for goes on.
"""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rotator.app.actor import actor_of
from rotator.app.handover.acts import Act
from rotator.app.handover.wire import VERSION, Frame, Line, pack, unpack
from rotator.app.house import House
from rotator.app.reading import Fetched
from rotator.errors import Broken, Busy, Misconfigured, Refused, RotatorError
from rotator.kit import Interrupted
from rotator.model import Credential
from rotator.ports import Progress

AT_ONCE: Final = 64
"""So many callers are served at a time; the next is asked to come again."""

PATIENCE: Final = 10.0
"""Seconds that a caller may take to say what he wants, or to read what he is told."""

_LONGEST_QUESTION: Final = 1 << 20

Answered = Callable[[House], object]


class Desk:
    """One socket of a running daemon. A companion: started and stopped with it."""

    name = "desk"

    def __init__(self, house: Callable[[], House], place: Path, acts: Mapping[str, Act], group: str = "") -> None:
        """Prepare. house: returns the one in force. place: of the socket; who may write to it may ask for these acts.

        group: whom the socket is given to, where there is such a group and this user is a member of it.
        """
        self._house, self._place, self._acts, self._group = house, place, acts, group
        self._listener: socket.socket | None = None
        self._callers: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    # ----------------------------------------------------------------------------------------------------- companion

    def start(self) -> None:
        """Listen. The caller has the state locked, so a socket that is there was left by a daemon that is no more."""
        self._place.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            before = os.umask(0o117)
            try:
                listener.bind(str(self._place))
            finally:
                os.umask(before)
            self._give_to_its_group()
            listener.listen(128)
        except OSError as error:
            listener.close()
            raise Misconfigured(
                f"No socket can be made at {self._place}: {error.strerror or error}; commands cannot be handed over.",
                hint="Let this user write there; the path of a socket has at most 107 characters.",
                code="socket_unusable",
            ) from None
        self._listener = listener
        threading.Thread(target=self._listen, args=(listener,), name="desk", daemon=True).start()

    def _give_to_its_group(self) -> None:
        with contextlib.suppress(KeyError, PermissionError):
            if self._group:
                os.chown(self._place, -1, grp.getgrnam(self._group).gr_gid)

    def stop(self) -> None:
        """Hang up on everybody; what they asked for is settled by the next start."""
        self._stopping.set()
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._place.unlink(missing_ok=True)
        with self._lock:
            callers = list(self._callers)
        for one in callers:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def reloaded(self, house: House) -> None:
        """Nothing changes: each question is answered by the house in force."""

    def beat(self) -> str | None:
        """Return what is wrong with it."""
        return None if self._listener is not None and self._place.is_socket() else f"nobody listens at {self._place}"

    # -------------------------------------------------------------------------------------------------------- callers

    def _listen(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="desk-caller", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        line = Line(connection)
        connection.settimeout(PATIENCE)
        with self._lock:
            full = len(self._callers) >= AT_ONCE
            self._callers.add(connection)
        try:
            if full:
                line.send(_failed(_too_many()))
                return
            frame = line.receive(_LONGEST_QUESTION)
            if frame is not None:
                line.send(self._answer(frame, line, _peer(connection)))
        except (OSError, ValueError):
            pass  # he has left, or speaks another language; nobody can be told
        finally:
            with self._lock:
                self._callers.discard(connection)
            line.close()

    def _answer(self, frame: Frame, line: Line, uid: int) -> Frame:
        try:
            return {"done": _packed(self._do(frame, line, uid))}
        except RotatorError as error:
            return _failed(error)
        except Interrupted:
            return _failed(_ending())
        except Exception as error:  # noqa: BLE001 a question never ends the daemon
            return _failed(_unforeseen(error))

    def _do(self, frame: Frame, line: Line, uid: int) -> object:
        act, given = self._acts.get(str(frame.get("act"))), unpack(frame.get("given"))
        if frame.get("rotator") != VERSION or act is None or not isinstance(given, dict):
            raise _other_version()
        house = self._house()
        if frame.get("state") != str(house.database):
            raise _other_state(house)
        sudo = str(frame.get("sudo_uid") or "")
        actor = actor_of({"SUDO_UID": sudo} if sudo else {}, uid)
        with house.on_behalf(actor, _telling(line), self._stopping) as guest:
            return act(guest, **given)


def _telling(line: Line) -> Progress:
    """Return what tells a caller of progress, until he does not listen any more."""
    lock, gone = threading.Lock(), threading.Event()

    def tell(credential: Credential, step: str, state: str, text: str) -> None:
        if gone.is_set():
            return
        try:
            with lock:
                line.send({"told": [credential.name, step, state, text]})
        except OSError:
            gone.set()

    return tell


def _packed(answer: object) -> Any:
    """Pack an answer. The one secret that is ever asked for goes to whoever asked, and nowhere else."""
    if isinstance(answer, Fetched):
        return {"is": "fetched", "of": {"value": answer.value.reveal(), "version": answer.version}}
    return pack(answer)


def _peer(connection: socket.socket) -> int:
    """Return the user at the other end, as the kernel knows him (unix(7), SO_PEERCRED)."""
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", said)
    return int(uid)


def _failed(error: RotatorError) -> Frame:
    return {"failed": pack(error)}


def _too_many() -> Busy:
    return Busy(f"{AT_ONCE} commands are being served by the daemon.", hint="Come again in a while.", code="desk_full")


def _ending() -> Busy:
    return Busy("The daemon is about to end.", hint="What was begun is settled by its next start.", code="interrupted")


def _other_version() -> Refused:
    return Refused(
        "The daemon does not know what is asked of it: it is of another version.",
        hint="Restart it after an update: systemctl restart rotator",
        code="other_version",
    )


def _other_state(house: House) -> Misconfigured:
    return Misconfigured(
        f"The daemon that answers works on another state: {house.database}.",
        hint="Name the configuration that it runs with: --config FILE",
        code="other_state",
    )


def _unforeseen(error: Exception) -> Broken:
    return Broken(
        f"The daemon failed at this ({type(error).__name__}); it is a fault of rotator itself.",
        hint="Report it, with the command. Whatever was begun, the daemon settles.",
        code="unforeseen",
    )
