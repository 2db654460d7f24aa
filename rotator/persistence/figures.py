"""Questions for those who watch from afar: what has changed, how much of what there is. No question changes anything.

A watcher asks often, and of ten thousand credentials few have changed since: so `marks` says which, at a tenth of what
reading them costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rotator.event import EventName
from rotator.persistence.database import Asking
from rotator.persistence.marks import UNANSWERED, UNFINISHED

PAGE: Final = 4000
"""So many rows are looked at in one transaction: some ten milliseconds."""

_STATES: Final = (
    "SELECT name, provider, paused_at, parked, not_before, proved_at, forgotten_at FROM credentials"
    " WHERE name > :after ORDER BY name LIMIT :page"
)
_VERSIONS: Final = (
    "SELECT credential, key_id, state, origin, created_at, expires_at, promoted_at, displaced_wall, retire_after"
    " FROM versions WHERE credential BETWEEN :first AND :last AND state NOT IN ('retired', 'abandoned', 'left')"
)
# Nothing from outside is in these two: what is put in stands in `marks`.
_UNDER_WAY: Final = (
    f"SELECT credential, id, started_at FROM rotations WHERE credential BETWEEN :first AND :last AND {UNFINISHED}"  # noqa: S608
)
_ASKED: Final = (
    f"SELECT credential, id, at FROM requests WHERE credential BETWEEN :first AND :last AND {UNANSWERED} ORDER BY n"  # noqa: S608
)
_SIGHTINGS: Final = "SELECT credential, count(*) FROM sightings GROUP BY credential"
_REFUSED: Final = "SELECT credential FROM proofs_seen"
_LAST: Final = "SELECT (SELECT coalesce(max(seq), 0) FROM audit), (SELECT coalesce(max(n), 0) FROM steps)"
_FINISHED: Final = (
    "SELECT reason, count(*) FROM audit"
    " WHERE seq > :after AND seq <= :until AND event = :event AND reason IS NOT NULL GROUP BY reason"
)
_TOOK: Final = "SELECT step, seconds FROM steps WHERE n > :after AND n <= :until AND outcome <> 'skipped'"


@dataclass(frozen=True, slots=True)
class Last:
    """The numbers of the last audit record and of the last step; 0 where there is none."""

    record: int
    step: int


NONE_YET: Final = Last(0, 0)


class Figures(Asking):
    """What can be counted in the state. Safe for use from several threads."""

    def marks(self) -> Iterator[tuple[str, int]]:
        """Yield each credential, by name, with a number that changes when anything changes that it is planned from.

        The numbers hold within one process.
        """
        after = ""
        while True:
            with self._database.reading() as connection:
                states = connection.execute(_STATES, {"after": after, "page": PAGE}).fetchall()
                if not states:
                    return
                span = {"first": states[0][0], "last": states[-1][0]}
                more = [connection.execute(one, span).fetchall() for one in (_VERSIONS, _UNDER_WAY, _ASKED)]
            together: dict[str, list[Any]] = {row[0]: [row] for row in states}
            for rows in more:
                for row in rows:
                    if row[0] in together:  # what is seen of a credential may be written before the credential is
                        together[row[0]].append(row)
            for name, facts in together.items():
                yield name, hash(tuple(facts))
            after = states[-1][0]

    def orphans(self) -> Mapping[str, int]:
        """Return how many versions that nothing names each credential has; those without any are left out."""
        return dict(self._database.rows((_SIGHTINGS, {}))[0])  # type: ignore[arg-type]

    def refused(self) -> frozenset[str]:
        """Return the credentials whose current version did not pass its last proof."""
        return frozenset(name for (name,) in self._database.rows((_REFUSED, {}))[0])

    def last(self) -> Last:
        """Return where the records end now."""
        return Last(*self._database.rows((_LAST, {}))[0][0])

    def finished(self, since: Last, until: Last) -> Mapping[str, int]:
        """Return how many rotations ended in each outcome, by the records after `since` up to `until`."""
        found: dict[str, int] = {}
        given = {"event": EventName.ROTATION_FINISHED.value}
        for first, last in _pages(since.record, until.record):
            for outcome, count in self._database.rows((_FINISHED, {**given, "after": first, "until": last}))[0]:
                found[outcome] = found.get(outcome, 0) + count
        return found

    def took(self, since: Last, until: Last) -> Iterator[tuple[str, float]]:
        """Yield each step and its seconds, of those after `since` up to `until`; without those that were stopped."""
        for first, last in _pages(since.step, until.step):
            yield from self._database.rows((_TOOK, {"after": first, "until": last}))[0]  # type: ignore[misc]


def _pages(after: int, until: int) -> Iterator[tuple[int, int]]:
    return ((first, min(first + PAGE, until)) for first in range(after, until, PAGE))
