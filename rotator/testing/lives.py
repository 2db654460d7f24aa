"""Whole lives of a secret at a provider, with a death before and after each of its calls: tests that its author runs.

    from rotator.testing.lives import *

    @pytest.fixture
    def bench() -> Bench: ...                     # the same as for `rotator.testing.providers`

The engine is the real one, over a real state and a real store of encrypted files; only the token endpoint is the
bench's `accepts`. Whatever call the process dies at, the next one must end with one version of ours, which works; also
where lists do not show yet what was just made, and show still what was just removed.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

import pytest

from rotator.clock import SystemClock
from rotator.engine import Engine
from rotator.event import Event, EventName
from rotator.finding import Finding
from rotator.kit import Kit
from rotator.label import prefix
from rotator.model import Credential, Policy, Procedure, ProofPlan, Request
from rotator.persistence.ledger import SqlLedger
from rotator.ports import Answer, Issued, Listing, Provider, Retired, Verdict
from rotator.secret import Fields, Secret
from rotator.stores.embedded import EmbeddedStore, new_key
from rotator.testing.providers import Bench

__all__ = [
    "test_a_death_at_any_call_ends_with_one_version_that_works",
    "test_a_death_while_lists_lag_behind_ends_with_one_version_that_works",
    "test_a_life_without_a_death_ends_with_one_version_that_works",
]
"""What a star import takes: the tests."""

T = TypeVar("T")

NAME: Final = "life"
PATH: Final = "partners/life"
QUARANTINE: Final = timedelta(milliseconds=200)
LAG: Final = 2
"""So many lists after each change are stale."""
VISITS: Final = 12
"""So many visits after a death must be enough."""


class Death(BaseException):
    """The process is gone; nothing in the program may catch this."""


@dataclass
class Mortal:
    """A provider at whose calls a process may die. die_at: the crossing; every call has two, before and after it.

    lag: so many lists after a change show what there was before it.
    """

    inner: Provider
    die_at: int | None = None
    lag: int = 0
    stale: int = 0
    before: Listing | None = None
    crossings: int = 0
    procedure: Procedure = Procedure.OVERLAP
    values: list[Secret] = field(default_factory=list)

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Make a version."""
        self._fall_behind(application)
        issued = self._call(lambda: self.inner.create(application, tag, lifetime))
        value = issued.values.secret("client_secret")
        self.values += [value] if value is not None else []
        return issued

    def list(self, application: str) -> Listing:
        """Return all versions."""
        listing = self._call(lambda: self.inner.list(application))
        if self.before is None or self.stale == 0:
            return listing
        self.stale -= 1
        return replace(listing, versions=self.before.versions, free_slots=self.before.free_slots)

    def retire(self, application: str, key_id: str) -> Retired:
        """Remove a version."""
        self._fall_behind(application)
        return self._call(lambda: self.inner.retire(application, key_id))

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Look whether a rotation would be permitted."""
        return self.inner.check(application, lifetime, subject, ours)

    def close(self) -> None:
        """Leave it open: the bench closes it."""

    def _fall_behind(self, application: str) -> None:
        if self.lag:
            self.before, self.stale = self.inner.list(application), self.lag

    def _call(self, call: Callable[[], T]) -> T:
        self._cross()
        answer = call()
        self._cross()
        return answer

    def _cross(self) -> None:
        if self.crossings == self.die_at:
            raise Death
        self.crossings += 1


class BenchProver:
    """A token endpoint that knows what the bench does."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._client_id = ""

    def prove(self, client_id: str, values: Fields, now: datetime) -> Verdict:
        """Ask the bench."""
        secret = values.secret("client_secret")
        if secret is not None and self._bench.accepts(client_id, secret):
            return Verdict(Answer.PROVED, "ok", "a token")
        return Verdict(Answer.REFUSED, "invalid_client", "refused")

    def check(self, subject: str) -> Sequence[Finding]:
        """Find nothing wrong."""
        return []


