"""Runs the issuers for a person to practise with, until it is told to stop; it rotates nothing itself.

One folder is one sandbox: it keeps its port, its CA and what its issuers issued, so that a second start knows the
secrets of the first. Whoever holds the file lock in it is the one that runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from rotator.errors import Busy, Misconfigured
from rotator.sandbox.server import HOST, Memory, Sandbox
from rotator.sandbox.tls import write_private
from rotator.sandbox.typed import program
from rotator.sandbox.weather import Weather
from rotator.sandbox.world import PORT

_STATE, _CONTROL, _LOCK = "issuer-state.json", "control", "lock"
# What rotator itself may have put there before the first `rotator sandbox`, working by the sample configuration.
_BEFORE_US = re.compile(r"rotator\.db.*|secrets|store-key")
_IGNORED = ".gitignore"
_IGNORE_ALL = b"# Keys and secrets of the sandbox.\n*\n"  # written first, so it also marks a folder as ours


def serve(directory: Path, say: Callable[[str], None], stop: threading.Event) -> None:
    """Serve from `directory`, made when it is missing, until `stop` is set. `say` gets one line at a time.

    Raises Busy when a sandbox is running there already, and Misconfigured when the folder is not one of ours, when it
    cannot be written, or when its port is taken.
    """
    with _folder(directory), _held(directory):
        first = not (directory / _STATE).exists()
        with _started(directory, say) as sandbox:
            for line in _welcome(directory, sandbox, first=first):
                say(line)
            stop.wait()
    say(f"Stopped. What was issued is kept in {directory / _STATE}; the next start knows it.")


@contextlib.contextmanager
def _folder(directory: Path) -> Iterator[None]:
    """Make the folder private, or refuse one that belongs to something else."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = [path.name for path in directory.iterdir()]
        strangers = sorted(name for name in names if not _BEFORE_US.fullmatch(name))
        ours = _IGNORED in names and (directory / _IGNORED).read_bytes() == _IGNORE_ALL
        if strangers and not ours:
            raise Misconfigured(
                f"{directory} is in use for something else: it holds {strangers[0]}.",
                hint="Name an empty folder, or one that does not exist yet: rotator sandbox --dir FOLDER",
                code="folder_in_use",
            )
        if stat.S_IMODE(directory.stat().st_mode) & 0o077:
            directory.chmod(0o700)
        if not ours:
            write_private(directory / _IGNORED, _IGNORE_ALL)
    except OSError as fault:
        raise Misconfigured(
            f"The sandbox cannot use {directory}: {fault.strerror}.",
            hint="Name a folder that you may write: rotator sandbox --dir FOLDER",
            code="folder_unusable",
        ) from None
    yield


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Keep a second sandbox out of the folder. The lock ends with the process, however that ends."""
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"A sandbox is running in {directory} already{_where(directory)}.",
                hint="Use that one, stop it with Ctrl-C where it runs, or take another folder: "
                "rotator sandbox --dir FOLDER",
                code="sandbox_running",
            ) from None
        yield
    finally:
        os.close(descriptor)


def _started(directory: Path, say: Callable[[str], None]) -> Sandbox:
    """Start on the port that this folder had before, else on the usual one, else on a free one.

    A folder keeps its port for ever: the issuer's address is part of what rotator remembers about each credential.
    """
    before = _port_before(directory)
    try:
        return _start(directory, before or PORT)
    except Misconfigured as taken:
        if before is not None or taken.code != "port_taken":
            raise
    sandbox = _start(directory, 0)
    say(f"Port {PORT} is taken by something else, so this sandbox lives on {sandbox.port}, now and later.")
    return sandbox


def _start(directory: Path, port: int) -> Sandbox:
    return Sandbox.start(directory, weather=Weather.calm(), port=port, memory=Memory.KEEP)


def _port_before(directory: Path) -> int | None:
    with contextlib.suppress(OSError):
        found = re.match(rf"https://{re.escape(HOST)}:(\d+)\n", (directory / _CONTROL).read_text(encoding="ascii"))
        return int(found[1]) if found else None
    return None


def _where(directory: Path) -> str:
    port = _port_before(directory)
    return f", at https://{HOST}:{port}" if port else ""


def _welcome(directory: Path, sandbox: Sandbox, *, first: bool) -> Iterator[str]:
    apps = sandbox.directory.world.apps
    issued = sum(len(sandbox.directory.live(app.app_id)) for app in apps)
    yield f"Issuers on {sandbox.base_url}, for this machine only:"
    yield f"an Entra-like tenant with Graph and {len(apps)} applications, and the token endpoints of two other vendors."
    yield (
        f"New: its applications have {issued} secrets, as if made by hand."
        if first
        else f"It knows the {issued} secrets of before."
    )
    if sandbox.files.config_kept:
        yield f"{sandbox.files.config_file} was edited, so it stays as it is."
    yield ""
    yield "In another terminal:"
    yield f"  export ROTATOR_CONFIG={shlex.quote(str(sandbox.files.config_file.resolve()))}"
    for command, why in (
        ("check", "is everything reachable and permitted?"),
        ("rotate", "make, prove and promote a secret for each credential"),
        ("status", "and what happens next"),
    ):
        yield f"  {program()} {command:<8}{why}"
    yield ""
    yield f"Ctrl-C stops it. To begin anew afterwards: rm -r {shlex.quote(str(directory))}"
