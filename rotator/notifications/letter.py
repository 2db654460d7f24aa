"""What is told of one audit record, in the form of CloudEvents 1.0. It has what the record has, and no value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Final, NamedTuple

Record = Mapping[str, str | int | None]

_DATA: Final = (
    *("seq", "event", "credential", "rotation_id", "actor", "outcome", "reason", "key_id", "store_path"),
    *("store_version", "detail"),
)


class Fate(Enum):
    """What became of one letter."""

    TAKEN = "taken"
    LATER = "later"  # it is tried again
    REFUSED = "refused"  # this letter will never be taken; others may be
    GONE = "gone"  # there is nobody any more


class Told(NamedTuple):
    """What came of telling somebody. why: in a few words, when it was not taken. wait: what he asked for."""

    fate: Fate
    why: str = ""
    wait: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """One record for one receiver. id: the same for each try, by which he knows one that comes twice."""

    id: str
    time: str
    event: str
    body: bytes


def written(record: Record, state: str) -> Letter:
    """Return the letter of a record; state: the id of the state whose record it is.

    Source: github.com/cloudevents/spec, cloudevents/spec.md (attributes) and formats/json-format.md (structured form).
    """
    number = f"{state}-{record['seq']}"
    told: dict[str, Any] = {
        "specversion": "1.0",
        "id": number,
        "source": f"urn:rotator:{state}",
        "type": f"rotator.{record['event']}",
        "time": record["time"],
        "datacontenttype": "application/json",
    }
    if record["credential"] is not None:
        told["subject"] = record["credential"]
    told["data"] = {key: record[key] for key in _DATA}
    return Letter(number, str(record["time"]), str(record["event"]), json.dumps(told, separators=(",", ":")).encode())
