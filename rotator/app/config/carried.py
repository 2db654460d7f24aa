"""Checks that proof and document fit what is rotated: a secret, or a certificate with its key. Opens nothing."""

from __future__ import annotations

from collections.abc import Iterator

from rotator.app.config.schema import CARRIES, FIELDS, StorePlace, fields_of
from rotator.app.config.source import Entry, Pending
from rotator.app.config.verifying import ClientAuth, ProofKind, Verify


def client_auth(entry: Entry, verify: Verify) -> Iterator[Pending]:
    """Yield a way to ask for tokens that is none of what is rotated."""
    path, signs = ("verify", "client_auth"), verify.client_auth is ClientAuth.PRIVATE_KEY_JWT
    if _kind(entry) == "secret" and signs:
        message = "signs with the key of a certificate, and what is rotated here is a secret"
        yield entry.fault(path, message, f"Use {ClientAuth.POST} or {ClientAuth.BASIC}.")
    # What the defaults say is meant for the secrets that stand under them.
    if _kind(entry) == "certificate" and not signs and entry.says(path):
        message = "sends a secret, and what is rotated here is a certificate"
        yield entry.fault(path, message, f"Use {ClientAuth.PRIVATE_KEY_JWT}, or leave the key out.")


def probe(entry: Entry, verify: Verify) -> Iterator[Pending]:
    """Yield a proof that would send the certificate itself."""
    if verify.kind is ProofKind.HTTP_PROBE and _kind(entry) == "certificate":
        hint = "A certificate is proved by a token; leave `verify.kind` out."
        yield entry.fault(("verify", "kind"), "sends a key, and what is rotated here is a certificate", hint)


def fields(entry: Entry, store: StorePlace) -> Iterator[Pending]:
    """Yield names of fields that would hold two, or that this kind does not have."""
    taken: dict[str, str] = {}
    kind = _kind(entry)
    others = [name for name in FIELDS if name not in fields_of(kind)]
    for ours in others:
        if ours in store.fields:
            message = f"`{ours}` is no field of a {kind}; it is held in {' and '.join(CARRIES[kind])}"
            yield entry.fault(("store", "fields", ours), message, "Leave it out.", at_key=True)
    for ours in fields_of(kind):
        theirs = store.fields.get(ours, ours)
        other = taken.setdefault(theirs, ours)
        if other != ours:
            mapped = ours if ours in store.fields else other
            message = f"`{theirs}` would hold two of our fields: {other} and {ours}"
            yield entry.fault(("store", "fields", mapped), message, "Give every field a name of its own.")


def _kind(entry: Entry) -> str:
    return "secret" if entry.sound.provider is None else entry.sound.provider.credential
