"""`rotator status` and `rotator history`: read the state without a lock; open no store and no provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rotator.app import items
from rotator.app.chainwatch import remark_on_the_chain
from rotator.app.choosing import unknown_name
from rotator.app.house import House
from rotator.app.mirroring import remarks_on_mirrors
from rotator.app.notifying import remarks_on_receivers
from rotator.app.planning import known_to
from rotator.app.results import Item, Remark
from rotator.app.standing import brakes
from rotator.model import Credential, CredentialState
from rotator.outlook import Outlook, State, outlook
from rotator.planner import retry_at, why_idle
from rotator.ports import Tracked
from rotator.timing import spell_moment

_ALARMING = (State.PARKED, State.EXPIRED)


@dataclass(frozen=True, slots=True)
class Watched:
    """items: kind `StatusList`, in the order of the configuration, then what has left it.

    remarks: what people must know or do, for the lines below the table.
    """

    items: tuple[Item, ...]
    remarks: tuple[Remark, ...]
    exit_status: int


@dataclass(frozen=True, slots=True)
class Told:
    """items: kind `HistoryList`, the newest rotation first."""

    items: tuple[Item, ...]
    exit_status: int = 0


@dataclass(frozen=True, slots=True)
class _Sight:
    """One credential as configuration and state know it; at least one of the two does."""

    credential: Credential | None
    tracked: Tracked | None
    seen: Outlook

    @property
    def state(self) -> CredentialState | None:
        return self.tracked.state if self.tracked is not None else None

    @property
    def alarming(self) -> bool:
        state = self.state
        return self.seen.state in _ALARMING or (state is not None and state.error is not None)


def status(house: House, names: Sequence[str] = (), *, check: bool = False) -> Watched:
    """Return how credentials are doing. check: exit status 1 if any is parked, expired, or has an error.

    Raises UsageFault (2) for a name that neither configuration nor state knows.
    """
    sights = list(_sights(house, names, known_to(house, names)))
    return Watched(
        tuple(items.status(one.credential, one.state, one.tracked, one.seen) for one in sights),
        (
            *_of_the_record(house),
            *_of_brakes(house),
            *(remark for one in sights for remark in _remarks(house, one)),
        ),
        int(check and any(one.alarming for one in sights)),
    )


def _sights(house: House, names: Sequence[str], known: Mapping[str, Tracked]) -> Iterator[_Sight]:
    now, jitter, configured = house.clock.now(), house.config.service.jitter, house.config.named
    for name in names:
        if name not in configured and name not in known:
            raise unknown_name(name, [*configured, *known], house.config.path)
    for credential in house.config.models:
        if not names or credential.name in names:
            tracked = known.get(credential.name)
            yield _Sight(credential, tracked, outlook(credential, tracked, now, jitter))
    for name, tracked in known.items():
        # What was forgotten and has left the configuration is history, unless somebody asks for it.
        if name not in configured and (name in names or tracked.state.forgotten_at is None):
            yield _Sight(None, tracked, outlook(None, tracked, now))


def _remarks(house: House, sight: _Sight) -> Iterator[Remark]:
    state = sight.state
    if state is None:
        return
    if sight.credential is None and state.forgotten_at is None:
        hint = f"Put it back, or end its management: rotator forget {state.name} --leave"
        yield Remark(state.name, "it is no longer in the configuration, and nothing is done for it", hint)
    trouble = state.parked or state.error
    if trouble is not None:
        until = retry_at(sight.tracked, house.clock.now()) if sight.tracked is not None else None
        again = f" The next attempt is made after {spell_moment(until)}." if until and state.parked is None else ""
        yield Remark(state.name, _sentence(trouble.message) + again if again else trouble.message, trouble.hint)
    elif sight.credential is not None and sight.tracked is not None:
        idle = why_idle(sight.tracked)
        if idle is not None:
            yield Remark(state.name, idle)


def _of_the_record(house: House) -> tuple[Remark, ...]:
    """Return what to say of the audit chain and its copies: nothing, unless something is wrong with them."""
    remark = remark_on_the_chain(house.reader())
    return (
        *(() if remark is None else (remark,)),
        *remarks_on_mirrors(house, house.reader()),
        *remarks_on_receivers(house, house.reader()),
    )


def _of_brakes(house: House) -> Iterator[Remark]:
    for on in brakes(house):
        yield Remark(on.provider, on.message, on.hint)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "…", "!", "?")) else f"{text}."


def history(house: House, name: str, *, limit: int = 50) -> Told:
    """Return the rotations of one credential with their steps. Raises UsageFault (2) for an unknown name."""
    reader, credential = house.reader(), house.config.named.get(name)
    tracked = reader.tracked(name) if reader is not None else None
    if credential is None and tracked is None:
        raise unknown_name(name, house.config.named, house.config.path)
    path = credential.store.path if credential is not None else None
    if path is None and tracked is not None:
        path = tracked.state.binding.store_path.partition(":")[2]
    found = reader.rotations(name, limit) if reader is not None else ()
    return Told(tuple(items.history(one.rotation, one.steps, path) for one in found))
