"""What is measured on: configurations of any size, and ledgers that look as after a year. It contacts nobody.

Ledgers are filled by whole tables past the `Ledger` port: a hundred thousand credentials, one synchronised transaction
after the other, would take longer than all that is measured.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from rotator.chain import ZEROS, record_of
from rotator.clock import Instant, SystemClock
from rotator.event import Event, EventName, Outcome
from rotator.model import (
    Act,
    Credential,
    CredentialState,
    Displacement,
    Intent,
    Origin,
    Phase,
    Policy,
    ProofPlan,
    Reason,
    Request,
    Rotation,
    RotationOutcome,
    Trouble,
    Version,
    VersionState,
)
from rotator.persistence import rows, tables
from rotator.persistence.ledger import SqlLedger

DAY: Final = timedelta(days=1)
POLICY: Final = Policy(90 * DAY, 30 * DAY, DAY)
NOW: Final = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ROTATED: Final = 4
"""So often was each credential rotated: with 60 days between two, nearly a year ago."""
_BETWEEN: Final = 60 * DAY
_BATCH: Final = 5000


def credential(number: int) -> Credential:
    """Return a credential as the configuration would say it."""
    name = f"partner-{number:06d}-prod"
    return Credential(
        name=name,
        provider="contoso",
        kind="entra",
        issuer="https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555",
        application=_guid("application", number),
        client_id=_guid("application", number),
        store="vault",
        path=f"partners/{name}",
        policy=POLICY,
        proof=ProofPlan(),
        scope="api://partner/.default",
        owner="integration-team@example.com",
        labels={"env": "prod", "partner": name},
    )


def fill(database: Path, many: int, now: datetime = NOW) -> None:
    """Make a ledger of so many credentials with `ROTATED` rotations each: versions, intents, and a few in trouble."""
    with SqlLedger(database, SystemClock()) as ledger, ledger._database.writing() as connection:
        for numbers in _batches(0, many):
            found: dict[type, list[dict[str, Any]]] = {}
            for number in numbers:
                for thing in _life(number, now):
                    found.setdefault(type(thing), []).append(rows.cells_of(thing))
            for kind, cells in found.items():
                connection.execute(tables.metadata.tables[rows.home_of(kind)[0]].insert(), cells)


def fill_audit(database: Path, many: int, credentials: int = 1000) -> None:
    """Make a state with so many audit records, a second apart, as rotations of so many credentials leave them."""
    with SqlLedger(database, SystemClock()) as ledger, ledger._database.writing() as connection:
        before, began = ZEROS, NOW - timedelta(seconds=many)
        for numbers in _batches(1, many + 1):
            cells = []
            for seq in numbers:
                at = began + timedelta(seconds=seq)
                record = record_of(_event(seq, credentials), seq, at, before)
                before = str(record["hash"])
                cells.append(rows.cells_of_record(record, at))
            connection.execute(tables.audit.insert(), cells)
        connection.execute(tables.audit_head.update().values(seq=many, hash=before))


def _batches(first: int, end: int) -> Iterator[range]:
    return (range(start, min(start + _BATCH, end)) for start in range(first, end, _BATCH))


# ------------------------------------------------------------------------------------------------------- one year ago


def _life(number: int, now: datetime) -> Iterator[object]:
    """Yield all rows of one credential: most are calm, some in grace, due, parked, paused, asked for or under way."""
    one = credential(number)
    last = now - _BETWEEN * ((number % 97) / 97)  # they are spread over the time between two rotations
    trouble = Trouble("still_refused", "The new secret was still refused after 40 tries.", "Look at it.", now)
    yield CredentialState(
        one.name,
        one.binding,
        one.provider,
        one.kind,
        one.application,
        paused_at=now if number % 500 == 1 else None,
        parked=trouble if number % 500 == 2 else None,
        error=trouble if number % 500 == 2 else None,
        proved_at=now - timedelta(hours=number % 24),
        control_at=last,
        wake_at=now + timedelta(minutes=number % 60),
    )
    for turn in range(ROTATED):
        yield from _rotation(number, one, turn, last - _BETWEEN * (ROTATED - 1 - turn), now)
    if number % 200 == 3:
        yield Request(_guid("request", number), one.name, "alice", "suspected leak", now)
    if number % 1000 == 4:
        yield Rotation(
            _guid("unfinished", number), one.name, ROTATED + 1, 9, Phase.STAGED, 1, Reason.NEAR_EXPIRY, "rotator", now
        )


def _rotation(number: int, one: Credential, turn: int, at: datetime, now: datetime) -> Iterator[object]:
    rotation, key, tag = _guid("rotation", number, turn), _guid("key", number, turn), f"rotator/i/{one.name}/{turn}/1"
    instant = Instant(at, "boot-1", timedelta(hours=turn))
    yield Rotation(
        rotation,
        one.name,
        turn + 1,
        turn + 1,
        Phase.PROMOTED,
        1,
        Reason.NEAR_EXPIRY if turn else Reason.NEVER_ROTATED,
        "rotator",
        at,
        tag=tag,
        key_id=key,
        old_key_ids=(_guid("key", number, turn - 1),) if turn else (),
        base_version=turn,
        store_version=turn + 1,
        proofs=3,
        outcome=RotationOutcome.PROMOTED,
        finished_at=at + timedelta(minutes=1),
    )
    for act in (Act.CREATE, Act.STAGE, Act.PROMOTE):
        yield Intent(
            _guid(act, number, turn), one.name, act, instant, rotation, tag, key, 1, turn, outcome=Outcome.SUCCEEDED
        )
    state, left = VersionState.CURRENT, {}
    if turn < ROTATED - 1:
        replaced = at + _BETWEEN
        in_grace = replaced + POLICY.grace > now
        state = VersionState.PREVIOUS if in_grace else VersionState.RETIRED
        displaced = Displacement(_guid("rotation", number, turn + 1), _at(instant, replaced), None, replaced)
        left = {"displaced": displaced, "retire_after": replaced + POLICY.grace}
        left["retired_at"] = None if in_grace else replaced + POLICY.grace
    yield Version(
        one.name,
        key,
        state,
        Origin.OURS,
        at,
        at + POLICY.lifetime,
        tag,
        rotation,
        turn + 1,
        at,
        **left,  # type: ignore[arg-type]
    )


def _at(instant: Instant, wall: datetime) -> Instant:
    return Instant(wall, instant.boot_id, instant.since_boot + (wall - instant.wall))


def _event(seq: int, credentials: int) -> Event:
    """Return one of the ten records that a rotation leaves."""
    turn, step = divmod(seq - 1, len(_STORY))
    name, outcome, detail = _STORY[step]
    return Event(
        name,
        "rotator",
        credential=f"partner-{turn % credentials:06d}-prod",
        rotation_id=_guid("rotation", turn),
        outcome=outcome,
        reason=Reason.NEAR_EXPIRY.value,
        key_id=_guid("key", turn) if step > 1 else None,
        store_path=f"kv/partners/partner-{turn % credentials:06d}-prod",
        store_version=turn // credentials + 1,
        request_id=_guid("request", turn) if outcome is Outcome.SUCCEEDED else None,
        detail=detail,
    )


_STORY: Final = (
    (EventName.ROTATION_STARTED, None, "Less than 30 d is left."),
    (EventName.VERSION_CREATED, Outcome.INTENDED, None),
    (EventName.VERSION_CREATED, Outcome.SUCCEEDED, None),
    (EventName.VERSION_STAGED, Outcome.INTENDED, None),
    (EventName.VERSION_STAGED, Outcome.SUCCEEDED, None),
    (EventName.VERSION_PROVED, Outcome.SUCCEEDED, "3 of 3"),
    (EventName.VERSION_PROMOTED, Outcome.INTENDED, None),
    (EventName.VERSION_PROMOTED, Outcome.SUCCEEDED, None),
    (EventName.ROTATION_FINISHED, None, "promoted"),
    (EventName.VERSION_RETIRED, Outcome.SUCCEEDED, None),
)


def _guid(*parts: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(map(str, parts))))


# ------------------------------------------------------------------------------------------------------ configuration

_HEAD = """\
version: 1
state: {{url: "sqlite:///rotator.db"}}
service: {{concurrency: {concurrency}, jitter: 0s}}
stores:
  local: {{kind: embedded, path: secrets, key: "file:store-key"}}
