"""Documents in encrypted files below one folder, for those without a secret store; it has no server and no clock.

One file holds the kept versions of one document, sealed as a whole with AES-256-GCM (NIST SP 800-38D) under a fresh
random nonce; area, path and version number are authenticated with it, so that a file put in another's place, or given
another number, is noticed. It does not notice that a whole file was replaced by an older copy of itself, it does not
hide names or numbers of versions from who may list the folder, and it does not overwrite blocks of the disk: what was
erased is unreadable without the key only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from rotator.clock import Clock
from rotator.errors import Busy, Misconfigured, OutcomeUnknown, RotatorError, Transient, WriteConflict
from rotator.finding import Finding, Severity
from rotator.ports import Snapshot
from rotator.secret import Fields, Secret
from rotator.stores.embedded_seal import FORMAT, Seal, damaged, new_key, wrong_key
from rotator.stores.paths import checked

__all__ = ["EmbeddedDocuments", "EmbeddedStore", "new_key"]

_KEPT_FOR_CONSUMERS, _KEPT_IN_STAGING = 10, 1
_LARGEST_FILE = 32 * 1024 * 1024
_PATIENCE, _LOCK_PAUSE = timedelta(seconds=10), timedelta(milliseconds=20)
_LOCK, _FRESH, _MARK = "%lock", "%new", "%store"  # no document is called so: % stands only for a slash in their names
_HERE_ONLY = os.O_CLOEXEC | os.O_NOFOLLOW


class EmbeddedStore:
    """A folder with an area for consumers and one for staging. Safe for several threads and processes."""

    consumers: EmbeddedDocuments
    staging: EmbeddedDocuments

    def __init__(self, path: Path, key: Secret, clock: Clock, name: str = "embedded") -> None:
        """Prepare, without touching the folder, which is made by the first write.

        key: base64 of 32 bytes. clock: only to wait for a lock. name: as configured, for findings. Raises Misconfigured
        when the key is none.
        """
        self._path, self._name = path, name
        seal = Seal(key)
        self.consumers = EmbeddedDocuments(path, "consumers", seal, clock, _KEPT_FOR_CONSUMERS)
        self.staging = EmbeddedDocuments(path, "staging", seal, clock, _KEPT_IN_STAGING)

    def check(self, paths: Sequence[str]) -> Sequence[Finding]:
        """Look whether the folder can be used, the key fits, and these documents can be read. Changes nothing."""
        subject, findings = self._name, []
        try:
            for path in paths:
                self.consumers.read(checked(path))
            self.staging.read("rotator-check")
        except RotatorError as error:
            return [Finding(subject, "store", Severity.FAIL, error.message, error.hint, error.exit_status)]
        nearest = next((folder for folder in (self._path, *self._path.parents) if folder.exists()), self._path)
        if not os.access(nearest, os.W_OK | os.X_OK):
            return [
                Finding(
                    subject,
                    "store",
                    Severity.FAIL,
                    f"{nearest} cannot be written",
                    "Run as the user that owns it, or correct its owner and mode.",
                    77,
                )
            ]
        if nearest != self._path:
            message = f"encrypted files; {self._path} will be made by the first rotation"
        else:
            message = f"encrypted files; the key fits; {_KEPT_FOR_CONSUMERS} versions kept"
            if stat.S_IMODE(self._path.stat().st_mode) & 0o077:
                message_open = f"{self._path} can be listed by others"
                findings.append(
                    Finding(subject, "mode", Severity.WARN, message_open, f"Take their rights: chmod 700 {self._path}")
                )
        return [Finding(subject, "store", Severity.OK, message), *findings]

    def close(self) -> None:
        """Nothing is held between calls."""


class EmbeddedDocuments:
    """One area of the folder."""

    def __init__(self, root: Path, area: str, seal: Seal, clock: Clock, kept: int) -> None:
        """Prepare, without touching the folder. kept: how many versions of a document stay readable."""
        self._root, self._area, self._seal, self._clock, self._kept = root, area, seal, clock, kept

    def read(self, path: str, version: int | None = None) -> Snapshot:
        """Return the latest version, or a given one. Needs no lock: files are replaced as a whole.

        Raises Misconfigured for a wrong key or an unsafe folder, Broken (`store_damaged`) for a file that is not what
        was written here, Transient when the disk does not answer.
        """
        checked(path)
        with self._folder(make=False) as folder:
            if folder is None:
                return Snapshot(version or 0, None)
            latest, versions = self._load(folder, path)
            asked = latest if version is None else version
            return Snapshot(max(asked, 0), versions.get(asked))

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        """Write the next version, if the document is at version `expected`.

        A kill at any moment leaves the old file or the new one. Raises WriteConflict, Busy, OutcomeUnknown when only
        the disk's word that it is there to stay is missing, and what `read` raises.
        """
        checked(path)
        with self._folder(make=True) as folder, self._locked(folder):
            assert folder is not None
            latest, versions = self._load(folder, path)
            if latest != expected:
                if versions.get(expected + 1) == fields:
                    return Snapshot(expected + 1, fields)
                raise WriteConflict(
                    f"{self._area}/{path} is at version {latest}, not at {expected}: somebody else has written it",
                    hint="Look at what was written before you let rotator go on.",
                )
            versions[latest + 1] = fields
            kept = {number: versions[number] for number in sorted(versions)[-self._kept :]}
            self._save(folder, path, latest + 1, kept)
            return Snapshot(latest + 1, fields)

    def history(self, path: str) -> tuple[int, ...]:
        """Return the numbers of the versions that can still be read, oldest first."""
        checked(path)
        with self._folder(make=False) as folder:
            return () if folder is None else tuple(sorted(self._load(folder, path)[1]))

    def erase_before(self, path: str, version: int) -> None:
        """Write the document without the versions older than `version`; its number stays."""
        checked(path)
        with self._folder(make=False) as folder:
            if folder is None:
                return
            with self._locked(folder):
                latest, versions = self._load(folder, path)
                kept = {number: fields for number, fields in versions.items() if number >= version}
                if kept != versions:
                    self._save(folder, path, latest, kept)

    # ---------------------------------------------------------------------------------------------------------- files

    def _load(self, folder: int, path: str) -> tuple[int, dict[int, Fields]]:
        """Return the number of the latest version and the versions that are kept; (0, {}) without a file."""
        name, shown = _file_name(path), f"{self._area}/{path}"
        with _translated(f"read {shown}"):
            try:
                handle = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _HERE_ONLY, dir_fd=folder)
            except FileNotFoundError:
                return 0, {}
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                os.close(handle)
                raise damaged(shown, "it is no regular file")
            with os.fdopen(handle, "rb") as file:
                content = file.read(_LARGEST_FILE + 1)
        return self._seal.opened(content, self._area, path)

    def _save(self, folder: int, path: str, version: int, versions: Mapping[int, Fields]) -> None:
        """Replace the file: new file, fsync, rename, fsync of the folder. The caller holds the lock."""
        name, shown = _file_name(path), f"{self._area}/{path}"
        content = self._seal.sealed(self._area, path, version, versions)
        with _translated(f"write {shown}"):
            _replace(folder, name, content)
        settled = True
        try:
            os.fsync(folder)
        except OSError:
            settled = False
        if not settled:
            raise OutcomeUnknown(
                f"Whether {shown} is on the disk to stay is not known: the folder could not be synchronised",
                hint="Look at the disk and at the kernel's log.",
            )

    @contextlib.contextmanager
    def _folder(self, *, make: bool) -> Iterator[int | None]:
        """Open the folder of this area, after a look at the key mark; None when there is none and none shall be."""
        with contextlib.ExitStack() as opened:
            with _translated(f"open {self._root}"):
                if make and not self._root.exists():
                    _make_root(self._root)
                try:
                    root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | _HERE_ONLY)
                except FileNotFoundError:
                    yield None
                    return
                opened.callback(os.close, root)
                _see_that_it_is_ours(root, str(self._root))
            self._see_that_the_key_fits(root, make=make)
            with _translated(f"open {self._root / self._area}"):
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(self._area, 0o700, dir_fd=root)
                        os.fsync(root)
                try:
                    folder = os.open(self._area, os.O_RDONLY | os.O_DIRECTORY | _HERE_ONLY, dir_fd=root)
                except FileNotFoundError:
                    yield None
                    return
                opened.callback(os.close, folder)
                _see_that_it_is_ours(folder, str(self._root / self._area))
            yield folder

    def _see_that_the_key_fits(self, root: int, *, make: bool) -> None:
        """Compare the key with the mark that the first write left, before anything is sealed with a second one."""
        with _translated(f"open {self._root}"):
            mark = _read_small(root, _MARK)
            if mark is None and make:
                with self._locked(root):
                    mark = _read_small(root, _MARK)
                    if mark is None:
                        mark = f"{FORMAT} {self._seal.key_id}\n".encode()
                        _replace(root, _MARK, mark)
                        os.fsync(root)
        if mark is not None and mark.split() != [FORMAT.encode(), self._seal.key_id.encode()]:
            if mark.split()[:1] != [FORMAT.encode()]:
                raise damaged(f"{self._root}/{_MARK}", "it is no mark of this program")
            raise wrong_key(str(self._root))

    @contextlib.contextmanager
    def _locked(self, folder: int | None) -> Iterator[None]:
        """Hold the lock of a folder against other threads and processes; the kernel frees it when a process dies."""
        assert folder is not None
        with _translated(f"lock {self._root}"):
            handle = os.open(_LOCK, os.O_RDWR | os.O_CREAT | _HERE_ONLY, 0o600, dir_fd=folder)
        try:
            waited = timedelta(0)
            while not _taken(handle):
                if waited >= _PATIENCE:
                    raise Busy(
                        f"Another process has kept {self._root} locked for {_PATIENCE.total_seconds():g} s",
                        hint="Look for a rotator that hangs; try again when it has ended.",
                    )
                self._clock.wait(_LOCK_PAUSE)
                waited += _LOCK_PAUSE
            yield
        finally:
            os.close(handle)


def _file_name(path: str) -> str:
    """Return the name of a document's file: flat, so that no folder can be put in its way."""
    name = path.replace("/", "%")
    if len(name) > 200:  # names may have 255 bytes
        name = f"{name[:150]}%%{hashlib.sha256(path.encode()).hexdigest()}"
    return f"{name}.sealed"


