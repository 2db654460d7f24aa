"""`rotator plan`: what will happen, when and why. Reads the state without a lock, contacts nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rotator.app.house import House
from rotator.app.results import Item, Remark
from rotator.forecast import Forecast

NINETY_DAYS = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Timeline:
    """One credential's forecast, for a picture: `forecast.spans` and `forecast.dues`."""

    name: str
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class Planned:
    """items: kind `PlanList`, by time. remarks: credentials for which nothing is planned, and why."""

    items: tuple[Item, ...]
    timelines: tuple[Timeline, ...]
    remarks: tuple[Remark, ...]
    start: datetime
    until: datetime
    exit_status: int = 0


def plan(house: House, names: Sequence[str] = (), *, span: timedelta = NINETY_DAYS) -> Planned:
    """Return what is planned within `span` for these credentials, or for all."""
    raise NotImplementedError