class Life:
    """One state and one store in a folder, and the provider under test."""

    def __init__(self, bench: Bench, folder: Path, die_at: int | None, lag: int = 0) -> None:
        self.bench, self.folder = bench, folder
        self.clock, self.install, self._key = SystemClock(), secrets.token_hex(6), new_key()
        self.provider = Mortal(bench.provider, die_at, lag)
        self.store = EmbeddedStore(folder / "secrets", self._key, self.clock)
        policy = Policy(timedelta(days=90), timedelta(days=30), timedelta(0), quarantine=QUARANTINE, max_creations=1000)
        proof = ProofPlan(proofs=1, spacing=timedelta(0), negative_control=False)
        self.credential = Credential(NAME, "bench", "bench", "bench", bench.application, "local", PATH, policy, proof)

    def visit(self, *, asks: bool = False) -> None:
        """Make one visit, as a fresh process does. asks: somebody wants another version, and an end of the old one."""
        with closing(SqlLedger(self.folder / "state.db", self.clock)) as ledger:
            if asks:
                request = Request(secrets.token_hex(8), NAME, "kit", "", self.clock.now(), emergency=True)
                ledger.record(Event(EventName.REQUEST_RECEIVED, "kit", NAME), request)
            stop = threading.Event()
            kit = Kit(
                self.credential,
                self.provider,
                self.store,
                BenchProver(self.bench),
                ledger,
                self.clock,
                self.install,
                "kit",
                lambda *_: None,
                self._pause,
            )
            Engine(self.clock, stop, concurrency=1, jitter=timedelta(0), thorough=True).visit(kit)

    def _pause(self, duration: timedelta) -> None:
        self.clock.wait(duration)

    def ours(self) -> set[str]:
        """Return the versions at the issuer that carry our label."""
        ours = prefix(self.install, self.credential)
        return {key_id for key_id, tag in self.bench.truth().items() if tag is not None and tag.startswith(ours)}

    def shown(self) -> tuple[str | None, bool]:
        """Return the key id that consumers read, and whether what they read works."""
        fields = self.store.consumers.read(PATH).fields
        if fields is None:
            return None, False
        secret = fields.secret("client_secret")
        works = secret is not None and self.bench.accepts(fields.text("client_id") or "", secret)
        return fields.text("key_id"), works

    def go(self) -> None:
        """Make the first version, and replace it."""
        self.visit()
        self.visit(asks=True)

    def settle(self) -> None:
        """Go on as the next processes do, until nothing is left to do."""
        self.provider.die_at = None
        for _ in range(VISITS):
            self.clock.wait(QUARANTINE)
            self.visit()
            key_id, works = self.shown()
            if works and self.ours() == {key_id} and self._at_rest():
                return
        raise AssertionError(f"consumers read {self.shown()}, and of ours there are {self.ours()}")

    def _at_rest(self) -> bool:
        with closing(SqlLedger(self.folder / "state.db", self.clock)) as ledger:
            tracked = ledger.tracked(NAME)
            return tracked is not None and tracked.rotation is None and tracked.request is None

    def end(self) -> None:
        """Remove what this life has left at the issuer."""
        for key_id in self.ours():
            self.bench.remove(key_id)
        self.store.close()


def test_a_life_without_a_death_ends_with_one_version_that_works(bench: Bench, tmp_path: Path) -> None:
    life = Life(bench, tmp_path, None)
    others = {key_id for key_id in bench.truth() if key_id not in life.ours()}
    life.go()
    life.settle()
    assert len(life.provider.values) == 2, "one at first, and one that was asked for"
    assert others <= set(bench.truth()), "what others made is never touched"
    database = b"".join(one.read_bytes() for one in tmp_path.glob("state.db*"))
    for value in life.provider.values:
        assert value.reveal().encode() not in database
    life.end()


def test_a_death_at_any_call_ends_with_one_version_that_works(bench: Bench, tmp_path: Path) -> None:
    _die_everywhere(bench, tmp_path, 0)


def test_a_death_while_lists_lag_behind_ends_with_one_version_that_works(bench: Bench, tmp_path: Path) -> None:
    _die_everywhere(bench, tmp_path, LAG)


def _die_everywhere(bench: Bench, tmp_path: Path, lag: int) -> None:
    (tmp_path / "counted").mkdir()
    counted = Life(bench, tmp_path / "counted", None, lag)
    counted.go()
    total = counted.provider.crossings
    counted.end()
    assert total >= 8, "a life makes, lists and removes"
    others = {key_id for key_id in bench.truth() if key_id not in counted.ours()}
    for point in range(total):
        folder = tmp_path / str(point)
        folder.mkdir()
        life = Life(bench, folder, point, lag)
        with pytest.raises(Death):
            life.go()
        _, works = life.shown()
        assert works or life.shown()[0] is None, f"dead at {point}: consumers read what does not work"
        life.settle()
        assert others <= set(bench.truth()), f"dead at {point}: what others made is never touched"
        life.end()
