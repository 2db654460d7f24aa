"""The document that consumers read: which of its fields are ours, and how a version is laid into it. Reads nothing.

Consumers find one flat document of texts. Our fields may go by other names there (`store.fields`), fields we do not
know survive, and a field that the issuer gives no value for is absent.
"""

from __future__ import annotations

from datetime import UTC, datetime

from rotator.kit import Kit
from rotator.ports import Issued
from rotator.secret import Fields, Secret

_BESIDE = ("token_url", "scope", "key_id", "issued_at", "expires_at", "rotation_id")


def our_fields(kit: Kit) -> tuple[str, ...]:
    """Return our fields of a credential's document, in the order in which people read them."""
    return ("client_id", *kit.credential.carries, *_BESIDE)


def contents(kit: Kit, issued: Issued, rotation_id: str) -> Fields:
    """Return our fields for a version that was just issued."""
    values: dict[str, str | Secret] = {
        "client_id": issued.client_id or kit.credential.client_id,
        "token_url": kit.credential.token_url,
        "scope": kit.credential.scope,
        "key_id": issued.version.key_id,
        "issued_at": _moment(issued.version.created_at),
        "expires_at": _moment(issued.version.expires_at),
        "rotation_id": rotation_id,
    }
    for name in issued.values:
        value = issued.values.secret(name)
        if value is not None:
            values[name] = value
    return Fields({name: value for name, value in values.items() if value != ""})


def laid_into(kit: Kit, document: Fields | None, ours: Fields) -> Fields:
    """Return the next version of the document: ours in place, everything that is not ours as it was."""
    before = (document or Fields({})).without(*(kit.field(name) for name in our_fields(kit)))
    named = {kit.field(name): value for name in ours if (value := ours.secret(name)) is not None}
    return before.merged(named)


def ours_in(kit: Kit, document: Fields) -> Fields:
    """Return our fields of a document, under our names."""
    found = {name: document.secret(kit.field(name)) for name in our_fields(kit)}
    return Fields({name: value for name, value in found.items() if value is not None})


def value_in(kit: Kit, ours: Fields | None) -> Secret | None:
    """Return the value itself among our fields: a client secret, or the private key of a certificate."""
    return None if ours is None else ours.secret(kit.credential.carries[-1])


def certificate_in(ours: Fields) -> str | None:
    """Return the certificate among our fields, DER in base64; None when there is none in PEM (RFC 7468)."""
    _, begin, rest = (ours.text("certificate") or "").partition("-----BEGIN CERTIFICATE-----")
    body, end, _ = rest.partition("-----END CERTIFICATE-----")
    return "".join(body.split()) if begin and end else None


def client_in(kit: Kit, ours: Fields) -> str:
    """Return the client id that goes with our fields; the configured one when they have none, else empty."""
    return ours.text("client_id") or kit.credential.client_id


def provable(kit: Kit, document: Fields | None) -> bool:
    """Say whether a document holds what a proof needs; one that was there before us may not."""
    if document is None or any(kit.field(name) not in document for name in kit.credential.carries):
        return False
    return not kit.credential.proof.names_client or bool(client_in(kit, ours_in(kit, document)))


def key_in(kit: Kit, document: Fields | None) -> str | None:
    """Return the key id that a document names; None when it names none."""
    return (document.text(kit.field("key_id")) or None) if document is not None else None


def rotation_in(kit: Kit, document: Fields | None) -> str | None:
    """Return the rotation that a document comes from; None when it names none."""
    return document.text(kit.field("rotation_id")) if document is not None else None


def moment_in(ours: Fields, name: str) -> datetime | None:
    """Return a time that one of our fields holds; None when it is absent or no time."""
    text = ours.text(name)
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else None


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
