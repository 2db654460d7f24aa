"""Real issuers on loopback, two mounts on a real Vault, and machines on which `rotator` runs as a process.

It holds no opinion on what is right: that is `tests.e2e.real_oracle`.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rotator.persistence.reading import Reader
from rotator.sandbox.records import HeldSecret
from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Weather
from rotator.sandbox.world import FIELDOPS_PROD, KONTROLLE_PROD, ROTATOR, SITE_REPORTS_API, SITE_REPORTS_PROD
from tests.e2e.cli_bench import COMMAND, Done
from tests.servers.vault_server import VaultServer

NAME = "kontrolle"
APPS = {NAME: KONTROLLE_PROD, "reports": SITE_REPORTS_PROD, "fieldops": FIELDOPS_PROD}
AUDIENCES = {
    NAME: "scope: api://kontrolle-provider/.default, expect: {aud: api://kontrolle-provider, "
    "roles: [ProviderApi.Access]}",
    "reports": f"scope: api://site-reports/.default, expect: {{aud: {SITE_REPORTS_API}, roles: [Reports.Read]}}",
    "fieldops": "scope: api://fieldops/.default, expect: {aud: api://fieldops, roles: [FieldOps.Write]}",
}
CONFIG = """\
version: 1
state: {{url: "sqlite:///{folder}/state/rotator.db", mode: active}}
service: {{jitter: 0s}}
stores:
  vault:
    kind: vault
    address: {vault}
    mount: {consumers}
    staging_mount: {staging}
    ca_file: {vault_ca}
    auth: {{method: approle, role_id: "file:{folder}/role-id", secret_id: "file:{folder}/secret-id"}}
  local: {{kind: embedded, path: "{folder}/local", key: "file:{folder}/store-key"}}
providers:
  contoso:
    kind: entra
    tenant: {tenant}
    authority: {issuer}
    graph: {issuer}/v1.0
    ca_file: {issuer_ca}
    auth: {{method: client_secret, client_id: {rotator}, client_secret: "file:{folder}/graph-secret"}}
defaults:
  store: {{use: vault}}
  verify: {{proofs: 2, spacing: 0s, deadline: 20s}}
  policy: {{lifetime: 4h, rotate_before: 1h, grace: {grace}, quarantine: 2s, max_creations: 500, alert_before: [10m]}}
credentials:
"""
ENTRY = """\
  - name: {name}
    labels: {{env: prod}}
    provider: {{use: contoso, app_id: {app}}}
    store: {{path: partners/{name}}}
    verify: {{{verify}}}
