"""A pair of mounts on a real Vault for one test, and what an operator can do there with the root token."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt as pyjwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rotator.clock import Clock, SystemClock
from rotator.secret import Secret
from rotator.stores.vault import VaultStore
from rotator.stores.vault_settings import AppRoleAuth, Auth, JwtAuth, TokenAuth, VaultSettings
from tests.servers.vault_server import VaultServer

POLICY = Path(__file__).parents[2] / "docs" / "how-to" / "vault-policy.hcl"


@dataclass
class VaultBench:
    """Two mounts of KV version 2 with names of their own, and an AppRole of the same name as the staging mount."""

    server: VaultServer
    mark: str = field(default_factory=lambda: secrets.token_hex(4))
    stores: list[VaultStore] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.consumers, self.staging = f"kv-{self.mark}", f"rotator-{self.mark}"
        for mount in (self.consumers, self.staging):
            self._mount(mount, "2")

    @property
    def address(self) -> str:
        return self.server.plain_address

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def close(self) -> None:
        """Close the stores and remove what was made."""
        for store in self.stores:
            store.close()
        for mount in (self.consumers, self.staging, *self.others):
            self.root("delete", f"sys/mounts/{mount}")
        self.root("delete", f"auth/approle/role/{self.mark}")

    # ------------------------------------------------------------------------------------------------------- stores

    def settings(self, **changes: Any) -> VaultSettings:
        """Return settings with the root token, changed as asked."""
        root = TokenAuth(lambda: Secret(self.server.root_token))
        return replace(VaultSettings("vault", self.address, self.consumers, self.staging, root), **changes)

    def store(self, clock: Clock | None = None, **changes: Any) -> VaultStore:
        """Return a store with the root token, changed as asked."""
        made = VaultStore(self.settings(**changes), clock or SystemClock())
        self.stores.append(made)
        return made

    def store_by_approle(
        self, policy: str | None = None, clock: Clock | None = None, mount: str | None = None, **role: str
    ) -> VaultStore:
        """Return a store that logs in by AppRole with the policy of the documentation, or with another."""
        return self.store(clock, auth=self.approle(policy, **role), mount=mount or self.consumers)

    def approle(self, policy: str | None = None, **role: str) -> Auth:
        """Make an AppRole with a periodic token of one hour, and return how to log in there."""
        self.root("post", "sys/auth/approle", {"type": "approle"})  # 400 when an earlier test did it
        self._policy(policy)
        settings = {
            "token_policies": self.mark,
            "token_no_default_policy": True,
            "token_period": "1h",
            **role,
        }
        self._done("post", f"auth/approle/role/{self.mark}", settings)
        role_id = self._done("get", f"auth/approle/role/{self.mark}/role-id")["data"]["role_id"]
        secret_id = self._done("post", f"auth/approle/role/{self.mark}/secret-id")["data"]["secret_id"]
        return AppRoleAuth(lambda: Secret(role_id), lambda: Secret(secret_id))

    def jwt(self) -> Auth:
        """Make a JWT role with a key of its own, and return how to log in there."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        mount = f"jwt-{self.mark}"
        self._policy(None)
        self._done("post", f"sys/auth/{mount}", {"type": "jwt"})
        self._done("post", f"auth/{mount}/config", {"jwt_validation_pubkeys": [public.decode()]})
        role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": self.mark}
        self._done("post", f"auth/{mount}/role/rotator", {**role, "token_ttl": "1h"})

        def token() -> Secret:
            now = datetime.now(UTC)
            claims = {"sub": "rotator", "aud": "vault", "iat": now, "nbf": now, "exp": now + timedelta(minutes=5)}
            return Secret(pyjwt.encode(claims, key, "ES256"))

        return JwtAuth(token, "rotator", mount)

    def _policy(self, policy: str | None) -> None:
        """Install a policy, or the one of the documentation, with the names of these mounts in it."""
        text = POLICY.read_text(encoding="utf-8") if policy is None else policy
        text = text.replace('"kv/', f'"{self.consumers}/').replace('"rotator/', f'"{self.staging}/')
        self._done("post", f"sys/policies/acl/{self.mark}", {"policy": text or "# nothing"})

    # ------------------------------------------------------------------------------------------------ as an operator

    def root(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Make one request with the root token; return status and body."""
        request = urllib.request.Request(
            f"{self.address}/v1/{path}",
            method=method.upper(),
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": self.server.root_token},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else {}
        except urllib.error.HTTPError as error:
            content = error.read()
            return error.code, json.loads(content) if content else {}

    def _done(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        status, answer = self.root(method, path, body)
        assert status in (200, 204), (path, status, answer)
        return answer

    def _mount(self, mount: str, version: str) -> None:
        self._done("post", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": version}})

    def new_mount(self, version: str) -> str:
        """Make one more mount of the kind kv."""
        mount = f"more-{self.mark}"
        self._mount(mount, version)
        self.others.append(mount)
        return mount

    def child_token(self) -> Secret:
        """Return a renewable token with the policy of the documentation."""
        self._policy(None)
        made = self._done(
            "post", "auth/token/create", {"policies": [self.mark], "ttl": "1h", "no_default_policy": True}
        )
        return Secret(made["auth"]["client_token"])

    def _logged_in(self) -> dict[str, dict[str, Any]]:
        """Return what there is to know of the tokens of our AppRole, by accessor."""
        found = {}
        for accessor in self._done("list", "auth/token/accessors")["data"]["keys"]:
            status, answer = self.root("post", "auth/token/lookup-accessor", {"accessor": accessor})
            if status == 200 and answer["data"]["meta"] and answer["data"]["meta"].get("role_name") == self.mark:
                found[accessor] = answer["data"]
        return found

    def logins(self) -> int:
        """Return how many tokens of our AppRole live."""
        return len(self._logged_in())

    def renewals(self) -> list[bool]:
        """Return for each token of our AppRole whether it was renewed."""
        return ["last_renewal" in facts for facts in self._logged_in().values()]

    def revoke_all_logins(self) -> None:
        """Revoke the tokens of our AppRole."""
        for accessor in self._logged_in():
            self._done("post", "auth/token/revoke-accessor", {"accessor": accessor})

    def seal(self) -> None:
        self.server.seal()

    def unseal(self) -> None:
        self.server.unseal()
