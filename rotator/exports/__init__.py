"""The record as others read it: one line of text per audit record, in the forms that auditors' programs know.

It chooses no record, checks no chain and opens no file. Read line by line, no more than one record is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

Record = Mapping[str, str | int | None]


class Form(StrEnum):
    """The forms an export can have."""

    JSONL = "jsonl"
    CSV = "csv"
    CEF = "cef"
    SYSLOG = "syslog"
    OCSF = "ocsf"
    ECS = "ecs"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who says it. version: of rotator. host: the name of the machine. state: the id of the state."""

    version: str
    host: str
    state: str


def lines(form: Form, records: Iterable[Record], origin: Origin) -> Iterator[str]:
    """Yield the text of an export, a line at a time, each with its own line end."""
    if form is Form.CSV:
        from rotator.exports.spreadsheet import csv_lines

        yield from csv_lines(records)
        return
    for record in records:
        yield one_line(form, record, origin) + "\n"


def one_line(form: Form, record: Record, origin: Origin) -> str:
    """Return one record in a form that has one line for each, without the line end. Not for CSV, which has a header."""
    from rotator.exports import documents, logs

    match form:
        case Form.JSONL:
            return documents.plain(record)
        case Form.OCSF:
            return documents.ocsf(record, origin.version, origin.host)
        case Form.ECS:
            return documents.ecs(record, origin.version, origin.host)
        case Form.CEF:
            return logs.cef(record, origin.version)
        case Form.SYSLOG:
            return logs.rfc5424(record, origin.host)
        case Form.CSV:
            raise ValueError("CSV has a header, and is made as a whole")
