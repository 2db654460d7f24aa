"""Knows the applications of a tenant: their ids, and what was made in them a moment ago. It writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rotator.clock import Clock, Instant, elapsed
from rotator.errors import Broken, Misconfigured, RotatorError, Transient
from rotator.providers.entra_answers import GUID, Reply
from rotator.providers.entra_errors import Doing, refused
from rotator.providers.entra_settings import EntraSettings

if TYPE_CHECKING:
    from rotator.providers.entra_graph import Graph

_READ = Doing("read the application")
_SELECT = ("id", "appId", "signInAudience")
SPREADING = timedelta(minutes=2)  # so long Graph may call a secret unknown that it has just made


@dataclass(frozen=True, slots=True)
class Application:
    """One application object. limit: how many secrets it may hold, when that is known."""

    object_id: str
    app_id: str
    limit: int | None


class Applications:
    """The applications of one tenant. Used from its event loop only."""

    def __init__(self, settings: EntraSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._known: dict[str, Application] = {}
        self._fresh: dict[str, Instant] = {}
        self.ended: set[str] = set()  # thumbprints of certificates that consumers read and that were removed even so

    async def resolved(self, graph: Graph, application: str) -> Application:
        """Return the application object, from memory: object ids do not change."""
        if application not in self._known:
            await self.read(graph, application)
        return self._known[application]

    async def read(self, graph: Graph, application: str, *fields: str) -> tuple[Reply, dict[str, Any]]:
        """Ask for the application and remember what it is. fields: what else of it is wanted."""
        known = self._known.get(application)
        reply = await graph.application(f"object:{known.object_id}" if known else named(application), *_SELECT, *fields)
        body = reply.json
        if reply.status != 200 or body is None:
            raise self.refusal(application, _READ, reply)
        object_id, app_id = body.get("id"), body.get("appId")
        if not (
            isinstance(object_id, str) and isinstance(app_id, str) and GUID.match(object_id) and GUID.match(app_id)
        ):
            raise self.refusal(application, _READ, reply)
        if named(application).lower() not in (app_id.lower(), f"object:{object_id}".lower()):
            raise Broken(
                f"Graph was asked for the application {application} and answered about {app_id}.",
                hint="Nothing was changed at either. Look what stands between rotator and Graph, and report this.",
                code="another_application",
            )
        personal = "PersonalMicrosoftAccount" in str(body.get("signInAudience"))
        self._known[application] = Application(object_id.lower(), app_id.lower(), 2 if personal else None)
        return reply, body

    def refusal(self, application: str, doing: Doing, reply: Reply) -> RotatorError:
        """Return the error for an answer that is not the one hoped for."""
        if reply.status == 404:
            self._known.pop(application, None)
        return refused(self._settings, doing, reply, self._clock.now())

    def is_new(self, key_id: str) -> None:
        """Remember that this was made just now: Graph may not find it for a while."""
        self._fresh = {one: at for one, at in self._fresh.items() if self.is_fresh(one)}
        self._fresh[key_id] = self._clock.instant()

    def is_old(self, key_id: str) -> None:
        """Forget it: if Graph does not find this from now on, then because it is gone."""
        self._fresh.pop(key_id, None)

    def is_fresh(self, key_id: str) -> bool:
        """Say whether it was made so lately that Graph need not know it everywhere."""
        at = self._fresh.get(key_id)
        since = elapsed(at, self._clock.instant()) if at else None
        return since is not None and since < SPREADING


def named(application: str) -> str:
    """Return the name of an application, if it is one: it becomes part of a path."""
    kind, colon, rest = application.rpartition(":")
    if GUID.match(rest) and (kind, colon) in (("", ""), ("object", ":")):
        return application
    raise Misconfigured(
        "That is neither the app id nor the object id of an application; both are GUIDs.",
        hint="Correct provider.app_id or provider.object_id of the credential.",
        code="bad_application",
    )


def disagreement(noun: str) -> Transient:
    """Return the error for servers of Graph that do not know of each other's writes yet."""
    return Transient(
        f"Graph does not find a {noun} to remove that it lists or has just made.",
        hint="Its servers do not agree yet; the next run tries again.",
        code="replication_lag",
    )
