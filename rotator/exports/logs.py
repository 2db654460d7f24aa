"""Audit records as lines of logs: syslog as RFC 5424 has it, and the Common Event Format. Sends nothing anywhere."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from rotator.chain import KEYS, Record
from rotator.exports.meaning import Weight, told, weight

ENTERPRISE: Final = 32473
"""The private enterprise number of the SD-ID. This one is reserved for examples (RFC 5612): rotator has none."""

_AUDIT_FACILITY: Final = 13  # RFC 5424, table 1: "log audit"
_SEVERITY: Final = {Weight.INFO: 6, Weight.NOTICE: 5, Weight.WARNING: 4, Weight.ERROR: 3}  # table 2
_CEF_SEVERITY: Final = {Weight.INFO: 1, Weight.NOTICE: 3, Weight.WARNING: 6, Weight.ERROR: 8}
_NOT_PRINTABLE: Final = re.compile(r"[^!-~]")
_BOM: Final = "\ufeff"


def rfc5424(record: Record, host: str, process: int | None = None) -> str:
    """Return one SYSLOG-MSG: the whole record as structured data, and a sentence.

    host: our name; what RFC 5424 does not allow in one becomes `?`. process: our process id, if it matters.
    """
    priority = _AUDIT_FACILITY * 8 + _SEVERITY[weight(record)]
    name = _NOT_PRINTABLE.sub("?", host)[:255] or "-"
    event = _NOT_PRINTABLE.sub("?", str(record.get("event")))[:32]
    said = [f'{key}="{_param(record[key])}"' for key in KEYS if record.get(key) is not None]
    data = f"[rotator@{ENTERPRISE} {' '.join(said)}]"
    return f"<{priority}>1 {record.get('time')} {name} rotator {process or '-'} {event} {data} {_BOM}{told(record)}"


def _param(value: object) -> str:
    """Return a PARAM-VALUE: section 6.3.3 wants these three escaped, and nothing else."""
    return re.sub(r'(["\\\]])', r"\\\1", str(value))


# Key of CEF -> key of a record. CEF has no word for the rest, which is what its custom strings are for.
_CEF_KEYS: Final = {
    "externalId": "seq",
    "suser": "actor",
    "outcome": "outcome",
    "reason": "reason",
    "filePath": "store_path",
}
_CEF_CUSTOM: Final = ("credential", "rotation_id", "key_id", "request_id", "prev_hash", "hash")


def cef(record: Record, version: str) -> str:
    """Return one line of CEF version 0 (ArcSight Common Event Format, revision 26), without a syslog header."""
    event = str(record.get("event"))
    head = ["CEF:0", "rotator", "rotatord", version, event, told(record), str(_CEF_SEVERITY[weight(record)])]
    time = datetime.fromisoformat(str(record["time"]))
    said: list[tuple[str, object]] = [("rt", int(time.timestamp() * 1000))]
    said += [(name, record[key]) for name, key in _CEF_KEYS.items() if record.get(key) is not None]
    for number, key in enumerate(_CEF_CUSTOM, 1):
        if record.get(key) is not None:
            said += [(f"cs{number}Label", key), (f"cs{number}", record[key])]
    if record.get("store_version") is not None:
        said += [("cn1Label", "store_version"), ("cn1", record["store_version"])]
    if record.get("detail") is not None:
        said.append(("msg", record["detail"]))
    extension = " ".join(f"{name}={_value(value)}" for name, value in said)
    return "|".join([head[0], *map(_header, head[1:]), extension])


def _header(text: str) -> str:
    return re.sub(r"[\r\n]+", " ", text).replace("\\", "\\\\").replace("|", "\\|")


def _value(value: object) -> str:
    escaped = str(value).replace("\\", "\\\\").replace("=", "\\=")
    return escaped.replace("\r", "\\r").replace("\n", "\\n")
