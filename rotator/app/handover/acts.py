"""The closed table of what may be handed to a daemon: a name, and what is called. Nothing else runs there.

Parameters are texts, times, truth values and lists of texts; each act takes its own by name, and Python refuses others.
The value of an intake crosses the socket as a text, and is nothing else anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from rotator.app import adopting, auditing, checking, intake, items, judging, keeping, pruning, reading
from rotator.app.house import House
from rotator.app.keeping import Ended, Farewell, Kept
from rotator.app.results import Rotated, Trouble, status_of_asked
from rotator.app.rotating import Wish, rotate
from rotator.errors import Busy
from rotator.kit import Interrupted
from rotator.model import Credential, RotationOutcome
from rotator.secret import Secret

Act = Callable[..., object]

_PAUSE: Final = timedelta(milliseconds=250)


def _rotate(house: House, **wish: Any) -> Rotated:
    return rotate(house, Wish(**{**wish, "names": tuple(wish["names"])}))


def _retire(house: House, name: str, key_id: str | None) -> Ended:
    with house.reserved(house.chosen([name])):
        return keeping.retire(house, name, key_id=key_id)


def _verify(house: House, names: list[str]) -> judging.Verified:
    with house.reserved(house.chosen(names)):
        return judging.verify(house, names)


def _orphans(house: House, *, retire: bool, check: bool) -> judging.Orphaned:
    with house.reserved(house.chosen() if retire else ()):
        return judging.orphans(house, retire=retire, check=check)


def _check(house: House, *, offline: bool) -> checking.Checked:
    return checking.check(house, offline=offline)


def _pause(house: House, names: list[str], *, everything: bool, note: str) -> Kept:
    with house.reserved(house.chosen(names, everything=everything)):
        return keeping.pause(house, names, everything=everything, note=note)


def _resume(house: House, names: list[str], *, note: str) -> Kept:
    with house.reserved(house.chosen(names)):
        return keeping.resume(house, names, note=note)


def _forget(house: House, name: str, how: str) -> Kept:
    with house.reserved(one for one in house.config.models if one.name == name):
        return keeping.forget(house, name, Farewell(how))


def _accept(house: House, reason: str) -> auditing.Records:
    return auditing.audit_accept(house, reason)


def _prune(house: House, before: datetime, out: str) -> pruning.Pruned:
    return pruning.prune(house, before, Path(out))


def _intake(
    house: House,
    name: str,
    value: str,
    client_id: str | None,
    issued_at: datetime | None,
    expires_at: datetime | None,
    note: str,
) -> Rotated:
    given = intake.Given(Secret(value), client_id, issued_at, expires_at)
    with house.reserved(house.chosen([name])):
        return intake.intake(house, name, given, note=note)


def _adopt(house: House, name: str, key_id: str | None, issued_at: datetime | None) -> Rotated:
    with house.reserved(house.chosen([name])):
        return adopting.adopt(house, name, key_id, issued_at)


def _fetch(house: House, name: str, field: str, where: str) -> reading.Fetched:
    return reading.fetch(house, name, field, where)


def _follow(house: House, names: list[str], since: str) -> Rotated:
    """Answer for rotations that were asked for before the daemon was restarted: wait until they are over."""
    begun = datetime.fromisoformat(since)
    chosen = house.chosen(names)
    while any(_under_way(house, one) for one in chosen):
        if house.clock.wait(_PAUSE, house.stop):
            raise Interrupted
    return _told(house, chosen, begun)


def _under_way(house: House, credential: Credential) -> bool:
    tracked = house.ledger().tracked(credential.name)
    waits = tracked is not None and (tracked.state.parked is not None or tracked.state.not_before is not None)
    return tracked is not None and not waits and (tracked.request is not None or tracked.rotation is not None)


def _told(house: House, chosen: Iterable[Credential], begun: datetime) -> Rotated:
    found, troubles, statuses = [], [], []
    ledger = house.ledger()
    for credential in chosen:
        tracked = ledger.tracked(credential.name)
        last = tracked.last if tracked is not None else None
        ours = last if last is not None and last.finished_at is not None and last.finished_at >= begun else None
        item = items.rotation(credential.name, ours, credential.path)
        if ours is None:
            item = {**item, "outcome": RotationOutcome.SKIPPED.value}
        trouble = (tracked.state.parked or tracked.state.error) if tracked is not None else None
        if ours is None and trouble is not None:
            hint = trouble.hint
            troubles.append(Trouble(credential.name, Busy(trouble.message, hint=hint, code=trouble.code)))
        statuses.append(int(ours is None or ours.outcome not in (RotationOutcome.PROMOTED, RotationOutcome.RETIRED)))
        found.append(item)
    places = {one.name: house.place(one) for one in chosen}
    return Rotated(tuple(found), (), tuple(troubles), places, status_of_asked(statuses))


ACTS: Final[Mapping[str, Act]] = MappingProxyType(
    {
        "rotate": _rotate,
        "follow": _follow,
        "retire": _retire,
        "verify": _verify,
        "orphans": _orphans,
        "check": _check,
        "pause": _pause,
        "resume": _resume,
        "forget": _forget,
        "accept": _accept,
        "prune": _prune,
        "fetch": _fetch,
        "intake": _intake,
        "adopt": _adopt,
    }
)
"""By the name under which an act travels."""
