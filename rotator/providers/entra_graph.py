"""The few requests to Microsoft Graph that a rotation needs, by msgraph-sdk's request builders; it judges no answer.

The library's models of an application are avoided: their first use imports a thousand modules. Its retries and
redirects are not there at all: a POST sent twice makes two secrets. Every answer comes back as a plain value.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_abstractions.method import Method
from kiota_abstractions.native_response_handler import NativeResponseHandler
from kiota_abstractions.request_information import RequestInformation
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from kiota_http.middleware import ParametersNameDecodingHandler
from kiota_http.middleware.options import ResponseHandlerOption
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.applications.item.add_password.add_password_post_request_body import AddPasswordPostRequestBody
from msgraph.generated.applications.item.application_item_request_builder import ApplicationItemRequestBuilder
from msgraph.generated.applications.item.remove_password.remove_password_post_request_body import (
    RemovePasswordPostRequestBody,
)
from msgraph.generated.models.password_credential import PasswordCredential
from msgraph_core import GraphClientFactory

from rotator.clock import Clock, Instant, elapsed
from rotator.errors import Busy, RotatorError
from rotator.providers.entra_answers import NoAnswer, Reply
from rotator.providers.entra_errors import Doing, refused, unanswered
from rotator.providers.entra_login import Login, turn
from rotator.providers.entra_settings import EntraSettings, ManagedIdentityAuth
from rotator.providers.entra_wire import UNTIL, GraphWire, Wire, trust

MOST_PAGES = 100


class Graph:
    """One tenant's Graph. Lives in one event loop. skew: how far Graph's clock is ahead of ours, by its last answer."""

    def __init__(self, settings: EntraSettings, clock: Clock) -> None:
        context = trust(settings)
        self._settings = settings
        self._clock = clock
        # The endpoint of a managed identity is on this machine.
        proxy = None if isinstance(settings.auth, ManagedIdentityAuth) else settings.proxy
        self._wire, self._login_wire = GraphWire(settings, context, settings.proxy), Wire(settings, context, proxy)
        self.login = Login(settings, clock, self._login_wire)
        self._adapter = self._connected()
        self._service = GraphServiceClient(request_adapter=self._adapter)
        self._writing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._written: dict[str, Instant] = {}
        self._heard: tuple[datetime, Instant] | None = None

    # Reading

    async def application(self, name: str, *select: str) -> Reply:
        """Ask for one application by app id or, as `object:…`, by object id."""
        query = ApplicationItemRequestBuilder.ApplicationItemRequestBuilderGetQueryParameters(select=list(select))
        wish = RequestConfiguration(query_parameters=query)
        object_id = object_id_of(name)
        if object_id is None:
            info = self._service.applications_with_app_id(name).to_get_request_information(wish)  # type: ignore[arg-type]
            # The builder writes the app id into a dictionary that all requests of the service share, and it is read
            # when the request is sent: two at a time would both go to one application (msgraph-sdk 1.65).
            info.path_parameters = dict(info.path_parameters)
        else:
            info = self._service.applications.by_application_id(object_id).to_get_request_information(wish)
        return await self._asked(info, Doing("read the application"))

    async def owners(self, object_id: str) -> list[Any]:
        """Return who owns the application."""
        item = self._service.applications.by_application_id(object_id)
        return await self._collected(item.owners.to_get_request_information(), Doing("read its owners"))

    async def federated(self, object_id: str) -> list[Any]:
        """Return whose tokens the application is taken at: its federated identity credentials."""
        info = RequestInformation(Method.GET)
        info.url = f"{self._settings.graph}/applications/{object_id}/federatedIdentityCredentials"
        info.headers.try_add("Accept", "application/json")
        return await self._collected(info, Doing("read its federated credentials"))

    async def policies(self, object_id: str) -> list[Any]:
        """Return the app management policies assigned to the application."""
        item = self._service.applications.by_application_id(object_id)
        info = item.app_management_policies.to_get_request_information()
        return await self._collected(info, Doing("read its policies"))

    async def tenant_policy(self) -> Reply:
        """Ask for the tenant's default app management policy."""
        info = self._service.policies.default_app_management_policy.to_get_request_information()
        return await self._asked(info, Doing("read the tenant's policy"))

    async def sign_ins(self, app_id: str) -> list[Any]:
        """Return when each secret of an application was last used; a preview of Graph, not in its builders.

        Source: learn.microsoft.com/graph/api/reportroot-list-appcredentialsigninactivities.
        """
        info = RequestInformation(Method.GET)
        base = self._settings.graph.removesuffix("/v1.0")
        info.url = f"{base}/beta/reports/appCredentialSignInActivities?%24filter=appId%20eq%20'{app_id}'"
        info.headers.try_add("Accept", "application/json")
        return await self._collected(info, Doing("read the sign-in activity"))

    async def rest_of(self, link: object) -> list[Any]:
        """Return the items on the page that an `@odata.nextLink` names, and on all that follow.

        Raises Transient when the link leads anywhere but to this Graph: our token would go there. Raises what the
        answer means when it is no page: what a shorter list lacks would be taken for gone.
        """
        found: list[Any] = []
        doing = Doing("read the next page")
        for _ in range(MOST_PAGES):
            if link is None:
                return found
            if not isinstance(link, str) or not self._ours(link):
                raise unanswered(
                    self._settings, doing, NoAnswer("bad_answer", "Graph's next page is elsewhere", sent=True)
                )
            info = RequestInformation(Method.GET)
            info.url = link
            info.headers.try_add("Accept", "application/json")
            items, link = self._page(await self._asked(info, doing), doing)
            found += items
        raise unanswered(self._settings, doing, NoAnswer("bad_answer", "Graph's pages do not end", sent=True))

    # Writing

    @asynccontextmanager
    async def write(self, object_id: str) -> AsyncIterator[None]:
        """Keep one application for one write, some time after the last one: Graph refuses overlapping writes.

        Source: Directory_ConcurrencyViolation, as quoted in github.com/nais/azurerator/issues/448.
        """
        async with turn(self._writing[object_id], "the application"):
            await self._space(object_id)
            try:
                yield
            finally:
                self._written[object_id] = self._clock.instant()

    async def add_password(self, object_id: str, label: str, end: datetime) -> Reply:
        """Make a secret. Sent once."""
        wish = PasswordCredential(display_name=label, end_date_time=end)
        item = self._service.applications.by_application_id(object_id).add_password
        info = item.to_post_request_information(AddPasswordPostRequestBody(password_credential=wish))
        return await self._asked(info, Doing("create a secret", writes=True))

    async def remove_password(self, object_id: str, key_id: str) -> Reply:
        """Remove a secret for ever. Sent once."""
        item = self._service.applications.by_application_id(object_id).remove_password
        info = item.to_post_request_information(RemovePasswordPostRequestBody(key_id=UUID(key_id)))
        return await self._asked(info, Doing("retire a secret", writes=True))

    async def add_key(self, object_id: str, key: Mapping[str, object], proof: str) -> Reply:
        """Add a certificate beside the others, by proof of possession of one of them. Sent once."""
        body = {"keyCredential": key, "passwordCredential": None, "proof": proof}
        return await self._put(Method.POST, f"{object_id}/addKey", body, "add a certificate")

    async def remove_key(self, object_id: str, key_id: str, proof: str) -> Reply:
        """Remove a certificate for ever, by proof of possession of one that is there. Sent once."""
        return await self._put(
            Method.POST, f"{object_id}/removeKey", {"keyId": key_id, "proof": proof}, "remove a certificate"
        )

    async def write_keys(self, object_id: str, keys: Sequence[object], words: str) -> Reply:
        """Let these, and no others, be the certificates of the application. Sent once. words: what that does."""
        return await self._put(Method.PATCH, object_id, {"keyCredentials": keys}, words)

    async def _put(self, method: Method, path: str, body: object, words: str) -> Reply:
        """Send a write without the library's models: the one of an application imports a thousand modules."""
        info = RequestInformation(method)
        info.url = f"{self._settings.graph}/applications/{path}"
        info.headers.try_add("Accept", "application/json")
        info.set_stream_content(json.dumps(body).encode(), "application/json")
        return await self._asked(info, Doing(words, writes=True))

    # About time, and the end

    def issuer_now(self) -> datetime | None:
        """Return Graph's own time, never later than it is there, by its last Date; None before the first one.

        A Date is cut to the second and was written before we read it, so an end reckoned from here never exceeds a cap.
        """
        if self._heard is None:
            return None
        date, at = self._heard
        since = elapsed(at, self._clock.instant())
        return None if since is None else date + since

    async def close(self) -> None:
        """Close what is open."""
        await self.login.close()
        await self._wire.aclose()
        await self._login_wire.aclose()

    # Inside

    def _connected(self) -> GraphRequestAdapter:
        client = httpx.AsyncClient(transport=self._wire, trust_env=False, follow_redirects=False)
        # The library's own list of middleware has handlers that retry and that follow redirects.
        client = GraphClientFactory.create_with_custom_middleware([ParametersNameDecodingHandler()], client=client)
        tokens = AzureIdentityAuthenticationProvider(
            self.login,  # type: ignore[arg-type]  # it has what of an AsyncTokenCredential is used
            scopes=[self._settings.scope],
            is_cae_enabled=False,
            allowed_hosts=[self._settings.graph_host],
        )
        adapter = GraphRequestAdapter(tokens, client=client)
        adapter.base_url = self._settings.graph
        return adapter

    async def _asked(self, info: RequestInformation, doing: Doing) -> Reply:
        """Send a request and return the answer, whatever its status; a read again when its token is not accepted."""
        reply = await self._sent(info, doing)
        if reply.status in (401, 403):
            self.login.forget()
        if reply.status == 401 and not doing.writes:
            return await self._sent(info, doing)
        return reply

    async def _sent(self, info: RequestInformation, doing: Doing) -> Reply:
        """Send a request once."""
        await self.login.get_token()  # before the write, so that its failure is none of the write's
        info.add_request_options([ResponseHandlerOption(NativeResponseHandler())])
        failure: RotatorError
        try:
            answer: Any = await self._adapter.send_primitive_async(info, "bytes", {})
        except NoAnswer as no:
            failure = unanswered(self._settings, doing, no)
        else:
            reply = Reply(answer.status_code, dict(answer.headers), answer.content)
            if reply.date is not None:
                self._heard = (reply.date, self._clock.instant())
            return reply
        raise failure

    async def _collected(self, info: RequestInformation, doing: Doing) -> list[Any]:
        """Return the items of a collection, all pages of it. Raises what the answer means when it is none."""
        items, link = self._page(await self._asked(info, doing), doing)
        return items + await self.rest_of(link)

    def _page(self, reply: Reply, doing: Doing) -> tuple[list[Any], object]:
        """Return the items of a page and where the next one is. Raises what the answer means when it is none."""
        body = reply.json
        items = body.get("value") if body and reply.status == 200 else None
        if body is None or not isinstance(items, list):
            raise refused(self._settings, doing, reply, self._clock.now())
        return items, body.get("@odata.nextLink")

    def _ours(self, link: str) -> bool:
        base, found = urlsplit(self._settings.graph), urlsplit(link)
        paths = f"{base.path}/", f"{base.path.removesuffix('/v1.0')}/beta/"
        return (base.scheme, base.netloc) == (found.scheme, found.netloc) and found.path.startswith(paths)

    async def _space(self, object_id: str) -> None:
        """Wait until enough time has passed since the last write. Raises Busy when the call has not that much left."""
        last = self._written.get(object_id)
        since = elapsed(last, self._clock.instant()) if last else None
        if since is None:
            return
        wait = (self._settings.spacing - since) / timedelta(seconds=1)
        if asyncio.get_running_loop().time() + wait >= UNTIL.get():
            raise Busy("Others write to the application just now.", hint="The next run tries again; nothing was sent.")
        await asyncio.sleep(max(0.0, wait))


def object_id_of(name: str) -> str | None:
    """Return the object id in `object:…`; None when the name is an app id."""
    kind, colon, object_id = name.partition(":")
    return object_id if colon and kind == "object" else None
