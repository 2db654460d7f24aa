"""`rotator pause`, `resume`, `retire` and `forget`: what persons decide about a credential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from rotator.app.house import House
from rotator.app.results import Item


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
    """Stop scheduling these credentials; alerts go on. Raises UsageFault (2)."""
    raise NotImplementedError


def resume(house: House, names: Sequence[str], *, note: str = "") -> Kept:
    """Let parked or paused credentials go on; what stands in the store is accepted as it is. Raises UsageFault (2)."""
    raise NotImplementedError


def retire(house: House, name: str, *, key_id: str | None = None) -> Ended:
    """Retire the previous versions of a credential, or one of them, now, after a proof of the current one."""
    raise NotImplementedError


def forget(house: House, name: str, how: Farewell) -> Kept:
    """End the management of a credential, also of one that has left the configuration (with LEAVE only)."""
    raise NotImplementedError
