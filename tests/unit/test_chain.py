"""The audit chain: its canonical form byte by byte, and that no change of the records goes unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.chain import (
    KEYS,
    LONGEST,
    START,
    ZEROS,
    Flaw,
    Place,
    breaks,
    canonical,
    first_break,
    link,
    record_of,
    spell_time,
    tidy,
)
from rotator.event import Event, EventName, Outcome

AT = datetime(2026, 11, 24, 14, 1, 7, 120, tzinfo=UTC)
Records = list[dict[str, Any]]


def chained(count: int = 9) -> Records:
    records: Records = []
    previous = ZEROS
    for seq in range(1, count + 1):
        event = Event(EventName.VERSION_CREATED, "dana", f"c{seq}", outcome=Outcome.INTENDED, detail=f"key {seq}")
        records.append(record_of(event, seq, AT + timedelta(seconds=seq), previous))
        previous = records[-1]["hash"]
    return records


# --------------------------------------------------------------------------------------------------------------- form


def test_the_form_is_that_of_rfc_8785_byte_by_byte() -> None:
    record: dict[str, Any] = {
        "seq": 1,
        "time": "2026-11-24T14:01:07.000120Z",
        "event": "version.created",
        "credential": "kontrolle-plus-prod",
        "store_version": 7,
        "detail": 'Ü "quoted" \\ / \u20ac$\x0f\nA\'B',
        "actor": None,
    }
    by_hand = (
        '{"actor":null,"credential":"kontrolle-plus-prod",'
        '"detail":"Ü \\"quoted\\" \\\\ / €$\\u000f\\nA\'B",'
        '"event":"version.created","seq":1,"store_version":7,"time":"2026-11-24T14:01:07.000120Z"}'
    )
    assert canonical(record) == by_hand.encode()


@pytest.mark.parametrize(
    ("text", "escaped"),  # RFC 8785, section 3.2.2.2
    [
        ("\b", b"\\b"),
        ("\t", b"\\t"),
        ("\n", b"\\n"),
        ("\f", b"\\f"),
        ("\r", b"\\r"),
        ("\0", b"\\u0000"),
        ("\x0b", b"\\u000b"),
        ("\x1f", b"\\u001f"),
        ('"', b'\\"'),
        ("\\", b"\\\\"),
        ("/", b"/"),
        ("\x7f", b"\x7f"),
        ("\x80", b"\xc2\x80"),
        ("\u2028", b"\xe2\x80\xa8"),
        ("\ufb33", b"\xef\xac\xb3"),
        ("\U0001f602", b"\xf0\x9f\x98\x82"),
        ("\ud800", b"\\ud800"),
        ("\udfff-", b"\\udfff-"),
        ("\\ud800", b"\\\\ud800"),
    ],
)
def test_texts_are_escaped_as_the_rfc_says(text: str, escaped: bytes) -> None:
    assert canonical({"a": text}) == b'{"a":"' + escaped + b'"}'


def test_the_hash_is_sha_256_over_the_record_without_it() -> None:
    (record,) = chained(1)
    content = {key: value for key, value in record.items() if key != "hash"}
    by_hand = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert record["hash"] == hashlib.sha256(by_hand.encode()).hexdigest()
    assert record["prev_hash"] == "0" * 64
    assert record["hash"] == "874b3d143d022f60a98cf7cf5da9fafeeb38ae3ed0534e5b8d73c17cb54c8337"


def test_a_record_has_the_keys_of_an_audit_item_and_no_other() -> None:
    assert tuple(chained(1)[0]) == KEYS


@pytest.mark.parametrize("value", [True, 1.0, b"x", 2**53, -(2**53), ["a"]])
def test_what_has_no_exact_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical({"a": value})
    with pytest.raises(TypeError):
        link({"a": value}, ZEROS)


def test_a_key_outside_of_ascii_is_refused() -> None:
    with pytest.raises(TypeError):
        canonical({"é": "x"})


@given(st.dictionaries(st.sampled_from(KEYS), st.none() | st.text() | st.integers(-(2**53) + 1, 2**53 - 1)))
def test_every_record_has_a_form_that_is_json_again(record: dict[str, Any]) -> None:
    assert json.loads(canonical(record)) == record


@given(st.text(st.characters(), max_size=600))
def test_whatever_comes_from_outside_is_one_short_line_in_a_record(text: str) -> None:
    cleaned = tidy(text)
    assert cleaned is not None
    assert len(cleaned) <= LONGEST
    assert not set(cleaned) & {"\n", "\r", "\x1b", "\0", "\u2028", "\u202e", "\ud800"}
    cleaned.encode()
    assert tidy(cleaned) == cleaned


def test_words_from_outside_are_cleaned_and_cut() -> None:
    event = Event(
        EventName.VERSION_RETIRED,
        "dana\x1b[2J",
        key_id="k\u202e1",
        detail="a\nb\ud800" + "x" * 600,
        request_id="r\0",
        reason="\u2028",
    )
    record = record_of(event, 1, AT, ZEROS)
    assert record["actor"] == "dana [2J"
    assert record["key_id"] == "k1"
    assert record["request_id"] == "r "
    assert record["reason"] == " "
    assert str(record["detail"]).startswith("a b\ufffdxxx")
    assert len(str(record["detail"])) == 512
    assert str(record["detail"]).endswith("…")


def test_times_are_spelt_in_utc_with_six_decimals() -> None:
    assert spell_time(AT) == "2026-11-24T14:01:07.000120Z"
    assert spell_time(AT.replace(microsecond=0, tzinfo=timezone(timedelta(hours=1)))) == "2026-11-24T13:01:07.000000Z"


# -------------------------------------------------------------------------------------------------------------- chain


def test_a_chain_as_it_was_written_does_not_break() -> None:
    records = chained()
    assert first_break(records) is None
    assert first_break([]) is None
    assert first_break(records[4:], Place(4, records[3]["hash"])) is None
    assert first_break(iter(records[:1]), START) is None


def edited(records: Records) -> None:
    records[3]["detail"] = "another"


def hash_edited(records: Records) -> None:
    records[3]["hash"] = ZEROS


def rewritten(records: Records) -> None:
    """Change a record and make its hash anew: the one after it tells."""
    records[3]["detail"] = "another"
    records[3]["hash"] = link(records[3], records[3]["prev_hash"])


def removed(records: Records) -> None:
    del records[3]


def two_removed(records: Records) -> None:
    del records[3:5]


def removed_and_renumbered(records: Records) -> None:
    del records[3]
    for number, record in enumerate(records, 1):
        record["seq"] = number


def removed_and_made_anew(records: Records) -> None:
    """Leave one out and number and hash the next one so that it seems whole."""
    del records[3]
    records[3]["seq"] = 4
    records[3]["hash"] = link(records[3], records[3]["prev_hash"])


def put_in(records: Records) -> None:
    records.insert(3, dict(records[2]))


def exchanged(records: Records) -> None:
    records[3], records[4] = records[4], records[3]


def contents_exchanged(records: Records) -> None:
    exchanged(records)
    records[3]["seq"], records[4]["seq"] = 4, 5


def first_removed(records: Records) -> None:
    del records[0]


def no_number(records: Records) -> None:
    records[3]["seq"] = None


def no_text(records: Records) -> None:
    records[3]["detail"] = b"bytes"


@pytest.mark.parametrize(
    ("tamper", "seq", "flaw", "words"),
    [
        (edited, 4, Flaw.EDITED, "Record 4 was changed after it was written"),
        (hash_edited, 4, Flaw.EDITED, "Record 4 was changed after it was written"),
        (no_text, 4, Flaw.EDITED, "Record 4 was changed after it was written"),
        (rewritten, 5, Flaw.UNLINKED, "Record 5 does not follow what stands before it: its prev_hash"),
        (removed, 5, Flaw.MISSING, "Record 4 is missing."),
        (two_removed, 6, Flaw.MISSING, "Records 4 to 5 are missing."),
        (removed_and_renumbered, 4, Flaw.EDITED, "Record 4 was changed"),
        (removed_and_made_anew, 4, Flaw.UNLINKED, "Record 4 does not follow"),
        (put_in, 3, Flaw.REORDERED, "Record 3 stands after record 3."),
        (exchanged, 5, Flaw.MISSING, "Record 4 is missing."),
        (contents_exchanged, 4, Flaw.EDITED, "Record 4 was changed"),
        (first_removed, 2, Flaw.MISSING, "Record 1 is missing."),
        (no_number, 4, Flaw.REORDERED, "Record None stands after record 3."),
    ],
)
def test_whatever_is_done_to_the_records_the_first_broken_one_is_named(
    tamper: Callable[[Records], None], seq: int, flaw: Flaw, words: str
) -> None:
    records = chained()
    tamper(records)
    found = first_break(records)
    assert found is not None
    assert (found.seq, found.flaw) == (seq, flaw)
    assert found.reason.startswith(words)


@given(st.integers(0, 8), st.sampled_from([key for key in KEYS if key != "seq"]), st.none() | st.text())
def test_no_change_of_any_field_of_any_record_goes_unseen(position: int, key: str, value: str | None) -> None:
    records = chained()
    if records[position][key] == value:
        return
    records[position][key] = value
    found = first_break(records)
    assert found is not None
    assert found.seq == position + 1


def test_a_chain_of_another_start_does_not_pass_for_this_one() -> None:
    records = chained()
    found = first_break(records[4:], Place(4, "f" * 64))
    assert found is not None
    assert (found.seq, found.flaw) == (5, Flaw.UNLINKED)


def test_after_a_break_the_walk_goes_on_from_what_stands_there() -> None:
    records = chained()
    edited(records)
    records[6]["actor"] = "mallory"
    del records[8]
    assert [(one.seq, one.flaw) for one in breaks(records)] == [(4, Flaw.EDITED), (7, Flaw.EDITED)]


def test_a_break_that_is_changed_again_has_another_mark() -> None:
    marks = set()
    for detail in ("one", "two"):
        records = chained()
        records[3]["detail"] = detail
        marks.add(first_break(records).mark)
    assert len(marks) == 2


def test_records_are_read_one_by_one() -> None:
    records = chained()
    edited(records)
    left = iter(records)
    first_break(left)
    assert next(left)["seq"] == 5
