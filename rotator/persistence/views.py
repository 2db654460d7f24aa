"""Questions to the state: what is tracked, under way, unsettled, known. It changes nothing.

Every answer is one short transaction; a walk over all credentials is one for each page, so that no writer waits for the
caller's work. The questions are plain SQL, see `marks`. A `*` is the columns of `tables` in their order: the schema of
a file that fits is this version's, and `make check` compares its migrations with `tables`, places too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from rotator.model import Intent, Request, Rotation, Version
from rotator.notes import Sighting, Step
from rotator.outlook import LONGEST_SLEEP
from rotator.persistence import rows
from rotator.persistence.database import Asking
from rotator.persistence.faults import understood
from rotator.persistence.marks import MANAGED, PARKED, UNANSWERED, UNFINISHED, UNSETTLED
from rotator.persistence.rows import Row
from rotator.ports import Tracked, Waking
from rotator.timing import plus

T = TypeVar("T")

PAGE: Final = 250
"""So many credentials are read in one transaction: some milliseconds, and a walk is a tenth quicker than with 1000."""

_LIVING: Final = "state NOT IN ('retired', 'abandoned', 'left')"
_FINISHED: Final = "phase IN ('promoted', 'abandoned')"
_LAST_FINISHED: Final = (
    "SELECT * FROM rotations WHERE n IN (SELECT max(n) FROM rotations WHERE {which} AND {finished} GROUP BY credential)"
)


@dataclass(frozen=True, slots=True)
class Told:
    """One rotation of a credential's history, with its steps in order."""

    rotation: Rotation
    steps: tuple[Step, ...]


class _Questions(NamedTuple):
    """What is asked about the credentials of one page."""

    states: str
    versions: str
    unfinished: str
    last: str
    requests: str


def _questions(states: str, which: str) -> _Questions:
    """Return the questions for the credentials that a condition on the column `credential` picks."""
    asked = (
        "SELECT * FROM versions WHERE {which} AND {living}",
        "SELECT * FROM rotations WHERE {which} AND {unfinished}",
        _LAST_FINISHED,
        "SELECT * FROM requests WHERE {which} AND {unanswered} ORDER BY n DESC",
    )
    conditions = {"living": _LIVING, "finished": _FINISHED, "unfinished": UNFINISHED, "unanswered": UNANSWERED}
    return _Questions(states, *(one.format(which=which, **conditions) for one in asked))


_OF_RANGE: Final = _questions(
    "SELECT * FROM credentials WHERE name > :after ORDER BY name LIMIT :page", "credential BETWEEN :first AND :last"
)
_OF_NAMES: Final = _questions(
    "SELECT * FROM credentials WHERE name IN (SELECT value FROM json_each(:names)) ORDER BY name",
    "credential IN (SELECT value FROM json_each(:names))",
)

# Nothing from outside is in these two: what is put in stands in `marks`.
_UNSETTLED: Final = f"SELECT * FROM intents WHERE credential = :credential AND ({UNSETTLED}) ORDER BY n"  # noqa: S608
_OPEN: Final = f"SELECT * FROM requests WHERE credential = :credential AND {UNANSWERED} ORDER BY n"  # noqa: S608
_ENDED: Final = (
    "SELECT key_id, coalesce(state IN ('retired', 'abandoned') AND retired_at < :since, 0) FROM versions"
    " WHERE credential = :credential"
)
_ROTATED: Final = "SELECT key_id, old_key_ids FROM rotations WHERE credential = :credential"
_INTENDED: Final = (
    "SELECT key_id FROM intents WHERE credential = :credential AND act <> 'retire' AND key_id IS NOT NULL"
)
_CREATIONS: Final = (
    "SELECT count(DISTINCT coalesce(tag, id)) FROM intents WHERE credential = :credential AND act = 'create'"
    " AND sent_wall >= :since AND outcome IS NOT 'refused'"
)
_MANAGED: Final = f"SELECT name FROM credentials WHERE {MANAGED}"  # noqa: S608
_PARKED: Final = f"SELECT count(*) FROM credentials WHERE {MANAGED} AND {PARKED}"  # noqa: S608
# Three short walks along `ix_credentials_wake`, one after the other, each as far as there is something to be had.
_WAKING: Final = f"""
SELECT name, wake_at,
  NOT EXISTS (SELECT 1 FROM versions WHERE credential = name AND state = 'current')
  AND NOT EXISTS (SELECT 1 FROM rotations WHERE credential = name AND {UNFINISHED}),
  EXISTS (SELECT 1 FROM sightings WHERE credential = name)
FROM (
  SELECT name, wake_at FROM (
    SELECT name, wake_at FROM credentials WHERE {MANAGED} AND wake_at IS NULL LIMIT :at_most)
  UNION ALL
  SELECT name, wake_at FROM (
    SELECT name, wake_at FROM credentials WHERE {MANAGED} AND wake_at <= :now ORDER BY wake_at LIMIT :at_most)
  UNION ALL
  SELECT name, wake_at FROM (
    SELECT name, wake_at FROM credentials WHERE {MANAGED} AND wake_at > :latest LIMIT :at_most)
  LIMIT :at_most)
"""  # noqa: S608 nothing from outside is in it

