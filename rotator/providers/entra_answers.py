"""Reads what Graph and the token endpoint answered, strictly; it judges nothing and shows no body.

Duplicate keys, NaN, and anything but an object count as no JSON at all: what two readers could understand differently
is not understood here.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from rotator.ports import Listed

SHORTEST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(hours=6)

GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z", re.ASCII)
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,79}\Z", re.ASCII)
_POLICY = re.compile(r"policy '([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})'", re.ASCII)


class NoAnswer(Exception):
    """There is no answer that could be read. sent: whether the request may have reached the other side.

    code: a stable word. message: one sentence in our own words, without a full stop.
    """

    def __init__(self, code: str, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whole. headers: lower-case names. body: never shown."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def date(self) -> datetime | None:
        """Return the Date header as aware UTC; None when there is none that can be read."""
        return http_date(self.headers.get("date"))

    @property
    def request_id(self) -> str | None:
        """Return the id that Microsoft's support asks for; None when there is none or it is no GUID."""
        found = self.headers.get("request-id", "")
        return found if GUID.match(found) else None

    @property
    def json(self) -> dict[str, Any] | None:
        """Return the JSON object in the body; None for anything else."""
        return json_object(self.body)

    @property
    def code(self) -> str | None:
        """Return Graph's `error.code`; None when this is no error in Graph's words.

        Only the code is to be relied on (learn.microsoft.com/graph/errors); the message may change and may quote us.
        """
        error = (self.json or {}).get("error")
        code = error.get("code") if isinstance(error, dict) else None
        return code if isinstance(code, str) and _CODE.match(code) else None

    @property
    def policy_id(self) -> str | None:
        """Return the id of the app management policy that the error names."""
        error = (self.json or {}).get("error")
        message = error.get("message") if isinstance(error, dict) else None
        found = _POLICY.search(message) if isinstance(message, str) else None
        return found[1] if found else None

    @property
    def oauth_error(self) -> str | None:
        """Return the token endpoint's `error`; None when this is no error in its words."""
        error = (self.json or {}).get("error")
        return error if isinstance(error, str) and _CODE.match(error) else None

    @property
    def aadsts(self) -> int | None:
        """Return the first of the token endpoint's `error_codes`, as in AADSTS7000215."""
        codes = (self.json or {}).get("error_codes")
        first = codes[0] if isinstance(codes, list) and codes else None
        return first if isinstance(first, int) and not isinstance(first, bool) else None

    def retry_after(self, now: datetime) -> timedelta | None:
        """Return Retry-After, seconds or date (RFC 9110 section 10.2.3), from 1 s to 6 h; None when it says nothing.

        now: our wall clock, for a date in an answer that has no Date of its own.
        """
        text = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"[+-]?[0-9]{1,18}(?:\.[0-9]+)?", text, re.ASCII):
            wait = timedelta(seconds=max(0.0, min(float(text), LONGEST_WAIT.total_seconds())))
        else:
            at = http_date(text)
            if at is None:
                return None
            wait = at - (self.date or now)
        return max(SHORTEST_WAIT, min(wait, LONGEST_WAIT))


def http_date(text: str | None) -> datetime | None:
    """Read an HTTP date; None for anything else."""
    try:
        moment = parsedate_to_datetime(text or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def json_object(text: bytes | str) -> dict[str, Any] | None:
    """Return the one JSON object that `text` is; None when it is anything else."""
    try:
        found = json.loads(text, object_pairs_hook=_without_twins, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def moment(value: object) -> datetime | None:
    """Return a time of Graph as aware UTC, its seventh digit cut off; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def listed(item: object) -> Listed | None:
    """Return one of Graph's passwordCredentials; None when it has no key id, or is no such thing.

    Shape: learn.microsoft.com/graph/api/resources/passwordcredential.
    """
    key_id = item.get("keyId") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(key_id, str) or not GUID.match(key_id):
        return None
    tag = item.get("displayName")
    return Listed(
        key_id=key_id.lower(),
        tag=tag if isinstance(tag, str) else None,
        created_at=moment(item.get("startDateTime")),
        expires_at=moment(item.get("endDateTime")),
        hint=hint if isinstance(hint := item.get("hint"), str) and hint else None,
    )


def sign_in(row: object) -> tuple[str, datetime] | None:
    """Return key id and time of the last use, by a row of appCredentialSignInActivity; None when it has none."""
    if not isinstance(row, dict):
        return None
    key_id, activity = row.get("keyId"), row.get("signInActivity")
    at = moment(activity.get("lastSignInDateTime")) if isinstance(activity, dict) else None
    return (key_id.lower(), at) if isinstance(key_id, str) and at is not None else None


def claims(token: str) -> dict[str, Any]:
    """Return what our own token for Graph says; empty when it cannot be read, as Microsoft may decide at any time."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    except (binascii.Error, ValueError):
        return {}
    return json_object(payload) or {}


def texts(value: object) -> tuple[str, ...]:
    """Return the texts of a JSON list; empty for anything else."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _without_twins(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
