"""What the service says: a line for each record, for machines whole, for a person what he can use."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

from rotator.app.logging import speaker
from rotator.app.servicelog import ServiceLog
from rotator.clock import ManualClock
from rotator.errors import Transient

RECORD: dict[str, str | int | None] = {
    "seq": 7,
    "event": "version.created",
    "credential": "one",
    "rotation_id": "r1",
    "actor": "dana",
    "outcome": "succeeded",
    "reason": None,
    "key_id": "k1",
    "store_path": None,
    "store_version": None,
    "detail": "valid until\x1b[31m 2027",
}


def said(*, plain: bool, **changes: str | int | None) -> str:
    stream = io.StringIO()
    log = ServiceLog(speaker(stream, ManualClock(datetime(2026, 11, 24, 9, 5, 6, tzinfo=UTC)), plain=plain))
    log.recorded([{**RECORD, **changes}])
    return stream.getvalue()


def test_a_machine_gets_one_object_a_line_with_everything() -> None:
    line = said(plain=False)
    assert line.count("\n") == 1
    found = json.loads(line)
    assert list(found)[:3] == ["time", "level", "event"]
    assert (found["time"], found["level"], found["event"]) == ("2026-11-24T09:05:06Z", "info", "version.created")
    assert (found["rotation_id"], found["key_id"], found["actor"], found["seq"]) == ("r1", "k1", "dana", 7)
    assert "reason" not in found


def test_a_person_gets_the_hour_and_what_happened_in_one_line_without_control_characters() -> None:
    line = said(plain=True)
    assert line == "09:05:06  version.created    one  succeeded  valid until [31m 2027\n"


def test_a_person_is_spared_what_is_only_intended() -> None:
    assert said(plain=True, outcome="intended") == ""
    assert json.loads(said(plain=False, outcome="intended"))["outcome"] == "intended"


def test_what_needs_somebody_has_another_level() -> None:
    levels = {
        event: json.loads(said(plain=False, event=event))["level"]
        for event in ("rotation.parked", "credential.expiring", "rotation.finished")
    }
    assert levels == {"rotation.parked": "error", "credential.expiring": "warning", "rotation.finished": "info"}


def test_a_stream_that_takes_nothing_raises_nothing() -> None:
    stream = io.StringIO()
    log = ServiceLog(speaker(stream, ManualClock(), plain=False))
    stream.close()
    log.recorded([RECORD])
    log.say("daemon.waiting")
    log.trouble("attempt.failed", Transient("down", hint="wait"))
