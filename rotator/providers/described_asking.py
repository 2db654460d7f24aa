"""Asks a vendor that is described, and reads its answers: what every kind of it has in common. Decides nothing.

A value that is missing from an answer of success, or that could not be used, may exist all the same: the outcome is
unknown then. Everything travels through `rotator.wire.exchange`, within its bounds.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

from rotator.clock import Clock
from rotator.errors import OutcomeUnknown, Refused, RotatorError
from rotator.finding import Finding, Severity
from rotator.ports import Issued, Listed
from rotator.providers.described_errors import Doing, bad_answer, no_answer, refused
from rotator.providers.described_settings import Call, Create, Vendor
from rotator.providers.described_wire import Wire
from rotator.secret import Fields, Secret
from rotator.timing import CLOCK_LIMIT, FAR_FUTURE, plus, spell
from rotator.wire.exchange import Reply, Unanswered
from rotator.wire.filling import Pointer, at, text_at
from rotator.wire.strictly import NotJson, read_json
from rotator.wire.vocabulary import TimeFormat

UNREADABLE: Final = "unreadable"
"""The code of the error for a vendor that has no value to read, or none that could be used."""


class Asking:
    """What every vendor is asked with. An application fills the places of its operations, as a query (RFC 3986)."""

    def __init__(self, description: Vendor, clock: Clock, wire: Wire | None = None) -> None:
        """Prepare. wire: how requests are sent; None: over TLS."""
        self._said = description
        self._clock = clock
        self._wire = wire or Wire(description, clock)
        self._lock = threading.Lock()
        self._writing: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def close(self) -> None:
        """Keep nothing."""
        self._wire.forget()

    @contextmanager
    def _one_at_a_time(self, application: str) -> Iterator[None]:
        with self._lock:
            lock = self._writing[application]
        with lock:
            yield

    def _asked(
        self, call: Call, values: Mapping[str, str], doing: Doing, *, gone: bool = False, raw: Any = None
    ) -> Reply:
        """Make one request. gone: that there is no such version is an answer too. raw: what is sent as JSON as it is.

        Raises for every other failure.
        """
        try:
            reply = self._wire.send(call, values, raw)
        except Unanswered as failure:
            raise no_answer(self._said, doing, failure) from None
        if reply.status in call.expect or (gone and reply.status in (404, 410)):
            return reply
        raise refused(self._said, doing, reply)

    def _asked_for(self, tag: str, lifetime: timedelta) -> dict[str, str]:
        """Return what fills the places of an operation that makes a version."""
        ends = plus(self._clock.now(), lifetime)
        return {"tag": tag, "lifetime_seconds": str(int(lifetime.total_seconds())), "expires_at": rfc3339(ends)}

    def _body(self, reply: Reply, doing: Doing) -> Any:
        try:
            return read_json(reply.body)
        except NotJson:
            raise bad_answer(self._said, doing, reply, "it is not JSON as it is accepted here") from None

    def _issued(self, how: Create, reply: Reply, tag: str | None, doing: Doing, ours: Secret | None = None) -> Issued:
        """Return what was issued. ours: the value that we chose. Raises OutcomeUnknown when something of it is missing.

        What changes nothing is Refused then, with code `unreadable`.
        """
        body = self._body(reply, doing) if reply.body or how.secret is not None else {}
        value = at(body, how.secret) if how.secret is not None else None
        key_id = text_at(body, how.key_id) if how.key_id is not None else ""
        said = Secret(value) if isinstance(value, str) else None
        if ours is not None and said is not None and said != ours:
            raise bad_answer(self._said, doing, reply, "the value in it is not the one that was sent")
        secret = said if ours is None else ours
        if secret is None or secret.looks_masked() or (how.key_id is not None and not key_id):
            nameless = how.key_id is not None and not key_id
            raise self._lacking("an id" if nameless else "a value that could be used", doing)
        now = reply.date or self._clock.now()
        created = self._moment(how.created_at, body, how.times, now, reply, doing)
        expires = self._moment(how.expires_at, body, how.times, now, reply, doing)
        client_id = text_at(body, how.client_id) or "" if how.client_id is not None else ""
        if how.client_id is not None and not client_id:
            raise bad_answer(self._said, doing, reply, "there is no client id where `client_id` leads")
        version = Listed(key_id or "", tag, created or (now if doing.writes else None), expires)
        return Issued(version, client_id, Fields({"client_secret": secret}), reply.date, self._wire.request_id(reply))

    def _lacking(self, lacks: str, doing: Doing) -> RotatorError:
        if not doing.writes:
            message = f"{self._said.name} was asked to {doing.words} and answered without {lacks}."
            return Refused(message, hint="Look at `secret` and `key_id` of `read`.", code=UNREADABLE)
        return OutcomeUnknown(
            f"{self._said.name} answered without {lacks}, so a version may exist that nobody can use.",
            hint="The next run looks what there is. Look at `secret` and `key_id` of the operation.",
        )

    def _moment(
        self, where: Pointer | None, body: Any, times: TimeFormat, now: datetime, reply: Reply, doing: Doing
    ) -> datetime | None:
        found = at(body, where) if where is not None else None
        if found is None or times is TimeFormat.NONE:
            return None
        moment = _read_time(found, times, now)
        if moment is None:
            raise bad_answer(self._said, doing, reply, f"a time in it is not written as {times.value}")
        return moment

    def _clock_finding(self, issuer_now: datetime | None) -> Iterator[Finding]:
        if issuer_now is None:
            return
        ahead = self._clock.now() - issuer_now
        if abs(ahead) > CLOCK_LIMIT:
            way = "ahead of" if ahead > timedelta(0) else "behind"
            message = f"this machine's clock is {spell(ahead)} {way} the vendor's"
            yield Finding(self._said.name, "clock", Severity.FAIL, message, "Set it right: timedatectl", 75)


def given(application: str) -> dict[str, str]:
    """Return what fills the places of operations, as an application says it."""
    return dict(parse_qsl(application, keep_blank_values=True)) if "=" in application else {}


def rfc3339(moment: datetime) -> str:
    """Return a time as vendors read it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _read_time(found: object, times: TimeFormat, now: datetime) -> datetime | None:
    """Return a time as a vendor writes it; None for what is none. A time beyond the calendar is its end."""
    if times is TimeFormat.RFC3339:
        try:
            moment = datetime.fromisoformat(found) if isinstance(found, str) else None
        except ValueError:
            return None
        if moment is None:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    if isinstance(found, str) and found.isascii() and found.isdigit():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        span = timedelta(seconds=found)
        return plus(now, span) if times is TimeFormat.SECONDS else datetime.fromtimestamp(found, UTC)
    except (ValueError, OverflowError, OSError):
        return FAR_FUTURE if found > 0 else None
