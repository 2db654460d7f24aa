"""Adds and removes certificates of one Entra application beside all others, whose ever they are; it replaces none.

Graph has two ways. addKey and removeKey touch one certificate, and want a proof signed with the key of one that is
there: that is what consumers read now, where it is ours. Without one the whole collection is written (PATCH) as two
reads in a row had it, with one more or one less; an entry is named by its id alone, so that one which somebody removed
meanwhile is refused and does not come back. Source: learn.microsoft.com/graph/api/application-addkey, -removekey,
-update.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from rotator.clock import Clock
from rotator.errors import Busy, OutcomeUnknown, RotatorError, Transient
from rotator.ports import Issued, Listed, Listing, Retired
from rotator.providers.entra_answers import Reply, listed, moment
from rotator.providers.entra_applications import SPREADING, Application, Applications, disagreement
from rotator.providers.entra_errors import Doing
from rotator.providers.entra_graph import Graph
from rotator.providers.entra_keys import Pair, holder_of, listed_key, make_pair, tag_in
from rotator.providers.entra_settings import EntraSettings
from rotator.providers.entra_wire import UNTIL
from rotator.secret import Fields

CREATE: Final = Doing("add a certificate", writes=True, noun="certificate")
RETIRE: Final = Doing("remove a certificate", writes=True, noun="certificate")
_READ: Final = Doing("read the application")
# What a keyCredential has (learn.microsoft.com/graph/api/resources/keycredential); nothing else is given back.
_KEYS: Final = (
    "customKeyIdentifier", "displayName", "endDateTime", "keyId", "startDateTime", "type", "usage",
)  # fmt: skip
# Refusals that no other way of asking would change.
_FINAL: Final = (
    "CredentialInvalidLifetimeAsPerAppPolicy",
    "CredentialTypeNotAllowedAsPerAppPolicy",
    "Directory_ResourceSizeExceeded",
)
_FIRST_LOOK: Final = timedelta(seconds=0.25)
_LOOKS_APART: Final = timedelta(seconds=2)
_SPARE: Final = timedelta(seconds=1)  # so much of the call's time is left for the answer
_LOOK_AT_MOST: Final = timedelta(seconds=12)


class Certificates:
    """The certificates of one application. held: what consumers read now; None: nothing of ours. signed: a key whose
    certificate was signed elsewhere, to be added; None: it is made and signed here."""

    def __init__(
        self,
        settings: EntraSettings,
        clock: Clock,
        applications: Applications,
        application: str,
        held: Fields | None,
        signed: Pair | None = None,
    ) -> None:
        self._signed = signed
        self._settings = settings
        self._clock = clock
        self._applications = applications
        self._application = application
        self._holder = holder_of(held)

    async def create(self, graph: Graph, tag: str, lifetime: timedelta) -> Issued:
        """Make a key here and add its certificate. Raises as `Provider.create`."""
        app = await self._applications.resolved(graph, self._application)
        pair = self._signed
        if pair is None:
            start = self._now(graph).replace(microsecond=0)
            pair = await asyncio.to_thread(make_pair, name_in(tag), tag, start, start + lifetime)
        wish = {"type": "AsymmetricX509Cert", "usage": "Verify", "displayName": tag, "key": pair.certificate}
        # An authority may leave out our label; whether addKey keeps its name is not documented, and a PATCH does.
        found_again = tag_in(pair.certificate) == tag
        reply = await self._add_by_proof(graph, app, wish) if found_again else None
        if reply is None:
            return await self._add_to_all(graph, app, wish, tag, pair)
        version = listed_key(reply.json)
        if version is None:
            raise self._refusal(CREATE, reply)
        return self._issued(app, version, pair, reply)

    async def listing(self, graph: Graph) -> Listing:
        """Return every certificate of the application. It may be seconds behind what was written."""
        reply, items = await self._read(graph)
        return Listing(tuple(self._versions(items).values()), reply.date)

    async def retire(self, graph: Graph, key_id: str) -> Retired:
        """Remove one certificate. Raises as `Provider.retire`."""
        app = await self._applications.resolved(graph, self._application)
        _, items = await self._read(graph)
        own = self._holder is not None and any(
            self._holder.is_of(one) and one["keyId"].lower() == key_id for one in items
        )
        try:
            # Whether it is listed or not: lists lag, and what removes by id knows better.
            done = await self._remove_by_proof(graph, app, key_id, items)
            if not done and key_id not in self._versions(items):
                await asyncio.sleep(self._settings.spacing.total_seconds())
                _, items = await self._read(graph)
            if not done and key_id not in self._versions(items):
                if self._applications.is_fresh(key_id):
                    raise disagreement("certificate")
                return Retired.ALREADY_GONE
            if not done:
                await self._remove_from_all(graph, app, key_id)
        except OutcomeUnknown:
            self._applications.is_old(key_id)  # if Graph does not find it the next time, then because of this
            raise
        self._applications.is_old(key_id)
        if own and self._holder is not None:
            self._applications.ended.add(self._holder.thumbprint)
        return Retired.DONE

    # ------------------------------------------------------------------------------------------------------ by a proof

    async def _add_by_proof(self, graph: Graph, app: Application, wish: Mapping[str, object]) -> Reply | None:
        """Return the answer to addKey; None where it cannot be asked, or the proof was clearly not taken."""
        if self._holder is None:
            return None
        async with graph.write(app.object_id):
            _, items = await self._read(graph)
            if not self._may_sign(graph, items, but=None):
                return None
            reply = await graph.add_key(app.object_id, wish, self._holder.proof(app.object_id, self._now(graph)))
        if reply.status == 200:
            return reply
        self._nothing_done(CREATE, reply)
        return None

    async def _remove_by_proof(self, graph: Graph, app: Application, key_id: str, items: list[dict[str, Any]]) -> bool:
        """Say whether removeKey did it; False where it cannot be asked, or the proof was clearly not taken."""
        if self._holder is None or not self._may_sign(graph, items, but=key_id):
            return False
        async with graph.write(app.object_id):
            proof = self._holder.proof(app.object_id, self._now(graph))
            reply = await graph.remove_key(app.object_id, key_id, proof)
        if reply.status != 204:
            self._nothing_done(RETIRE, reply)
        return reply.status == 204

    def _may_sign(self, graph: Graph, items: list[dict[str, Any]], *, but: str | None) -> bool:
        """Say whether what consumers read is at the issuer, valid, and not what is to be removed."""
        now = self._now(graph)
        for item in items:
            end = moment(item.get("endDateTime"))
            if self._holder is not None and self._holder.is_of(item) and (end is None or end > now):
                return str(item.get("keyId")).lower() != but
        return False

    def _nothing_done(self, doing: Doing, reply: Reply) -> None:
        """Return when a proof was refused in Graph's own words, so that the other way may be gone; else raise."""
        clear = reply.status in (400, 401, 403) and reply.code is not None and reply.code not in _FINAL
        if not clear:
            raise self._refusal(doing, reply)

    # -------------------------------------------------------------------------------------------------- all at once

    async def _add_to_all(
        self, graph: Graph, app: Application, wish: Mapping[str, object], tag: str, pair: Pair
    ) -> Issued:
        async with graph.write(app.object_id):
            there = await self._agreed(graph)
            mine = {**wish, "keyId": str(uuid.uuid4())}
            reply = await graph.write_keys(app.object_id, [*map(_given_back, there), mine], CREATE.words)
        if reply.status not in (200, 204):
            raise self._refusal(CREATE, reply)
        # The answer has no content, and whether our id was taken is not documented: what is listed is.
        found = await self._seen(graph, tag, pair.certificate)
        if found is None:
            raise OutcomeUnknown(
                "Graph took a new certificate, and does not list it yet.",
                hint="The next run lists what the application has, and goes on from there.",
            )
        version, read = found
        return self._issued(app, version, pair, read)

    async def _remove_from_all(self, graph: Graph, app: Application, key_id: str) -> None:
        async with graph.write(app.object_id):
            there = await self._agreed(graph)
            left = [_given_back(item) for item in there if str(item.get("keyId")).lower() != key_id]
            if len(left) == len(there):
                raise disagreement("certificate")
            reply = await graph.write_keys(app.object_id, left, RETIRE.words)
        if reply.status not in (200, 204):
            raise self._refusal(RETIRE, reply)

    async def _agreed(self, graph: Graph) -> list[dict[str, Any]]:
        """Return what two reads agree on, some time apart: what a stale one lacks would be removed.

        Graph knows no condition for such a write; its reads were seen to lag by seconds. Raises Busy when the call has
        not that much time left, and Transient when they disagree, or both lack what consumers have just got.
        """
        _, first = await self._read(graph)
        wait = self._settings.agreement.total_seconds()
        if asyncio.get_running_loop().time() + wait >= UNTIL.get():
            raise Busy("Graph is slow just now.", hint="The next run tries again; nothing was sent.")
        await asyncio.sleep(wait)
        _, second = await self._read(graph)
        if {item["keyId"] for item in first} != {item["keyId"] for item in second} or self._lacks_the_newest(
            graph, second
        ):
            raise Transient(
                "Graph's servers do not agree which certificates the application has.",
                hint="Nothing was sent; the next run tries again.",
                code="replication_lag",
            )
        return second

    def _lacks_the_newest(self, graph: Graph, items: list[dict[str, Any]]) -> bool:
        """Say whether what consumers read is not listed, and so new that this is no sign of its end."""
        if self._holder is None or any(self._holder.is_of(item) for item in items):
            return False
        if self._holder.thumbprint in self._applications.ended:
            return False
        return self._now(graph) - self._holder.since < SPREADING

    async def _seen(self, graph: Graph, tag: str, certificate: str) -> tuple[Listed, Reply] | None:
        """Return this certificate, under its label, as soon as it is listed; None when that takes too long."""
        now, wait = asyncio.get_running_loop().time, _FIRST_LOOK.total_seconds()
        until = min(UNTIL.get() - _SPARE.total_seconds(), now() + _LOOK_AT_MOST.total_seconds())
        while True:
            try:
                reply, items = await self._read(graph)
                for version in self._versions(items).values():
                    if version.tag == tag and version.certificate in (None, certificate):
                        return version, reply
            except RotatorError:
                pass  # it was written; all that is asked is what it is called
            if now() + wait > until:
                return None
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LOOKS_APART.total_seconds())

    # --------------------------------------------------------------------------------------------------------- inside

    async def _read(self, graph: Graph) -> tuple[Reply, list[dict[str, Any]]]:
        reply, body = await self._applications.read(graph, self._application, "keyCredentials")
        items = body.get("keyCredentials")
        if not isinstance(items, list):
            raise self._refusal(_READ, reply)
        items = items + await graph.rest_of(body.get("keyCredentials@odata.nextLink"))
        if any(listed(item) is None for item in items):  # one that cannot be read may be the one that is looked for
            raise self._refusal(_READ, reply)
        return reply, items

    def _versions(self, items: list[dict[str, Any]]) -> dict[str, Listed]:
        found = [one for one in map(listed_key, items) if one is not None]
        return {one.key_id: one for one in found}

    def _issued(self, app: Application, version: Listed, pair: Pair, reply: Reply) -> Issued:
        self._applications.is_new(version.key_id)
        return Issued(version, app.app_id, pair.values, reply.date, reply.request_id)

    def _refusal(self, doing: Doing, reply: Reply) -> RotatorError:
        return self._applications.refusal(self._application, doing, reply)

    def _now(self, graph: Graph) -> datetime:
        return graph.issuer_now() or self._clock.now()


def _given_back(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as it is given back: without the certificate, so that it can only be one that is there."""
    return {**{name: item[name] for name in _KEYS if name in item}, "key": None}


def name_in(tag: str) -> str:
    """Return what people read in the portal: the name of the credential."""
    parts = tag.split("/")
    return parts[2] if len(parts) > 2 else "rotator"
