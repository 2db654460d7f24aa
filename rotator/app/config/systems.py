"""The sections for what rotator speaks to: its state, the stores and the providers, with their ways to log in.

A kind that this release does not know yet is refused by name. Nothing here opens or contacts anything.
"""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Tag

from rotator.app.config import values
from rotator.app.config.described import HttpProvider
from rotator.app.config.foreign import ForeignProvider, ForeignStore
from rotator.app.config.keycloak import KeycloakProvider
from rotator.app.config.manual import ManualProvider
from rotator.app.config.parts import (
    FOREIGN,
    FilePath,
    Guid,
    HttpsBase,
    MomentLong,
    ParsedHere,
    Pluggable,
    Program,
    ProxyUrl,
    SecretRef,
    Section,
    SomeText,
    StorePath,
    Tenant,
    WebBase,
    tagged,
    word,
)
from rotator.app.config.registration import RegistrationProvider
from rotator.model import Procedure
from rotator.plugin import PROVIDERS, STORES

# ------------------------------------------------------------------------------------------------------------ state


class Mode(StrEnum):
    """Whether anything is changed at all."""

    ACTIVE = "active"
    OBSERVE = "observe"


class State(Section):
    """Where rotator remembers what it did."""

    url: Annotated[str, ParsedHere(values.sqlite_url, word("sqlite:////absolute/path or sqlite:///relative/path"))] = (
        "sqlite:////var/lib/rotator/rotator.db"
    )
    """The state database."""
    mode: Mode = Mode.ACTIVE
    """`observe` proves, plans and alerts, and changes nothing anywhere."""

    @property
    def database(self) -> Path:
        """Return the file of the state database."""
        return Path(self.url.removeprefix("sqlite:///"))


# ----------------------------------------------------------------------------------------------------------- stores


class AppRoleAuth(Section):
    """Log in to Vault with AppRole."""

    method: Literal["approle"]
    """The way to log in."""
    mount: StorePath = "approle"
    """Where the method is mounted."""
    role_id: SecretRef
    """The role's id."""
    secret_id: SecretRef
    """The role's secret id."""


class TokenAuth(Section):
    """Use a Vault token as it is."""

    method: Literal["token"]
    """The way to log in."""
    token: SecretRef
    """The token."""


class VaultCertificateAuth(Section):
    """Log in to Vault with a TLS client certificate."""

    method: Literal["cert"]
    """The way to log in."""
    mount: StorePath = "cert"
    """Where the method is mounted."""
    role: SomeText
    """The role."""
    certificate: SecretRef
    """The certificate, PEM."""
    key: SecretRef
    """Its private key, PEM."""


class JwtAuth(Section):
    """Log in to Vault with a token of another issuer."""

    method: Literal["jwt"]
    """The way to log in."""
    mount: StorePath = "jwt"
    """Where the method is mounted."""
    role: SomeText
    """The role."""
    token: SecretRef
    """The token, read anew at each login."""


class KubernetesAuth(Section):
    """Log in to Vault with the service account of a pod."""

    method: Literal["kubernetes"]
    """The way to log in."""
    mount: StorePath = "kubernetes"
    """Where the method is mounted."""
    role: SomeText
    """The role."""
    token_file: FilePath = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    """The service account's token, read anew at each login."""


VaultAuth = Annotated[
    Annotated[AppRoleAuth, Tag("@approle")]
    | Annotated[TokenAuth, Tag("@token")]
    | Annotated[VaultCertificateAuth, Tag("@cert")]
    | Annotated[JwtAuth, Tag("@jwt")]
    | Annotated[KubernetesAuth, Tag("@kubernetes")],
    tagged("method"),
]


class VaultStore(Section):
    """HashiCorp Vault or OpenBao, KV version 2 only."""

    kind: Literal["vault"]
    """What serves this store."""
    address: WebBase
    """Where the server is."""
    namespace: SomeText | None = None
    """The namespace, where the server has them."""
    mount: StorePath = "kv"
    """The mount that consumers read."""
    staging_mount: StorePath = "rotator"
    """The mount that only rotator reads."""
    ca_file: FilePath | None = None
    """Certificates to trust instead of the system's."""
    proxy: ProxyUrl | None = None
    """The proxy to go through; those of the environment are not used."""
    auth: VaultAuth
    """How to log in."""


class EmbeddedStore(Section):
    """An encrypted folder on this machine; needs no server."""

    kind: Literal["embedded"]
    """What serves this store."""
    path: FilePath
    """The folder."""
    key: SecretRef
    """32 bytes in base64; made on first use when it is a `file:` that does not exist."""


_STORES: Final = Pluggable(STORES, ("vault", "embedded"))

Store = Annotated[
    Annotated[VaultStore, Tag("@vault")]
    | Annotated[EmbeddedStore, Tag("@embedded")]
    | Annotated[ForeignStore, Tag(FOREIGN)],
    tagged("kind", _STORES),
    _STORES,
]

# -------------------------------------------------------------------------------------------------------- providers


