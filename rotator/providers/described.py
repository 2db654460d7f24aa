"""Issues and retires versions at any vendor whose admin API is described; never sends a write twice, follows nothing.

A description is data (`described_settings`); what it means is here: a create that answers without a value may have made
a version all the same, a page of a list that cannot be read hides a version, a status that nobody has described says
nothing good. Everything travels through `rotator.wire.exchange`, within its bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from rotator.clock import Clock
from rotator.errors import RotatorError, Transient
from rotator.finding import Finding, Severity
from rotator.model import Procedure
from rotator.ports import Issued, Listed, Listing, Retired
from rotator.providers.described_asking import Asking, given
from rotator.providers.described_errors import Doing, bad_answer, no_answer, refused
from rotator.providers.described_settings import Description, List
from rotator.providers.described_wire import Wire
from rotator.wire.exchange import Reply, Unanswered
from rotator.wire.filling import at, text_at
from rotator.wire.vocabulary import TimeFormat

PAGES: Final = 200
"""A list that is longer than this many pages is not one."""

_CREATE: Final = Doing("create a version", writes=True)
_RETIRE: Final = Doing("retire a version", writes=True)
_LIST: Final = Doing("list the versions")


class DescribedProvider(Asking):
    """A `Provider` for one vendor at which versions live side by side."""

    procedure = Procedure.OVERLAP

    def __init__(self, description: Description, clock: Clock, wire: Wire | None = None) -> None:
        """Prepare. wire: how requests are sent; None: over TLS."""
        super().__init__(description, clock, wire)
        self._slots = description

    # ------------------------------------------------------------------------------------------------------- the port

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Make a version labelled `tag`. Raises OutcomeUnknown when one may exist whose value is lost; see the port."""
        how, values = self._slots.create, {**given(application), **self._asked_for(tag, lifetime)}
        with self._one_at_a_time(application):
            reply = self._asked(how.call, values, _CREATE)
        return self._issued(how, reply, tag, _CREATE)

    def list(self, application: str) -> Listing:
        """Return every version of the application, all pages. Repeatable."""
        how, values = self._slots.list, given(application)
        found: list[Listed] = []
        issuer_now: datetime | None = None
        for reply in self._pages(how, values):
            body = self._body(reply, _LIST)
            items = at(body, how.items)
            if not isinstance(items, list):
                raise bad_answer(self._said, _LIST, reply, "there is no list where `items` leads")
            found.extend(self._listed(how, item, reply) for item in items)
            issuer_now = reply.date
        free = max(0, self._slots.live - sum(self._lives(one, issuer_now) for one in found))
        return Listing(tuple(found), issuer_now, free)

    def retire(self, application: str, key_id: str) -> Retired:
        """Remove one version: every request that the description names, in order. 404 and 410 say that it is gone."""
        values = {**given(application), "key_id": key_id}
        reply: Reply | None = None
        with self._one_at_a_time(application):
            for call in self._slots.retire:
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
        procedure = f"{self._slots.live} versions may live at once, so the procedure is {self.procedure.value}"
        return [
            Finding(name, "procedure", Severity.OK, procedure),
            Finding(subject, "versions", Severity.OK, live),
            *self._clock_finding(listing.issuer_now),
        ]

    # ---------------------------------------------------------------------------------------------------------- asking

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

    # --------------------------------------------------------------------------------------------------------- reading

    def _listed(self, how: List, item: Any, reply: Reply) -> Listed:
        key_id = text_at(item, how.key_id)
        if not key_id:  # one that cannot be read may be the one that is looked for
            raise bad_answer(self._said, _LIST, reply, "an item has no id where `key_id` leads")
        now = reply.date or self._clock.now()
        times = how.times if how.times is not TimeFormat.SECONDS else TimeFormat.NONE  # from when, nobody knows
        created = self._moment(how.created_at, item, times, now, reply, _LIST)
        expires = self._moment(how.expires_at, item, times, now, reply, _LIST)
        return Listed(key_id, text_at(item, how.tag) if how.tag is not None else None, created, expires)

    @staticmethod
    def _lives(version: Listed, issuer_now: datetime | None) -> bool:
        return version.expires_at is None or issuer_now is None or version.expires_at > issuer_now
