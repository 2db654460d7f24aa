"""A copy of the end of the audit chain in each staging area, so that a cut tail or a swapped file is found.

One document for each state, named after it, written without a claim: only that state writes it, under its lock. It is
kept as well as can be; that it could not be written changes nothing about what was rotated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from rotator.clock import Clock
from rotator.errors import RotatorError, WriteConflict
from rotator.ports import Documents, Head
from rotator.secret import Fields

_NOTE = "head."
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

    def remembered(self, name: str) -> str | None:
        """Return a note of this state, or None."""

    def remember(self, name: str, value: str) -> None:
        """Keep a note in this state, in place of the one of its name."""

    def audit_one(self, seq: int) -> Mapping[str, str | int | None] | None:
        """Return one record, or None."""


class Recording(Protocol):
    """Whose records can be asked for."""

    def audit_one(self, seq: int) -> Mapping[str, str | int | None] | None:
        """Return one record, or None."""


class Evidence(Enum):
    """What becomes of a head that names a record which is not there any more: somebody has cut or changed them."""

    KEPT = "kept"
    ACCEPTED = "accepted"  # a person knows, and it is replaced


def publish(
    ledger: Recorder, stagings: Mapping[str, Documents], clock: Clock, evidence: Evidence = Evidence.KEPT
) -> list[RotatorError]:
    """Write the head to these staging areas; return what went wrong, one for each that it could not be written to.

    stagings: by the name of the store. Where one was written and is there no more, that is evidence as well: the store
    was emptied, or this is the state of another place.
    """
    head, failures = ledger.head(), []
    for name, staging in stagings.items():
        gone = evidence is Evidence.KEPT and was_published(ledger, name)
        try:
            written = _write(staging, ledger, head, clock, evidence, may_begin=not gone)
        except RotatorError as error:
            failures.append(error)
        else:
            if written and not gone:
                ledger.remember(_NOTE + name, ledger.owner)
    return failures


class Remembering(Protocol):
    """Who knows what was published."""

    @property
    def owner(self) -> str:
        """Return the id of the state."""

    def remembered(self, name: str) -> str | None:
        """Return a note of this state, or None."""


def was_published(ledger: Remembering, name: str) -> bool:
    """Say whether this state has ever written its head to the store of this name."""
    return ledger.remembered(_NOTE + name) == ledger.owner


def agrees(ledger: Recording, kept: Head) -> bool:
    """Say whether the record that a kept head names is still there, with the same hash."""
    record = ledger.audit_one(kept.seq) if kept.seq else None
    return kept.seq == 0 or (record is not None and record["hash"] == kept.hash)


def _write(
    staging: Documents, ledger: Recorder, head: Head, clock: Clock, evidence: Evidence, *, may_begin: bool
) -> bool:
    """Return whether the head was written. may_begin: also where there is none yet."""
    path = path_of(ledger.owner)
    fields = Fields({"seq": str(head.seq), "hash": head.hash, "time": clock.now().isoformat(timespec="seconds")})
    for last_try in (False, True):
        before = staging.read(path)
        kept = decode(before.fields)
        if evidence is Evidence.KEPT and not (may_begin if kept is None else agrees(ledger, kept)):
            return False
        try:
            staging.write(path, fields, before.version)
        except WriteConflict:
            if last_try:
                raise
        else:
            return True
    return False


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