providers:
{providers}
defaults:
  store: {{use: local}}
  verify: {{proofs: 3, spacing: {spacing}, deadline: 2m, scope: "api://kontrolle-provider/.default",
           expect: {{aud: "api://kontrolle-provider", roles: [ProviderApi.Access], min_lifetime: 5m}}}}
  policy: {{lifetime: 30d, rotate_before: 10d, grace: 1d, quarantine: 5s, alert_before: [1d]}}
credentials:
"""

_PROVIDER = """\
  {name}:
    kind: entra
    tenant: {tenant}
    authority: {url}
    graph: {url}/v1.0
    ca_file: {folder}/ca.pem
    auth: {{method: client_secret, client_id: {rotator}, client_secret: "file:{folder}/graph-secret"}}
"""

_ENTRY = """\
  - {{name: {name}, provider: {{use: {provider}, app_id: {app}}}, store: {{path: "partners/{name}"}}}}
"""


def configuration(
    issuers: Mapping[str, Mapping[str, object]], apps: Iterable[tuple[str, str, str]], at_once: int, spacing: str = "0s"
) -> str:
    """Return a `config.yaml`. issuers: provider to url, folder, tenant and rotator; apps: name, provider, app id.

    at_once: the concurrency. spacing: between two proofs, in the words of the configuration.
    """
    providers = "".join(_PROVIDER.format(name=name, **facts) for name, facts in issuers.items()).rstrip("\n")
    entries = "".join(_ENTRY.format(name=name, provider=provider, app=app) for name, provider, app in apps)
    return _HEAD.format(concurrency=at_once, providers=providers, spacing=spacing) + (entries or "  []\n")
