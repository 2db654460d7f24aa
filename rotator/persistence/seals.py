"""What a checkpoint and a seal say, as texts in the audit chain; signs nothing, and believes nothing that is signed.

Both are records of the event `audit.checkpoint` whose detail is a JSON object in the form of RFC 8785. A checkpoint
names the record before it: who has a later copy of it can tell whether all before was changed. A seal names records
that were exported to a file and then removed from the state, so that the chain can begin after them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final, TypeVar

from rotator.chain import Record, Value, canonical
from rotator.model import EventName

SEALED: Final = "sealed"
"""The reason of a record that is a seal; all others of its event are checkpoints."""

SIGNED_FOR: Final = b"rotator audit v1\n"
"""What stands before the signed text, so that no other use of the key can be taken for this one."""

KEY_ROW: Final = "audit.key."
"""The row of `meta` with a public key, in base64, after this and its key id."""

CHECKPOINT_ROW: Final = "audit.checkpoint"
"""The row of `meta` with the time of the last checkpoint, in microseconds since 1970."""

SEAL_ROW: Final = "audit.sealed"
"""The row of `meta` with the number of the last record that a seal has taken the place of."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")
_EXACT: Final = 2**53

T = TypeVar("T", "Checkpoint", "Seal")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What one checkpoint says. origin: the id of the state. seq, hash: of the record before it. time: as in records.

    key_id: SHA-256 of the public key, in hex. signature: Ed25519, in base64, over `signed_text`; empty while unsigned.
    """

    origin: str
    seq: int
    hash: str
    time: str
    key_id: str
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Seal:
    """What one seal says. first, last: the records that it stands for. hash: of the last one.

    file: SHA-256 of the exported file, in hex. key_id, signature: as for a checkpoint; empty where nobody signs.
    """

    origin: str
    first: int
    last: int
    hash: str
    file: str
    time: str
    key_id: str = ""
    signature: str = ""


def signed_text(said: Checkpoint | Seal) -> bytes:
    """Return the bytes that the signature of a checkpoint or a seal is over."""
    content: dict[str, Value] = {key: value for key, value in asdict(said).items() if key != "signature"}
    return SIGNED_FOR + canonical(content)


def text_of(said: Checkpoint | Seal) -> str:
    """Return it as the detail of a record has it."""
    return canonical(asdict(said)).decode()


def checkpoint_in(record: Record) -> Checkpoint | None:
    """Return what a record says if it is a checkpoint in the right form, else None."""
    if record.get("event") != EventName.AUDIT_CHECKPOINT.value or record.get("reason") == SEALED:
        return None
    return _read(Checkpoint, record.get("detail"))


def seal_in(record: Record) -> Seal | None:
    """Return what a record says if it is a seal in the right form, else None."""
    if record.get("event") != EventName.AUDIT_CHECKPOINT.value or record.get("reason") != SEALED:
        return None
    found = _read(Seal, record.get("detail"))
    return found if found is not None and 0 < found.first <= found.last and _SHA256.match(found.file) else None


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