_NEWEST: Final = "SELECT * FROM rotations WHERE credential = :credential ORDER BY n DESC LIMIT :limit"
_THEIR_STEPS: Final = (
    "SELECT * FROM steps WHERE rotation_id IN"
    " (SELECT id FROM rotations WHERE credential = :credential ORDER BY n DESC LIMIT :limit) ORDER BY n"
)


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
        question = "SELECT name FROM credentials WHERE name > :after ORDER BY name LIMIT :page"
        found = [""]
        while page := self._database.rows((question, {"after": found[-1], "page": 10 * PAGE}))[0]:
            found.extend(name for (name,) in page)
        return tuple(found[1:])

    def _page_after(self, name: str) -> list[Tracked]:
        with self._database.reading() as connection:
            states = connection.execute(_OF_RANGE.states, {"after": name, "page": PAGE}).fetchall()
            if not states:
                return []
            span = {"first": states[0][0], "last": states[-1][0]}
            answers = [connection.execute(question, span).fetchall() for question in _OF_RANGE[1:]]
        return self._joined(states, *answers)

    def _page_of(self, names: Sequence[str]) -> list[Tracked]:
        given = {"names": json.dumps(names)}
        return self._joined(*self._database.rows(*((question, given) for question in _OF_NAMES)))

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

    def managed(self) -> frozenset[str]:
        """Return the names of all credentials that are known and not forgotten."""
        return frozenset(name for (name,) in self._ask(_MANAGED))

    def parked_count(self) -> int:
        """Count the credentials that wait for a person, those that have left the configuration too."""
        return int(str(self._ask(_PARKED)[0][0]))

    def waking(self, now: datetime, at_most: int) -> tuple[Waking, ...]:
        """Return the credentials whose `wake_at` has come, or is missing, or is too far ahead to be believed."""
        latest = rows.micros(plus(now, LONGEST_SLEEP))
        found = self._ask(_WAKING, now=rows.micros(now), latest=latest, at_most=at_most)
        return self._built(_waking_of, found)

    # --------------------------------------------------------------------------------------------- what recovery asks

    def rotation(self, rotation_id: str) -> Rotation | None:
        """Return one rotation, finished or not."""
        found = self._ask("SELECT * FROM rotations WHERE id = :id", id=rotation_id)
        return next(iter(self._built(rows.rotation_of, found)), None)

    def unsettled(self, credential: str) -> tuple[Intent, ...]:
        """Return the intents whose outcome is missing or unknown, oldest first."""
        return self._built(rows.intent_of, self._ask(_UNSETTLED, credential=credential))

    def known_key_ids(self, credential: str, retired_since: datetime) -> frozenset[str]:
        """Return every key id that any row names, except versions retired or abandoned before `retired_since`.

        What is only named by the intent to retire it is not known by that: an orphan is retired by its key id, too.
        """
        given = {"credential": credential, "since": rows.micros(retired_since)}
        recorded, rotated, intended = self._database.rows((_ENDED, given), (_ROTATED, given), (_INTENDED, given))
        known = {key_id for key_id, _ in recorded} | {key_id for (key_id,) in intended}
        with understood(self._database.path):
            for key_id, old in rotated:
                known.update(json.loads(old))
                known.add(key_id)
        return frozenset(known - {key_id for key_id, is_over in recorded if is_over} - {None})

    def creations_since(self, credential: str, since: datetime) -> int:
        """Count the labels of creations asked for since then, without those of which nothing came for certain."""
        return int(self._ask(_CREATIONS, credential=credential, since=rows.micros(since))[0][0])

    def next_seq(self, credential: str) -> int:
        """Return the number of the next rotation of this credential, from 1."""
        question = "SELECT max(seq) FROM rotations WHERE credential = :credential"
        return 1 + int(self._ask(question, credential=credential)[0][0] or 0)

    def sightings(self, credential: str) -> tuple[Sighting, ...]:
        """Return the versions seen that nothing names."""
        question = "SELECT * FROM sightings WHERE credential = :credential ORDER BY key_id"
        return self._built(rows.sighting_of, self._ask(question, credential=credential))

    def ailing(self, provider: str) -> Mapping[str, str]:
        """Return the credentials of a provider whose last proof was refused, with the code, but for forgotten ones.

        Empty once one of them was proved.
        """
        question = (
            "SELECT credential, code FROM proofs_seen WHERE provider = :provider"
            " AND credential NOT IN (SELECT name FROM credentials WHERE forgotten_at IS NOT NULL)"
        )
        return {row[0]: row[1] for row in self._ask(question, provider=provider)}

    # --------------------------------------------------------------------------------------------- what people ask

    def rotations(self, credential: str, limit: int = 20) -> tuple[Told, ...]:
        """Return the rotations of a credential, newest first, with their steps."""
        given = {"credential": credential, "limit": limit}
        found, told = self._database.rows((_NEWEST, given), (_THEIR_STEPS, given))
        with understood(self._database.path):
            of_rotation: dict[str, list[Step]] = {}
            for step in map(rows.step_of, told):
                of_rotation.setdefault(step.rotation_id, []).append(step)
            return tuple(Told(one, tuple(of_rotation.get(one.id, ()))) for one in map(rows.rotation_of, found))

    def requests_open(self, credential: str) -> tuple[Request, ...]:
        """Return the unanswered requests for a credential, oldest first."""
        return self._built(rows.request_of, self._ask(_OPEN, credential=credential))

    def versions(self, credential: str) -> tuple[Version, ...]:
        """Return every version of a credential that was ever recorded, those that are gone too, oldest first."""
        question = "SELECT * FROM versions WHERE credential = :credential"
        found = self._built(rows.version_of, self._ask(question, credential=credential))
        return tuple(sorted(found, key=age_order))

    def _ask(self, question: str, **given: str | int) -> Sequence[Row]:
        return self._database.rows((question, given))[0]

    def _built(self, build: Callable[[Row], T], found: Sequence[Row]) -> tuple[T, ...]:
        with understood(self._database.path):
            return tuple(map(build, found))


def _waking_of(row: Row) -> Waking:
    name, wake_at, fresh, sighted = row
    return Waking(name, None if wake_at is None else rows.moment(wake_at), bool(fresh), bool(sighted))


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
