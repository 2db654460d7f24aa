"""Issues and retires secrets and certificates of Entra applications through Microsoft Graph; never sends a write twice.

Importing this file imports neither msgraph nor azure-identity (some 40 MB, a third of a second): the first call does.
Both are asynchronous, so the provider runs an event loop of its own in a daemon thread, and callers wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from rotator.clock import Clock
from rotator.errors import Misconfigured, OutcomeUnknown, Refused, RotatorError, Transient
from rotator.finding import Finding
from rotator.model import Procedure
from rotator.ports import Issued, Listed, Listing, Retired
from rotator.providers.entra_answers import GUID, Reply, listed, sign_in
from rotator.providers.entra_applications import Application, Applications, disagreement, named
from rotator.providers.entra_errors import Doing, refused, two_are_the_limit
from rotator.providers.entra_settings import CERTIFICATE, EntraSettings
from rotator.secret import Fields, Secret

if TYPE_CHECKING:
    from rotator.providers.entra_certificates import Certificates
    from rotator.providers.entra_graph import Graph
    from rotator.providers.entra_keys import Pair

T = TypeVar("T")

_CREATE = Doing("create a secret", writes=True)
_RETIRE = Doing("retire a secret", writes=True)
_READ = Doing("read the application")
_READ_USE = Doing("read the sign-in activity")
_JOIN_PATIENCE = 5.0  # seconds
# Their warnings quote answers, which may quote what we sent, and some of their debug lines show headers.
_TALKATIVE = (
    "azure",
    "h11",
    "httpcore",
    "httpx",
    "kiota_abstractions",
    "kiota_authentication_azure",
    "kiota_http",
    "kiota_serialization_json",
    "msal",
    "msgraph",
    "msgraph_core",
    "opentelemetry",
)


class EntraProvider:
    """A `Provider` for one Entra tenant. An application is named by its app id, or `object:` and its object id.

    Its secrets are meant by that, and with `certificate:` before it its certificates.

    Source for operations and limits: learn.microsoft.com/graph/api/application-addpassword and -removepassword.
    """

    procedure = Procedure.OVERLAP

    def __init__(self, settings: EntraSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._graph: Graph | None = None
        self._closed = False
        self._applications = Applications(settings, clock)
        self._held: Callable[[str], Fields | None] = lambda _: None

    # ------------------------------------------------------------------------------------------------------- the port

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Add a secret labelled `tag`, valid for `lifetime` from now by Graph's clock.

        Raises OutcomeUnknown when a secret may exist whose value is lost, NoFreeSlot, Denied, Refused (codes
        `lifetime_not_allowed`, `secrets_forbidden`, `application_not_found`), Throttled, Misconfigured, and Transient
        when certainly nothing was done.
        """
        signed = self._signed(tag, lifetime) if application.startswith(CERTIFICATE) else None
        if (certificates := self._certificates(application, signed=signed)) is not None:
            return self._wait(lambda graph: certificates.create(graph, tag, lifetime), _CREATE)
        return self._wait(lambda graph: self._create(graph, application, tag, lifetime), _CREATE)

    def list(self, application: str) -> Listing:
        """Return every secret of the application. Repeatable. It may be seconds behind what was written."""
        if (certificates := self._certificates(application, signs=False)) is not None:
            return self._wait(certificates.listing, _READ)
        return self._wait(lambda graph: self._list(graph, application), _READ)

    def retire(self, application: str, key_id: str) -> Retired:
        """Remove a secret by its key id. Raises OutcomeUnknown when it may or may not be gone.

        Transient with code `replication_lag`: Graph does not find what it lists, or made a moment ago.
        """
        if not GUID.match(key_id):
            raise Refused(
                "That is no key id of Entra; they are GUIDs.",
                hint="Look with `rotator orphans` which secrets the application has.",
                code="bad_key_id",
            )
        if (certificates := self._certificates(application)) is not None:
            return self._wait(lambda graph: certificates.retire(graph, key_id.lower()), _RETIRE)
        return self._wait(lambda graph: self._retire(graph, application, key_id.lower()), _RETIRE)

    def last_used(self, application: str) -> Mapping[str, datetime]:
        """Return when each secret was last used, as far as Graph's report has it. It needs AuditLog.Read.All and P1."""
        return self._wait(lambda graph: self._last_used(graph, application.removeprefix(CERTIFICATE)), _READ_USE)

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Look at login, rights, application, policies and clock. Repeatable, changes nothing."""
        from rotator.providers.entra_check import Examination

        examination = Examination(self._settings, self._clock, application, lifetime, subject, ours)
        try:
            named(application.removeprefix(CERTIFICATE))
            return self._wait(examination.run, _READ)
        except RotatorError as error:
            return [examination.stopped(error)]

    def prove_with(self, held: Callable[[str], Fields | None]) -> None:
        """Take who knows what consumers read: a certificate is added and removed by the key of one that is there."""
        self._held = held

    def close(self) -> None:
        """Stop the loop; a call under way ends with an error. Doing it twice is fine."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive():
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_JOIN_PATIENCE)

    # --------------------------------------------------------------------------------------------------- the operations

    async def _create(self, graph: Graph, application: str, tag: str, lifetime: timedelta) -> Issued:
        app = await self._applications.resolved(graph, application)
        async with graph.write(app.object_id):
            end = (graph.issuer_now() or self._clock.now()) + lifetime
            reply = await graph.add_password(app.object_id, tag, end.replace(microsecond=0))
            if reply.status == 200:
                return self._issued(app, reply)
        failure = self._applications.refusal(application, _CREATE, reply)
        if reply.status == 400 and failure.code == "refused_by_graph" and await self._is_full(graph, application):
            failure = two_are_the_limit(_CREATE)
        raise failure

    def _issued(self, app: Application, reply: Reply) -> Issued:
        """Return what was issued. Raises OutcomeUnknown when it was, and what is needed of it is missing."""
        body = reply.json
        version = listed(body)
        text = body.get("secretText") if body else None
        value = Secret(text) if isinstance(text, str) else None
        if version is None or value is None or value.looks_masked():
            raise refused(self._settings, _CREATE, reply, self._clock.now())
        self._applications.is_new(version.key_id)
        return Issued(version, app.app_id, Fields({"client_secret": value}), reply.date, reply.request_id)

    async def _list(self, graph: Graph, application: str) -> Listing:
        reply, body = await self._applications.read(graph, application, "passwordCredentials")
        items = body.get("passwordCredentials")
        if not isinstance(items, list):
            raise self._applications.refusal(application, _READ, reply)
        items = items + await graph.rest_of(body.get("passwordCredentials@odata.nextLink"))
        versions = [listed(item) for item in items]
        found: list[Listed] = [version for version in versions if version is not None]
        if len(found) != len(items):  # one that cannot be read may be the one that is looked for
            raise self._applications.refusal(application, _READ, reply)
        limit = (await self._applications.resolved(graph, application)).limit
        # An expired secret keeps its place until it is removed.
        free = None if limit is None else max(0, limit - len(found))
        return Listing(tuple(found), reply.date, free)

    async def _retire(self, graph: Graph, application: str, key_id: str) -> Retired:
        app = await self._applications.resolved(graph, application)
        try:
            async with graph.write(app.object_id):
                reply = await graph.remove_password(app.object_id, key_id)
        except OutcomeUnknown:
            self._applications.is_old(key_id)  # if Graph does not find it the next time, then because of this
            raise
        if reply.status == 204:
            self._applications.is_old(key_id)
            return Retired.DONE
        failure = self._applications.refusal(application, _RETIRE, reply)
        if isinstance(failure, OutcomeUnknown):
            self._applications.is_old(key_id)
        if reply.status != 400 or failure.code != "refused_by_graph":
            raise failure
        # "No password credential found with keyId": gone, or made so lately that this replica has not heard of it.
        # The words may change (learn.microsoft.com/graph/errors), so a list decides.
        listing = await self._list(graph, application)
        if any(version.key_id == key_id for version in listing.versions) or self._applications.is_fresh(key_id):
            raise disagreement("secret")
        return Retired.ALREADY_GONE

    # --------------------------------------------------------------------------------------------------------- inside

    def _signed(self, tag: str, lifetime: timedelta) -> Pair | None:
        """Return a key whose certificate an authority has signed; None where there is none to be asked.

        Here and not in the loop: the program has a time of its own.
        """
        if self._settings.signing is None:
            return None
        from rotator.providers.entra_certificates import name_in
        from rotator.providers.entra_signing import signed_pair

        return signed_pair(self._settings.signing, name_in(tag), tag, lifetime, self._clock)

    def _certificates(self, application: str, *, signs: bool = True, signed: Pair | None = None) -> Certificates | None:
        """Return who handles certificates, when it is those that are meant. signs: with what consumers read now."""
        if not application.startswith(CERTIFICATE):
            return None
        from rotator.providers.entra_certificates import Certificates

        name = application.removeprefix(CERTIFICATE)
        named(name)
        held = self._held(application) if signs else None
        return Certificates(self._settings, self._clock, self._applications, name, held, signed)

    async def _last_used(self, graph: Graph, application: str) -> Mapping[str, datetime]:
        app_id = (await self._applications.resolved(graph, application)).app_id
        return dict(used for row in await graph.sign_ins(app_id) if (used := sign_in(row)) is not None)

    async def _is_full(self, graph: Graph, application: str) -> bool:
        try:
            return (await self._list(graph, application)).free_slots == 0
        except RotatorError:
            return False

    # ------------------------------------------------------------------------------------------------------- the thread

    def _wait(self, work: Callable[[Graph], Coroutine[Any, Any, T]], doing: Doing) -> T:
        """Run `work` in the loop and wait for its end, which its deadline brings in any case."""
        future = self._submitted(work)
        try:
            return future.result()
        except CancelledError:
            pass
        if doing.writes:
            raise OutcomeUnknown(
                f"It is not known whether Graph did {doing.words}: rotator was stopped while it waited.",
                hint="The next run lists what the application has and goes on from there.",
            )
        raise _stopping(self._settings)

    def _submitted(self, work: Callable[[Graph], Coroutine[Any, Any, T]]) -> Future[T]:
        with self._lock:
            if self._closed:
                raise _stopping(self._settings)
            if self._loop is None:
                hush()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop, self._end), name=f"entra-{self._settings.name}", daemon=True
                )
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(self._timed(work), self._loop)

    async def _timed(self, work: Callable[[Graph], Coroutine[Any, Any, T]]) -> T:
        from rotator.providers.entra_graph import Graph
        from rotator.providers.entra_wire import UNTIL

        UNTIL.set(asyncio.get_running_loop().time() + self._settings.deadline.total_seconds())
        if self._graph is None:
            hush()
            self._graph = Graph(self._settings, self._clock)
        try:
            return await work(self._graph)
        except Misconfigured as wrong:
            if wrong.code == "tls_untrusted":
                self._graph = None  # the CA file may be replaced; the next call reads it again
            raise

    async def _end(self) -> None:
        if self._graph is not None:
            await self._graph.close()


def hush() -> None:
    """Let nothing that the libraries below say reach a log, at whatever level somebody sets their loggers.

    What matters of it is in our errors, in our words. Called before their import and after it: the loggers that exist
    are switched off one by one, and those that come later are cut off from the root.
    """
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if logger.propagate:
            logger.addHandler(logging.NullHandler())
            logger.propagate = False
    for name, found in list(logging.root.manager.loggerDict.items()):
        if isinstance(found, logging.Logger) and name.partition(".")[0] in _TALKATIVE:
            found.disabled = True


def _serve(loop: asyncio.AbstractEventLoop, end: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the loop until it is stopped, then cancel what is under way and close."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(_finish(asyncio.all_tasks(loop), end))
    finally:
        loop.close()


async def _finish(tasks: set[asyncio.Task[Any]], end: Callable[[], Coroutine[Any, Any, None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await end()


def _stopping(settings: EntraSettings) -> Transient:
    return Transient(
        f"{settings.name}: rotator is stopping.", hint="The next run goes on; nothing was sent.", code="stopping"
    )
