"""How to reach one Entra tenant and its Graph, and how to log in there, as plain data; nothing here reads a file.

Secrets are given as functions where they may change, because they are read again at every login: a certificate in a
file may have been replaced since the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from rotator.secret import Secret

CERTIFICATE = "certificate:"
"""What stands before the name of an application whose certificates are meant."""

ReadSecret = Callable[[], Secret]
"""Reads a secret reference anew; raises Misconfigured when it cannot be read."""


@dataclass(frozen=True, slots=True)
class ClientSecretAuth:
    """A secret of the application that rotator is. named: the reference, for messages."""

    client_id: str
    client_secret: Secret | ReadSecret
    named: str = "client_secret"


@dataclass(frozen=True, slots=True)
class CertificateAuth:
    """Private key (RSA) and certificate in one PEM. named: the reference, for messages."""

    client_id: str
    certificate: Secret | ReadSecret
    named: str = "certificate"


@dataclass(frozen=True, slots=True)
class ManagedIdentityAuth:
    """The identity that Azure gave to this machine. client_id: which one, where it has several."""

    client_id: str | None = None

    @property
    def named(self) -> str:
        """Return what messages call it."""
        return "the managed identity"


@dataclass(frozen=True, slots=True)
class WorkloadIdentityAuth:
    """A token of another issuer, such as a cluster's, in a file that somebody keeps fresh."""

    client_id: str
    token_file: Path

    @property
    def named(self) -> str:
        """Return what messages call it."""
        return str(self.token_file)


EntraAuth = ClientSecretAuth | CertificateAuth | ManagedIdentityAuth | WorkloadIdentityAuth


@dataclass(frozen=True, slots=True)
class Signing:
    """The program that has a certificate authority sign certificates. command: with its arguments. timeout: after which
    it is killed."""

    command: tuple[str, ...]
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class EntraSettings:
    """One entry of kind `entra` under `providers`.

    name: as configured, for messages. authority, graph: base addresses, https, without a slash at the end; graph with
    its version. ca_file: the only certificates trusted; None: those of the system. proxy: None: none, whatever the
    environment says. spacing: between two writes to one application. agreement: between the two reads that must agree
    before all certificates of an application are written at once. deadline: for one call of the port as a whole, but
    for the signing. signing: None: certificates are signed by their own keys.
    """

    name: str
    tenant: str
    authority: str
    graph: str
    auth: EntraAuth
    ca_file: Path | None = None
    proxy: str | None = None
    spacing: timedelta = timedelta(seconds=1)
    agreement: timedelta = timedelta(seconds=10)
    connect_timeout: timedelta = timedelta(seconds=5)
    deadline: timedelta = timedelta(seconds=30)
    signing: Signing | None = None

    @property
    def scope(self) -> str:
        """Return the scope that a token for this Graph needs: it names the Graph of the same cloud.

        Source: learn.microsoft.com/graph/deployments, "app registration and token service root endpoints".
        """
        found = urlsplit(self.graph)
        return f"{found.scheme}://{found.netloc}/.default"

    @property
    def graph_host(self) -> str:
        """Return the only host that is ever sent a token."""
        return urlsplit(self.graph).hostname or self.graph

    @property
    def authority_host(self) -> str:
        """Return the host that issues the tokens."""
        return urlsplit(self.authority).hostname or self.authority
