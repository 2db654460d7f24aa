"""What the record says happened: names, and how the calls that change something outside went. No value, no clock.

The names are facts in the past tense, the same in the audit log, the service's log, webhooks and metric labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EventName(StrEnum):
    """Past-tense facts; the same name in audit, log, webhook and metric label."""

    DAEMON_STARTED = "daemon.started"
    DAEMON_STOPPED = "daemon.stopped"
    CONFIG_LOADED = "config.loaded"
    CONFIG_REFUSED = "config.refused"
    REQUEST_RECEIVED = "request.received"
    ROTATION_STARTED = "rotation.started"
    VERSION_CREATED = "version.created"
    VERSION_STAGED = "version.staged"
    VERSION_PROVED = "version.proved"
    VERSION_PROMOTED = "version.promoted"
    VERSION_RETIRED = "version.retired"
    CREDENTIAL_EXPIRING = "credential.expiring"
    CREDENTIAL_EXPIRED = "credential.expired"
    ROTATION_FINISHED = "rotation.finished"
    ROTATION_ABANDONED = "rotation.abandoned"
    ROTATION_PARKED = "rotation.parked"
    ROTATION_RESUMED = "rotation.resumed"
    INTAKE_RECEIVED = "intake.received"
    CREDENTIAL_ADOPTED = "credential.adopted"
    ORPHAN_FOUND = "orphan.found"
    ORPHAN_RETIRED = "orphan.retired"
    DRIFT_FOUND = "drift.found"
    SECRET_READ = "secret.read"
    CREDENTIAL_FORGOTTEN = "credential.forgotten"
    STATE_REBUILT = "state.rebuilt"
    AUDIT_ACCEPTED = "audit.accepted"
    NOTIFICATION_SENT = "notification.sent"
    NOTIFICATION_FAILED = "notification.failed"
    AUDIT_CHECKPOINT = "audit.checkpoint"


class Outcome(StrEnum):
    """How a mutating call went, as its two audit records say it."""

    INTENDED = "intended"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"  # definitely not done
    UNKNOWN = "unknown"  # perhaps done, perhaps a little later


@dataclass(frozen=True, slots=True)
class Event:
    """One fact for the audit log; the ledger adds seq, time and the links of the chain. detail: a short sentence."""

    event: EventName
    actor: str
    credential: str | None = None
    rotation_id: str | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    key_id: str | None = None
    store_path: str | None = None
    store_version: int | None = None
    request_id: str | None = None
    detail: str | None = None
