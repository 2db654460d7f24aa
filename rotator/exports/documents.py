"""Audit records as JSON: as they are, and as thin mappings to OCSF and to the Elastic Common Schema. Loses no key.

What such a schema has a word for stands under it; the record itself stands whole beside that, under `unmapped` (OCSF)
or `rotator` (ECS), so that the chain can be checked from there too.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from rotator.chain import KEYS, Record
from rotator.event import Outcome
from rotator.exports.meaning import Deed, Weight, deed, told, weight

OCSF_VERSION: Final = "1.3.0"
ECS_VERSION: Final = "8.17.0"

ENTITY_MANAGEMENT: Final = 3004
"""The class `entity_management` of OCSF, in category 3: schema.ocsf.io/1.3.0/classes/entity_management."""

# The activity of that class.
_ACTIVITY: Final = {
    Deed.CREATED: (1, "Create"),
    Deed.READ: (2, "Read"),
    Deed.CHANGED: (3, "Update"),
    Deed.REMOVED: (4, "Delete"),
    Deed.NOTED: (99, "Other"),
}
_OCSF_SEVERITY: Final = {
    Weight.INFO: (1, "Informational"),
    Weight.NOTICE: (2, "Low"),
    Weight.WARNING: (3, "Medium"),
    Weight.ERROR: (4, "High"),
}
_OCSF_STATUS: Final = {
    Outcome.SUCCEEDED.value: (1, "Success"),
    Outcome.REFUSED.value: (2, "Failure"),
    Outcome.UNKNOWN.value: (0, "Unknown"),
}
# event.type of ECS for the category `iam`: elastic.co/docs/reference/ecs/ecs-allowed-values-event-type
_ECS_TYPE: Final = {
    Deed.CREATED: ["creation"],
    Deed.READ: ["info"],
    Deed.CHANGED: ["change"],
    Deed.REMOVED: ["deletion"],
    Deed.NOTED: ["info"],
}
_ECS_OUTCOME: Final = {Outcome.SUCCEEDED.value: "success", Outcome.REFUSED.value: "failure"}
_ECS_SEVERITY: Final = {Weight.INFO: 1, Weight.NOTICE: 3, Weight.WARNING: 6, Weight.ERROR: 8}


def plain(record: Record) -> str:
    """Return the record as it is hashed, with its keys in the order of `chain.KEYS`."""
    return _text({key: record.get(key) for key in KEYS})


def ocsf(record: Record, version: str, host: str) -> str:
    """Return an event of the class `entity_management`."""
    activity, name = _ACTIVITY[deed(record)]
    severity, how_grave = _OCSF_SEVERITY[weight(record)]
    status, how_it_went = _OCSF_STATUS.get(str(record.get("outcome")), (99, record.get("outcome") or "none"))
    subject = record.get("credential")
    content: dict[str, Any] = {
        "category_uid": 3,
        "class_uid": ENTITY_MANAGEMENT,
        "activity_id": activity,
        "activity_name": name,
        "type_uid": ENTITY_MANAGEMENT * 100 + activity,
        "time": int(datetime.fromisoformat(str(record["time"])).timestamp() * 1000),
        "severity_id": severity,
        "severity": how_grave,
        "status_id": status,
        "status": how_it_went,
        "message": told(record),
        "actor": {"user": {"name": record.get("actor")}, "app_name": "rotator"},
        "entity": {"name": subject or "rotator", "type": "credential" if subject else "program"},
        "device": {"hostname": host, "type_id": 0},
        "metadata": {
            "version": OCSF_VERSION,
            "profiles": ["host"],  # it is what `device` comes with
            "product": {"name": "rotator", "vendor_name": "rotator", "version": version},
            "event_code": record.get("event"),
            "original_time": record.get("time"),
            "sequence": record.get("seq"),
            "uid": record.get("hash"),
        },
        "unmapped": {key: record.get(key) for key in KEYS},
    }
    if record.get("reason") is not None:
        content["status_detail"] = record["reason"]
    if record.get("rotation_id") is not None:
        content["metadata"]["correlation_uid"] = record["rotation_id"]
    return _text(content)


def ecs(record: Record, version: str, host: str) -> str:
    """Return a document of the Elastic Common Schema."""
    event: dict[str, Any] = {
        "kind": "event",
        "category": ["iam"],
        "type": _ECS_TYPE[deed(record)],
        "action": record.get("event"),
        "severity": _ECS_SEVERITY[weight(record)],
        "sequence": record.get("seq"),
        "id": record.get("hash"),
        "provider": "rotator",
        "dataset": "rotator.audit",
    }
    if record.get("reason") is not None:
        event["reason"] = record["reason"]
    if record.get("outcome") is not None:  # the schema has no word for "does not apply"
        event["outcome"] = _ECS_OUTCOME.get(str(record["outcome"]), "unknown")
    return _text(
        {
            "@timestamp": record.get("time"),
            "ecs": {"version": ECS_VERSION},
            "message": told(record),
            "event": event,
            "user": {"name": record.get("actor")},
            "host": {"hostname": host},
            "service": {"name": "rotator", "type": "rotator", "version": version},
            "rotator": {key: record.get(key) for key in KEYS},
        }
    )


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
