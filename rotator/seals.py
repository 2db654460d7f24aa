"""What a checkpoint and a seal of the audit chain say, as texts in its records. Pure: signs nothing, trusts nobody.

Both are records of the event `audit.checkpoint` whose detail is a JSON object in the form of RFC 8785. A checkpoint
names the record before it: who has a signed one can tell whether anything before it was changed. A seal names records
that were exported to a file and then removed, so that the chain can begin after them. For people it is written down in
docs/reference/audit-format.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final, TypeVar

from rotator.chain import Record, Value, canonical
from rotator.event import EventName

CHECKPOINT: Final = "checkpoint"
SEALED: Final = "sealed"
"""The reasons of the records that are seals, and of those that are not."""

SIGNED_FOR: Final = b"rotator audit v1\n"
"""What stands before the signed text, so that no other use of the key can be taken for this one."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")
_EXACT: Final = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a checkpoint says. state: the id of the state. seq, hash: of the record before it. time: as in records.

    key: the public key, 32 bytes in base64. signature: Ed25519, in base64, over `signed_text`. Both empty: unsigned.
    """

    state: str
    seq: int
    hash: str
    time: str
    key: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a seal says. first, last: the records that it stands for. hash: of the last one.

    file: SHA-256, in hex, of the lines of these records in the exported file. The rest as in a checkpoint.
    """

    state: str
    first: int
    last: int
    hash: str
    file: str
    time: str
    key: str = ""
    signature: str = ""


Said = Checkpoint | Seal
T = TypeVar("T", Checkpoint, Seal)


def signed_text(said: Said) -> bytes:
    """Return the bytes that the signature is over."""
    content: dict[str, Value] = {key: value for key, value in asdict(said).items() if key != "signature"}
    return SIGNED_FOR + canonical(content)


def text_of(said: Said) -> str:
    """Return it as the detail of a record has it."""
    return canonical(asdict(said)).decode()


def said_in(record: Record) -> Said | None:
    """Return what a record of the event `audit.checkpoint` says; None where it is not in the right form, or another."""
    if record.get("event") != EventName.AUDIT_CHECKPOINT.value:
        return None
    if record.get("reason") != SEALED:
        return _read(Checkpoint, record.get("detail"))
    found = _read(Seal, record.get("detail"))
    return found if found is not None and 0 < found.first <= found.last and _SHA256.match(found.file) else None


def seal_of(content: object) -> Seal | None:
    """Return the seal with this content; None for what is none."""
    return _read(Seal, json.dumps(content, sort_keys=True, separators=(",", ":")))


def fingerprint(key: str) -> str:
    """Return the id of a public key, given in base64: SHA-256 of its bytes, in hex; empty for what is no base64."""
    try:
        return hashlib.sha256(base64.b64decode(key, validate=True)).hexdigest() if key else ""
    except binascii.Error:
        return ""


def _read(kind: type[T], detail: object) -> T | None:
    try:
        said = json.loads(str(detail))
    except ValueError:
        return None
    if not isinstance(said, dict) or not _fits(kind, said):
        return None
    found = kind(**said)
    return found if _SHA256.match(found.hash) and text_of(found) == detail else None


def _fits(kind: type[Checkpoint] | type[Seal], said: Mapping[str, object]) -> bool:
    """Say whether these are the keys of that form, with texts and whole numbers where they belong."""
    types = {field.name: int if field.type == "int" else str for field in fields(kind)}
    return said.keys() == types.keys() and all(
        type(said[key]) is wanted and not (wanted is int and not 0 <= int(str(said[key])) < _EXACT)
        for key, wanted in types.items()
    )
