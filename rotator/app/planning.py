"""`rotator plan`: what will happen, when and why. Reads the state without a lock, contacts nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rotator.app import items
from rotator.app.house import House
from rotator.app.results import Item, Remark
from rotator.due import Due
from rotator.forecast import Forecast, project
from rotator.planner import known_as, why_idle
from rotator.ports import Tracked
from rotator.timing import plus

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
    """Return what is planned within `span` for these credentials, or for all. Raises UsageFault (2)."""
    now = house.clock.now()
    until = plus(now, span)
    chosen = house.chosen(names)
    known = known_to(house, names)
    dues: list[Due] = []
    timelines: list[Timeline] = []
    remarks: list[Remark] = []
    for credential in chosen:
        tracked = known.get(credential.name)
        forecast = project(credential, tracked, now, until, house.config.service.jitter)
        dues.extend(forecast.dues)
        timelines.append(Timeline(credential.name, forecast))
        idle = why_idle(tracked) if tracked is not None else None
        if idle is not None:
            remarks.append(Remark(credential.name, idle))
        elif forecast.until < until:
            remarks.append(Remark(credential.name, f"more happens than is shown here, after {forecast.until:%Y-%m-%d}"))
    dues.sort(key=lambda due: (due.at, due.name))
    return Planned(tuple(items.plan(due) for due in dues), tuple(timelines), tuple(remarks), now, until)


def known_to(house: House, names: Sequence[str] = ()) -> Mapping[str, Tracked]:
    """Return what the state knows of these credentials, or of all; nothing where there is no state yet.

    A name that was forgotten, and that the configuration uses for something else now, is not known.
    """
    reader = house.reader()
    if reader is None:
        return {}
    known = {one.state.name: one for one in reader.every(names or None)}
    for credential in house.config.models if any(one.state.forgotten_at for one in known.values()) else ():
        if known_as(credential, known.get(credential.name)) is None:
            known.pop(credential.name, None)
    return known
