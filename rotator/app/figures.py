"""Gathers the figures of a scrape from the state, in short transactions; it contacts nobody and writes nothing.

Figures of credentials are kept from one scrape to the next, and made anew only where the state has changed or the next
rotation has become due: at 10,000 credentials that is the difference between 0.1 and 0.5 seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import rotator
from rotator.app.house import House
from rotator.app.state import Reader
from rotator.errors import StateUnusable
from rotator.model import Credential
from rotator.persistence.figures import NONE_YET, Last
from rotator.planner import current_version, next_rotation
from rotator.ports import Tracked
from rotator.web.metrics import Condition, Durations, Figures, Watched


@dataclass(frozen=True, slots=True)
class Pulse:
    """What only the daemon knows. last_tick: None before the first. reloaded: the last reload was not refused."""

    last_tick: datetime | None
    reloaded: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """What is kept of one credential. mark: of the state that it was made from. rotates: None when never."""

    mark: int
    serves: bool = False
    parked: bool = False
    expires: datetime | None = None
    rotates: datetime | None = None
    proved: datetime | None = None


class Gatherer:
    """Answers one scrape after another for one configuration; one at a time.

    since: from where on rotations and steps are counted. A daemon counts from its start, as counters do; the file of a
    run that is over has to count all that the records hold, or a rate would see nothing grow.
    """

    def __init__(self, house: House, since: Last = NONE_YET) -> None:
        self._house = house
        self._seen = since
        self._known: dict[str, _Known] = {}
        self._at: datetime | None = None
        self._rotations: Counter[str] = Counter()
        self._steps: dict[str, Durations] = {}

    def moved(self, house: House) -> Gatherer:
        """Return one for another configuration, which goes on counting."""
        other = Gatherer(house, self._seen)
        other._rotations, other._steps = self._rotations, self._steps
        return other

    def gather(self, pulse: Pulse) -> Figures:
        """Return the figures of now. Raises StateUnusable and Busy."""
        house = self._house
        try:
            with house.builder.reader(house.database, house.clock) as reader:
                return self._told(pulse, reader)
        except StateUnusable as error:
            if error.code != "state_missing":
                raise
            return self._figures(pulse, {}, frozenset(), {}, 0)

    def _told(self, pulse: Pulse, reader: Reader) -> Figures:
        self._count(reader)
        known = self._all_known(reader)
        return self._figures(pulse, known, reader.refused(), reader.orphans(), reader.head().seq)

    def _count(self, reader: Reader) -> None:
        """Go on counting from where the records ended at the last scrape."""
        last = reader.last()
        self._rotations.update(reader.finished(self._seen, last))
        for step, seconds in reader.took(self._seen, last):
            self._steps.setdefault(step, Durations()).add(seconds)
        self._seen = last

    def _all_known(self, reader: Reader) -> Mapping[str, _Known]:
        """Return what is known of each credential; those that changed since the last scrape are read anew."""
        now, named = self._house.clock.now(), {one.name: one for one in self._house.config.models}
        if self._at is not None and now < self._at:
            self._known.clear()  # the clock was put back, and what was planned may be planned otherwise
        self._at = now
        marks = {name: mark for name, mark in reader.marks() if name in named}
        stale = [name for name, mark in marks.items() if not self._holds(name, mark, now)]
        for tracked in reader.every(stale) if stale else ():
            name = tracked.state.name
            self._known[name] = self._look(named[name], tracked, marks[name], now)
        self._known = {name: one for name, one in self._known.items() if name in marks}
        return self._known

    def _holds(self, name: str, mark: int, now: datetime) -> bool:
        known = self._known.get(name)
        return known is not None and known.mark == mark and (known.rotates is None or now < known.rotates)

    def _look(self, credential: Credential, tracked: Tracked, mark: int, now: datetime) -> _Known:
        state = tracked.state
        if state.forgotten_at is not None:
            return _Known(mark)
        current = current_version(tracked)
        due = next_rotation(credential, tracked, now, self._house.config.service.jitter)
        return _Known(
            mark,
            serves=current is not None,
            parked=state.parked is not None,
            expires=current.expires_at if current is not None else None,
            rotates=due.at if due is not None else None,
            proved=state.proved_at,
        )

    def _figures(
        self,
        pulse: Pulse,
        known: Mapping[str, _Known],
        refused: frozenset[str],
        orphans: Mapping[str, int],
        records: int,
    ) -> Figures:
        house, now = self._house, self._house.clock.now()
        models: Sequence[Credential] = house.config.models
        astray: Counter[str] = Counter()
        parked: Counter[str] = Counter()
        watched = []
        for one in models:
            seen = known.get(one.name)
            if seen is None:
                watched.append(Watched(one.name, one.provider, 0, 0, 0, Condition.UNKNOWN))
                continue
            parked[one.provider] += seen.parked
            ready = _condition(seen, now, refused=one.name in refused)
            times = _seconds(seen.expires), _seconds(seen.rotates), _seconds(seen.proved)
            watched.append(Watched(one.name, one.provider, *times, ready))
        for one in models if orphans else ():
            astray[one.provider] += orphans.get(one.name, 0)
        return Figures(
            version=rotator.__version__,
            credentials=watched,
            providers=sorted(house.config.providers),
            rotations=self._rotations,
            steps=self._steps,
            calls=house.calls.so_far(),
            orphans=astray,
            parked=parked,
            records=records,
            last_tick=pulse.last_tick,
            reloaded=pulse.reloaded,
        )


def _condition(known: _Known, now: datetime, *, refused: bool) -> Condition:
    if known.parked:
        return Condition.FALSE
    if not known.serves:
        return Condition.UNKNOWN
    expired = known.expires is not None and known.expires <= now
    return Condition.FALSE if refused or expired else Condition.TRUE


def _seconds(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()
