"""A house over issuers and stores in memory and a state on disk, for the tests of the use cases."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rotator.app.config import Verification, load
from rotator.app.config.systems import AnyProvider
from rotator.app.house import House
from rotator.app.wiring import AnyStore, Parts
from rotator.clock import ManualClock
from rotator.errors import RotatorError
from rotator.model import Credential
from rotator.ports import Prover, Provider, Store
from rotator.secret import Fields, Secret
from tests.fakes.memory_issuer import MemoryIssuer, MemoryProver
from tests.fakes.memory_store import MemoryStore

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)

HEAD = """\
version: 1
state: {{url: "sqlite:///state/rotator.db", mode: {mode}}}
service: {{concurrency: 2, jitter: 0s}}
stores:
  vault:
    kind: vault
    address: https://vault.example.com:8200
    mount: kv
    auth: {{method: token, token: "file:vault-token"}}
  second:
    kind: vault
    address: https://second.example.com:8200
    mount: kv
    auth: {{method: token, token: "file:second-token"}}
providers:
  contoso:
    kind: entra
    tenant: 11111111-2222-3333-4444-555555555555
    auth: {{method: client_secret, client_id: 5a6d0f1e-0000-4000-8000-000000000001, client_secret: "file:graph-secret"}}
  fabrikam:
    kind: entra
    tenant: 22222222-2222-3333-4444-555555555555
    auth: {{method: managed_identity}}
defaults:
  verify: {{proofs: 2, spacing: 1s, deadline: 2m}}
  policy: {{lifetime: 90d, rotate_before: 30d, grace: 24h, quarantine: 5s, alert_before: [7d]}}
credentials:
"""

ENTRY = """\
  - name: {name}
    labels: {{env: {env}}}
    provider: {{use: {provider}, app_id: {app}}}
    store: {{use: {store}, path: partners/{name}}}
    verify: {{scope: "api://x/.default", expect: {{aud: "api://x", roles: [ProviderApi.Access]}}}}
"""


def app_id(number: int) -> str:
    """Return the application of the credential with this number, from 1."""
    return f"7f3c0c52-0000-4000-8000-{number:012d}"


@dataclass
class Bench:
    """credentials: name to (env, provider, store). broken: a store or provider that cannot be made, and why.

    real: the stores that are made as the configuration says.
    """

    folder: Path
    credentials: Mapping[str, tuple[str, str, str]] = field(
        default_factory=lambda: {"one": ("prod", "contoso", "vault"), "two": ("test", "contoso", "vault")}
    )
    mode: str = "active"
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    broken: dict[str, RotatorError] = field(default_factory=dict)
    real: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.stop = threading.Event()
        self.stores = {name: MemoryStore(self.clock) for name in ("vault", "second")}
        self.issuers = {name: MemoryIssuer(self.clock) for name in ("contoso", "fabrikam")}
        self.provers: dict[str, MemoryProver] = {}
        for number, (name, (_, provider, _)) in enumerate(self.credentials.items(), 1):
            self.issuers[provider].add(app_id(number), client_id=app_id(number))
            self.provers[name] = MemoryProver(self.issuers[provider])
        self.made: list[str] = []
        for name in ("vault-token", "second-token", "graph-secret"):
            self.secret(name)
        self.write()

    @property
    def issuer(self) -> MemoryIssuer:
        """Return the issuer of most tests."""
        return self.issuers["contoso"]

    @property
    def store(self) -> MemoryStore:
        """Return the store of most tests."""
        return self.stores["vault"]

    @property
    def config(self) -> Path:
        """Return the configuration file."""
        return self.folder / "config.yaml"

    def app(self, name: str) -> str:
        """Return the application of a credential."""
        return app_id(list(self.credentials).index(name) + 1)

    def secret(self, name: str) -> Path:
        """Write a secret file."""
        path = self.folder / name
        path.write_text("canary-9f2b7c\n", encoding="utf-8")
        path.chmod(0o600)
        return path

    def write(self, without: tuple[str, ...] = ()) -> None:
        """Write the configuration, without some credentials."""
        text = HEAD.format(mode=self.mode)
        entries = [
            ENTRY.format(name=name, env=env, provider=provider, store=store, app=self.app(name))
            for name, (env, provider, store) in self.credentials.items()
            if name not in without
        ]
        self.config.write_text(text + ("".join(entries) or "  []\n"), encoding="utf-8")

    def house(self, **more: Any) -> House:
        """Return a house over this world; use it in a `with`."""
        return House(
            load(self.config),
            environ={},
            argv=("rotator", "test"),
            clock=self.clock,
            stop=self.stop,
            builder=lambda clock, resolver: _Builder(clock, resolver, self),
            **more,
        )

    def document(self, name: str, **fields: str) -> None:
        """Let a person write the document of a credential."""
        self.stores[self.credentials[name][2]].consumers.put(f"partners/{name}", Fields(fields))

    def value_of(self, name: str) -> Secret:
        """Return the secret that consumers read."""
        fields = self.stores[self.credentials[name][2]].consumers.read(f"partners/{name}").fields
        assert fields is not None
        value = fields.secret("client_secret")
        assert value is not None
        return value


@dataclass(frozen=True, slots=True)
class _Builder(Parts):
    """Makes parts in memory; the state is real."""

    bench: Bench

    def _see(self, name: str) -> None:
        self.bench.made.append(name)
        if name in self.bench.broken:
            raise self.bench.broken[name]

    def store(self, name: str, section: AnyStore, key: Secret | None) -> Store:
        self._see(name)
        return Parts.store(self, name, section, key) if name in self.bench.real else self.bench.stores[name]

    def provider(self, name: str, section: AnyProvider) -> Provider:
        self._see(name)
        return self.bench.issuers[name]

    def prover(self, credential: Credential, asked: Verification, provider: AnyProvider) -> Prover:
        return self.bench.provers[credential.name]
