"""The sandbox is believed by the libraries that will talk to the real one: azure-identity and msgraph-sdk over TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import httpx2
import jwt
import pytest
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from kiota_http.middleware.options import RetryHandlerOption
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.applications.item.add_password.add_password_post_request_body import AddPasswordPostRequestBody
from msgraph.generated.applications.item.remove_password.remove_password_post_request_body import (
    RemovePasswordPostRequestBody,
)
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.password_credential import PasswordCredential
from msgraph_core import GraphClientFactory

from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Weather
from rotator.sandbox.world import GRAPH_URI, KONTROLLE_PROD, ROTATOR, SITE_REPORTS_PROD

T = TypeVar("T")

GRAPH_SCOPE = f"{GRAPH_URI}/.default"

# The SDK's generated builders use deprecated classes of their own when they are first imported (msgraph-sdk 1.65).
pytestmark = [
    pytest.mark.filterwarnings("ignore:GetQueryParameters is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This class is deprecated:DeprecationWarning:msgraph"),
]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox.start(tmp_path / "sandbox", weather=Weather.calm(), seed=7) as running:
        yield running


def by_certificate(sandbox: Sandbox) -> CertificateCredential:
    return CertificateCredential(
        sandbox.tenant,
        ROTATOR,
        certificate_path=str(sandbox.files.certificate_file),
        authority=sandbox.base_url,
        connection_verify=str(sandbox.ca_file),
        retry_total=0,
    )


def by_secret(sandbox: Sandbox, secret: str) -> ClientSecretCredential:
    return ClientSecretCredential(
        sandbox.tenant,
        ROTATOR,
        secret,
        authority=sandbox.base_url,
        connection_verify=str(sandbox.ca_file),
        retry_total=0,
    )


@asynccontextmanager
async def graph(sandbox: Sandbox, credential: AsyncTokenCredential) -> AsyncIterator[GraphServiceClient]:
    context = ssl.create_default_context(cafile=str(sandbox.ca_file))
    plain = httpx.AsyncClient(verify=context, timeout=20, trust_env=False)
    connections = plain._transport  # the SDK wraps it, and its wrapper does not close it
    http = GraphClientFactory.create_with_default_middleware(
        client=plain,
        options={RetryHandlerOption.get_key(): RetryHandlerOption(max_retries=0, delay=0)},
    )
    auth = AzureIdentityAuthenticationProvider(credential, scopes=[GRAPH_SCOPE], allowed_hosts=["127.0.0.1"])
    adapter = GraphRequestAdapter(auth, client=http)
    adapter.base_url = sandbox.graph_url
    async with credential, http, connections:
        yield GraphServiceClient(request_adapter=adapter)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run, then give aiohttp's TLS connections the moment that they need to close (its manual, "Graceful shutdown")."""

    async def to_the_end() -> T:
        try:
            return await coroutine
        finally:
            await asyncio.sleep(0.25)

    return asyncio.run(to_the_end())


@pytest.mark.parametrize("method", ["certificate", "secret"])
def test_the_real_sdk_creates_lists_and_removes_a_secret(sandbox: Sandbox, method: str) -> None:
    async def life() -> None:
        credential = by_certificate(sandbox) if method == "certificate" else by_secret(sandbox, sandbox.files.secret)
        object_id = sandbox.directory.app(KONTROLLE_PROD).object_id
        async with graph(sandbox, credential) as client:
            item = client.applications.by_application_id(object_id)
            end = datetime.now(UTC) + timedelta(days=1)
            wish = PasswordCredential(display_name="rotator/i/n/r/1", end_date_time=end)
            made = await item.add_password.post(AddPasswordPostRequestBody(password_credential=wish))
            assert made is not None and made.secret_text is not None and made.key_id is not None
            assert sandbox.directory.authenticates(KONTROLLE_PROD, made.secret_text)
            assert made.end_date_time == end
            info = item.to_get_request_information()
            adapter: Any = client.request_adapter  # its type says that this returns nothing
            raw = await adapter.send_primitive_async(info, "bytes", {"XXX": ODataError})
            listed = [found["keyId"] for found in json.loads(raw)["passwordCredentials"]]
            assert str(made.key_id) in listed
            await item.remove_password.post(RemovePasswordPostRequestBody(key_id=made.key_id))
            assert not sandbox.directory.authenticates(KONTROLLE_PROD, made.secret_text)
            with pytest.raises(ODataError) as again:
                await item.remove_password.post(RemovePasswordPostRequestBody(key_id=made.key_id))
            assert again.value.response_status_code == 400
            assert again.value.error.code == "Request_BadRequest"

    run(life())