"""
QUICK_GRACE = "1s"


@dataclass(frozen=True)
class Written:
    """One version of a document in Vault. fields None: it can not be read any more."""

    version: int
    at: datetime
    fields: dict[str, Any] | None


@dataclass
class Station:
    """One machine with a state and a configuration of its own."""

    world: RealWorld
    folder: Path
    printed: list[str] = field(default_factory=list)

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "config.yaml"

    @property
    def database(self) -> Path:
        """The state."""
        return self.folder / "state" / "rotator.db"

    @property
    def environ(self) -> dict[str, str]:
        """A small environment."""
        path = os.environ["PATH"]
        return {"ROTATOR_CONFIG": str(self.config), "PATH": path, "HOME": str(self.folder), "TZ": "UTC"}

    def put(self, name: str, content: str) -> Path:
        """Write a private file."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(content, encoding="utf-8")
        return path

    def edit(self, before: str, after: str) -> None:
        """Change the configuration in one place or several, all alike."""
        text = self.config.read_text(encoding="utf-8")
        assert before in text, f"the configuration does not say {before!r}"
        self.config.write_text(text.replace(before, after), encoding="utf-8")

    def with_token(self, token: str) -> None:
        """Let it come to Vault with a token instead of the AppRole."""
        self.put("vault-token", token)
        auth = next(line for line in self.config.read_text(encoding="utf-8").splitlines() if "method: approle" in line)
        self.edit(auth, f'    auth: {{method: token, token: "file:{self.folder}/vault-token"}}')

    def run(self, *args: str, stdin: str | None = None, **more: str) -> Done:
        """Run a command to its end."""
        with self.begin(*args, stdin=stdin is not None, **more) as process:
            out, err = process.communicate(stdin)
        self.printed += [out, err]
        return Done(process.returncode, out, err)

    def done(self, *args: str) -> Done:
        """Run a command that must succeed."""
        done = self.run(*args)
        assert done.code == 0, (args, done.code, done.out, done.err)
        return done

    def items(self, *args: str, code: int = 0) -> list[dict[str, Any]]:
        """Run a command and return the items of its JSON."""
        done = self.run(*args, "-o", "json")
        assert done.code == code, (args, done.code, done.out, done.err)
        return done.items

    def item(self, *args: str, code: int = 0) -> dict[str, Any]:
        """Run a command and return the one item of its JSON."""
        (item,) = self.items(*args, code=code)
        return item

    def begin(self, *args: str, stdin: bool = False, **more: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [*COMMAND, *args],
            cwd=self.folder,
            env={**self.environ, **more},
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """Look at the state."""
        with Reader(self.database) as reader:
            yield reader

    def records(self, **wanted: str | None) -> list[dict[str, Any]]:
        """Return the audit records that have these values."""
        with self.reading() as reader:
            found = [dict(record) for record in reader.audit()]
        return [one for one in found if all(one[key] == value for key, value in wanted.items())]


@dataclass
class RealWorld:
    """What all machines share."""

    folder: Path
    sandbox: Sandbox
    vault: VaultServer
    stations: list[Station] = field(default_factory=list)
    planted: set[str] = field(default_factory=set)
    by_hand: set[int] = field(default_factory=set)
    _read: dict[str, dict[str, Written]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.mounts = self.vault.new_mounts()
        # So that every version of every document can be looked at afterwards.
        self.vault.done("POST", f"{self.mounts.consumers}/config", {"max_versions": 1000})
        # So that older versions stay unless rotator destroys them: where a mount says more, a key's own 1 is ignored.
        self.vault.done("POST", f"{self.mounts.staging}/config", {"max_versions": 10})
        self.role = self.vault.approle(self.mounts.policy())
        self.sandbox.directory.change(SITE_REPORTS_PROD, fresh_lag=timedelta(0))

    def close(self) -> None:
        """Remove what was made in Vault."""
        self.vault.unmount(self.mounts)
        self.vault.done("DELETE", f"auth/approle/role/{self.role.name}")

    def station(self, name: str = "first", *, credentials: tuple[str, ...] = (NAME,), grace: str = "30m") -> Station:
        """Set up one more machine that tracks these credentials."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        station = Station(self, folder)
        station.put("role-id", self.role.role_id)
        station.put("secret-id", self.vault.new_secret_id(self.role.name))
        station.put("graph-secret", self.sandbox.files.secret)
        head = CONFIG.format(
            folder=folder,
            vault=self.vault.address,
            consumers=self.mounts.consumers,
            staging=self.mounts.staging,
            vault_ca=self.vault.ca_file,
            tenant=self.sandbox.tenant,
            issuer=self.sandbox.base_url,
            issuer_ca=self.sandbox.ca_file,
            rotator=ROTATOR,
            grace=grace,
        )
        entries = (ENTRY.format(name=one, app=APPS[one], verify=AUDIENCES[one]) for one in credentials)
        station.put("config.yaml", head + "".join(entries))
        self.stations.append(station)
        return station

    # -------------------------------------------------------------------------------------------------------- issuer

    def live_ours(self, name: str = NAME) -> list[HeldSecret]:
        """Return the secrets that rotator made and that work."""
        return [one for one in self.sandbox.directory.live(APPS[name]) if one.created_by == ROTATOR]

    def live(self, name: str = NAME) -> set[str]:
        """Return the key ids of the secrets that work."""
        return {one.key_id for one in self.sandbox.directory.live(APPS[name])}

    def orphan(self, name: str = NAME) -> HeldSecret:
        """Let somebody with our label make a secret that nothing names."""
        tag = f"rotator/{self.install}/{name}/{secrets.token_hex(16)}/1"
        now = self.sandbox.directory.now()
        until = now + timedelta(hours=4)
        held = self.sandbox.directory.put(APPS[name], display_name=tag, expires_at=until, by=ROTATOR)
        self.planted.add(held.key_id)
        return held

    @property
    def install(self) -> str:
        """The id that all machines on this staging area share."""
        found: str = self.vault.done("GET", f"{self.mounts.staging}/data/_install")["data"]["data"]["id"]
        return found

    def requests(self) -> int:
        """Return how many requests the issuers have seen."""
        return len(self.sandbox.directory.requests())

    # --------------------------------------------------------------------------------------------------------- vault

    def versions(self, path: str, *, staging: bool = False) -> list[Written]:
        """Return every version that a document ever had and that Vault still knows of, oldest first."""
        mount = self.mounts.staging if staging else self.mounts.consumers
        reply = self.vault.request("GET", f"{mount}/metadata/{path}")
        if reply.status == 404:
            return []
        found = reply.body["data"]["versions"].items()
        known = {} if staging else self._read.setdefault(path, {})
        for number, facts in found:
            if number not in known:
                answer = self.vault.request("GET", f"{mount}/data/{path}?version={number}")
                fields = answer.body["data"]["data"] if answer.status == 200 else None
                known[number] = Written(int(number), datetime.fromisoformat(facts["created_time"]), fields)
        return sorted((known[number] for number, _ in found), key=lambda one: one.version)

    def document(self, name: str = NAME) -> dict[str, str]:
        """Return what consumers read."""
        found: dict[str, str] = self.vault.done("GET", f"{self.mounts.consumers}/data/partners/{name}")["data"]["data"]
        return found

    def put(self, fields: dict[str, Any], name: str = NAME) -> None:
        """Write the consumers' document, as `vault kv put` does."""
        written = self.vault.done("POST", f"{self.mounts.consumers}/data/partners/{name}", {"data": fields})
        self.by_hand.add(written["data"]["version"])

    def staging(self, name: str = NAME) -> dict[str, str]:
        """Return what only rotator reads."""
        found: dict[str, str] = self.vault.done("GET", f"{self.mounts.staging}/data/{name}")["data"]["data"]
        return found

    def grant(self, policy: str) -> None:
        """Change what the AppRole may do; the names `kv/` and `rotator/` stand for the mounts."""
        self.vault.policy(self.role.name, self.mounts.policy(policy))


@contextlib.contextmanager
def real_world(vault: VaultServer) -> Iterator[RealWorld]:
    """Start the issuers and prepare the mounts."""
    folder = Path(tempfile.mkdtemp(prefix="rotator-world-"))
    try:
        with Sandbox.start(folder / "issuers", weather=Weather.calm()) as sandbox:
            world = RealWorld(folder, sandbox, vault)
            try:
                yield world
            finally:
                world.close()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def world(vault_server: VaultServer) -> Iterator[RealWorld]:
    """A world of this test's own."""
    with real_world(vault_server) as made:
        yield made


def eventually(reached: Any, seconds: float = 30.0) -> None:
    """Wait until `reached()` is true."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


def as_json(text: str) -> Any:
    """Return what a command printed as JSON."""
    return json.loads(text)
