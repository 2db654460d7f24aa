"""A real Vault on loopback, for tests, benchmarks and trials by hand; nothing of it outlives its owner.

As fixtures (loaded by `tests/conftest.py`): `vault_server`, `new_vault_server`, `mounts`. As a class: `VaultServer`.
By hand: `python -m tests.servers.vault_server`. It serves https with a CA of its own (`address`, `ca_file`) and plain
http (`plain_address`). What it does not do: hold secrets worth anything, or listen beyond this machine.
"""

from __future__ import annotations

import ctypes
import json
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from rotator.sandbox.tls import prepare_tls, write_private
from tests.servers import build
from tests.servers.audit_blackout import PREFIX, AuditBlackout

POLICY = Path(__file__).parents[2] / "docs" / "how-to" / "vault-policy.hcl"
PATIENCE_SECONDS = 60.0
_CONFIGURATION = """\
storage "raft" {{
  path = "{folder}/raft"
  node_id = "only"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_cert_file = "{certificate}"
  tls_key_file = "{key}"
}}
listener "tcp" {{
  address = "127.0.0.1:{plain_port}"
  cluster_address = "127.0.0.1:{plain_cluster_port}"
  tls_disable = true
}}
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
disable_mlock = true
allow_audit_log_prefixing = true
"""


class Reply(NamedTuple):
    """An answer as it came. `body` is {} when there was none."""

    status: int
    headers: Message
    body: dict[str, Any]


class AppRole(NamedTuple):
    """What logs in at `auth/approle/login`."""

    name: str
    role_id: str
    secret_id: str


@dataclass(frozen=True, slots=True)
class Mounts:
    """A pair of mounts of KV version 2: one that consumers read, one to stage in."""

    consumers: str
    staging: str

    def policy(self, text: str | None = None) -> str:
        """Return a policy that speaks of `kv/` and `rotator/`, or the one of the documentation, with these names."""
        written = POLICY.read_text(encoding="utf-8") if text is None else text
        return written.replace('"kv/', f'"{self.consumers}/').replace('"rotator/', f'"{self.staging}/')


