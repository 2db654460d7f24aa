"""The section of a Keycloak realm, whose client secrets are rotated through its admin API."""

from __future__ import annotations

from typing import Literal

from rotator.app.config.described import HttpAuth
from rotator.app.config.parts import FilePath, ProxyUrl, Section, SomeText, WebBase
from rotator.model import Procedure


class KeycloakProvider(Section):
    """A realm of Keycloak."""

    kind: Literal["keycloak"]
    """Who issues the versions."""
    base_url: WebBase
    """Where Keycloak is, without `/admin` and `/realms`."""
    realm: SomeText
    """The realm of the clients."""
    ca_file: FilePath | None = None
    """Certificates to trust instead of the system's."""
    proxy: ProxyUrl | None = None
    """The proxy to go through; those of the environment are not used."""
    auth: HttpAuth
    """How to log in; best a client with a service account that has manage-clients."""

    @property
    def issuer(self) -> str:
        """Return what a binding calls this issuer: the same whatever the provider is called here."""
        return self._realm_url.lower()

    @property
    def token_url(self) -> str:
        """Return the token endpoint of the realm."""
        return f"{self._realm_url}/protocol/openid-connect/token"

    @property
    def metadata_url(self) -> str:
        """Return the metadata of the realm, which name its keys."""
        return f"{self._realm_url}/.well-known/openid-configuration"

    @property
    def tenant(self) -> str:
        """Return that its tokens belong to no tenant."""
        return ""

    @property
    def procedure(self) -> Procedure:
        """Return what holds until the realm says that two secrets may live at once."""
        return Procedure.READ_BACK

    @property
    def labelled(self) -> bool:
        """Return that no label is kept with a secret."""
        return False

    @property
    def _realm_url(self) -> str:
        return f"{self.base_url}/realms/{self.realm}"
