"""Finds out what is mounted where; it asks the endpoint that answers with any right on the mount, writes nothing."""

from __future__ import annotations

from rotator.errors import Denied, Misconfigured
from rotator.stores.vault_errors import failure
from rotator.stores.vault_session import VaultSession


def require_version_2(session: VaultSession, mount: str) -> None:
    """Raise Misconfigured unless `mount` is KV version 2, and Denied when the token has no right on it at all.

    `sys/internal/ui/mounts/<path>` is what Vault's own command line asks (hashicorp/vault, command/kv_helpers.go).
    """
    store, act = session.settings.name, f"see what is mounted at {mount}"
    path = f"sys/internal/ui/mounts/{mount}"
    reply, token = session.ask("get", path)
    if reply.status == 403:
        denial = session.denial(token, path, act, "read")
        if denial.code == "token_dead":
            raise denial
        raise Denied(
            f"{store} refused to say what is mounted at {mount} (403): nothing is, or the token has no right below it",
            hint=f"Enable it (vault secrets enable -version=2 -path={mount} kv) and give the policy its paths.",
        )
    if reply.status != 200:
        raise failure(reply, store, act)
    kind, options = reply.data.get("type"), reply.data.get("options")
    version = options.get("version") if isinstance(options, dict) else None
    found = str(reply.data.get("path", "")).strip("/")
    if found and found != mount:
        raise Misconfigured(
            f"{store}: {mount} is no mount but a path inside of the mount {found}",
            hint="Give the mount alone in mount or staging_mount, and the rest as part of the path.",
            code="no_such_mount",
        )
    if kind != "kv" or version != "2":
        what = f"KV version {version or 1}" if kind in ("kv", "generic") else f"of the kind {kind}"
        raise Misconfigured(
            f"{store}: the mount {mount} is {what}; rotator needs KV version 2",
            hint=f"Version 1 has no check-and-set. Upgrade it (vault kv enable-versioning {mount}) or name another.",
            code="mount_version",
        )