@dataclass
class VaultServer:
    """One node on free ports of 127.0.0.1, its files in `folder` (its own, removed at the end, when not given).

    `start()` makes it ready: initialised with one unseal key, unsealed, active. It is a context manager too.
    """

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="rotator-vault-")))
    root_token: str = ""
    unseal_key: str = ""
    address: str = ""
    plain_address: str = ""
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        found = build.locate()
        if found is None:
            raise build.Missing("no Vault to test against on this machine: `make servers` builds it, once")
        self.binary = found
        self.tls = prepare_tls(self.folder, datetime.now(UTC))
        self.log_file = self.folder / "vault.log"
        self._trust = ssl.create_default_context(cafile=self.tls.ca_file)

    @property
    def ca_file(self) -> Path:
        """The CA to trust at `address`, PEM."""
        return self.tls.ca_file

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -------------------------------------------------------------------------------------------------------- its life

    def start(self) -> Self:
        """Start it, initialise it the first time, unseal it, and return when it is active."""
        for _ in range(3):  # another process may take a port between our look and Vault's
            if not self.root_token:
                self._configure()
            self._run()
            if self._answers():
                break
            self._end(signal.SIGKILL)
        else:
            raise RuntimeError(f"Vault does not start:\n{self.log_tail()}")
        if not self.root_token:
            made = self.done("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            self.unseal_key, self.root_token = made["keys"][0], made["root_token"]
        return self.unseal()

    def stop(self) -> None:
        """End it and remove its files."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self, how: signal.Signals = signal.SIGTERM) -> Self:
        """End it with a signal and start it again on the same files and ports."""
        self._end(how)
        return self.start()

    def halt(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and keep its files: nobody listens until `start()`."""
        self._end(how)

    def seal(self) -> None:
        """Seal it: everything is answered 503 until `unseal()`."""
        self.done("PUT", "sys/seal")

    def unseal(self) -> Self:
        """Unseal it and return when it serves."""
        self.done("PUT", "sys/unseal", {"key": self.unseal_key})
        return self.wait_until_active()

    def step_down(self) -> None:
        """Give up leadership: about 10 s of 500 and health 429, as there is no other node. Returns at once."""
        self.done("PUT", "sys/step-down")

    def health(self) -> int:
        """Return the status of sys/health: 200 active, 429 standby, 501 not initialised, 503 sealed, 0 no answer."""
        try:
            return self.request("GET", "sys/health").status
        except OSError:
            return 0

    def wait_until_active(self) -> Self:
        """Return when it is active and answers requests, which is up to 35 ms after its health says so."""
        self._until(lambda: self.health() == 200 and self.request("GET", "sys/mounts").status == 200)
        return self

    def log_tail(self, lines: int = 15) -> str:
        """Return the end of its own log."""
        return "\n".join(self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    # ------------------------------------------------------------------------------------------------------- requests

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Make one request to `/v1/<path>` with the root token or another; return what came. Raises OSError."""
        sent = {"X-Vault-Token": self.root_token if token is None else token, **(headers or {})}
        request = urllib.request.Request(
            f"{self.address}/v1/{path}",
            method=method.upper(),
            data=None if body is None else json.dumps(body).encode(),
            headers={name: value for name, value in sent.items() if value},
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._trust)
        )
        try:
            with opener.open(request, timeout=PATIENCE_SECONDS) as answer:
                return _reply(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return _reply(error.code, error.headers, error.read())

    def done(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Make one request with the root token that must succeed; return its body."""
        reply = self.request(method, path, body)
        assert reply.status in (200, 204), (method, path, reply.status, reply.body)
        return reply.body

    # --------------------------------------------------------------------------------------- what a test needs in it

    def new_mounts(self) -> Mounts:
        """Make two mounts of KV version 2 with names of their own."""
        mark = secrets.token_hex(4)
        return self.mount(f"kv-{mark}", f"rotator-{mark}")

    def mount(self, consumers: str, staging: str) -> Mounts:
        """Make two mounts of KV version 2."""
        for name in (consumers, staging):
            self.done("POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": "2"}})
        return Mounts(consumers, staging)

    def unmount(self, mounts: Mounts) -> None:
        """Remove both mounts and all that is in them."""
        for name in (mounts.consumers, mounts.staging):
            self.done("DELETE", f"sys/mounts/{name}")

    def approle(self, policy: str, *, name: str | None = None, **role: Any) -> AppRole:
        """Make an AppRole with this policy alone and a periodic token of an hour, or as `role` says."""
        name = name or f"role-{secrets.token_hex(4)}"
        if "approle/" not in self.done("GET", "sys/auth"):
            self.done("POST", "sys/auth/approle", {"type": "approle"})
        self.policy(name, policy)
        fixed = {"token_policies": name, "token_no_default_policy": True, "token_period": "1h"}
        self.done("POST", f"auth/approle/role/{name}", {**fixed, **role})
        role_id = self.done("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
        return AppRole(name, role_id, self.new_secret_id(name))

    def new_secret_id(self, role: str) -> str:
        """Return one more secret id of an AppRole."""
        made: str = self.done("POST", f"auth/approle/role/{role}/secret-id")["data"]["secret_id"]
        return made

    def token(self, policy: str, **settings: Any) -> str:
        """Return a new token with this policy alone, renewable, for an hour, or as `settings` say."""
        name = f"token-{secrets.token_hex(4)}"
        self.policy(name, policy)
        fixed = {"policies": [name], "no_default_policy": True, "ttl": "1h"}
        made: str = self.done("POST", "auth/token/create", {**fixed, **settings})["auth"]["client_token"]
        return made

    def policy(self, name: str, text: str) -> None:
        """Write a policy; an empty one grants nothing."""
        self.done("PUT", f"sys/policies/acl/{name}", {"policy": text or "# nothing"})

    # ------------------------------------------------------------------------------------------------------- bad days

    @contextmanager
    def rate_limit(self, path: str, per_second: float, *, tell_when: bool = False) -> Iterator[None]:
        """Answer 429 beyond this rate under `path` (a mount, `kv-1a2b/`); `tell_when` adds Retry-After."""
        name = f"limit-{secrets.token_hex(4)}"
        self.done("PUT", "sys/quotas/config", {"enable_rate_limit_response_headers": tell_when})
        self.done("PUT", f"sys/quotas/rate-limit/{name}", {"path": path, "rate": per_second, "interval": "1s"})
        try:
            yield
        finally:
            self.done("DELETE", f"sys/quotas/rate-limit/{name}")

    @contextmanager
    def audit_log(self, path: Path) -> Iterator[Path]:
        """Record requests and answers in a file: JSON lines, every text in them as an HMAC."""
        with self._audit_device(path, {}):
            yield path

    @contextmanager
    def audit_blackout(self, path: str) -> Iterator[AuditBlackout]:
        """Let the next request that changes `path` (`kv-1a2b/data/partners/a`) be done and answered 500.

        From then on every request is answered 500 until `mend()` or the end of the block. For a server of one's own:
        on a shared one the others fail too.
        """
        device = AuditBlackout(self.folder / f"audit-{secrets.token_hex(4)}")
        try:
            with self._audit_device(device.path, {"prefix": PREFIX}):
                device.break_after(path)
                try:
                    yield device
                finally:
                    device.mend()
        finally:
            device.close()

    @contextmanager
    def _audit_device(self, path: Path, options: Mapping[str, str]) -> Iterator[None]:
        name = f"audit-{secrets.token_hex(4)}"
        self.done("PUT", f"sys/audit/{name}", {"type": "file", "options": {"file_path": str(path), **options}})
        try:
            yield
        finally:
            self.done("DELETE", f"sys/audit/{name}")

    # ----------------------------------------------------------------------------------------------------- the process

    def _configure(self) -> None:
        port, cluster_port, plain_port, plain_cluster_port = _free_ports(4)
        self.address, self.plain_address = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{plain_port}"
        text = _CONFIGURATION.format(
            folder=self.folder,
            certificate=self.tls.certificate_file,
            key=self.tls.key_file,
            port=port,
            cluster_port=cluster_port,
            plain_port=plain_port,
            plain_cluster_port=plain_cluster_port,
        )
        (self.folder / "raft").mkdir(exist_ok=True)
        (self.folder / "vault.hcl").write_text(text, encoding="utf-8")

    def _run(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [self.binary, "server", f"-config={self.folder / 'vault.hcl'}"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the tests; they end the server
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def _answers(self) -> bool:
        """Return whether it came up: False when the process ended by itself."""
        process = self._process
        assert process is not None
        self._until(lambda: process.poll() is not None or self.health() in (200, 429, 501, 503))
        return process.poll() is None

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _until(self, reached: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            if time.monotonic() > end:
                raise RuntimeError(f"Vault is not ready after {PATIENCE_SECONDS:.0f} s:\n{self.log_tail()}")
            time.sleep(0.02)


def _reply(status: int, headers: Message, content: bytes) -> Reply:
    return Reply(status, headers, json.loads(content) if content else {})


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the one that started it is gone, however it went."""
    assert _libc is not None
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG of prctl(2)


# ------------------------------------------------------------------------------------------------------------ fixtures


@pytest.fixture(scope="session")
def vault_server() -> Iterator[VaultServer]:
    """The server of this session (with xdist: of this worker). Tests share it: do not seal, restart or blacken it."""
    with VaultServer() as server:
        yield server


@pytest.fixture(scope="session")
def new_vault_server() -> Iterator[Callable[[], VaultServer]]:
    """Start servers of one's own, to seal and break. 3 s and 130 MB each: better one a module than one a test."""
    started: list[VaultServer] = []

    def start() -> VaultServer:
        started.append(VaultServer())
        return started[-1].start()

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def mounts(vault_server: VaultServer) -> Iterator[Mounts]:
    """A fresh pair of mounts on the shared server."""
    made = vault_server.new_mounts()
    yield made
    vault_server.unmount(made)


# ------------------------------------------------------------------------------------------------------------- by hand


def main() -> int:
    """Start one, with the mounts and the AppRole of the documentation, print what is needed to use it, and wait."""
    with VaultServer() as server:
        role = server.approle(server.mount("kv", "rotator").policy(), name="rotator")
        files = {"root-token": server.root_token, "unseal-key": server.unseal_key}
        for name, content in {**files, "role-id": role.role_id, "secret-id": role.secret_id}.items():
            write_private(server.folder / name, content.encode())
        print(
            f"""\
A real Vault, in memory of this terminal only: Ctrl-C ends it and removes everything.
  export VAULT_ADDR={server.address} VAULT_CACERT={server.ca_file} VAULT_TOKEN=$(cat {server.folder}/root-token)
  {server.binary} kv list kv/

In the configuration of rotator:
  vault:
    kind: vault
    address: {server.address}
    ca_file: {server.ca_file}
    auth: {{method: approle, role_id: "file:{server.folder}/role-id", secret_id: "file:{server.folder}/secret-id"}}

Without TLS: {server.plain_address}   Unseal key: {server.folder}/unseal-key   Log: {server.log_file}""",
            flush=True,
        )
        ends = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)
        signal.sigwait(ends)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
