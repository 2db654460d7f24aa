"""A copy of the end of the audit chain in each staging area, so that a cut tail or a swapped file is found.

One document for each state, named after it, written without a claim: only that state writes it, under its lock. It is
kept as well as can be; that it could not be written changes nothing about what was rotated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Protocol

from rotator.clock import Clock
from rotator.errors import RotatorError, WriteConflict
from rotator.ports import Documents, Head
from rotator.secret import Fields

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


def path_of(owner: str) -> str:
    """Return where the head of the state with this id is kept. No credential can be called so."""
    return f"_head.{owner}"


class Recorder(Protocol):
    """Whose head it is."""

    @property
    def owner(self) -> str:
        """Return the id of the state."""

    def head(self) -> Head:
        """Return the end of the chain."""

    def audit_one(self, seq: int) -> Mapping[str, str | int | None] | None:
        """Return one record, or None."""


class Evidence(Enum):
    """What becomes of a head that names a record which is not there any more: somebody has cut or changed them."""

    KEPT = "kept"
    ACCEPTED = "accepted"  # a person knows, and it is replaced


def publish(
    ledger: Recorder, stagings: Iterable[Documents], clock: Clock, evidence: Evidence = Evidence.KEPT
) -> list[RotatorError]:
    """Write the head to these staging areas; return what went wrong, one for each that it could not be written to."""
    head, failures = ledger.head(), []
    for staging in stagings:
        try:
            _write(staging, ledger, head, clock, evidence)
        except RotatorError as error:
            failures.append(error)
    return failures


def agrees(ledger: Recorder, kept: Head) -> bool:
    """Say whether the record that a kept head names is still there, with the same hash."""
    record = ledger.audit_one(kept.seq) if kept.seq else None
    return kept.seq == 0 or (record is not None and record["hash"] == kept.hash)


def _write(staging: Documents, ledger: Recorder, head: Head, clock: Clock, evidence: Evidence) -> None:
    path = path_of(ledger.owner)
    fields = Fields({"seq": str(head.seq), "hash": head.hash, "time": clock.now().isoformat(timespec="seconds")})
    for last_try in (False, True):
        before = staging.read(path)
        kept = decode(before.fields)
        if evidence is Evidence.KEPT and kept is not None and not agrees(ledger, kept):
            return
        try:
            staging.write(path, fields, before.version)
        except WriteConflict:
            if last_try:
                raise
        else:
            return


def kept_in(staging: Documents, owner: str) -> Head | None:
    """Return the head that a staging area keeps for this state; None when there is none."""
    return decode(staging.read(path_of(owner)).fields)


def decode(fields: Fields | None) -> Head | None:
    """Return a head from its document; None for what is none."""
    if fields is None:
        return None
    seq, digest = fields.text("seq"), fields.text("hash")
    if seq is None or digest is None or not seq.isascii() or not seq.isdigit() or len(seq) > 15:
        return None
    return Head(int(seq), digest) if _SHA256.match(digest) else None
