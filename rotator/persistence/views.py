"""Questions to the state: what is tracked, under way, unsettled, known. It changes nothing.

Every answer is one short transaction; a walk over all credentials is one for each page, so that no writer waits for the
caller's work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Executable, Select, bindparam, func, select, text
from sqlalchemy.dialects import sqlite

from rotator.model import (
    Act,
    Intent,
    Request,
    Rotation,
    Sighting,
    Step,
    Version,
    VersionState,
)
from rotator.persistence import rows, tables
from rotator.persistence.database import Asking
from rotator.persistence.faults import understood
from rotator.persistence.rows import Row
from rotator.ports import Tracked

T = TypeVar("T")

PAGE: Final = 1000
"""So many credentials are read in one transaction: some ten milliseconds."""

_LIVING: Final = "state NOT IN ('retired', 'abandoned', 'left')"
_FINISHED: Final = "phase IN ('promoted', 'abandoned')"


@dataclass(frozen=True, slots=True)
class Told:
    """One rotation of a credential's history, with its steps in order."""

    rotation: Rotation
    steps: tuple[Step, ...]


class _Questions(NamedTuple):
    """What is asked about the credentials of one page, in plain SQL: a walk over all of them leaves out SQLAlchemy."""

    states: str
    versions: str
    unfinished: str
    last: str
    requests: str


def _questions(
    which: Callable[[ColumnElement[str]], ColumnElement[bool]], states: Select[Any], end: str = ""
) -> _Questions:
    """Return the questions for the credentials that `which` picks out of a column with their names."""
    versions, rotations, requests = tables.versions, tables.rotations, tables.requests
    newest = select(func.max(rotations.c.n)).where(which(rotations.c.credential), text(_FINISHED))
    dialect = sqlite.dialect(paramstyle="named")
    asked = (
        states,
        select(versions).where(which(versions.c.credential), text(_LIVING)),
        select(rotations).where(which(rotations.c.credential), text(tables.UNFINISHED)),
        select(rotations).where(rotations.c.n.in_(newest.group_by(rotations.c.credential).correlate(None))),
        select(requests).where(which(requests.c.credential), text(tables.UNANSWERED)).order_by(requests.c.n.desc()),
    )
    first, *others = (str(one.compile(dialect=dialect)) for one in asked)
    return _Questions(first + end, *others)


def _between(column: ColumnElement[str]) -> ColumnElement[bool]:
    return column.between(bindparam("first"), bindparam("last"))


def _among(column: ColumnElement[str]) -> ColumnElement[bool]:
    given = func.json_each(bindparam("names")).table_valued("value")
    return column.in_(select(given.c.value))


_STATES: Final = select(tables.credentials).order_by(tables.credentials.c.name)
_OF_RANGE: Final = _questions(_between, _STATES.where(tables.credentials.c.name > bindparam("after")), " LIMIT :page")
_OF_NAMES: Final = _questions(_among, _STATES.where(_among(tables.credentials.c.name)))


