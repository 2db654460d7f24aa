"""`rotator read`: gives a consumer one field of the current version. Recorded first; keeps and shows no value."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from rotator.app.config.faults import did_you_mean
from rotator.app.house import House, Use
from rotator.app.results import Item
from rotator.app.usage import UsageFault
from rotator.errors import Denied, Refused
from rotator.event import Event, EventName
from rotator.secret import Fields, Secret

PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class ToFile:
    """A file to be replaced atomically. mode, group: None: those of the file that is there, else 0600 and our own."""

    path: Path
    mode: int | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class ToStream:
    """Standard output, which the caller has seen to be no terminal."""

    stream: BinaryIO


@dataclass(frozen=True, slots=True)
class Read:
    """items: none, there is nothing to print. version: of the document. changed: whether the file was."""

    items: tuple[Item, ...]
    version: int
    changed: bool
    exit_status: int = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """One field of a consumer document, and the version of the document."""

    value: Secret
    version: int


def read(
    house: House, name: str, field: str, target: ToFile | ToStream, fetched: Callable[..., Fetched] | None = None
) -> Read:
    """Write one field of a credential's consumer document. fetched: who gets the value, where that is not `fetch`.

    field: our name of it, or its name in the document. The event `secret.read` is on the disk before the value leaves;
    a file that has the value already is left alone, and recorded all the same. Raises UsageFault (2) for an unknown
    name or field, Refused when there is no document or no place for a file, Denied when we may not write there.
    """
    house.chosen([name])
    plan = _plan(target) if isinstance(target, ToFile) else None
    where = str(target.path) if isinstance(target, ToFile) else "standard output"
    found = (fetched or fetch)(house, name, field, where)
    if plan is not None:
        return Read((), found.version, changed=_replace(plan, found.value))
    assert isinstance(target, ToStream)
    target.stream.write(found.value.reveal().encode())
    target.stream.flush()
    return Read((), found.version, changed=True)


def fetch(house: House, name: str, field: str, where: str) -> Fetched:
    """Return one field of a credential's consumer document; the event `secret.read` is on the disk before.

    where: what the record says it goes to. Raises as `read`.
    """
    (credential,) = house.chosen([name])
    house.need_secrets_of_store(credential.store)
    ledger = house.ledger()
    snapshot = house.store(credential.store, Use.LOOK).consumers.read(credential.path)
    if snapshot.fields is None:
        raise Refused(
            f"There is no document {house.place(credential)} yet.",
            hint=f"A rotation writes it: rotator rotate {name}",
            code="document_missing",
        )
    value = _field(snapshot.fields, credential.fields.get(field, field), name)
    ledger.record(
        Event(
            EventName.SECRET_READ,
            house.actor,
            credential=name,
            key_id=snapshot.fields.text(credential.fields.get("key_id", "key_id")),
            store_path=credential.path,
            store_version=snapshot.version,
            detail=f"field {field} to {where}",
        )
    )
    return Fetched(value, snapshot.version)


def _field(fields: Fields, field: str, name: str) -> Secret:
    value = fields.secret(field)
    if value is None:
        known = ", ".join(sorted(fields))
        raise UsageFault(
            f'The document of {name} has no field "{field}".{did_you_mean(field, fields)}', hint=f"It has: {known}"
        )
    return value


# ------------------------------------------------------------------------------------------------------------- files


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the value goes, and what the file is to be like. owner: None: us."""

    path: Path
    mode: int
    owner: int | None
    group: int | None


def _plan(target: ToFile) -> _Plan:
    """Look at the place before anything is recorded. Raises Denied or Refused when nothing can be put there."""
    path = target.path.absolute()
    group = None if target.group is None else _group_id(target.group)
    try:
        facts = path.lstat()
    except FileNotFoundError:
        facts = None
    except OSError as error:
        raise _unwritable(path, error) from None
    if facts is not None and not stat.S_ISREG(facts.st_mode):
        raise _no_place(path, "it is a link, a folder or a device, and only a regular file is replaced")
    if not path.parent.is_dir():
        raise _no_place(path, f"{path.parent} is no folder")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _unwritable(path, PermissionError(errno.EACCES, f"this user may not write to {path.parent}"))
    if facts is None:
        return _Plan(path, PRIVATE if target.mode is None else target.mode, None, group)
    mode = stat.S_IMODE(facts.st_mode) if target.mode is None else target.mode
    return _Plan(path, mode, facts.st_uid, facts.st_gid if group is None else group)


def _group_id(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise UsageFault(f'There is no group "{name}" on this machine.', hint="See: getent group") from None


def _replace(plan: _Plan, value: Secret) -> bool:
    """Put the file in place whole or not at all, and say whether that changed anything.

    Stopped in between, a file of the same folder may stay behind whose name begins with a dot, readable by us alone.
    """
    content = value.reveal().encode()
    fresh = plan.path.parent / f".{plan.path.name}.{secrets.token_hex(4)}"
    try:
        if _is_there(plan, content):
            return False
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                _dress(file.fileno(), plan)
                os.fsync(file.fileno())
            os.replace(fresh, plan.path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
        folder = os.open(plan.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unwritable(plan.path, error) from None
    return True


def _is_there(plan: _Plan, content: bytes) -> bool:
    """Say whether the file is already as it should be: a watcher of it need not be woken."""
    try:
        handle = os.open(plan.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(file.fileno())
        same_group = plan.group is None or facts.st_gid == plan.group
        return stat.S_IMODE(facts.st_mode) == plan.mode and same_group and file.read(len(content) + 1) == content


def _dress(handle: int, plan: _Plan) -> None:
    """Give the new file its owner and group before its mode: until then only we can read it."""
    wanted = (-1 if plan.owner in (None, os.geteuid()) else plan.owner, -1 if plan.group is None else plan.group)
    facts = os.fstat(handle)
    if wanted[0] not in (-1, facts.st_uid) or wanted[1] not in (-1, facts.st_gid):
        os.fchown(handle, *wanted)
    os.fchmod(handle, plan.mode)


def _unwritable(path: Path, error: OSError) -> Refused:
    """Return the error for what the machine did not let us do; a want of permission is told from all else."""
    kind = Denied if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else Refused
    return kind(f"{path} cannot be written: {error.strerror or 'unknown'}.", hint=_WHERE, code="target_unwritable")


def _no_place(path: Path, why: str) -> Refused:
    return Refused(f"{path} cannot be written: {why}.", hint=_WHERE, code="target_unwritable")


_WHERE: Final = "Name a file in a folder of this user; a group must be one that this user belongs to."
