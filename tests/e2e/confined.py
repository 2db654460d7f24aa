"""Runs a command in the sandbox that a unit describes, made by hand from what the kernel offers; systemd is not needed.

    python -m tests.e2e.confined UNIT WRITABLE COMMAND…

WRITABLE is the one folder that may be written. What the machine lets us enforce is enforced, and its names are written
to the file that $CONFINED_BY names: a mount namespace needs root, the system call filter libseccomp and the lists of
`systemd-analyze syscall-filter`. Nothing here is taken for granted: the tests probe what the command can still do.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.e2e.unit_file import Unit, read_unit

NOBODY: Final = 65534

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

# mount(2), mount_setattr(2), unshare(2), prctl(2), as in the headers of Linux
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MS_NOSUID, _MS_NODEV = 2, 4
_CLONE_NEWNS, _CLONE_NEWIPC = 0x20000, 0x8000000
_NAMESPACES = 0x2000000 | 0x4000000 | _CLONE_NEWIPC | 0x10000000 | 0x20000000 | 0x40000000 | _CLONE_NEWNS
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY = 442, -100, 0x8000, 1
_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP, _PR_SET_MDWE = 38, 24, 65
_LAST_CAPABILITY = 40

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EQUAL, _MASKED_EQUAL = 4, 7


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


class _Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno() or -result
        raise OSError(number, f"{what}: {os.strerror(number)}")


# --------------------------------------------------------------------------------------------------------------- mounts


def _mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    texts = [one.encode() or None for one in (source, target, kind)]
    _checked(_LIBC.mount(*texts, ctypes.c_ulong(flags), data.encode() or None), f"mount {target}")


def _read_only(path: str, *, but: bool = False) -> None:
    attributes = _MountAttributes(0 if but else _ATTR_RDONLY, _ATTR_RDONLY if but else 0, 0, 0)
    size = ctypes.sizeof(attributes)
    flags = 0 if but else _AT_RECURSIVE
    result = _LIBC.syscall(_MOUNT_SETATTR, _AT_FDCWD, path.encode(), flags, ctypes.byref(attributes), size)
    _checked(result, f"mount_setattr {path}")


def close_off(unit: Unit, writable: Path) -> None:
    """Give this process a read-only file system of its own, with one folder that can be written, and no homes."""
    service = unit["Service"]
    assert service["ProtectSystem"] == ("strict",)
    _checked(_LIBC.unshare(_CLONE_NEWNS | _CLONE_NEWIPC), "unshare")
    _mount("none", "/", flags=_MS_REC | _MS_PRIVATE)
    if service["ProtectHome"] == ("yes",):
        _hide_homes()
    proc = {"all": "hidepid=invisible", "pid": "hidepid=invisible,subset=pid"}[service["ProcSubset"][0]]
    _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV, proc)
    _mount("tmpfs", "/var/tmp", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777,size=16m")
    _mount(str(writable), str(writable), flags=_MS_BIND)
    _read_only("/")
    _read_only(str(writable), but=True)
    _read_only("/var/tmp", but=True)
    _read_only("/dev", but=True)  # /dev/null is written


def _hide_homes() -> None:
    """Put an empty folder over each home; an interpreter that lives in one is put back, and it alone."""
    needed = [Path(one) for one in dict.fromkeys((sys.base_prefix, sys.prefix))]
    for home in (Path("/root"), Path("/home")):
        inside = [one for one in needed if one.is_relative_to(home)]
        aside = [Path("/mnt") / f"confined-{number}" for number, _ in enumerate(inside)]
        _mount("tmpfs", "/mnt", "tmpfs", data="mode=755")
        for one, there in zip(inside, aside, strict=True):
            there.mkdir()
            _mount(str(one), str(there), flags=_MS_BIND | _MS_REC)
        _mount("tmpfs", str(home), "tmpfs", data="mode=755")
        for one, there in zip(inside, aside, strict=True):
            one.mkdir(parents=True)
            _mount(str(there), str(one), flags=_MS_BIND | _MS_REC)


# ------------------------------------------------------------------------------------------------------ system calls


def allowed_calls(unit: Unit) -> frozenset[str] | None:
    """Return the system calls that the unit allows, or None where nobody can spell its groups out."""
    if shutil.which("systemd-analyze") is None:
        return None
    allowed: set[str] = set()
    for line in unit["Service"]["SystemCallFilter"]:
        named = {call for group in line.lstrip("~").split() for call in _calls_of(group)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    return frozenset(allowed)


def _calls_of(group: str) -> frozenset[str]:
    if not group.startswith("@"):
        return frozenset({group})
    said = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    names = re.findall(r"^    ([@\w-]+)$", said.stdout, re.MULTILINE)
    return frozenset(call for name in names for call in _calls_of(name))


def filter_calls(unit: Unit, allowed: frozenset[str]) -> bool:
    """Let this process make the allowed calls only; False where there is no libseccomp."""
    try:
        seccomp = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return False
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))

    def rule(action: int, call: str, *comparisons: _Comparison) -> None:
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # others belong to other machines
            array = (_Comparison * len(comparisons))(*comparisons)
            count = ctypes.c_uint(len(comparisons))
            _checked(
                seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, count, array), f"rule {call}"
            )

    for call in allowed - {"clone", "clone3", "unshare", "setns", "socket", "personality"}:
        rule(_ALLOW, call)
    rule(_ALLOW, "clone", _Comparison(0, _MASKED_EQUAL, _NAMESPACES, 0))  # RestrictNamespaces
    rule(_ERRNO | errno.ENOSYS, "clone3")  # its flags are out of a filter's sight, so libc is to take clone
    for family in unit["Service"]["RestrictAddressFamilies"][0].split():
        number = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}[family]
        rule(_ALLOW, "socket", _Comparison(0, _EQUAL, number, 0))
    _checked(seccomp.seccomp_load(context), "seccomp_load")
    return True


# ----------------------------------------------------------------------------------------------------------- all of it


def confine(unit: Unit, writable: Path) -> list[str]:
    """Put this process under the unit's restrictions, for good; return which could be enforced."""
    service, enforced = unit["Service"], []
    allowed = allowed_calls(unit)  # asks a program, so it comes first
    if os.geteuid() == 0:
        close_off(unit, writable)
        enforced += ["mounts", "user"]
        for capability in range(_LAST_CAPABILITY + 1):
            _checked(_LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl")
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    core = int(service["LimitCORE"][0])
    resource.setrlimit(resource.RLIMIT_CORE, (core, core))
    os.umask(int(service["UMask"][0], 8))
    assert service["NoNewPrivileges"] == ("yes",)
    _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    if service["MemoryDenyWriteExecute"] == ("yes",) and _LIBC.prctl(_PR_SET_MDWE, 1, 0, 0, 0) == 0:  # Linux 6.3
        enforced.append("memory")
    if allowed is not None and filter_calls(unit, allowed):
        enforced.append("calls")
    return enforced


def main(arguments: Sequence[str]) -> None:
    """Confine this process and become the command."""
    unit, writable, *command = arguments
    report = os.open(os.environ.pop("CONFINED_BY"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    enforced = confine(read_unit(Path(unit)), Path(writable))
    os.write(report, " ".join(enforced).encode())
    os.execve(command[0], command, dict(os.environ))


if __name__ == "__main__":
    main(sys.argv[1:])
