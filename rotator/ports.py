"""The outside world on one page: issuers, stores, token endpoints and the ledger, as the program needs them.

All calls are synchronous and may block for as long as their adapter's deadline; adapters raise only the errors of
`rotator.errors`. A port never retries a mutating call. Calls marked *repeatable* change nothing, or the same thing
again, and may be repeated by the retry layer; all others may not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Protocol, runtime_checkable

from rotator.event import Event
from rotator.finding import Finding
from rotator.model import Credential, CredentialState, Intent, Procedure, Request, Rotation, Version
from rotator.notes import Note, Sighting
from rotator.secret import Fields, Secret

# ---------------------------------------------------------------------------------------------------------- issuers


@dataclass(frozen=True, slots=True)
class Listed:
    """A version as the issuer lists it. tag: the label field, whoever wrote it. hint: how its value begins, if told.

    certificate: the one that it is, if it is one and is shown: DER in base64, as between the lines of a PEM.
    """

    key_id: str
    tag: str | None
    created_at: datetime | None
    expires_at: datetime | None
    hint: str | None = field(default=None, repr=False, compare=False)
    certificate: str | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Listing:
    """All versions an application has at its issuer. issuer_now: the Date of the answer, by the issuer's clock.

    free_slots: how many more may live at once; None when the issuer sets no limit that we know of. procedure: what the
    issuer lets us do with this application, where only it knows; None: what the configuration says. free_at: when a
    slot becomes free by itself; None: nobody knows.
    """

    versions: tuple[Listed, ...]
    issuer_now: datetime | None
    free_slots: int | None = None
    procedure: Procedure | None = None
    free_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A version just created. values: such as `client_secret`, by our names. request_id: the issuer's, for its log.

    client_id: empty where it is not new, and the configured one holds. keepsake: what its issuer wants to see when it
    is to be removed, for rotator alone; None: the key id is enough.
    """

    version: Listed
    client_id: str
    values: Fields
    issuer_now: datetime | None
    request_id: str | None = None
    keepsake: Fields | None = None


class Retired(Enum):
    """What became of a version that was to be retired."""

    DONE = "done"
    ALREADY_GONE = "already gone"


class Provider(Protocol):
    """One issuer of versions. Safe for use from several threads; writes to one application never overlap."""

    procedure: Procedure

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Issue a new version labelled `tag`. Not repeatable: a value is shown once.

        Raises OutcomeUnknown when a version may exist whose value is lost, NoFreeSlot, Denied, Refused, Throttled, and
        Transient when certainly nothing was done.
        """

    def list(self, application: str) -> Listing:
        """Return every version of the application, foreign ones too. Repeatable. Answers may lag behind writes."""

    def retire(self, application: str, key_id: str) -> Retired:
        """Remove one version by its key id, for ever. Raises OutcomeUnknown when it may or may not be gone."""

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Look whether a rotation of this application would be permitted tonight. Repeatable, changes nothing.

        subject: the credential that the findings on the application are about. ours: how the tags of its versions
        begin; empty: it has none yet.
        """

    def close(self) -> None:
        """Let go of connections and threads."""


