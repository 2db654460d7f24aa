"""Reads a systemd unit strictly: a directive that is not known, a value that it cannot have, or one said twice fails.

systemd itself ignores what it does not know with a line in the log, so that a slip of the pen would cost a protection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_SPAN: Final = r"(0|infinity|[0-9]+(s|min|h)?)"
_YES_NO: Final = r"(yes|no)"
_MODE: Final = r"0[0-7]{3}"
_NAME: Final = r"[a-z][a-z0-9-]*"
_ANY: Final = r".+"
_WORDS: Final = r"~?[@A-Za-z0-9_ .-]*"

KNOWN: Final[Mapping[str, Mapping[str, str]]] = {
    "Unit": {
        "Description": _ANY,
        "Wants": _ANY,
        "After": _ANY,
        "StartLimitIntervalSec": _SPAN,
    },
    "Service": {
        "Type": r"notify",
        "NotifyAccess": r"main",
        "ExecStart": r"/\S+( \S+)*",
        "ExecReload": r"/bin/kill -HUP \$MAINPID",
        "Restart": r"on-failure|always",
        "RestartSec": _SPAN,
        "RestartPreventExitStatus": r"[0-9 ]+",
        "TimeoutStartSec": _SPAN,
        "TimeoutStopSec": _SPAN,
        "WatchdogSec": _SPAN,
        "User": _NAME,
        "Group": _NAME,
        "UMask": _MODE,
        "StateDirectory": _NAME,
        "StateDirectoryMode": _MODE,
        "RuntimeDirectory": _NAME,
        "RuntimeDirectoryMode": _MODE,
        "LogsDirectory": _NAME,
        "LogsDirectoryMode": _MODE,
        "WorkingDirectory": r"/\S*",
        "Environment": _ANY,
        "LimitCORE": r"0",
        "MemorySwapMax": r"0",
        "KeyringMode": r"private",
        "CapabilityBoundingSet": r"",
        "AmbientCapabilities": r"",
        "ProtectSystem": r"strict",
        "DevicePolicy": r"closed",
        "ProtectProc": r"invisible",
        "ProcSubset": r"all|pid",
        "RestrictAddressFamilies": r"(AF_[A-Z0-9]+ ?)+",
        "SystemCallArchitectures": r"native",
        "SystemCallFilter": _WORDS,
        "SystemCallErrorNumber": r"EPERM",
        **dict.fromkeys(
            (
                "LockPersonality",
                "MemoryDenyWriteExecute",
                "NoNewPrivileges",
                "PrivateDevices",
                "PrivateIPC",
                "PrivateMounts",
                "PrivateTmp",
                "PrivateUsers",
                "ProtectClock",
                "ProtectControlGroups",
                "ProtectHome",
                "ProtectHostname",
                "ProtectKernelLogs",
                "ProtectKernelModules",
                "ProtectKernelTunables",
                "RemoveIPC",
                "RestrictNamespaces",
                "RestrictRealtime",
                "RestrictSUIDSGID",
            ),
            _YES_NO,
        ),
    },
    "Install": {"WantedBy": r"multi-user\.target"},
}

_MORE_THAN_ONCE: Final = ("SystemCallFilter", "Environment")

Unit = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Section, then directive, then its values in order."""


def read_unit(path: Path) -> Unit:
    """Return what a unit says. Raises ValueError that names line and fault."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    section = ""
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        head = re.fullmatch(r"\[(\w+)\]", line)
        if head is not None:
            section = head[1]
            if section not in KNOWN or section in found:
                raise ValueError(f"{path}:{number}: section {section}")
            found[section] = {}
            continue
        name, sign, value = line.partition("=")
        if not sign or name not in KNOWN.get(section, {}):
            raise ValueError(f"{path}:{number}: unknown directive: {line}")
        if not re.fullmatch(KNOWN[section][name], value):
            raise ValueError(f"{path}:{number}: a value that {name} cannot have: {value}")
        if name in found[section] and name not in _MORE_THAN_ONCE:
            raise ValueError(f"{path}:{number}: {name} is said twice")
        found[section][name] = (*found[section].get(name, ()), value)
    return found


def seconds(span: str) -> float:
    """Return a span of time in seconds; a bare number is seconds."""
    number = re.match(r"[0-9]+", span)
    if number is None:
        return float("inf")
    return int(number[0]) * {"": 1, "s": 1, "min": 60, "h": 3600}[span[number.end() :]]
