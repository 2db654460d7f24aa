"""The section of a server that registers clients: RFC 7591 and RFC 7592."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from rotator.app.config.parts import FilePath, ProxyUrl, SecretRef, Section, Truth, WebUrl
from rotator.model import Procedure


class RegistrationProvider(Section):
    """A server with dynamic client registration."""

    kind: Literal["dynamic_registration"]
    """Who issues the versions."""
    registration_url: WebUrl
    """The client registration endpoint."""
    initial_access_token: SecretRef | None = None
    """What lets us register; null: anybody may."""
    in_place: Truth = False
    """The server gives a new secret to a client that is updated (RFC 7592): the client stays, with a gap."""
    ca_file: FilePath | None = None
    """Certificates to trust instead of the system's."""
    proxy: ProxyUrl | None = None
    """The proxy to go through; those of the environment are not used."""

    @property
    def base_url(self) -> str:
        """Return the server."""
        found = urlsplit(self.registration_url)
        return f"{found.scheme}://{found.netloc}"

    @property
    def path(self) -> str:
        """Return the path of the endpoint."""
        found = urlsplit(self.registration_url)
        return f"{found.path}?{found.query}" if found.query else found.path

    @property
    def issuer(self) -> str:
        """Return what a binding calls this issuer: the same whatever the provider is called here."""
        return self.registration_url.lower()

    @property
    def token_url(self) -> None:
        """Return that no token endpoint follows from where clients are registered."""

    @property
    def metadata_url(self) -> None:
        """Return that no signing keys are known."""

    @property
    def tenant(self) -> str:
        """Return that its tokens belong to no tenant."""
        return ""

    @property
    def procedure(self) -> Procedure:
        """Return what follows: each version is a client of its own, unless they are updated in place."""
        return Procedure.READ_BACK if self.in_place else Procedure.OVERLAP

    @property
    def labelled(self) -> bool:
        """Return that registrations cannot be listed, so that no label is found."""
        return False
