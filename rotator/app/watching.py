"""`rotator status` and `rotator history`: read the state without a lock; open no store and no provider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rotator.app.house import House
from rotator.app.results import Item, Remark


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


def status(house: House, names: Sequence[str] = (), *, check: bool = False) -> Watched:
    """Return how credentials are doing. check: exit status 1 if any is parked, expired, or has an error.

    Raises UsageFault (2) for a name that neither configuration nor state knows.
    """
    raise NotImplementedError


def history(house: House, name: str, *, limit: int = 50) -> Told:
    """Return the rotations of one credential with their steps. Raises UsageFault (2) for an unknown name."""
    raise NotImplementedError
