"""How to reach one Vault or OpenBao server and how to log in there, as plain data; nothing here reads a file.

Secrets are given as functions, because they are read again at every login: a secret id in a file may have been replaced
since the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rotator.secret import Secret

ReadSecret = Callable[[], Secret]
"""Reads a secret reference anew; raises Misconfigured when it cannot be read."""


@dataclass(frozen=True, slots=True)
class AppRoleAuth:
    """A role id and a secret id (developer.hashicorp.com/vault/docs/auth/approle)."""

    role_id: ReadSecret
    secret_id: ReadSecret
    mount: str = "approle"


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """A token that somebody else obtained. It is renewed when it can be, never revoked here."""

    token: ReadSecret


@dataclass(frozen=True, slots=True)
class CertAuth:
    """A client certificate and its key, both PEM (developer.hashicorp.com/vault/docs/auth/cert)."""

    certificate: ReadSecret
    key: ReadSecret
    role: str
    mount: str = "cert"


@dataclass(frozen=True, slots=True)
class JwtAuth:
    """A signed token of an identity provider (developer.hashicorp.com/vault/docs/auth/jwt)."""

    token: ReadSecret
    role: str
    mount: str = "jwt"


@dataclass(frozen=True, slots=True)
class KubernetesAuth:
    """The projected token of a service account, read again at each login because the kubelet replaces it."""

    token_file: Path
    role: str
    mount: str = "kubernetes"


Auth = AppRoleAuth | TokenAuth | CertAuth | JwtAuth | KubernetesAuth


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """One entry of kind `vault` under `stores`.

    name: as configured, for messages. mount: consumers read there. staging_mount: only rotator reads there. ca_file:
    the only certificates trusted; None: those of the system. proxy: None: none, whatever the environment says.
    connections: how many requests may be in flight. connect_timeout, read_timeout: per connection and per answer.
    """

    name: str
    address: str
    mount: str
    staging_mount: str
    auth: Auth
    namespace: str | None = None
    ca_file: Path | None = None
    proxy: str | None = None
    connections: int = 16
    connect_timeout: timedelta = timedelta(seconds=5)
    read_timeout: timedelta = timedelta(seconds=30)
