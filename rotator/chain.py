"""The audit chain: makes records that hold each other in place and finds where they do not. Pure; stores nothing.

A record is a flat dictionary with the keys of `KEYS`. Its `hash` is SHA-256, in hex, over the form that RFC 8785 (JSON
Canonicalization Scheme) gives the record without `hash`; `prev_hash` is the hash of the record before. So a record that
is changed, removed, put in or moved does not fit any more. Somebody who can rewrite every record can rewrite the chain
too, and a tail that was cut off leaves no gap: both show only against a head that was kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from json.encoder import encode_basestring as _quoted  # RFC 8785, section 3.2.2.2: nothing but what must be is escaped
from typing import Final

from rotator.event import Event

Value = str | int | None
Record = Mapping[str, Value]

ZEROS: Final = "0" * 64
"""What the first record names as the one before."""

LONGEST: Final = 512
"""So many characters of any text enter a record: words from outside come in every length."""

KEYS: Final = (
    "seq",
    "time",
    "event",
    "credential",
    "rotation_id",
    "actor",
    "outcome",
    "reason",
    "key_id",
    "store_path",
    "store_version",
    "request_id",
    "detail",
    "prev_hash",
    "hash",
)
"""The keys of a record, in the order in which they are shown."""

_EXACT: Final = 2**53  # above it RFC 8785 has no exact form for a whole number
_WHOLE: Final = frozenset(KEYS)
_SORTED: Final = tuple(sorted(_WHOLE - {"hash"}))
_TEMPLATE: Final = "{" + ",".join(f'"{key}":%s' for key in _SORTED) + "}"


# ----------------------------------------------------------------------------------------------------------- making


def record_of(event: Event, seq: int, time: datetime, previous: str) -> dict[str, Value]:
    """Return the finished record of an event. time: aware. previous: the hash of record `seq - 1`, or `ZEROS`."""
    record: dict[str, Value] = {
        "seq": seq,
        "time": spell_time(time),
        "event": event.event.value,
        "credential": tidy(event.credential),
        "rotation_id": tidy(event.rotation_id),
        "actor": tidy(event.actor),
        "outcome": None if event.outcome is None else event.outcome.value,
        "reason": tidy(event.reason),
        "key_id": tidy(event.key_id),
        "store_path": tidy(event.store_path),
        "store_version": event.store_version,
        "request_id": tidy(event.request_id),
        "detail": tidy(event.detail),
        "prev_hash": previous,
    }
    record["hash"] = link(record, previous)
    return record


def link(record: Record, previous: str) -> str:
    """Return the hash of a record that follows the one with hash `previous`.

    What the record says of `hash` and `prev_hash` is not looked at. Raises TypeError for a value that is neither text
    nor a whole number below 2**53 nor None.
    """
    if record.keys() == _WHOLE:  # the template says what `canonical` would, in a third of the time
        values = [previous if key == "prev_hash" else record[key] for key in _SORTED]
        spelt = [_quoted(one) if type(one) is str else "null" if one is None else _whole(one) for one in values]
        return hashlib.sha256((_TEMPLATE % tuple(spelt)).encode("utf-8", "backslashreplace")).hexdigest()
    content: dict[str, Value] = {**record, "prev_hash": previous}
    content.pop("hash", None)
    return hashlib.sha256(canonical(content)).hexdigest()


def _whole(value: Value) -> str:
    if type(value) is int and -_EXACT < value < _EXACT:
        return str(value)
    raise TypeError("a record holds texts, whole numbers below 2**53 and None")


def canonical(record: dict[str, Value]) -> bytes:
    """Return the form of RFC 8785 for a flat object of texts, whole numbers and nulls whose keys are ASCII.

    Such keys are in order of UTF-16 code units (section 3.2.3) when they are sorted as they are, and Python's encoder
    escapes texts as section 3.2.2.2 says when it may write non-ASCII. Where the RFC would stop at a lone surrogate it
    is written as `\\udXXX`, as ECMAScript's JSON.stringify does: a record must never be beyond checking. Raises
    TypeError as `link`.
    """
    for key, value in record.items():
        kind = type(value)
        if kind is int:
            if not -_EXACT < value < _EXACT:  # type: ignore[operator]
                raise TypeError("a whole number in a record is below 2**53")
        elif not key.isascii() or (kind is not str and value is not None):
            raise TypeError("a record holds texts, whole numbers and None under ASCII keys")
    return _JSON.encode(record).encode("utf-8", "backslashreplace")


def spell_time(time: datetime) -> str:
    """Return a time as records have it: RFC 3339, UTC, six decimals."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def tidy(text: str | None) -> str | None:
    """Return a text as it may enter a record: one line, nothing a terminal obeys, at most `LONGEST` characters.

    Unseen characters (Cf) vanish, control characters and line ends (Cc, Zl, Zp) become spaces, a lone surrogate, which
    no file can hold, becomes U+FFFD.
    """
    if text is None or (len(text) <= LONGEST and text.isprintable()):
        return text
    cut = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return "".join(_PUT_FOR.get(unicodedata.category(character), character) for character in cut)


