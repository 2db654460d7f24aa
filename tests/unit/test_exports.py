"""Exports of the audit log fit the grammar or the schema of each form, whatever a record says."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest

from rotator.chain import KEYS, ZEROS, Place, Value, first_break, link
from rotator.event import EventName, Outcome
from rotator.exports import Form, Origin, lines

ORIGIN = Origin("0.1.0", "host-1.example.com", "0" * 32)
NASTY = 'a "quoted" \\ back]slash | pipe = equals, comma; ümlaut 日本 ] end'


def record(seq: int = 1, previous: str = ZEROS, **changes: Value) -> dict[str, Value]:
    made: dict[str, Value] = {
        "seq": seq,
        "time": "2026-11-24T14:01:07.123456Z",
        "event": "version.promoted",
        "credential": "kontrolle-plus-prod",
        "rotation_id": "r-1",
        "actor": "dana",
        "outcome": "succeeded",
        "reason": "proved",
        "key_id": "k-1",
        "store_path": "kv/partners/x",
        "store_version": 7,
        "request_id": None,
        "detail": None,
        "prev_hash": previous,
        **changes,
    }
    made["hash"] = link(made, previous)
    return made


def every_kind() -> list[dict[str, Value]]:
    return [
        record(event=event.value, outcome=None if outcome is None else outcome.value, detail=detail)
        for event in EventName
        for outcome in (None, *Outcome)
        for detail in (None, NASTY)
    ]


def texts(form: Form, *records: dict[str, Value]) -> list[str]:
    return list(lines(form, records, ORIGIN))


# --------------------------------------------------------------------------------------------------------------- jsonl


def test_the_chain_can_be_checked_from_jsonl() -> None:
    first = record(detail=NASTY)
    second = record(2, str(first["hash"]))
    read = [json.loads(line) for line in texts(Form.JSONL, first, second)]
    assert [list(one) for one in read] == [list(KEYS)] * 2
    assert first_break(read) is None
    assert first_break(read[1:], Place(1, str(first["hash"]))) is None


# ----------------------------------------------------------------------------------------------------------------- csv


def test_csv_is_read_back_as_it_was_written() -> None:
    text = "".join(texts(Form.CSV, *every_kind()))
    assert text.count("\r\n") == text.count("\n") == len(every_kind()) + 1
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["detail"] for row in rows] == [one["detail"] or "" for one in every_kind()]
    assert list(rows[0]) == list(KEYS)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "  ="])
def test_no_cell_of_a_csv_is_a_formula(start: str) -> None:
    formula = f'{start}HYPERLINK("http://x","y")'
    text = "".join(texts(Form.CSV, record(actor=formula, detail=formula, credential=formula)))
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert {row["actor"], row["detail"], row["credential"]} == {f"'{formula}"}


# -------------------------------------------------------------------------------------------------------------- syslog

# RFC 5424, section 6, as a regular expression; the timestamp is its subset of RFC 3339 with at most six decimals.
_SD_NAME = r"[!#-<>-\\^-~]{1,32}"
_PARAM = rf'{_SD_NAME}="(?:\\["\\\]]|[^"\\\]])*"'
SYSLOG = re.compile(
    r"<(?P<pri>[1-9]?[0-9]|1[0-8][0-9]|19[01])>1 "
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) "
    r"(?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) "
    rf"(?P<data>\[{_SD_NAME}(?: {_PARAM})*\]) \ufeff(?P<msg>.*)\n\Z"
)


def test_every_record_is_a_message_of_rfc_5424() -> None:
    for one, line in zip(every_kind(), texts(Form.SYSLOG, *every_kind()), strict=True):
        found = SYSLOG.match(line)
        assert found is not None, line
        assert found["msgid"] == one["event"]
        assert int(found["pri"]) // 8 == 13
        said = {
            name: re.sub(r'\\(["\\\]])', r"\1", value)
            for name, value in re.findall(r' ([a-z_]+)="((?:\\["\\\]]|[^"\\\]])*)"', found["data"])
        }
        assert said == {key: str(value) for key, value in one.items() if value is not None}


def test_a_host_that_syslog_cannot_name_is_made_fit() -> None:
    (line,) = lines(Form.SYSLOG, [record()], Origin("0.1.0", "höst name", ""))
    found = SYSLOG.match(line)
    assert found is not None and found["host"] == "h?st?name"


# ----------------------------------------------------------------------------------------------------------------- cef

CEF = re.compile(r"CEF:0((?:\|(?:[^|\\\n]|\\[\\|])*){6})\|([^\n]*)\n\Z")
_PAIR = re.compile(r"(\w+)=((?:[^=\\\n]|\\[=\\nr])*?)(?= \w+=|\Z)")


def test_every_record_is_a_line_of_cef() -> None:
    for one, line in zip(every_kind(), texts(Form.CEF, *every_kind()), strict=True):
        found = CEF.match(line)
        assert found is not None, line
        severity = int(re.split(r"(?<!\\)\|", found[1])[-1])
        assert 0 <= severity <= 10
        pairs = {name: re.sub(r"\\([=\\])", r"\1", value) for name, value in _PAIR.findall(found[2])}
        assert pairs["externalId"] == str(one["seq"])
        assert pairs.get("msg") == one["detail"]
        named = {pairs[f"cs{number}Label"]: pairs[f"cs{number}"] for number in range(1, 7) if f"cs{number}" in pairs}
        assert named["hash"] == one["hash"] and named["credential"] == one["credential"]


def test_a_pipe_in_the_header_of_cef_is_escaped() -> None:
    (line,) = texts(Form.CEF, record(event="a|b\\c"))
    assert r"|a\|b\\c|" in line


# -------------------------------------------------------------------------------------------------------- ocsf and ecs

# What schema.ocsf.io/1.3.0/classes/entity_management requires, and of the objects in it.
OCSF: dict[str, Any] = {
    "activity_id": {*range(14), 99},
    "category_uid": {3},
    "class_uid": {3004},
    "severity_id": {*range(7), 99},
    "status_id": {0, 1, 2, 99},
}


def test_every_record_is_an_ocsf_event() -> None:
    for one, line in zip(every_kind(), texts(Form.OCSF, *every_kind()), strict=True):
        found = json.loads(line)
        for key, allowed in OCSF.items():
            assert found[key] in allowed, key
        assert found["type_uid"] == found["class_uid"] * 100 + found["activity_id"]
        assert isinstance(found["time"], int) and len(str(found["time"])) == 13
        assert {"version", "product"} <= set(found["metadata"]) and {"name", "vendor_name"} <= set(
            found["metadata"]["product"]
        )
        assert found["entity"]["name"] and found["entity"]["type"]
        assert "type_id" in found["device"] and found["metadata"]["profiles"] == ["host"]
        assert found["unmapped"] == one


# elastic.co/docs/reference/ecs/ecs-allowed-values-event-*: what goes with the category `iam`.
ECS_TYPES = {"admin", "change", "creation", "deletion", "group", "info", "user"}


def test_every_record_is_an_ecs_document() -> None:
    for one, line in zip(every_kind(), texts(Form.ECS, *every_kind()), strict=True):
        found = json.loads(line)
        assert found["@timestamp"] == one["time"] and re.match(r"8\.\d+\.\d+\Z", found["ecs"]["version"])
        event = found["event"]
        assert event["kind"] == "event" and event["category"] == ["iam"] and set(event["type"]) <= ECS_TYPES
        assert event.get("outcome", "unknown") in {"success", "failure", "unknown"}
        assert ("outcome" in event) == (one["outcome"] is not None)
        assert found["rotator"] == one


def test_an_intent_is_no_deed_yet() -> None:
    done, meant = record(event="version.created"), record(event="version.created", outcome="intended")
    names = [json.loads(line)["activity_name"] for line in texts(Form.OCSF, done, meant)]
    assert names == ["Create", "Other"]
