"""`rotator pause`, `resume`, `retire` and `forget`: what persons decide about a credential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from rotator.app import items
from rotator.app.chainwatch import see_that_change_is_allowed
from rotator.app.choosing import unknown_name
from rotator.app.departed import departed, kit_of_departed
from rotator.app.house import House, Use
from rotator.app.results import Item
from rotator.errors import Refused
from rotator.event import Event, EventName
from rotator.model import (
    WITHDRAWN,
    Credential,
    CredentialState,
    RotationOutcome,
    Version,
    VersionState,
)
from rotator.outlook import outlook
from rotator.planner import current_version
from rotator.ports import Ledger, Tracked


class Farewell(Enum):
    """How the management of a credential ends."""

    RETIRE = "retire"  # our versions are retired
    LEAVE = "leave"  # the current one is left to others


@dataclass(frozen=True, slots=True)
class Kept:
    """items: kind `StatusList`, how these credentials stand now. changed: the names for which something changed."""

    items: tuple[Item, ...]
    changed: tuple[str, ...]
    exit_status: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """items: kind `RotationList`, outcome `retired`. key_ids: what was retired."""

    items: tuple[Item, ...]
    key_ids: tuple[str, ...]
    exit_status: int = 0


def pause(house: House, names: Sequence[str], *, everything: bool = False, note: str = "") -> Kept:
    """Stop scheduling these credentials and withdraw what was asked for them; alerts go on. Raises UsageFault (2)."""
    chosen = house.chosen(names, everything=everything)
    ledger, changed = house.ledger(), []
    for credential in chosen:
        tracked = ledger.tracked(credential.name)
        state = tracked.state if tracked is not None else _first_sight(credential)
        withdrawn = [replace(one, answered_by=WITHDRAWN) for one in ledger.requests_open(credential.name)]
        if state.paused_at is not None and not withdrawn:
            continue
        said = [note, *(f"withdraws the rotation that {one.actor} asked for" for one in withdrawn)]
        detail = "; ".join(filter(None, said)) or None
        event = _event(house, EventName.REQUEST_RECEIVED, credential.name, reason="pause", detail=detail)
        ledger.record(event, replace(state, paused_at=state.paused_at or house.clock.now()), *withdrawn)
        changed.append(credential.name)
    return Kept(_standing(house, ledger, chosen), tuple(changed))


def _first_sight(credential: Credential) -> CredentialState:
    return CredentialState(credential.name, credential.binding, credential.provider, credential.kind)


def resume(house: House, names: Sequence[str], *, note: str = "") -> Kept:
    """Let parked or paused credentials go on; what stands in the store is accepted as it is. Raises UsageFault (2)."""
    chosen = house.chosen(names)
    ledger, changed = house.ledger(), []
    for credential in chosen:
        tracked = ledger.tracked(credential.name)
        if tracked is None or not _held_up(tracked.state):
            continue
        freed = replace(
            tracked.state,
            parked=None,
            paused_at=None,
            error=None,
            failures=0,
            cause=None,
            same_cause=0,
            not_before=None,
            wake_at=None,
        )
        event = _event(house, EventName.ROTATION_RESUMED, credential.name, detail=note or None)
        ledger.record(event, freed, *_taken_as_it_is(tracked))
        changed.append(credential.name)
    return Kept(_standing(house, ledger, chosen), tuple(changed))


def _held_up(state: CredentialState) -> bool:
    return any((state.parked, state.paused_at, state.error, state.failures, state.not_before))


def _taken_as_it_is(tracked: Tracked) -> tuple[Version, ...]:
    """Return the current version as one whose place in the store is not known: the next look takes what is there."""
    current = current_version(tracked)
    return () if current is None else (replace(current, store_version=None),)


def retire(house: House, name: str, *, key_id: str | None = None) -> Ended:
    """Retire the previous versions of a credential, or one of them, now, after a proof of the current one."""
    from rotator.by_hand import retire_now

    (credential,) = house.chosen([name])
    see_that_change_is_allowed(house, "retire")
    house.need_secrets([credential])
    started = house.clock.now()
    gone = retire_now(house.kit(credential, Use.CHANGE), key_id)
    item = {
        **items.rotation(name, None, credential.path),
        "outcome": RotationOutcome.RETIRED.value,
        "reason": "requested",
        "old_key_ids": list(gone),
        "started_at": items.moment(started),
        "finished_at": items.moment(house.clock.now()),
    }
    return Ended((item,), gone)


def forget(house: House, name: str, how: Farewell) -> Kept:
    """End the management of a credential, also of one that has left the configuration.

    RETIRE needs its issuer, which must be configured still. Raises UsageFault (2) for a name that neither configuration
    nor state knows, Refused where nothing could remove its versions.
    """
    from rotator.by_hand import Leaving
    from rotator.by_hand import forget as end

    see_that_change_is_allowed(house, "forget")
    credential = next((one for one in house.config.models if one.name == name), None)
    if credential is not None:
        _see_that_it_can_be_done(credential, how)
        house.need_secrets([credential])
        end(house.kit(credential, Use.CHANGE), Leaving(how.value))
        return Kept(_standing(house, house.ledger(), [credential]), (name,))
    ledger = house.ledger()
    tracked = ledger.tracked(name)
    if tracked is None:
        raise unknown_name(name, house.config.named, house.config.path)
    if tracked.state.forgotten_at is not None:
        return Kept(_standing_alone(house, ledger, name), ())
    kit = kit_of_departed(house, tracked.state)
    if kit is not None:
        _see_that_it_can_be_done(kit.credential, how)
        end(kit, Leaving(how.value))
    elif how is Farewell.RETIRE:
        raise departed(name)
    else:
        _forget_here(house, ledger, tracked)
    return Kept(_standing_alone(house, ledger, name), (name,))


def _see_that_it_can_be_done(credential: Credential, how: Farewell) -> None:
    name = credential.name
    if how is Farewell.LEAVE or not (credential.by_hand or credential.procedure.single_slot):
        return
    by_hand = f"The secrets of {name} were made by hand, and no API removes them."
    single = f"The issuer of {name} has a single slot: the secret in it can be replaced, and not removed."
    raise Refused(
        by_hand if credential.by_hand else single,
        hint=f"Remove it at the issuer, then: rotator forget {name} --leave",
        code="made_by_hand" if credential.by_hand else "single_slot",
    )


def _forget_here(house: House, ledger: Ledger, tracked: Tracked) -> None:
    """Forget what has no store any more to say so in. Its versions are left to whoever uses them."""
    detail = "left the configuration together with its store; its versions were left as they are"
    event = _event(house, EventName.CREDENTIAL_FORGOTTEN, tracked.state.name, detail=detail)
    left = tuple(replace(version, state=VersionState.LEFT) for version in tracked.versions)
    ledger.record(event, replace(tracked.state, forgotten_at=house.clock.now()), *left)


def _event(
    house: House, name: EventName, credential: str, *, reason: str | None = None, detail: str | None = None
) -> Event:
    return Event(name, house.actor, credential=credential, reason=reason, detail=detail)


def _standing(house: House, ledger: Ledger, credentials: Sequence[Credential]) -> tuple[Item, ...]:
    now, jitter, found = house.clock.now(), house.config.service.jitter, []
    for credential in credentials:
        tracked = ledger.tracked(credential.name)
        state = tracked.state if tracked is not None else None
        found.append(items.status(credential, state, tracked, outlook(credential, tracked, now, jitter)))
    return tuple(found)


def _standing_alone(house: House, ledger: Ledger, name: str) -> tuple[Item, ...]:
    tracked = ledger.tracked(name)
    assert tracked is not None
    return (items.status(None, tracked.state, tracked, outlook(None, tracked, house.clock.now())),)
