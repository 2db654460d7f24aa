"""What is told of a record, and how it is signed, by the published words of CloudEvents and Standard Webhooks."""

from __future__ import annotations

import json
from datetime import datetime

from rotator.notifications.letter import written
from rotator.notifications.webhook import signature
from rotator.secret import Secret

RECORD: dict[str, str | int | None] = {
    "seq": 42,
    "time": "2026-11-24T12:00:00.000000Z",
    "event": "rotation.parked",
    "credential": "one",
    "rotation_id": "r",
    "actor": "dana",
    "outcome": None,
    "reason": "edited",
    "key_id": None,
    "store_path": None,
    "store_version": None,
    "request_id": None,
    "detail": "somebody edited it",
    "prev_hash": "0" * 64,
    "hash": "1" * 64,
}


def test_a_letter_is_a_cloud_event_in_structured_form() -> None:
    letter = written(RECORD, "state-1")
    told = json.loads(letter.body)
    required = {"id", "source", "specversion", "type"}
    assert required <= told.keys()
    assert all(key.isascii() and key.isalnum() and key == key.lower() for key in told), "attribute names: a-z and 0-9"
    assert (told["specversion"], told["id"], told["type"]) == ("1.0", "state-1-42", "rotator.rotation.parked")
    assert (told["subject"], told["source"], told["datacontenttype"]) == (
        "one",
        "urn:rotator:state-1",
        "application/json",
    )
    assert datetime.fromisoformat(told["time"]).tzinfo is not None
    assert told["data"]["detail"] == "somebody edited it"
    assert "hash" not in told["data"]


def test_without_a_credential_there_is_no_subject() -> None:
    assert "subject" not in json.loads(written({**RECORD, "credential": None}, "s").body)


def test_the_signature_is_that_of_the_published_example() -> None:
    """The example of the library's own tests: github.com/standard-webhooks/standard-webhooks, libraries/python."""
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_a_secret_that_is_no_base64_is_its_own_bytes() -> None:
    assert signature(Secret("plain"), "a", "1", b"x") != signature(Secret("other"), "a", "1", b"x")