class Cloud(StrEnum):
    """The national clouds of Microsoft."""

    PUBLIC = "public"
    USGOV = "usgov"
    DOD = "dod"
    CHINA = "china"


# https://learn.microsoft.com/graph/deployments and azure.identity.AzureAuthorityHosts
_ENDPOINTS = {
    Cloud.PUBLIC: ("https://login.microsoftonline.com", "https://graph.microsoft.com/v1.0"),
    Cloud.USGOV: ("https://login.microsoftonline.us", "https://graph.microsoft.us/v1.0"),
    Cloud.DOD: ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us/v1.0"),
    Cloud.CHINA: ("https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn/v1.0"),
}


class ClientSecretAuth(Section):
    """Log in to Entra with a client secret."""

    method: Literal["client_secret"]
    """The way to log in."""
    client_id: Guid
    """The application that rotator is."""
    client_secret: SecretRef
    """Its secret."""


class CertificateAuth(Section):
    """Log in to Entra with a certificate."""

    method: Literal["certificate"]
    """The way to log in."""
    client_id: Guid
    """The application that rotator is."""
    certificate: SecretRef
    """Private key and certificate in one PEM."""


class ManagedIdentityAuth(Section):
    """Log in to Entra as the identity that Azure gave to this machine."""

    method: Literal["managed_identity"]
    """The way to log in."""
    client_id: Guid | None = None
    """Which identity, where the machine has several."""


class WorkloadIdentityAuth(Section):
    """Log in to Entra with a token of another issuer, such as a cluster's."""

    method: Literal["workload_identity"]
    """The way to log in."""
    client_id: Guid
    """The application that rotator is."""
    token_file: FilePath
    """The other issuer's token, read anew at each login."""


EntraAuth = Annotated[
    Annotated[ClientSecretAuth, Tag("@client_secret")]
    | Annotated[CertificateAuth, Tag("@certificate")]
    | Annotated[ManagedIdentityAuth, Tag("@managed_identity")]
    | Annotated[WorkloadIdentityAuth, Tag("@workload_identity")],
    tagged("method"),
]


class SignWith(Section):
    """A program that gets a request for a certificate (PKCS#10, PEM) and prints the certificate (PEM)."""

    command: Program
    """Program, by its absolute path, and arguments; no shell."""
    timeout: MomentLong = timedelta(seconds=30)
    """After which it is killed; 60s at most."""


class EntraProvider(Section):
    """Microsoft Entra through Graph."""

    kind: Literal["entra"]
    """Who issues the versions."""
    tenant: Tenant
    """The tenant of the applications."""
    cloud: Cloud = Cloud.PUBLIC
    """The national cloud."""
    authority: HttpsBase | None = None
    """The token issuer, instead of the cloud's."""
    graph: HttpsBase | None = None
    """Microsoft Graph, instead of the cloud's."""
    ca_file: FilePath | None = None
    """Certificates to trust instead of the system's."""
    proxy: ProxyUrl | None = None
    """The proxy to go through; those of the environment are not used."""
    auth: EntraAuth
    """How to log in."""
    sign_with: SignWith | None = None
    """Has the certificates of applications signed by a certificate authority; without it they sign themselves."""

    @property
    def authority_url(self) -> str:
        """Return the token issuer, without tenant and without a slash at the end."""
        return self.authority or _ENDPOINTS[self.cloud][0]

    @property
    def graph_url(self) -> str:
        """Return the base of Microsoft Graph with its version, without a slash at the end."""
        return self.graph or _ENDPOINTS[self.cloud][1]

    @property
    def token_url(self) -> str:
        """Return the tenant's token endpoint."""
        return f"{self.authority_url}/{self.tenant}/oauth2/v2.0/token"

    @property
    def metadata_url(self) -> str:
        """Return the tenant's v2.0 metadata, which name its keys."""
        return f"{self.authority_url}/{self.tenant}/v2.0/.well-known/openid-configuration"

    @property
    def procedure(self) -> Procedure:
        """Return that versions live side by side."""
        return Procedure.OVERLAP

    @property
    def labelled(self) -> bool:
        """Return whether our label is kept with each version."""
        return True

    @property
    def issuer(self) -> str:
        """Return what a binding calls this issuer: the same whatever the provider is called here."""
        return f"{self.authority_url}/{self.tenant}".lower()


AnyProvider = EntraProvider | HttpProvider | KeycloakProvider | ManualProvider | RegistrationProvider | ForeignProvider

_PROVIDERS: Final = Pluggable(PROVIDERS, ("entra", "http", "keycloak", "manual", "dynamic_registration"))

Provider = Annotated[
    Annotated[EntraProvider, Tag("@entra")]
    | Annotated[HttpProvider, Tag("@http")]
    | Annotated[KeycloakProvider, Tag("@keycloak")]
    | Annotated[ManualProvider, Tag("@manual")]
    | Annotated[RegistrationProvider, Tag("@dynamic_registration")]
    | Annotated[ForeignProvider, Tag(FOREIGN)],
    tagged("kind", _PROVIDERS),
    _PROVIDERS,
]
