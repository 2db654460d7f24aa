"""The Entra provider in front of a sandbox of its own, and what a test asks the two of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from rotator.clock import Clock, SystemClock
from rotator.expect import CredentialKind
from rotator.ports import Answer
from rotator.provers.client_credentials import ClientCredentialsProver
from rotator.provers.request import ClientAuth, ProofRequest, for_entra
from rotator.providers.entra import EntraProvider
from rotator.providers.entra_settings import CertificateAuth, ClientSecretAuth, EntraAuth, EntraSettings
from rotator.sandbox.records import HeldSecret
from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Route, Weather
from rotator.sandbox.world import KONTROLLE_PROD, ROTATOR, World, demo_world
from rotator.secret import Fields, Secret

APP = KONTROLLE_PROD
TAG = "rotator/i-1/kontrolle-plus-prod/r-1/1"
DAYS = timedelta(days=90)
NO_SPACING = timedelta(0)


@dataclass
class EntraBench:
    """A provider and the issuer behind it."""

    sandbox: Sandbox
    settings: EntraSettings
    provider: EntraProvider

    def another(self, clock: Clock | None = None, **changes: Any) -> EntraProvider:
        """Return a second provider with other settings; the test closes it."""
        return EntraProvider(replace(self.settings, **changes), clock or SystemClock())

    def tagged(self, tag: str = TAG, app: str = APP) -> list[HeldSecret]:
        """Return the secrets with that label that exist by the issuer's truth."""
        return [item for item in self.sandbox.directory.live(app) if item.display_name == tag]

    def seen(self, route: Route, app: str | None = APP) -> int:
        """Return how many requests arrived on a route."""
        return len(self.sandbox.directory.requests(app, str(route)))

    def settled_ghost(self) -> None:
        """Wait until what was postponed has taken effect."""
        SystemClock().wait(self.sandbox.sky.weather.ghost_delay + timedelta(milliseconds=50))


def by_certificate(sandbox: Sandbox) -> CertificateAuth:
    """Return the login that the sandbox prepared."""
    return CertificateAuth(ROTATOR, lambda: Secret(sandbox.files.certificate_file.read_text()), "file:graph.pem")


def by_secret(sandbox: Sandbox) -> ClientSecretAuth:
    """Return the other login that the sandbox prepared."""
    return ClientSecretAuth(ROTATOR, Secret(sandbox.files.secret), "file:graph-secret")


def settings_for(sandbox: Sandbox, auth: EntraAuth | None = None) -> EntraSettings:
    """Return settings that reach the sandbox, without a pause between writes."""
    return EntraSettings(
        name="contoso",
        tenant=sandbox.tenant,
        authority=sandbox.base_url,
        graph=sandbox.graph_url,
        auth=auth or by_certificate(sandbox),
        ca_file=sandbox.ca_file,
        spacing=NO_SPACING,
        agreement=NO_SPACING,
    )


@contextmanager
def entra_bench(folder: Path, weather: Weather | None = None, world: World | None = None) -> Iterator[EntraBench]:
    """Run a sandbox and a provider for it. folder: for the sandbox's files."""
    with Sandbox.start(folder, weather=weather or Weather.calm(), seed=7, world=world or demo_world()) as sandbox:
        settings = settings_for(sandbox)
        bench = EntraBench(sandbox, settings, EntraProvider(settings, SystemClock()))
        try:
            yield bench
        finally:
            bench.provider.close()


def proved(bench: EntraBench, values: Fields) -> Answer:
    """Return what a token request with a certificate comes to."""
    request = ProofRequest(
        token_url=bench.sandbox.token_url,
        client_auth=ClientAuth.PRIVATE_KEY_JWT,
        scope="api://kontrolle-provider/.default",
        ca_file=bench.sandbox.ca_file,
        expectations=for_entra(None, bench.sandbox.tenant, CredentialKind.CERTIFICATE),
    )
    return ClientCredentialsProver(request, SystemClock()).prove(APP, values, SystemClock().now()).answer
