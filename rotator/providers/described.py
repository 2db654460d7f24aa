"""Issues and retires versions at any vendor whose admin API is described; never sends a write twice, follows nothing.

A description is data (`described_settings`); what it means is here: a create that answers without a value may have made
a version all the same, a page of a list that cannot be read hides a version, a status that nobody has described says
nothing good. Everything travels through `rotator.wire.exchange`, within its bounds.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

from rotator.clock import Clock
from rotator.errors import OutcomeUnknown, RotatorError, Transient
from rotator.finding import Finding, Severity
from rotator.model import Procedure
from rotator.ports import Issued, Listed, Listing, Retired
from rotator.providers.described_errors import Doing, bad_answer, no_answer, refused
from rotator.providers.described_settings import Call, Create, Description, List
from rotator.providers.described_wire import Wire
from rotator.secret import Fields, Secret
from rotator.timing import CLOCK_LIMIT, FAR_FUTURE, plus, spell
from rotator.wire.exchange import Reply, Unanswered
from rotator.wire.filling import Pointer, at, text_at
from rotator.wire.strictly import NotJson, read_json
from rotator.wire.vocabulary import TimeFormat

PAGES: Final = 200
"""A list that is longer than this many pages is not one."""

_CREATE: Final = Doing("create a version", writes=True)
_RETIRE: Final = Doing("retire a version", writes=True)
_LIST: Final = Doing("list the versions")


class DescribedProvider:
    """A `Provider` for one vendor. An application is what fills the places of its operations, as a query (RFC 3986)."""

    procedure = Procedure.OVERLAP

    def __init__(self, description: Description, clock: Clock, wire: Wire | None = None) -> None:
        self._said = description
        self._clock = clock
        self._wire = wire or Wire(description, clock)
        self._lock = threading.Lock()
        self._writing: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    # ------------------------------------------------------------------------------------------------------- the port

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Make a version labelled `tag`. Raises OutcomeUnknown when one may exist whose value is lost; see the port."""
        how, now = self._said.create, self._clock.now()
        values = {**_given(application), "tag": tag, "lifetime_seconds": str(int(lifetime.total_seconds()))}
        values["expires_at"] = _rfc3339(plus(now, lifetime))
        with self._one_at_a_time(application):
            reply = self._asked(how.call, values, _CREATE)
        body = self._body(reply, _CREATE)
        return self._issued(how, reply, body, tag)

    def list(self, application: str) -> Listing:
        """Return every version of the application, all pages. Repeatable."""
        how, values = self._said.list, _given(application)
        found: list[Listed] = []
        issuer_now: datetime | None = None
        for reply in self._pages(how, values):
            body = self._body(reply, _LIST)
            items = at(body, how.items)
            if not isinstance(items, list):
                raise bad_answer(self._said, _LIST, reply, "there is no list where `items` leads")
            found.extend(self._listed(how, item, reply) for item in items)
            issuer_now = reply.date
        free = max(0, self._said.live - sum(self._lives(one, issuer_now) for one in found))
        return Listing(tuple(found), issuer_now, free)

    def retire(self, application: str, key_id: str) -> Retired:
        """Remove one version: every request that the description names, in order. 404 and 410 say that it is gone."""
        values = {**_given(application), "key_id": key_id}
        reply: Reply | None = None
        with self._one_at_a_time(application):
            for call in self._said.retire:
                reply = self._asked(call, values, _RETIRE, gone=True)
                if reply.status in (404, 410):
                    return self._gone(application, key_id)
        return Retired.DONE

    def _gone(self, application: str, key_id: str) -> Retired:
        """Believe "not found" only when a list agrees: a wrong path in the description answers the same."""
        if any(one.key_id == key_id for one in self.list(application).versions):
            raise Transient(
                f"{self._said.name} does not find a version to retire that it lists.",
                hint="It may lag behind, and the next run tries again; else correct the path of `retire`.",
                code="replication_lag",
            )
        return Retired.ALREADY_GONE

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """List the versions, which needs login and right, and say which procedure follows. Repeatable."""
        name = self._said.name
        try:
            listing = self.list(application)
        except RotatorError as error:
            return [Finding(subject, "provider", Severity.FAIL, error.message, error.hint, error.exit_status)]
        mine = sum(one.tag is not None and bool(ours) and one.tag.startswith(ours) for one in listing.versions)
        many = len(listing.versions)
        live = f"{many} version{'s' if many != 1 else ''}, {mine} of them ours; {listing.free_slots} more may live"
        procedure = f"{self._said.live} versions may live at once, so the procedure is {self.procedure.value}"
        return [
            Finding(name, "procedure", Severity.OK, procedure),
            Finding(subject, "versions", Severity.OK, live),
            *self._clock_finding(listing),
        ]

    def close(self) -> None:
        """Keep nothing."""
        self._wire.forget()

    # ---------------------------------------------------------------------------------------------------------- asking

    @contextmanager
    def _one_at_a_time(self, application: str) -> Iterator[None]:
        with self._lock:
            lock = self._writing[application]
        with lock:
            yield

    def _asked(self, call: Call, values: Mapping[str, str], doing: Doing, *, gone: bool = False) -> Reply:
        """Make one request. gone: that there is no such version is an answer too. Raises for every other failure."""
        try:
            reply = self._wire.send(call, values)
        except Unanswered as failure:
            raise no_answer(self._said, doing, failure) from None
        if reply.status in call.expect or (gone and reply.status in (404, 410)):
            return reply
        raise refused(self._said, doing, reply)

    def _pages(self, how: List, values: Mapping[str, str]) -> Iterator[Reply]:
        reply = self._asked(how.call, values, _LIST)
        yield reply
        for _ in range(PAGES):
            following = self._next(how, reply)
            if following is None:
                return
            try:
                reply = self._wire.follow(how.call, following)
            except Unanswered as failure:
                raise no_answer(self._said, _LIST, failure) from None
            if reply.status not in how.call.expect:
                raise refused(self._said, _LIST, reply)
            yield reply
        raise bad_answer(self._said, _LIST, reply, f"it has more than {PAGES} pages")

    def _next(self, how: List, reply: Reply) -> str | None:
        if how.link:
            return self._wire.linked(reply)
        found = at(self._body(reply, _LIST), how.next) if how.next is not None else None
        if found is None or found == "":
            return None
        if not isinstance(found, str):
            raise bad_answer(self._said, _LIST, reply, "`next` leads to something that is no address")
        return found

    def _body(self, reply: Reply, doing: Doing) -> Any:
        try:
            return read_json(reply.body)
        except NotJson:
            raise bad_answer(self._said, doing, reply, "it is not JSON as it is accepted here") from None

    # --------------------------------------------------------------------------------------------------------- reading

    def _issued(self, how: Create, reply: Reply, body: Any, tag: str) -> Issued:
        """Return what was issued. Raises OutcomeUnknown when it was, and what is needed of it is missing."""
        value, key_id = at(body, how.secret), text_at(body, how.key_id)
        secret = Secret(value) if isinstance(value, str) else None
        if secret is None or secret.looks_masked() or not key_id:
            lacks = "an id" if not key_id else "a value that could be used"
            raise OutcomeUnknown(
                f"{self._said.name} answered without {lacks}, so a version may exist that nobody can use.",
                hint="The next run lists what there is and removes it. Look at `secret` and `key_id` of `create`.",
            )
        now = reply.date or self._clock.now()
        created = self._moment(how.created_at, body, how.times, now, reply, _CREATE) or now
        expires = self._moment(how.expires_at, body, how.times, now, reply, _CREATE)
        client_id = text_at(body, how.client_id) or ""
        if how.client_id is not None and not client_id:
            raise bad_answer(self._said, _CREATE, reply, "there is no client id where `client_id` leads")
        version = Listed(key_id, tag, created, expires)
        return Issued(version, client_id, Fields({"client_secret": secret}), reply.date, self._wire.request_id(reply))

    def _listed(self, how: List, item: Any, reply: Reply) -> Listed:
        key_id = text_at(item, how.key_id)
        if not key_id:  # one that cannot be read may be the one that is looked for
            raise bad_answer(self._said, _LIST, reply, "an item has no id where `key_id` leads")
        now = reply.date or self._clock.now()
        times = how.times if how.times is not TimeFormat.SECONDS else TimeFormat.NONE  # from when, nobody knows
        created = self._moment(how.created_at, item, times, now, reply, _LIST)
        expires = self._moment(how.expires_at, item, times, now, reply, _LIST)
        return Listed(key_id, text_at(item, how.tag), created, expires)

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

    @staticmethod
    def _lives(version: Listed, issuer_now: datetime | None) -> bool:
        return version.expires_at is None or issuer_now is None or version.expires_at > issuer_now

    def _clock_finding(self, listing: Listing) -> Iterator[Finding]:
        if listing.issuer_now is None:
            return
        ahead = self._clock.now() - listing.issuer_now
        if abs(ahead) > CLOCK_LIMIT:
            way = "ahead of" if ahead > timedelta(0) else "behind"
            message = f"this machine's clock is {spell(ahead)} {way} the vendor's"
            yield Finding(self._said.name, "clock", Severity.FAIL, message, "Set it right: timedatectl", 75)


def _given(application: str) -> dict[str, str]:
    return dict(parse_qsl(application, keep_blank_values=True)) if "=" in application else {}


def _rfc3339(moment: datetime) -> str:
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
