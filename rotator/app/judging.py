"""`rotator verify` and `rotator orphans`: ask issuers and token endpoints how things stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rotator.app.house import House
from rotator.app.results import Item, Trouble


@dataclass(frozen=True, slots=True)
class Verified:
    """items: kind `VerificationList`, one a credential."""

    items: tuple[Item, ...]
    troubles: tuple[Trouble, ...]
    exit_status: int


@dataclass(frozen=True, slots=True)
class Orphaned:
    """items: kind `OrphanList`, every version at the issuers, `class` tells them apart. retired: key ids removed."""

    items: tuple[Item, ...]
    retired: tuple[str, ...]
    troubles: tuple[Trouble, ...]
    exit_status: int


def verify(house: House, names: Sequence[str]) -> Verified:
    """Prove the current version of these credentials now. Changes nothing. Raises UsageFault (2)."""
    raise NotImplementedError


def orphans(house: House, *, retire: bool = False, check: bool = False) -> Orphaned:
    """List the versions at the issuers. retire: remove our orphans. check: exit status 1 if there are any."""
    raise NotImplementedError