def test_a_wrong_daemon_secret_is_an_authentication_error_with_entras_number(sandbox: Sandbox) -> None:
    async def ask() -> None:
        async with by_secret(sandbox, "wrong") as credential:
            await credential.get_token(GRAPH_SCOPE)

    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        run(ask())


def test_a_certificate_that_nobody_registered_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    with Sandbox.start(tmp_path / "other", weather=Weather.calm()) as stranger:
        foreign = stranger.files.certificate_file

    async def ask() -> None:
        async with CertificateCredential(
            sandbox.tenant,
            ROTATOR,
            certificate_path=str(foreign),
            authority=sandbox.base_url,
            connection_verify=str(sandbox.ca_file),
            retry_total=0,
        ) as credential:
            await credential.get_token(GRAPH_SCOPE)

    with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
        run(ask())


def test_a_workload_identity_proves_itself_with_its_token_file(sandbox: Sandbox, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(sandbox.identity.federated_token(ROTATOR))

    async def ask() -> str:
        async with WorkloadIdentityCredential(
            tenant_id=sandbox.tenant,
            client_id=ROTATOR,
            token_file_path=str(token_file),
            authority=sandbox.base_url,
            connection_verify=str(sandbox.ca_file),
            retry_total=0,
        ) as credential:
            token: str = (await credential.get_token(GRAPH_SCOPE)).token
            return token

    assert jwt.decode(run(ask()), options={"verify_signature": False})["appid"] == ROTATOR
    token_file.write_text(sandbox.identity.federated_token(KONTROLLE_PROD))
    with pytest.raises(ClientAuthenticationError, match="AADSTS70021"):
        run(ask())


def test_a_managed_identity_is_found_by_its_environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sandbox.managed_identity_environment.items():
        monkeypatch.setenv(name, value)

    async def ask() -> str:
        async with ManagedIdentityCredential(connection_verify=str(sandbox.ca_file)) as credential:
            token: str = (await credential.get_token(GRAPH_SCOPE)).token
            return token

    assert jwt.decode(run(ask()), options={"verify_signature": False})["aud"] == GRAPH_URI


def test_a_plain_client_gets_a_token_whose_signature_holds_by_the_published_metadata(sandbox: Sandbox) -> None:
    context = ssl.create_default_context(cafile=str(sandbox.ca_file))
    secret = sandbox.directory.truth(KONTROLLE_PROD)[0].text
    form = {
        "grant_type": "client_credentials",
        "client_id": KONTROLLE_PROD,
        "client_secret": secret,
        "scope": "api://kontrolle-provider/.default",
    }
    with httpx2.Client(verify=context, trust_env=False) as http:
        answer = http.post(sandbox.token_url, data=form)
        metadata = http.get(f"{sandbox.base_url}/{sandbox.tenant}/v2.0/.well-known/openid-configuration").json()
        keys = http.get(metadata["jwks_uri"]).json()
    token = answer.json()["access_token"]
    key = next(key for key in keys["keys"] if key["kid"] == jwt.get_unverified_header(token)["kid"])
    told = jwt.decode(token, jwt.PyJWK(key, "RS256"), ["RS256"], audience="api://kontrolle-provider")
    assert told["roles"] == ["ProviderApi.Access"]
    assert metadata["token_endpoint"] == sandbox.token_url
    assert answer.headers["date"]


def test_a_fresh_secret_of_the_slow_application_is_refused_and_the_portals_works(sandbox: Sandbox) -> None:
    context = ssl.create_default_context(cafile=str(sandbox.ca_file))
    now = sandbox.directory.now()
    fresh = sandbox.directory.add(SITE_REPORTS_PROD, display_name="t", expires_at=now + timedelta(hours=1), by=ROTATOR)
    portal = sandbox.directory.truth(SITE_REPORTS_PROD)[0]

    def ask(secret: str) -> int:
        form = {
            "grant_type": "client_credentials",
            "client_id": SITE_REPORTS_PROD,
            "client_secret": secret,
            "scope": "api://site-reports/.default",
        }
        with httpx2.Client(verify=context, trust_env=False) as http:
            return http.post(sandbox.token_url, data=form).status_code

    assert (ask(fresh.text), ask(portal.text)) == (401, 200)
