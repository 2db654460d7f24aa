"""Measures what the demo claims, from outside: the issuers' own books, the store, the audit, the bytes on the disk.

It asks none of the code that rotates whether that code did well. A claim that does not hold is returned as such.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from rotator.event import EventName, Outcome
from rotator.model import Credential
from rotator.ports import Documents
from rotator.sandbox.demo_consumers import Consumers
from rotator.sandbox.directory import Directory
from rotator.sandbox.records import HeldSecret
from rotator.sandbox.world import ROTATOR
from rotator.secret import Secret

Record = Mapping[str, object]
"""One audit record, as `rotator audit list -o json` has it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that the demo says, and whether it is so."""

    sentence: str
    holds: bool


def consumers_never_failed(consumers: Consumers) -> Iterator[Claim]:
    """Every request of every consumer got a token, with each version that was ever shown to them."""
    shown = sum(len(versions) for versions in consumers.versions.values())
    if consumers.failures:
        first = consumers.failures[0]
        said = f"{len(consumers.failures)} of {consumers.requests} token requests of consumers failed; the first one: "
        yield Claim(f"{said}{first.name}: {first.said}", holds=False)
        return
    yield Claim(
        f"{consumers.requests} token requests of consumers, with {shown} versions of 3 documents; none failed",
        holds=all(consumers.tokens[name] for name in consumers.versions),
    )


def issuers_books(credentials: Sequence[Credential], documents: Documents, directory: Directory) -> Iterator[Claim]:
    """What lives at the issuers is the version that consumers read, and what persons made; nothing else."""
    for credential in credentials:
        fields = documents.read(credential.path).fields
        value = fields.secret("client_secret") if fields is not None else None
        held = directory.truth(credential.application)
        live = directory.live(credential.application)
        read = [one for one in live if value is not None and Secret(one.text).matches(value)]
        others = [one for one in live if one not in read]
        unknown = [one for one in others if one.created_by != "portal"]
        said = _books(read, others, unknown, sum(1 for one in held if one.removed_at is not None))
        yield Claim(f"{credential.name}: {said}", holds=len(read) == 1 and not unknown)


def _books(
    read: Sequence[HeldSecret], others: Sequence[HeldSecret], unknown: Sequence[HeldSecret], removed: int
) -> str:
    by_hand = " (made by hand)" if read and read[0].created_by == "portal" else ""
    parts = [f"{len(read)} in use{by_hand}"]
    persons = len(others) - len(unknown)
    if persons:
        parts.append(f"{persons} made by hand")
    parts.append(f"{len(unknown)} unknown")
    return f"{len(read) + len(others)} live: {', '.join(parts)}; {removed} removed"


def audit_tells_all(
    records: Sequence[Record],
    credentials: Sequence[Credential],
    directory: Directory,
    elsewhere: Set[tuple[str, str]] = frozenset(),
) -> Claim:
    """Every change that rotator made at the issuers is in the audit, intended and then succeeded; no other one is.

    elsewhere: what it made at others, as (`add` or `remove`, key id).
    """
    made = elsewhere | {
        (one.operation, one.key_id)
        for credential in credentials
        for one in directory.mutations(credential.application)
        if one.by == ROTATOR
    }
    told = {
        (operation, record["key_id"])
        for operation, event in (("add", EventName.VERSION_CREATED), ("remove", EventName.VERSION_RETIRED))
        for record in records
        if record["event"] == event and record["outcome"] == Outcome.SUCCEEDED
    }
    changed = (EventName.VERSION_CREATED, EventName.VERSION_RETIRED)
    intents = sum(1 for one in records if one["event"] in changed and one["outcome"] == Outcome.INTENDED)
    adds = sum(1 for operation, _ in made if operation == "add")
    return Claim(
        f"has all {len(made)} changes at the issuers ({adds} made, {len(made) - adds} removed), before and after",
        holds=made == told and bool(made) and intents >= len(made),
    )


def no_value_in(files: Sequence[Path], values: Sequence[str]) -> Claim:
    """None of these values lies in these files: plain, in base64, in hex, nor as its SHA-256."""
    contents = {path: path.read_bytes() for path in files}
    found = sorted(
        {
            path.name
            for path, content in contents.items()
            for value in values
            if any(m in content for m in _forms(value))
        }
    )
    size = sum(map(len, contents.values()))
    said = f"none of the {len(values)} secret values is in the {size // 1024} KiB of the state database"
    if found:
        said = f"a secret value lies in {', '.join(found)}"
    return Claim(said, holds=not found and bool(values) and size > 0)


def _forms(value: str) -> Iterator[bytes]:
    plain = value.encode()
    yield plain
    yield base64.b64encode(plain).rstrip(b"=")[:-1]
    yield plain.hex().encode()
    yield hashlib.sha256(plain).hexdigest().encode()
    yield hashlib.sha256(plain).digest()
