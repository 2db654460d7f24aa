"""`rotator rotate`: one full pass in the foreground, or a rotation that somebody asks for now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rotator.app.house import House
from rotator.app.results import Item, Remark, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for. names, labels, everything: which credentials; at most one of the three.

    now: due or not. note: `--reason`. dry_run: say what would be done, change nothing. emergency: skip the grace.
    """

    names: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    everything: bool = False
    now: bool = False
    note: str = ""
    dry_run: bool = False
    emergency: bool = False


@dataclass(frozen=True, slots=True)
class Rotated:
    """items: kind `RotationList`, one a credential, in the order of the configuration.

    remarks: for a planned one what would be done, for a promoted one when the old secret ends, for the rest what to do.
    troubles: why credentials did not go on. places: where consumers read each credential, as people say it.
    """

    items: tuple[Item, ...]
    remarks: tuple[Remark, ...]
    troubles: tuple[Trouble, ...]
    places: Mapping[str, str]
    exit_status: int


def rotate(house: House, wish: Wish) -> Rotated:
    """Rotate what is due, or what is asked for now.

    Waits up to 60 s for a throttled vendor, then 75. Raises UsageFault (2), Misconfigured (78) before anything is
    contacted, Busy (75), StateUnusable (1).
    """
    raise NotImplementedError
