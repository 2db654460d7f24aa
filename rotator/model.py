"""The nouns of the program, frozen: what is tracked, what was issued, what is under way. No value, no clock, no I/O.

The words are those of the glossary. A *version* is one secret at its issuer, known by its key id; its value is never
here. A *rotation* replaces the current version of one *credential*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum

from rotator.clock import Instant
from rotator.event import Outcome


class Procedure(StrEnum):
    """How an issuer lets a version be replaced; what each one means step by step stands in `lifecycle`."""

    OVERLAP = "overlap"  # two versions may live at once
    CHOSEN = "chosen"  # one slot, and we choose what is in it
    READ_BACK = "read-back"  # one slot, the issuer chooses, and shows it again when asked
    BLIND = "blind"  # one slot, the issuer chooses, and shows it once

    @property
    def single_slot(self) -> bool:
        """Say whether a new value ends the old one at once, so that consumers are without one for a moment."""
        return self is not Procedure.OVERLAP


class RetireMode(StrEnum):
    """What ends the life of a version that was replaced."""

    AFTER_GRACE = "after_grace"  # we retire it when its grace is over
    WHEN_UNUSED = "when_unused"  # we do, when its grace is over and its issuer saw nobody use it; at its end at last
    LET_EXPIRE = "let_expire"  # nobody does: the issuer's own end of validity
    MANUAL = "manual"  # a person, with `rotator retire`


@dataclass(frozen=True, slots=True)
class Window:
    """When rotations may start, in local time. days: 0 is Monday. closes <= opens: the span passes midnight."""

    days: frozenset[int]
    opens: time
    closes: time
    timezone: str


@dataclass(frozen=True, slots=True)
class Policy:
    """How long versions live and how they are replaced.

    accept_gap: a moment without a valid version may come at any time where the issuer has a single slot. prepare: so
    long before it is shown the next version is made and proved; None: right before.
    """

    lifetime: timedelta
    rotate_before: timedelta
    grace: timedelta
    max_age: timedelta | None = None
    retire: RetireMode = RetireMode.AFTER_GRACE
    window: Window | None = None
    quarantine: timedelta = timedelta(seconds=60)
    max_creations: int = 12
    accept_gap: bool = False
    prepare: timedelta | None = None
    alert_before: tuple[timedelta, ...] = (timedelta(days=14), timedelta(days=7), timedelta(days=1))


@dataclass(frozen=True, slots=True)
class ProofPlan:
    """How a version is proved: `proofs` successes in a row, `spacing` apart, all before `deadline` has passed.

    every: how often the current version is proved without cause; None: only when asked. max_refused: refusals that end
    the attempt early. negative_control: also prove that the endpoint refuses a wrong value. names_client: a proof names
    the client too; False for keys that stand for themselves.
    """

    proofs: int = 3
    spacing: timedelta = timedelta(seconds=5)
    deadline: timedelta = timedelta(minutes=15)
    every: timedelta | None = timedelta(hours=24)
    max_refused: int = 40
    negative_control: bool = True
    names_client: bool = True


@dataclass(frozen=True, slots=True)
class Binding:
    """What a credential name stands for. A staging document belongs to one, and another never takes it over."""

    issuer: str
    application: str
    store_path: str


@dataclass(frozen=True, slots=True)
class Credential:
    """One tracked client identity with its policy, as the configuration says it.

    provider, store: the names of the configuration. issuer: what the provider talks to, stable across renaming (for
    Entra the authority and tenant). application: the issuer's name for the client. client_id: empty when only the
    issuer knows it. fields: our field name to the name in the consumer document. by_hand: what a person does where no
    API makes a version, in one sentence; empty: rotator asks the issuer. procedure: as the configuration has it; an
    issuer that knows better says so in its list. labelled: the issuer keeps our label with each version.
    longest_label: characters that it keeps of it; None: enough. carries: our fields that hold a version, the secret one
    last.
    """

    name: str
    provider: str
    kind: str
    issuer: str
    application: str
    store: str
    path: str
    policy: Policy
    proof: ProofPlan
    token_url: str = ""
    scope: str = ""
    client_id: str = ""
    by_hand: str = ""
    procedure: Procedure = Procedure.OVERLAP
    labelled: bool = True
    longest_label: int | None = None
    carries: tuple[str, ...] = ("client_secret",)
    description: str = ""
    owner: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def noun(self) -> str:
        """Return what people call what is rotated."""
        return "certificate" if "certificate" in self.carries else "secret"

    @property
    def binding(self) -> Binding:
        """Return what the name stands for."""
        return Binding(self.issuer, self.application, f"{self.store}:{self.path}")


class Reason(StrEnum):
    """Why something is done: the code for machines; the planner adds the sentence for people."""

    NEVER_ROTATED = "never_rotated"
    NEAR_EXPIRY = "near_expiry"
    MAX_AGE = "max_age"
    EXPIRED = "expired"
    REQUESTED = "requested"
    GRACE_OVER = "grace_over"
    UNUSED = "unused"
    EMERGENCY = "emergency"
    ABANDONED = "abandoned"
    PROVED = "proved"
    BY_NECESSITY = "by_necessity"
    REVERTED = "reverted"
    FORGOTTEN = "forgotten"
    ORPHAN = "orphan"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"
    INTAKE = "intake"
    ADOPTED = "adopted"


class Phase(StrEnum):
    """Where a rotation stands. What may follow what is the table in `lifecycle`, and nowhere else."""

    BEGUN = "begun"
    CREATING = "creating"
    CHOSEN = "chosen"
    STAGED = "staged"
    PROVED = "proved"
    PROMOTING = "promoting"
    SHOWN = "shown"
    ABANDONING = "abandoning"
    PROMOTED = "promoted"  # final for the rotation; what it displaced is in grace
    ABANDONED = "abandoned"  # final: undone, the old version serves

    @property
    def final(self) -> bool:
        """Say whether the rotation is over."""
        return self in (Phase.PROMOTED, Phase.ABANDONED)


class RotationOutcome(StrEnum):
    """How a rotation ended, as the reports name it."""

    PROMOTED = "promoted"
    RETIRED = "retired"  # promoted, and what it displaced is gone
    ABANDONED = "abandoned"
    PARKED = "parked"
    SKIPPED = "skipped"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What stands in the way: `code` for machines, `message` what happened, `hint` what to do, `at` since when."""

    code: str
    message: str
    hint: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Rotation:
    """One run that replaces the current version of `credential`.

    seq grows by one per rotation of a credential, epoch by one per claim of its staging document. attempt counts
    creations of this rotation, from 1. base_version: the version of the consumer document when it began. promote_at: it
    is prepared, and shown then; None: as soon as it is proved.
    """

    id: str
    credential: str
    seq: int
    epoch: int
    phase: Phase
    attempt: int
    reason: Reason
    actor: str
    started_at: datetime
    note: str = ""
    emergency: bool = False
    tag: str | None = None
    key_id: str | None = None
    old_key_ids: tuple[str, ...] = ()
    base_version: int = 0
    store_version: int | None = None
    proofs: int = 0
    outcome: RotationOutcome | None = None
    finished_at: datetime | None = None
    error: Trouble | None = None
    procedure: Procedure = Procedure.OVERLAP
    promote_at: datetime | None = None


