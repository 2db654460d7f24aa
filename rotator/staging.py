"""The staging document: claim, fence, crash-safe copy of the value and published retire intent, one per credential.

It lies where only rotator reads and changes by check-and-set alone, so two daemons cannot both believe that it is
theirs. It decides nothing about rotations.

A claim is only advice about who works; what protects is that every change expects the version this process wrote last.
A process that slept for an hour finds that out at its next write, before it does anything else (see Kleppmann, "How to
do distributed locking", 2016, on why a lease needs a fence).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from rotator.clock import Instant, elapsed
from rotator.errors import Broken, Busy, Denied, Misconfigured, Refused, Transient, WriteConflict
from rotator.kit import Kit
from rotator.model import Act, Binding, Credential, Procedure
from rotator.ports import Retired, Snapshot
from rotator.secret import Fields, Secret
from rotator.timing import FAR_PAST

RENEW_AFTER = timedelta(seconds=20)
TAKE_OVER_AFTER = timedelta(minutes=2)
LOOK_AGAIN = timedelta(seconds=2)
"""How soon it is worth a look whether another has given up its claim; a rotation takes seconds."""

KEEP_TRYING = timedelta(hours=1)
"""So long is a value that exists nowhere else offered to the staging area."""

_VALUE = "value."
_KEEP, _OF = "keep.", "of"


class Stage(StrEnum):
    """What the holder of the claim is doing. Everything but IDLE is a claim."""

    IDLE = "idle"
    CLAIMED = "claimed"  # a version may be in the making; no value is here
    STAGED = "staged"  # the value is here, unproved
    PROMOTING = "promoting"  # the consumer document may be written any moment
    ABANDONING = "abandoning"  # the value has left; the version is being removed
    RETIRING = "retiring"  # the end of a previous version is published


@dataclass(frozen=True, slots=True)
class Previous:
    """A version still in its grace. base_version: the version of the consumer document that carries its value."""

    key_id: str
    base_version: int


@dataclass(frozen=True, slots=True)
class StagingDocument:
    """One staging document, and the version of it that was read. values: the candidate's, under our field names.

    promote_at: until then it is prepared, and left waiting by every state.
    """

    binding: Binding
    owner: str
    epoch: int
    stage: Stage
    renewed: Instant
    rotation_id: str = ""
    seq: int = 0
    attempt: int = 0
    base_version: int = 0
    key_id: str | None = None
    procedure: Procedure = Procedure.OVERLAP
    values: Fields | None = None
    previous: tuple[Previous, ...] = ()
    retiring: tuple[str, ...] = ()
    keepsakes: tuple[tuple[str, Fields], ...] = ()
    promote_at: datetime | None = None

    def keepsake(self, key_id: str) -> Fields | None:
        """Return what came with a version and is needed to remove it; None when nothing is kept."""
        return next((kept for key, kept in self.keepsakes if key == key_id), None)

    @property
    def names(self) -> frozenset[str]:
        """Return every key id that this document speaks for."""
        own = {self.key_id} if self.key_id else set()
        return frozenset(own | {one.key_id for one in self.previous} | set(self.retiring))

    def to_fields(self) -> Fields:
        """Return the document as the store keeps it: texts only."""
        fields: dict[str, str | Secret] = {
            "schema": "1",
            "issuer": self.binding.issuer,
            "application": self.binding.application,
            "store_path": self.binding.store_path,
            "owner": self.owner,
            "epoch": str(self.epoch),
            "stage": self.stage.value,
            "renewed_boot": self.renewed.boot_id,
            "renewed_since_boot_us": str(self.renewed.since_boot // timedelta(microseconds=1)),
            "renewed_wall": self.renewed.wall.isoformat(),
            "rotation_id": self.rotation_id,
            "seq": str(self.seq),
            "attempt": str(self.attempt),
            "base_version": str(self.base_version),
            "previous": json.dumps([[one.key_id, one.base_version] for one in self.previous]),
            "retiring": json.dumps(list(self.retiring)),
        }
        if self.key_id is not None:
            fields["key_id"] = self.key_id
        if self.procedure.single_slot:
            fields["procedure"] = self.procedure.value
        if self.promote_at is not None:
            fields["promote_at"] = self.promote_at.isoformat()
        for name in self.values or ():
            value = self.values.secret(name) if self.values else None
            if value is not None:
                fields[_VALUE + name] = value
        for number, (key_id, kept) in enumerate(self.keepsakes):
            fields[f"{_KEEP}{number}.{_OF}"] = key_id
            fields |= {f"{_KEEP}{number}.{name}": one for name in kept if (one := kept.secret(name)) is not None}
        return Fields(fields)


def decode(fields: Fields, path: str) -> StagingDocument:
    """Read a staging document. Raises Broken when it is not one, so that nobody builds on a half-understood claim."""
    try:
        values = {name[len(_VALUE) :]: fields.secret(name) for name in fields if name.startswith(_VALUE)}
        return StagingDocument(
            binding=Binding(_text(fields, "issuer"), _text(fields, "application"), _text(fields, "store_path")),
            owner=_text(fields, "owner"),
            epoch=int(_text(fields, "epoch")),
            stage=Stage(_text(fields, "stage")),
            renewed=Instant(
                datetime.fromisoformat(_text(fields, "renewed_wall")),
                _text(fields, "renewed_boot"),
                timedelta(microseconds=int(_text(fields, "renewed_since_boot_us"))),
            ),
            rotation_id=_text(fields, "rotation_id"),
            seq=int(_text(fields, "seq")),
            attempt=int(_text(fields, "attempt")),
            base_version=int(_text(fields, "base_version")),
            key_id=fields.text("key_id"),
            procedure=Procedure(fields.text("procedure") or Procedure.OVERLAP),
            values=Fields({name: value for name, value in values.items() if value is not None}) if values else None,
            previous=tuple(Previous(str(key), int(base)) for key, base in json.loads(_text(fields, "previous"))),
            retiring=tuple(str(key) for key in json.loads(_text(fields, "retiring"))),
            keepsakes=tuple(_keepsakes(fields)),
            promote_at=datetime.fromisoformat(later) if (later := fields.text("promote_at")) is not None else None,
        )
    except (KeyError, ValueError, TypeError):
        raise Broken(
            f"The staging document {path} is not one that rotator wrote.",
            hint="Look who else writes there; nothing is done for this credential until it is gone or restored.",
            code="staging_unreadable",
        ) from None


def _keepsakes(fields: Fields) -> Iterator[tuple[str, Fields]]:
    number = 0
    while (key_id := fields.text(f"{_KEEP}{number}.{_OF}")) is not None:
        begin = f"{_KEEP}{number}."
        named = {name.removeprefix(begin): fields.secret(name) for name in fields if name.startswith(begin)}
        yield key_id, Fields({name: one for name, one in named.items() if one is not None and name != _OF})
        number += 1


def _text(fields: Fields, name: str) -> str:
    value = fields.text(name)
    if value is None:
        raise KeyError(name)
    return value


def see_binding(credential: Credential, bound: Binding) -> None:
    """Raise Misconfigured when a name stands for something else than this configuration means by it."""
    if bound != credential.binding:
        name = credential.name
        raise Misconfigured(
            f"The name {name} already stands for {bound.application} at {bound.issuer}, "
            f"written to {bound.store_path}; this configuration means something else.",
            hint="Choose another name; or, if the entry was changed, put the old one back, end its management, "
            f"and change it then: rotator forget {name} --leave",
            code="bound_elsewhere",
        )


def look(kit: Kit) -> tuple[StagingDocument | None, Snapshot]:
    """Read the staging document of this credential; None when there is none.

    Raises Misconfigured when it belongs to another issuer, application or store path: two teams with one name, or a
    configuration that was changed under a credential that is still managed.
    """
    path = kit.credential.name
    snapshot = kit.store.staging.read(path)
    if snapshot.fields is None:
        return None, snapshot
    document = decode(snapshot.fields, path)
    if document.binding == NOBODY:
        return None, snapshot
    see_binding(kit.credential, document.binding)
    return document, snapshot


def retire_at_issuer(kit: Kit, key_id: str) -> Retired:
    """Remove a version at its issuer, showing what came with it where that is asked for. Raises as the port does.

    Raises Refused with code `no_keepsake` when that is lost: the version is left to its end.
    """
    application = kit.credential.application
    if kit.keeping is None:
        return kit.provider.retire(application, key_id)
    document, _ = look(kit)
    kept = document.keepsake(key_id) if document is not None else None
    if kept is None:
        raise Refused(
            f"What the issuer of {kit.credential.name} gave with {key_id} is lost, so that it cannot be removed.",
            hint="Remove it at the issuer; then: rotator forget --leave, or leave it to its end.",
            code=NO_KEEPSAKE,
        )
    before = [one for one in kit.ledger.unsettled(kit.credential.name) if one.act is Act.RETIRE]
    again = sum(one.key_id == key_id for one in before) > 1  # the present call is one of them
    return kit.keeping.retire_with(application, key_id, kept, again=again)


def erase_remains(kit: Kit) -> None:
    """See to it that only the latest staging document can be read: a run may have died, or failed, before it had."""
    _, snapshot = look(kit)
    if snapshot.version > 1:
        kit.store.staging.erase_before(kit.credential.name, snapshot.version)


NO_KEEPSAKE = "no_keepsake"
"""The code of the error for a version that nobody can remove any more."""

NOBODY = Binding("", "", "")
"""The binding of a name that is free again."""


def free(claim: Claim) -> None:
    """Give a claim up together with the name: whoever takes it next may mean something else by it."""
    claim.release(binding=NOBODY, rotation_id="", previous=(), retiring=())


def last_seq(document: StagingDocument | None) -> int:
    """Return the number of the last rotation that any state on this staging area has begun."""
    return 0 if document is None else document.seq


def is_stale(document: StagingDocument, snapshot: Snapshot, now: Instant) -> bool:
    """Say whether a claim has not been renewed for so long that another may take it over.

    By the store's clock when it has one. Otherwise the store is a file on this machine, and a claim of another boot is
    the claim of a process that is gone.
    """
    if snapshot.store_now is not None and snapshot.written_at is not None:
        return snapshot.store_now - snapshot.written_at >= TAKE_OVER_AFTER
    age = elapsed(document.renewed, now)
    return age is None or age >= TAKE_OVER_AFTER


class Claim:
    """Our hold on one staging document. Every change goes through `publish`, which loses rather than overwrites."""

    def __init__(self, kit: Kit, document: StagingDocument, version: int) -> None:
        self._kit = kit
        self.document = document
        self._version = version

    @classmethod
    def begin(cls, kit: Kit, **facts: object) -> Claim:
        """Take the claim for something new, when nothing is under way. Raises Busy when something is."""

        def claimed(present: StagingDocument | None) -> StagingDocument:
            idle = present or StagingDocument(kit.credential.binding, "", 0, Stage.IDLE, kit.clock.instant())
            if idle.stage not in (Stage.IDLE, Stage.CLAIMED):
                raise Busy(
                    f"Something else is under way for {kit.credential.name}: it is {idle.stage}.",
                    hint="The next run finishes that first.",
                    code="claimed",
                )
            return replace(idle, stage=Stage.CLAIMED, **facts)  # type: ignore[arg-type]

        return cls.take(kit, claimed)

    @property
    def version(self) -> int:
        """Return the version of the staging document that we wrote last."""
        return self._version

    @classmethod
    def take(cls, kit: Kit, begin: Callable[[StagingDocument | None], StagingDocument]) -> Claim:
        """Take the claim: at once when nobody holds it or we do ourselves, or when its holder has fallen silent.

        begin: makes the first document from the present one; owner, epoch and time are set here. The same owner goes on
        at once because a state is held by one process at a time under its file lock, so the one before us is dead.
        Raises Busy when another holds it, Misconfigured as `look` does.
        """
        present, snapshot = look(kit)
        now = kit.clock.instant()
        held = present is not None and present.stage is not Stage.IDLE and present.owner != kit.ledger.owner
        if present is not None and held and not is_stale(present, snapshot, now):
            raise Busy(
                f"Another rotator is working on {kit.credential.name} (rotation {present.rotation_id[:8]}).",
                hint="Wait until it is done; if it died, its claim can be taken over two minutes after its last sign.",
                code="claimed",
                retry_after=LOOK_AGAIN,
            )
        epoch = present.epoch + 1 if present else 1
        document = replace(begin(present), owner=kit.ledger.owner, epoch=epoch, renewed=now)
        claim = cls(kit, document, snapshot.version)
        claim._write(document)
        return claim

    def publish(self, **changes: object) -> None:
        """Change the document, if it is still as we wrote it. Raises Busy with code `claim_lost` when it is not."""
        self._write(replace(self.document, renewed=self._kit.clock.instant(), **changes))  # type: ignore[arg-type]

    def keep(self, **changes: object) -> None:
        """Change the document as `publish` does, and do not give up soon: what is in hand exists nowhere else.

        The very same document is written each time, so that a write whose answer was lost is known again as our own.
        Nobody can end these waits but a kill. Raises what the last try raised after `KEEP_TRYING`, Busy at once.
        """
        clock, began, wait = self._kit.clock, self._kit.clock.instant(), timedelta(seconds=1)
        document = replace(self.document, renewed=began, **changes)  # type: ignore[arg-type]
        while True:
            try:
                return self._write(document)
            except Busy:
                raise
            except (Transient, Denied):
                since = elapsed(began, clock.instant())
                if since is None or since > KEEP_TRYING:
                    raise
                clock.wait(wait)
                wait = min(wait * 2, RENEW_AFTER)

    def renew(self) -> None:
        """Show that we live, unless we did so a moment ago. Raises as `publish`: then nothing more may be done."""
        age = elapsed(self.document.renewed, self._kit.clock.instant())
        if age is None or age >= RENEW_AFTER:
            self.publish()

    def pause(self, duration: timedelta) -> None:
        """Wait, renewing the claim on the way."""
        while duration > timedelta(0):
            part = min(duration, RENEW_AFTER)
            self._kit.pause(part)
            self.renew()
            duration -= part

    def release(self, **changes: object) -> None:
        """Give the claim up: no value stays behind, and no older version of the document can be read.

        What came with a version stays as long as the version does.
        """
        gone = self._kit.ledger.known_key_ids(self._kit.credential.name, FAR_PAST) - self._living()
        kept = tuple(one for one in self.document.keepsakes if one[0] not in gone)
        self.publish(stage=Stage.IDLE, key_id=None, values=None, keepsakes=kept, promote_at=None, **changes)
        self._kit.store.staging.erase_before(self._kit.credential.name, self._version)

    def _living(self) -> frozenset[str]:
        tracked = self._kit.ledger.tracked(self._kit.credential.name)
        return frozenset(one.key_id for one in tracked.versions) if tracked is not None else frozenset()

    def staged_values(self) -> Fields | None:
        """Read the value back from the store: what is proved and promoted is what is durable, not what we remember."""
        snapshot = self._kit.store.staging.read(self._kit.credential.name)
        if snapshot.version != self._version or snapshot.fields is None:
            raise _lost(self._kit)
        return decode(snapshot.fields, self._kit.credential.name).values

    def _write(self, document: StagingDocument) -> None:
        try:
            written = self._kit.store.staging.write(self._kit.credential.name, document.to_fields(), self._version)
        except WriteConflict:
            raise _lost(self._kit) from None
        self.document = document
        self._version = written.version


def _lost(kit: Kit) -> Busy:
    return Busy(
        f"Another rotator took over {kit.credential.name} while this one was away; this one stands back.",
        hint=f"Nothing is lost. See what the other one does: rotator status {kit.credential.name}",
        code="claim_lost",
    )
