"""`rotator check`: would it work tonight? Looks at everything that a rotation would touch, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.app.house import House
from rotator.app.results import Item
from rotator.model import Finding


@dataclass(frozen=True, slots=True)
class Checked:
    """items: kind `CheckList`, one for each of `findings`, in the same order."""

    items: tuple[Item, ...]
    findings: tuple[Finding, ...]
    exit_status: int


def check(house: House, *, offline: bool = False) -> Checked:
    """Look at configuration, secrets, state, stores, providers, token endpoints and current versions.

    offline: only at what is on this machine. Raises nothing for what is wrong: that is a finding.
    """
    raise NotImplementedError