def _make_root(root: Path) -> None:
    """Make the folder, known to the disk before anything is put into it. Another process may do the same."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent = os.open(root.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _replace(folder: int, name: str, content: bytes) -> None:
    """Put a file in place so that nobody ever sees half of it. The caller holds the lock: one spare name is enough."""
    handle = os.open(_FRESH, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _HERE_ONLY, 0o600, dir_fd=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(_FRESH, name, src_dir_fd=folder, dst_dir_fd=folder)


def _read_small(folder: int, name: str) -> bytes | None:
    try:
        handle = os.open(name, os.O_RDONLY | _HERE_ONLY, dir_fd=folder)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(256)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _see_that_it_is_ours(folder: int, shown: str) -> None:
    """Refuse a folder that somebody else can change: he could put other files in place of ours."""
    facts = os.fstat(folder)
    if facts.st_uid not in (os.geteuid(), 0):
        raise Misconfigured(
            f"{shown} belongs to another user (uid {facts.st_uid})",
            hint="Run as the user that owns it, or give it to the one that rotator runs as.",
            code="store_folder",
        )
    if facts.st_mode & 0o022:
        raise Misconfigured(
            f"{shown} can be written by others (mode {stat.S_IMODE(facts.st_mode):04o})",
            hint=f"Take their rights: chmod 700 {shown}",
            code="store_folder",
        )


@contextlib.contextmanager
def _translated(act: str) -> Iterator[None]:
    """Turn what the operating system says into our errors. Nothing is raised that holds a document."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Misconfigured(
                f"Cannot {act}: there is a symbolic link or something that is no folder in its place",
                hint="Give the real path of a folder that only rotator uses.",
                code="store_folder",
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise Misconfigured(
                f"Cannot {act}: {reason}",
                hint="Run as the user that owns the folder, and see that it may be written.",
                code="store_folder",
            ) from None
        raise Transient(
            f"Cannot {act}: {reason}", hint="Look at the disk: space, quota, hardware.", code="store_disk"
        ) from None