_JSON: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_PUT_FOR: Final = {"Cc": " ", "Zl": " ", "Zp": " ", "Cf": "", "Cs": "\N{REPLACEMENT CHARACTER}"}


# --------------------------------------------------------------------------------------------------------- checking


class Flaw(StrEnum):
    """What is wrong at a place of the chain."""

    MISSING = "missing"  # a number was left out
    REORDERED = "reordered"  # a number came again, or too late
    EDITED = "edited"  # the record is not the one its hash was made of
    UNLINKED = "unlinked"  # it is whole, and follows another record than the one before it
    CUT = "cut"  # the records end before the head that was kept apart, or end otherwise
    FORGED = "forged"  # a checkpoint says what is not so, or its signature was not made with the key it names


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the chain does not hold. seq: the record that does not fit. reason: a sentence.

    mark: a digest of what stands there and before it, so that who accepts a break accepts this one and no later one.
    """

    seq: int
    flaw: Flaw
    reason: str
    mark: str


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the chain to go on from: the number and the hash of the last record that was looked at."""

    seq: int
    hash: str


START: Final = Place(0, ZEROS)


def first_break(records: Iterable[Record], start: Place = START) -> Break | None:
    """Return where the chain breaks first, or None. Reads the records one by one; `start`: the record before them."""
    return next(breaks(records, start), None)


def breaks(records: Iterable[Record], start: Place = START) -> Iterator[Break]:
    """Yield every place where the chain breaks; after one it goes on from the record that stands there."""
    for record in records:
        found = _flaw(record, start)
        if found is not None:
            yield Break(_number(record, start), *found, mark_of(record, start))
        start = Place(_number(record, start), str(record.get("hash")))


def mark_of(record: Record | None, before: Place) -> str:
    """Return a digest of a record just as it stands after another; None: where the records end."""
    shown = repr((before.seq, before.hash, None if record is None else sorted(record.items())))
    return hashlib.sha256(shown.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _flaw(record: Record, before: Place) -> tuple[Flaw, str] | None:
    seq = record.get("seq")
    if not isinstance(seq, int) or seq <= before.seq:
        return Flaw.REORDERED, f"Record {seq} stands after record {before.seq}."
    if seq > before.seq + 1:
        which = f"Record {seq - 1} is" if seq == before.seq + 2 else f"Records {before.seq + 1} to {seq - 1} are"
        return Flaw.MISSING, f"{which} missing."
    previous = record.get("prev_hash")
    try:
        whole = isinstance(previous, str) and record.get("hash") == link(record, previous)
    except TypeError:
        whole = False
    if not whole:
        return Flaw.EDITED, f"Record {seq} was changed after it was written: its hash is that of another content."
    if previous != before.hash:
        rest = f"the hash of record {before.seq}" if before.seq else "64 zeros, with which the chain begins"
        return Flaw.UNLINKED, f"Record {seq} does not follow what stands before it: its prev_hash is not {rest}."
    return None


def _number(record: Record, before: Place) -> int:
    seq = record.get("seq")
    return seq if isinstance(seq, int) else before.seq + 1
