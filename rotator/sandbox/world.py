"""Who exists in the sandbox: applications, the APIs they call, and rotator's own identity; plain data, no behaviour."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

TENANT = "11111111-2222-3333-4444-555555555555"
PORT = 8443
GRAPH_URI = "https://graph.microsoft.com"
GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"  # the same in every real tenant

# Names a scene can refer to without repeating GUIDs.
ROTATOR = "5a6d0f1e-0000-4000-8000-000000000001"
KONTROLLE_PROD = "7f3c0c52-0000-4000-8000-000000000011"
SITE_REPORTS_PROD = "7f3c0c52-0000-4000-8000-000000000012"
KONTROLLE_TRAINING = "7f3c0c52-0000-4000-8000-000000000013"
FIELDOPS_PROD = "7f3c0c52-0000-4000-8000-000000000014"
KONTROLLE_API = "9b1d7a30-0000-4000-8000-000000000021"
SITE_REPORTS_API = "9b1d7a30-0000-4000-8000-000000000022"
FIELDOPS_API = "9b1d7a30-0000-4000-8000-000000000023"


@dataclass(frozen=True, slots=True)
class SecretPolicy:
    """An app management policy: what it forbids. A lifetime None: no cap. max_certificate_lifetime: of certificates."""

    policy_id: str
    max_lifetime: timedelta | None = None
    secrets_allowed: bool = True
    max_certificate_lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Federated:
    """A federated identity credential: whose tokens the application is taken at."""

    name: str
    issuer: str
    subject: str


@dataclass(frozen=True, slots=True)
class Resource:
    """An API that tokens are for. token_version decides the issuer's form and, with 2, that `aud` is the GUID."""

    app_id: str
    name: str
    uri: str
    token_version: int


@dataclass(frozen=True, slots=True)
class App:
    """One application registration.

    roles: resource URI -> app roles granted to it. owned: rotator's service principal is among its owners. personal: it
    allows personal accounts, so it may hold two secrets only. grants_at_most: a lifetime beyond this is silently cut.
    fresh_lag: every token replica learns of a new secret only after this. first_secret: lifetime of the secret that a
    person made in the portal before we came; None: it has none. federated: who else may be this application.
    """

    app_id: str
    name: str
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    owned: bool = True
    personal: bool = False
    disabled: bool = False
    max_secrets: int | None = None
    policy: SecretPolicy | None = None
    grants_at_most: timedelta | None = None
    fresh_lag: timedelta = timedelta(0)
    token_lifetime: timedelta = timedelta(seconds=3599)
    first_secret: timedelta | None = timedelta(days=60)
    federated: tuple[Federated, ...] = ()

    @property
    def object_id(self) -> str:
        """The id of the application object, which is not its app id."""
        return _derived("application", self.app_id)

    @property
    def principal_id(self) -> str:
        """The id of its service principal (Enterprise application)."""
        return _derived("service-principal", self.app_id)


@dataclass(frozen=True, slots=True)
class World:
    """A tenant with its applications. rotator: our own application; its `roles` under GRAPH_URI are what it may do."""

    rotator: App
    apps: tuple[App, ...]
    resources: tuple[Resource, ...]
    tenant: str = TENANT
    tenant_policy: SecretPolicy | None = None


def rotator_app(*graph_roles: str) -> App:
    """Return rotator's own application with these Graph app roles."""
    return App(ROTATOR, "rotator", roles={GRAPH_URI: graph_roles}, first_secret=None)


def demo_world() -> World:
    """Return the default world: a plain application, one with slow replicas, one with a wrong role, one with none."""
    resources = (
        Resource(GRAPH_APP_ID, "Microsoft Graph", GRAPH_URI, 1),
        Resource(KONTROLLE_API, "Kontrolle+ provider API", "api://kontrolle-provider", 1),
        Resource(SITE_REPORTS_API, "Site reports API", "api://site-reports", 2),
        Resource(FIELDOPS_API, "Field operations API", "api://fieldops", 1),
    )
    apps = (
        App(KONTROLLE_PROD, "Kontrolle+ production", {"api://kontrolle-provider": ("ProviderApi.Access",)}),
        App(
            SITE_REPORTS_PROD,
            "Site reports production",
            {"api://site-reports": ("Reports.Read",)},
            fresh_lag=timedelta(seconds=8),
        ),
        App(FIELDOPS_PROD, "Field operations production", {"api://fieldops": ("FieldOps.Read",)}),
        App(KONTROLLE_TRAINING, "Kontrolle+ training"),
    )
    return World(
        rotator=rotator_app("Application.ReadWrite.OwnedBy", "Policy.Read.All", "AuditLog.Read.All"),
        apps=apps,
        resources=resources,
    )


def _derived(kind: str, app_id: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"rotator-sandbox:{kind}:{app_id}"))