@runtime_checkable
class Slot(Protocol):
    """The only place for a value at an issuer that keeps one per application: whatever is put there ends the old one.

    Beside the `Provider` of the same issuer, which lists and checks. A version may have no key id of the issuer's; then
    `Issued.version.key_id` is empty.
    """

    def choose(self) -> Secret:
        """Return a fresh random value as this issuer takes them. Contacts nobody."""

    def set(self, application: str, tag: str, value: Secret, lifetime: timedelta) -> Issued:
        """Put our value there. Repeatable with the same value: the second time changes nothing. Raises as `create`."""

    def regenerate(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Have the issuer put a new value of its own there. Not repeatable. Raises as `create`."""

    def read(self, application: str) -> Issued:
        """Return the value that is there now. Repeatable. Raises Transient, Denied, and Refused with `unreadable`."""


@runtime_checkable
class Possessing(Protocol):
    """An issuer that takes the key of one version as proof when another is made or ended, beside its `Provider`."""

    def prove_with(self, held: Callable[[str], Fields | None]) -> None:
        """Take who knows what the consumers of an application read, our fields of it; None: nothing."""


@runtime_checkable
class Comparing(Protocol):
    """An issuer that tells versions apart by their values where it has no ids for them, beside its `Provider`."""

    def compare_with(self, shown: Callable[[str, str], Secret | None]) -> None:
        """Take who knows what consumers of an application read, or have read, under a key id; None: nobody knows."""


@runtime_checkable
class Keeping(Protocol):
    """An issuer that removes a version only for who shows what came with it, beside its `Provider`."""

    def recall(self, kept: Callable[[str], Fields | None]) -> None:
        """Take who knows what came last for an application; None: nothing is kept."""

    def retire_with(self, application: str, key_id: str, keepsake: Fields, *, again: bool) -> Retired:
        """Remove one version. again: an earlier call may have done it. Raises as `Provider.retire`."""


@runtime_checkable
class SignInActivity(Protocol):
    """What an issuer saw of the use of its versions, beside the `Provider` of the same issuer."""

    def last_used(self, application: str) -> Mapping[str, datetime]:
        """Return when each version was last used, by key id. Repeatable; it may lag by hours, and lack some.

        Raises Denied when it may not be seen, and what `Provider.list` raises.
        """


# ----------------------------------------------------------------------------------------------------------- stores


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One document as the store has it.

    version: 0 when the path was never written; it is the latest version's number even when that one was deleted, and
    then fields is None. written_at, store_now: by the store's own clock, when it has one. request_id: the store's.
    """

    version: int
    fields: Fields | None
    written_at: datetime | None = None
    store_now: datetime | None = None
    request_id: str | None = None


class Documents(Protocol):
    """Versioned documents with check-and-set, such as one KV version 2 mount. Safe for use from several threads."""

    def read(self, path: str, version: int | None = None) -> Snapshot:
        """Return the latest version, or a given one. A version that is gone has fields None. Repeatable.

        Raises Transient, Denied (naming path and capability), and Refused with code `not_text` when the document
        holds anything but texts.
        """

    def write(self, path: str, fields: Fields, expected: int) -> Snapshot:
        """Write the next version, if and only if the document is at version `expected` (0: was never written).

        Settles itself where it can: after an unclear answer it reads back, and a conflict with a write of exactly these
        fields at `expected + 1` is our own success. Raises WriteConflict, OutcomeUnknown, Denied, Transient (certainly
        not written).
        """

    def history(self, path: str) -> tuple[int, ...]:
        """Return the numbers of the versions that can still be read, oldest first. Repeatable."""

    def erase_before(self, path: str, version: int) -> None:
        """See to it that no version older than `version` can be read again. Repeatable."""


class Store(Protocol):
    """Where consumers read (`consumers`) and where only rotator reads (`staging`)."""

    @property
    def consumers(self) -> Documents:
        """Return the documents that consumers read."""

    @property
    def staging(self) -> Documents:
        """Return the documents that only rotator reads."""

    def check(self, paths: Sequence[str]) -> Sequence[Finding]:
        """Look whether these consumer paths and the staging area can be used as needed. Repeatable, changes nothing."""

    def close(self) -> None:
        """Let go of connections, and of a session that was opened here."""


# ------------------------------------------------------------------------------------------------------------ proofs


class Answer(StrEnum):
    """What a token request said about the value it was made with."""

    PROVED = "proved"  # a token, and it is what was promised
    UNFIT = "unfit"  # a token, so the value is good; but audience, roles or lifetime are not as promised
    REFUSED = "refused"  # the client was refused: this value is wrong, expired, not known there yet, or is none at all
    SILENT = "silent"  # nothing about the value: 5xx, 429, a time-out, another error


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one token request.

    code: stable word such as `invalid_client`, `expired_secret`, `missing_role`, `wrong_audience`, `throttled`.
    message: claim, expected and found in one sentence, cleaned of anything that was sent. token_expires_at: `exp`.
    """

    answer: Answer
    code: str
    message: str
    issuer_now: datetime | None = None
    token_expires_at: datetime | None = None
    retry_after: timedelta | None = None


class Prover(Protocol):
    """Makes test token requests for one credential, each on a fresh connection and past every cache."""

    def prove(self, client_id: str, values: Fields, now: datetime) -> Verdict:
        """Make one request with these values (our field names). Never raises for what the endpoint answered.

        now: our wall clock, for `exp` where the endpoint sends no Date. Raises Misconfigured when the request cannot be
        made at all, such as a CA file that is not there.
        """

    def check(self, subject: str) -> Sequence[Finding]:
        """Look whether the endpoint and its keys can be reached. Repeatable, changes nothing, sends no secret."""


@runtime_checkable
class Decoying(Protocol):
    """A `Prover` whose endpoint takes something else than a random text."""

    def decoy(self) -> Fields:
        """Return a value as this endpoint takes them, and that nobody has. Contacts nobody."""


# ------------------------------------------------------------------------------------------------------------ ledger

Change = Version | Rotation | Intent | Request | CredentialState
"""What `record` writes: each replaces the row of its key. (Version: credential and key id.)"""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the audit chain: number and hash of its last record; seq 0 and 64 zeros before the first."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Tracked:
    """All that planning needs to know of one credential, in one piece. versions: those neither gone nor left."""

    state: CredentialState
    versions: tuple[Version, ...]
    rotation: Rotation | None  # the unfinished one
    last: Rotation | None  # the one that finished last
    request: Request | None  # the oldest unanswered one


@dataclass(frozen=True, slots=True)
class Waking:
    """A credential that may need something now. fresh: it has no current version, and no rotation is under way.

    wake_at: what the ledger says. sighted: versions were seen that nothing names.
    """

    name: str
    wake_at: datetime | None
    fresh: bool
    sighted: bool


class Ledger(Protocol):
    """What rotator knows, durable before `record` or `note` returns. No value and no digest of a value is in it.

    One process writes at a time. Every method raises StateUnusable when the state cannot be trusted, and Busy when
    another process kept the database for too long.
    """

    owner: str  # the random id of this state, made once

    def record(self, event: Event, *changes: Change | Event) -> None:
        """Append audit records and make the changes they tell of, in one transaction. The only way to do either."""

    def note(self, *notes: Note) -> None:
        """Write bookkeeping in one transaction."""

    def forget_sightings(self, credential: str, key_ids: Sequence[str]) -> None:
        """Drop sightings that turned out to be nothing, or that are settled."""

    def tracked(self, name: str) -> Tracked | None:
        """Return all about one credential, or None when it was never seen."""

    def every(self, names: Collection[str] | None = None) -> Iterator[Tracked]:
        """Yield all about every credential the ledger knows, or about those of `names` that it does, by name.

        In short transactions: writers are not kept waiting while the caller works through it.
        """

    def waking(self, now: datetime, at_most: int) -> Sequence[Waking]:
        """Return the credentials whose `wake_at` has come, or is missing, or is too far ahead to be believed.

        Those without one come first, then the one that waits longest; what is forgotten is not among them. However many
        sleep, it costs the same.
        """

    def postpone(self, moments: Mapping[Waking, datetime]) -> None:
        """Let credentials sleep until then, all in one transaction; one whose `wake_at` has changed is left alone."""

    def rotation(self, rotation_id: str) -> Rotation | None:
        """Return one rotation, finished or not."""

    def unsettled(self, credential: str) -> tuple[Intent, ...]:
        """Return the intents whose outcome is missing or unknown, oldest first."""

    def known_key_ids(self, credential: str, retired_since: datetime) -> frozenset[str]:
        """Return every key id that any row names, except versions retired or abandoned before `retired_since`.

        The later ones count as known because an issuer's list may still show them.
        """

    def creations_since(self, credential: str, since: datetime) -> int:
        """Count creations asked for since then, by label, but for those of which nothing came for certain."""

    def next_seq(self, credential: str) -> int:
        """Return the number of the next rotation of this credential, from 1."""

    def sightings(self, credential: str) -> tuple[Sighting, ...]:
        """Return the versions seen that nothing names."""

    def ailing(self, provider: str) -> Mapping[str, str]:
        """Return the credentials of a provider whose last proof was refused, with the code, but for forgotten ones.

        Empty once one of them was proved.
        """

    def head(self) -> Head:
        """Return the end of the audit chain."""


class Progress(Protocol):
    """Hears what a rotation is doing, for the person who watches. Never blocks, never raises."""

    def __call__(self, credential: Credential, step: str, state: str, text: str) -> None:
        """Take note. state: `begin`, `tell`, `done` or `failed`; text: a short sentence, never a value."""
