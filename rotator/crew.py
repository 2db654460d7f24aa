"""Visits many credentials at once, each by at most one thread at a time; what a visit is, the engine decides.

`concurrency` visits are at work per provider, so that a slow provider never delays another. Whoever waits (between two
proofs, for a quarantine) gives up its provider's turn meanwhile, so that the proofs of different credentials overlap.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Final, NamedTuple, Self

from rotator.engine import Engine, Report
from rotator.errors import StateUnusable
from rotator.kit import Interrupted, Kit
from rotator.model import Credential

WAITING_PER_TURN: Final = 8
"""So many visits may be under way for each one at work: the others wait for a proof or a quarantine."""


class _Pool(NamedTuple):
    """The threads of one provider, and their turns."""

    threads: ThreadPoolExecutor
    turns: threading.Semaphore


class Crew:
    """Threads that make visits, kept until `close`. A context manager. Safe for use from several threads."""

    def __init__(self, engine: Engine) -> None:
        """Prepare. engine: makes the visits."""
        self._engine = engine
        self._free = threading.Condition()
        self._held: set[object] = set()
        self._visits: dict[str, Future[Report]] = {}
        self._pools: dict[str, _Pool] = {}
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def in_flight(self) -> frozenset[str]:
        """Return the names of the credentials that are being visited, or wait for a thread."""
        with self._free:
            return frozenset(self._visits)

    def take(self, engine: Engine) -> None:
        """Make visits with another engine from now on; those under way end with the one that they began with.

        While these last, more than `concurrency` visits may be at work, where the new engine has another one.
        """
        with self._free:
            if engine.concurrency != self._engine.concurrency:
                for pool in self._pools.values():
                    pool.threads.shutdown(wait=False)
                self._pools.clear()
            self._engine = engine

    # -------------------------------------------------------------------------------------------------------- visits

    def submit(self, credential: Credential, make: Callable[[], Kit]) -> Future[Report] | None:
        """Have one credential visited as soon as a thread is free; None when it is being visited, or reserved.

        make: called in that thread right before the visit, so that it begins with what is so then; it may block. The
        future raises StateUnusable, or what nobody foresaw; it is cancelled when the crew drains before the visit has
        begun. An application is visited under one name at a time.
        """
        with self._free:
            if self._closed or self._held & _marks(credential):
                return None
            return self._begin(credential, make)

    def run(self, kits: Iterable[Kit]) -> list[Report]:
        """Visit these credentials once and return what came of each, in the order given.

        One that is being visited already is visited again afterwards. An open request in the ledger makes a rotation
        due at once. Raises StateUnusable; every other failure is in a report.
        """
        visits = [self._when_free(kit) for kit in kits]
        wait(visits)
        if any(visit.cancelled() for visit in visits):
            raise Interrupted
        return [visit.result() for visit in visits]

    @contextmanager
    def reserved(self, credentials: Iterable[Credential]) -> Iterator[None]:
        """Keep these from being visited, for what a person decides about them; waits for visits that are under way.

        Raises Interrupted when the crew closes meanwhile.
        """
        marks = {mark for credential in credentials for mark in _marks(credential)}
        self._hold(marks)
        try:
            yield
        finally:
            self._let_go(marks)

    def _when_free(self, kit: Kit) -> Future[Report]:
        with self._free:
            self._hold(marks := _marks(kit.credential))
            self._held -= marks
            return self._begin(kit.credential, lambda: kit)

    def _hold(self, marks: Set[object]) -> None:
        with self._free:
            self._free.wait_for(lambda: self._closed or not self._held & marks)
            if self._closed:
                raise Interrupted
            self._held |= marks

    def _let_go(self, marks: Set[object]) -> None:
        with self._free:
            self._held -= marks
            self._free.notify_all()

    def _begin(self, credential: Credential, make: Callable[[], Kit]) -> Future[Report]:
        """Hand one to a thread. The lock is held, and nobody else has this credential."""
        pool = self._pool(credential.provider)
        self._held |= _marks(credential)
        visit = self._visits[credential.name] = pool.threads.submit(self._visit, pool.turns, make)
        visit.add_done_callback(lambda _: self._done(credential))
        return visit

    def _pool(self, provider: str) -> _Pool:
        if provider not in self._pools:
            concurrency = self._engine.concurrency
            threads = ThreadPoolExecutor(concurrency * WAITING_PER_TURN, f"visit-{provider}")
            self._pools[provider] = _Pool(threads, threading.Semaphore(concurrency))
        return self._pools[provider]

    def _done(self, credential: Credential) -> None:
        with self._free:
            del self._visits[credential.name]
            self._let_go(_marks(credential))

    def _visit(self, turns: threading.Semaphore, make: Callable[[], Kit]) -> Report:
        engine = self._engine

        def pause(duration: timedelta) -> None:
            turns.release()
            try:
                interrupted = engine.clock.wait(duration, engine.stop)
            finally:
                turns.acquire()
            if interrupted:
                raise Interrupted

        with turns:
            try:
                return engine.visit(replace(make(), pause=pause))
            except StateUnusable:
                engine.stop.set()  # what cannot be written down is not done, here or elsewhere
                raise

    # --------------------------------------------------------------------------------------------------------- ending

    def drain(self, patience: timedelta) -> int:
        """Begin nothing more and wait for what is under way; return how many visits are not over even so.

        The caller has set `engine.stop`, which ends every wait. Those left hang in a call; recovery settles them.
        """
        with self._free:
            self._closed = True
            self._free.notify_all()
            visits, pools = list(self._visits.values()), list(self._pools.values())
        for pool in pools:
            pool.threads.shutdown(wait=False, cancel_futures=True)
        for visit in visits:
            visit.cancel()  # also one that waits in a pool that `take` has replaced
        return len(wait(visits, patience.total_seconds()).not_done)

    def close(self) -> None:
        """Let what was submitted end, and let go of the threads."""
        with self._free:
            self._closed = True
            self._free.notify_all()
            pools = list(self._pools.values())
        for pool in pools:
            pool.threads.shutdown(wait=True)


def _marks(credential: Credential) -> Set[object]:
    """Return what no two visits may share: the name, and the application, under whatever name."""
    return {credential.name, (credential.issuer, credential.application)}
