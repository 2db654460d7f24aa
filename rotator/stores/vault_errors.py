"""Says in our words what a Vault answer means; texts of the server are matched only where its status is not enough.

Statuses and texts as answered by Vault 1.21 and OpenBao 2.5 (developer.hashicorp.com/vault/api-docs#http-status-codes).
"""

from __future__ import annotations

from rotator.errors import Denied, Misconfigured, Refused, RotatorError, Throttled, Transient
from rotator.stores.vault_wire import Reply
from rotator.timing import spell

_STANDBY = "local node not active"
_SEALED = "is sealed"
_MISMATCH = "did not match the current version"
_TOO_LARGE = ("value being too large", "exceeds allowed", "malformed JSON", "error parsing JSON")
_MOVING = ("Upgrading from non-versioned", "Waiting for the primary to upgrade")


def mismatched(reply: Reply) -> bool:
    """Say whether a check-and-set write was refused because the document is at another version."""
    return reply.status == 400 and _MISMATCH in reply.errors


def perhaps_done(reply: Reply) -> bool:
    """Say whether a mutating call that was answered so may have taken effect, now or a little later.

    A 500 is no refusal: a write whose answer cannot be audited is committed and answered 500.
    """
    if reply.status in (200, 204, 408):  # 200 that is not what was promised: something between here and there answered
        return True
    if reply.status == 500:
        return _STANDBY not in reply.errors and not any(text in reply.errors for text in _TOO_LARGE)
    if reply.status == 503:
        return _SEALED not in reply.errors
    return reply.status > 500


def failure(reply: Reply, store: str, act: str) -> RotatorError:
    """Return the error for an answer that is no success. act: what was tried, as `read kv/data/app`."""
    for judge in (_of_busy, _of_requests):
        error = judge(reply, store, act)
        if error is not None:
            return error
    text = f"{store} answered {reply.status} to: {act}" + (f" ({reply.said})" if reply.said else "")
    if reply.status >= 500 or reply.status == 408:
        return Transient(text, hint="Look at the store's own log and its audit devices; rotator tries again.")
    if 300 <= reply.status < 400:
        return Transient(
            f"{store} sent the request on to another server (status {reply.status}); the token is not sent there",
            hint="Let the address name the active node or a load balancer, or let standby nodes forward requests.",
            code="redirected",
        )
    return Refused(text, hint="Compare the store's address, mounts and paths in the configuration with the server.")


def _of_busy(reply: Reply, store: str, act: str) -> RotatorError | None:
    """Judge what passes, or what an operator of the store must end."""
    said = reply.errors
    if reply.status == 503 and _SEALED in said:
        return Transient(
            f"{store} is sealed",
            hint="An operator of the store must unseal it; consumers can read nothing.",
            code="sealed",
        )
    if reply.status == 500 and _STANDBY in said:
        return Transient(f"{store} has no active node just now", hint="It passes when one is elected.", code="standby")
    if reply.status == 412:
        return Transient(
            f"{store}: the node that answered lags behind the active one",
            hint="It passes in moments.",
            code="stale_read",
        )
    if reply.status == 429:
        wait = reply.retry_after
        told = f"it asks to wait {spell(wait)}" if wait else "it does not say for how long"
        return Throttled(
            f"{store} limits the rate of requests; {told}",
            hint="Raise the rate limit quota for rotator, or let fewer rotations run at once (service.concurrency).",
            retry_after=wait,
        )
    if reply.status == 400 and any(text in said for text in _MOVING):
        return Transient(f"{store}: the mount is being upgraded", hint="It passes in moments.", code="upgrading")
    if reply.status in (472, 473, 501):
        return Transient(
            f"{store} is not active (status {reply.status})",
            hint="Let the address name the active cluster, and see that it is initialised.",
            code="standby",
        )
    return None


def _of_requests(reply: Reply, store: str, act: str) -> RotatorError | None:
    """Judge what a person must change."""
    said = reply.errors
    if reply.status == 413 or (reply.status in (400, 500) and any(text in said for text in _TOO_LARGE)):
        return Refused(
            f"{store} finds the document too large: {act}",
            hint="A document may hold 1 MiB and 1,000 texts; remove what does not belong there.",
            code="too_large",
        )
    if reply.status == 403:
        return Denied(f"{store} refused: {act} (403)", hint="Give the token's policy what it lacks.")
    if "no handler for route" in said or "Invalid path for a versioned K/V" in reply.warnings:
        return Misconfigured(
            f"{store} has no KV version 2 mount for: {act}",
            hint="Correct mount or staging_mount, or enable the mount: vault secrets enable -version=2 -path=MOUNT kv",
            code="no_such_mount",
        )
    return None