class Origin(StrEnum):
    """Whose version it is. Only OURS and ADOPTED may ever be retired by us."""

    OURS = "ours"
    ADOPTED = "adopted"
    FOREIGN = "foreign"


class VersionState(StrEnum):
    """What a version is to its consumers."""

    CANDIDATE = "candidate"  # issued, not yet promoted
    CURRENT = "current"
    PREVIOUS = "previous"  # replaced, in grace
    RETIRING = "retiring"  # its end is published; it never comes back
    RETIRED = "retired"
    ABANDONED = "abandoned"  # a candidate that was removed
    LEFT = "left"  # replaced or forgotten, and not ours to retire


@dataclass(frozen=True, slots=True)
class Displacement:
    """The moment a version was replaced, by every clock there is: ours, the store's and the issuer's.

    by: the id of the rotation that replaced it; empty when that was seen only afterwards.
    """

    by: str
    local: Instant
    store: datetime | None
    issuer: datetime | None


@dataclass(frozen=True, slots=True)
class Version:
    """One issued version of a credential: key id, validity window, never the value.

    store_version: the version of the consumer document that carries or carried it. retire_after: when its grace should
    end by the wall clock; whether it has ended is asked of `displaced`.
    """

    credential: str
    key_id: str
    state: VersionState
    origin: Origin
    created_at: datetime | None = None
    expires_at: datetime | None = None
    tag: str | None = None
    rotation_id: str | None = None
    store_version: int | None = None
    promoted_at: datetime | None = None
    displaced: Displacement | None = None
    retire_after: datetime | None = None
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CredentialState:
    """What the ledger remembers of a credential beside its versions and rotations.

    failures: attempts in a row that failed; cause: the code of the last failure; same_cause: how often in a row it was
    that one. not_before: no new attempt earlier. wake_at: nothing can be due earlier, so a tick need not look; None:
    look at the next one. alerted_at: the last threshold before an expiry that people were told of. procedure: what the
    issuer's list said of it; None: nothing, and the configuration's holds.
    """

    name: str
    binding: Binding
    provider: str
    kind: str
    client_id: str | None = None
    paused_at: datetime | None = None
    parked: Trouble | None = None
    error: Trouble | None = None
    failures: int = 0
    cause: str | None = None
    same_cause: int = 0
    not_before: datetime | None = None
    proved_at: datetime | None = None
    control_at: datetime | None = None
    wake_at: datetime | None = None
    alerted_at: datetime | None = None
    forgotten_at: datetime | None = None
    procedure: Procedure | None = None


WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asked for a rotation; kept until a rotation has answered it, so that a crash does not forget it.

    answered_by: the rotation, or `WITHDRAWN`; None while it is open.
    """

    id: str
    credential: str
    actor: str
    note: str
    at: datetime
    emergency: bool = False
    answered_by: str | None = None


class Act(StrEnum):
    """The mutating calls that are written down before they are made."""

    CREATE = "create"
    STAGE = "stage"
    PROMOTE = "promote"
    RETIRE = "retire"


@dataclass(frozen=True, slots=True)
class Intent:
    """A mutating call that is about to be made. outcome None or UNKNOWN: recovery must find out what became of it.

    expected: the version of the document that a check-and-set write expects.
    """

    id: str
    credential: str
    act: Act
    sent: Instant
    rotation_id: str | None = None
    tag: str | None = None
    key_id: str | None = None
    attempt: int = 0
    expected: int | None = None
    outcome: Outcome | None = None