class Views(Asking):
    """What the state knows, by question. Safe for use from several threads."""

    # ------------------------------------------------------------------------------------------ what is planned from

    def tracked(self, name: str) -> Tracked | None:
        """Return all about one credential, or None when it was never seen."""
        return next(iter(self._page_of([name])), None)

    def every(self, names: Collection[str] | None = None) -> Iterator[Tracked]:
        """Yield all about every credential, or about those of `names` that are known, by name."""
        if names is None:
            after = ""
            while page := self._page_after(after):
                yield from page
                after = page[-1].state.name
            return
        wanted = sorted(set(names))
        for start in range(0, len(wanted), PAGE):
            yield from self._page_of(wanted[start : start + PAGE])

    def names(self) -> tuple[str, ...]:
        """Return the names of all credentials that were ever seen, in order."""
        column = tables.credentials.c.name
        statement = select(column).where(column > bindparam("after")).order_by(column).limit(10 * PAGE)
        found = [""]
        while page := self._database.rows((statement, {"after": found[-1]}))[0]:
            found.extend(name for (name,) in page)
        return tuple(found[1:])

    def _page_after(self, name: str) -> list[Tracked]:
        with self._database.plainly() as connection:
            states = connection.execute(_OF_RANGE.states, {"after": name, "page": PAGE}).fetchall()
            if not states:
                return []
            span = {"first": states[0][0], "last": states[-1][0]}
            answers = [connection.execute(question, span).fetchall() for question in _OF_RANGE[1:]]
        return self._joined(states, *answers)

    def _page_of(self, names: Sequence[str]) -> list[Tracked]:
        given = {"names": json.dumps(names)}
        with self._database.plainly() as connection:
            answers = [connection.execute(question, given).fetchall() for question in _OF_NAMES]
        return self._joined(*answers)

    def _joined(
        self,
        states: Sequence[Row],
        versions: Sequence[Row],
        unfinished: Sequence[Row],
        finished: Sequence[Row],
        requests: Sequence[Row],
    ) -> list[Tracked]:
        with understood(self._database.path):
            living = _by_credential(versions)
            under_way = {one.credential: one for one in map(rows.rotation_of, unfinished)}
            last = {one.credential: one for one in map(rows.rotation_of, finished)}
            asked = {one.credential: one for one in map(rows.request_of, requests)}  # the oldest comes last
            return [
                Tracked(
                    rows.state_of(row),
                    living.get(row[0], ()),
                    under_way.get(row[0]),
                    last.get(row[0]),
                    asked.get(row[0]),
                )
                for row in states
            ]

    # --------------------------------------------------------------------------------------------- what recovery asks

    def rotation(self, rotation_id: str) -> Rotation | None:
        """Return one rotation, finished or not."""
        found = self._ask(select(tables.rotations).where(tables.rotations.c.id == rotation_id))
        return next(iter(self._built(rows.rotation_of, found)), None)

    def unsettled(self, credential: str) -> tuple[Intent, ...]:
        """Return the intents whose outcome is missing or unknown, oldest first."""
        table = tables.intents
        statement = select(table).where(table.c.credential == credential, text(f"({tables.UNSETTLED})"))
        return self._built(rows.intent_of, self._ask(statement.order_by(table.c.n)))

    def known_key_ids(self, credential: str, retired_since: datetime) -> frozenset[str]:
        """Return every key id that any row names, except versions retired or abandoned before `retired_since`.

        What is only named by the intent to retire it is not known by that: an orphan is retired by its key id, too.
        """
        versions, rotations, intents = tables.versions, tables.rotations, tables.intents
        ended = versions.c.state.in_((VersionState.RETIRED.value, VersionState.ABANDONED.value))
        over = func.coalesce(ended & (versions.c.retired_at < rows.micros(retired_since)), 0)
        recorded, rotated, intended = self._database.rows(
            (select(versions.c.key_id, over).where(versions.c.credential == credential), {}),
            (select(rotations.c.key_id, rotations.c.old_key_ids).where(rotations.c.credential == credential), {}),
            (
                select(intents.c.key_id).where(
                    intents.c.credential == credential, intents.c.act != Act.RETIRE.value, intents.c.key_id.is_not(None)
                ),
                {},
            ),
        )
        known = {key_id for key_id, _ in recorded} | {key_id for (key_id,) in intended}
        with understood(self._database.path):
            for key_id, old in rotated:
                known.update(json.loads(old))
                known.add(key_id)
        return frozenset(known - {key_id for key_id, is_over in recorded if is_over} - {None})

    def creations_since(self, credential: str, since: datetime) -> int:
        """Count the creations intended since then, whatever became of them."""
        table = tables.intents
        statement = select(func.count()).where(
            table.c.credential == credential, table.c.act == Act.CREATE.value, table.c.sent_wall >= rows.micros(since)
        )
        return int(self._ask(statement)[0][0])

    def next_seq(self, credential: str) -> int:
        """Return the number of the next rotation of this credential, from 1."""
        table = tables.rotations
        return 1 + int(self._ask(select(func.max(table.c.seq)).where(table.c.credential == credential))[0][0] or 0)

    def sightings(self, credential: str) -> tuple[Sighting, ...]:
        """Return the versions seen that nothing names."""
        table = tables.sightings
        statement = select(table).where(table.c.credential == credential).order_by(table.c.key_id)
        return self._built(rows.sighting_of, self._ask(statement))

    def ailing(self, provider: str) -> Mapping[str, str]:
        """Return the credentials of a provider whose last proof was refused, with the code; empty after a success."""
        table = tables.proofs_seen
        found = self._ask(select(table.c.credential, table.c.code).where(table.c.provider == provider))
        return {row[0]: row[1] for row in found}

    # --------------------------------------------------------------------------------------------- what people ask

    def rotations(self, credential: str, limit: int = 20) -> tuple[Told, ...]:
        """Return the rotations of a credential, newest first, with their steps."""
        table, steps = tables.rotations, tables.steps
        newest = (
            select(table).where(table.c.credential == credential).order_by(table.c.n.desc()).limit(bindparam("limit"))
        )
        given = {"limit": limit}
        chosen = newest.subquery()
        found, told = self._database.rows(
            (newest, given),
            (select(steps).where(steps.c.rotation_id.in_(select(chosen.c.id))).order_by(steps.c.n), given),
        )
        with understood(self._database.path):
            of_rotation: dict[str, list[Step]] = {}
            for step in map(rows.step_of, told):
                of_rotation.setdefault(step.rotation_id, []).append(step)
            return tuple(Told(one, tuple(of_rotation.get(one.id, ()))) for one in map(rows.rotation_of, found))

    def requests_open(self, credential: str) -> tuple[Request, ...]:
        """Return the unanswered requests for a credential, oldest first."""
        table = tables.requests
        statement = select(table).where(table.c.credential == credential, text(tables.UNANSWERED)).order_by(table.c.n)
        return self._built(rows.request_of, self._ask(statement))

    def versions(self, credential: str) -> tuple[Version, ...]:
        """Return every version of a credential that was ever recorded, those that are gone too, oldest first."""
        table = tables.versions
        found = self._built(rows.version_of, self._ask(select(table).where(table.c.credential == credential)))
        return tuple(sorted(found, key=age_order))

    def _ask(self, statement: Executable) -> Sequence[Row]:
        return self._database.rows((statement, {}))[0]

    def _built(self, build: Callable[[Row], T], found: Sequence[Row]) -> tuple[T, ...]:
        with understood(self._database.path):
            return tuple(map(build, found))


def age_order(version: Version) -> tuple[bool, datetime | None, str]:
    """Return by what versions are put in order: the oldest first, and before it what nobody knows the age of."""
    return version.created_at is not None, version.created_at, version.key_id


def _by_credential(found: Sequence[Row]) -> dict[str, tuple[Version, ...]]:
    """Return the versions of each credential, in order of age; nearly always there is one."""
    together: dict[str, tuple[Version, ...]] = {}
    for version in map(rows.version_of, found):
        others = together.get(version.credential)
        together[version.credential] = (version,) if others is None else (*others, version)
    return {
        name: versions if len(versions) == 1 else tuple(sorted(versions, key=age_order))
        for name, versions in together.items()
    }
