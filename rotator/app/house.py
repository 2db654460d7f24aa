"""The composition root: one run's configuration, clock and actor, and every part of the program, opened when used.

It decides nothing about credentials. Nothing is contacted, locked or made before a use case asks for the part that
needs it, so that `status` opens no store and `plan` takes no lock.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import timedelta
from enum import Enum
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rotator.app.absent import AbsentProver, AbsentProvider, AbsentStore, not_begun, silent
from rotator.app.actor import actor_of
from rotator.app.choosing import choose
from rotator.app.config import Config, Loaded, Reference, Resolver, find, load
from rotator.app.config.systems import EmbeddedStore, Mode, VaultStore
from rotator.app.counting import Calls, CountedProvider
from rotator.app.extras import NONE, Extras, extras
from rotator.app.holding import let_it_prove
from rotator.app.installs import Installs
from rotator.app.logging import keep_libraries_quiet
from rotator.app.needs import Owner, field_of, key_is_to_be_made, key_of, owners, require
from rotator.app.state import may_read, see_whose_it_is
from rotator.app.visitors import Thorough, Visitors, new_crew
from rotator.clock import Clock, SystemClock
from rotator.errors import RotatorError, StateUnusable
from rotator.kit import Interrupted, Kit
from rotator.model import Credential
from rotator.ports import Ledger, Progress, Prover, Provider, Store
from rotator.secret import Secret

if TYPE_CHECKING:
    from rotator.app.state import Reader, Writer
    from rotator.app.wiring import Builder
    from rotator.crew import Crew

LOCK_PATIENCE = timedelta(seconds=10)
"""How long a command waits for another one that has the state."""


class Use(Enum):
    """What the parts are opened for. LOOK makes nothing: no key, no install id, no database."""

    LOOK = "look"
    CHANGE = "change"


class House:
    """One run of the program. A context manager: leaving it closes what was opened.

    `House.open` finds and loads the configuration; the constructor takes a loaded one. argv: the command, for the line
    that would provide missing credentials. stop: set it to end at the next safe point. progress: hears what rotations
    do. builder: makes what makes the parts. Safe for use from several threads.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        environ: Mapping[str, str],
        argv: Sequence[str],
        clock: Clock | None = None,
        stop: threading.Event | None = None,
        progress: Progress = silent,
        builder: Callable[[Clock, Resolver], Builder] | None = None,
    ) -> None:
        self.loaded = loaded
        self.environ = environ
        self.clock: Clock = clock or SystemClock()
        self.stop = stop or threading.Event()
        self.progress = progress
        self.actor = actor_of(environ)
        self.calls = Calls()  # a daemon hands it on from one configuration to the next
        self.resolver: Resolver = loaded.resolver(environ, self._from_store, argv)
        self._make_builder = builder
        self._builder: Builder | None = None
        self._argv = tuple(argv)
        self._lock = threading.RLock()
        self._opened = ExitStack()
        self._holding = ExitStack()
        self._stores: dict[str, Store] = {}
        self._providers: dict[str, Provider] = {}
        self._extras: dict[str, Extras] = {}
        self._provers: dict[str, Prover] = {}
        self._installs = Installs()
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._reading = ExitStack()
        self.visitors: Crew | None = None
        self._guests: list[House] = []

    @classmethod
    def open(
        cls,
        config: str | None,
        *,
        environ: Mapping[str, str],
        argv: Sequence[str],
        stop: threading.Event | None = None,
        progress: Progress = silent,
    ) -> Self:
        """Find, load and hold the configuration. config: `--config`. Raises ConfigFaults or Misconfigured (78).

        From here on the libraries have nothing to say on standard error.
        """
        keep_libraries_quiet()
        return cls(load(find(config, environ)), environ=environ, argv=argv, stop=stop, progress=progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None and self._writer is not None:
                from rotator.app.leaving import leave

                leave(self, self._writer, self._stores)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of all that was opened, the last first."""
        with self._lock:
            self.close_parts()
            self._holding.close()
            self._writer = None

    def close_parts(self) -> None:
        """Let go of stores, issuers and what is read, and keep the state."""
        with self._lock:
            self.close_reader()
            self._opened.close()
            self._stores.clear()
            self._providers.clear()
            self._provers.clear()

    # ------------------------------------------------------------------------------------------------ configuration

    def heir(self, loaded: Loaded) -> House:
        """Return a house with another configuration and parts of its own, which borrows our state."""
        environ, argv, clock, stop = self.environ, self._argv, self.clock, self.stop
        progress, builder = self.progress, self._make_builder
        made = House(loaded, environ=environ, argv=argv, clock=clock, stop=stop, progress=progress, builder=builder)
        made._writer, made.calls, made.visitors = self.ledger(), self.calls, self.visitors
        return made

    @contextmanager
    def on_behalf(self, actor: str, progress: Progress, stop: threading.Event) -> Iterator[House]:
        """Yield this house as somebody else acts in it. All parts are shared; while he does, `has_guests` holds.

        stop: ends what is waited for on his behalf alone.
        """
        guest = copy.copy(self)
        guest.actor, guest.progress, guest.stop = actor, progress, stop
        with self._lock:
            self._guests.append(guest)
        try:
            yield guest
        finally:
            guest.close_reader_unless(self._reader)
            with self._lock:
                self._guests.remove(guest)

    @property
    def has_guests(self) -> bool:
        """Say whether anybody else acts in it now."""
        return bool(self._guests)

    @property
    def config(self) -> Config:
        """Return the configuration of this run."""
        return self.loaded.config

    @property
    def database(self) -> Path:
        """Return the file of the state."""
        return self.config.state.database

    @property
    def readable(self) -> bool:
        """Say whether this user may read the state, or see that there is none yet."""
        return may_read(self.database)

    @property
    def observing(self) -> bool:
        """Say whether nothing may be changed anywhere."""
        return self.config.state.mode is Mode.OBSERVE

    def chosen(
        self, names: Sequence[str] = (), labels: Mapping[str, str] | None = None, *, everything: bool = False
    ) -> tuple[Credential, ...]:
        """Return the credentials that the command names, in the order of the configuration; without names all.

        Raises UsageFault (2) for an unknown name, for labels that no credential has, and for two ways at once.
        """
        return choose(self.config, names, labels or {}, everything=everything)

    @property
    def stores_in_use(self) -> tuple[str, ...]:
        """Return the stores that credentials are kept in, without those that are only read for a reference."""
        return tuple(dict.fromkeys(one.store for one in self.config.models))

    def place(self, credential: Credential) -> str:
        """Return where consumers read this credential, as people say it: `kv/partners/x`, `local/partners/x`."""
        section = self.config.stores.get(credential.store)
        mount = section.mount if isinstance(section, VaultStore) else credential.store
        return f"{mount}/{credential.path}"

    # ------------------------------------------------------------------------------------------------------- secrets

    def need_secrets(self, credentials: Iterable[Credential]) -> None:
        """See that every env:, file: and cred: that these credentials use is there, before anything is contacted.

        Raises Misconfigured (78) that names all that are missing. A store key that is made on first use is not missing.
        """
        require(self.config, self.resolver, owners(credentials))

    def need_secrets_of_store(self, name: str) -> None:
        """See the same of one store alone."""
        require(self.config, self.resolver, [Owner("stores", name)])

    def _from_store(self, reference: Reference) -> Secret:
        fields = self.store(reference.store, Use.LOOK).consumers.read(reference.name).fields
        return field_of(fields, reference, self.loaded.locate(reference))

    # --------------------------------------------------------------------------------------------------------- parts

    @property
    def builder(self) -> Builder:
        """Return what makes the parts."""
        if self._builder is None:
            from rotator.app.wiring import Parts

            said = self.config
            ours = partial(Parts, folder=self.database.parent, base=said.path.parent, registrations=said.registrations)
            self._builder = (self._make_builder or ours)(self.clock, self.resolver)
        return self._builder

    def store(self, name: str, use: Use) -> Store:
        """Return the store of that name, whose reads are repeated when they fail by chance.

        Raises Misconfigured when its key cannot be had. LOOK at an embedded store without a key sees it empty.
        """
        from rotator.app.retry import Again, SteadyStore

        with self._lock:
            if name in self._stores:
                return self._stores[name]
            section = self.config.stores[name]
            key, passing = None, False
            if isinstance(section, EmbeddedStore):
                passing = use is Use.LOOK and key_is_to_be_made(section)
                key = key_of(section, self.resolver, may_make=use is Use.CHANGE)
            made = self.builder.store(name, section, key)
            store = SteadyStore(made, Again(self.clock, self.stop))
            self._opened.callback(made.close)
            if not passing:
                self._stores[name] = store
            return store

    def provider(self, name: str) -> Provider:
        """Return the provider of that name, whose lists are repeated when they fail by chance."""
        from rotator.app.retry import Again, SteadyProvider

        with self._lock:
            if name not in self._providers:
                made = let_it_prove(self, name, self.builder.provider(name, self.config.providers[name]))
                self._opened.callback(made.close)
                again = Again(self.clock, self.stop)
                self._providers[name] = SteadyProvider(CountedProvider(made, name, lambda: self.calls), again)
                self._extras[name] = extras(made, name, lambda: self.calls, again)
            return self._providers[name]

    def prover(self, credential: Credential) -> Prover:
        """Return what proves the versions of this credential. It keeps an issuer's keys for some minutes."""
        with self._lock:
            if credential.name not in self._provers:
                section = self.config.named[credential.name]
                asked = self.config.verification(section)
                self._provers[credential.name] = self.builder.prover(
                    credential, asked, self.config.providers[credential.provider]
                )
            return self._provers[credential.name]

    def ledger(self, kind: str = "", patience: timedelta = LOCK_PATIENCE) -> Writer:
        """Return the state, opened for writing under its lock; an older schema is brought up to date first.

        kind: who we are, for those who wait; the command, when it is not said. patience: how long another holder of the
        lock is waited for; then raises Busy (75). Raises StateUnusable when the state cannot be used, Misconfigured
        when it belongs to another user.
        """
        with self._lock:
            if self._writer is None:
                see_whose_it_is(self.database)
                self._writer = self._holding.enter_context(
                    self.builder.writer(self.database, self.clock, kind or " ".join(self._argv[:2]), patience)
                )
                from rotator.app.notifying import introduce

                introduce(self, self._writer)
            return self._writer

    def reader(self) -> Reader | None:
        """Return the state for reading, without a lock; None when there is none yet. Raises StateUnusable, Busy."""
        with self._lock:
            if self._reader is None and self.database.exists():
                opened = ExitStack()
                try:
                    self._reader = opened.enter_context(self.builder.reader(self.database, self.clock))
                except StateUnusable as error:
                    if error.code == "state_missing":  # a file without anything in it
                        return None
                    raise
                self._reading = opened
            return self._reader

    def close_reader_unless(self, shared: Reader | None) -> None:
        """Let go of the state that is read, but not of what another house reads too."""
        if self._reader is not shared:
            self.close_reader()

    def close_reader(self) -> None:
        """Let go of the state that is read; the next `reader()` opens it anew."""
        with self._lock:
            self._reading.close()
            self._reader = None

    # ----------------------------------------------------------------------------------------------------------- kits

    def kit(self, credential: Credential, use: Use, ledger: Ledger | None = None) -> Kit:
        """Return the outside world as seen from one credential.

        ledger: another than the one of this house. Observing, CHANGE makes no install id either.
        """
        store = self.store(credential.store, use)
        provider, prover = self.provider(credential.provider), self.prover(credential)
        install = self.install(credential.store, use)
        return self.kit_with(credential, provider, store, prover, ledger or self.ledger(), install)

    def kit_at_any_rate(self, credential: Credential) -> Kit:
        """Return the kit for changes; where it cannot be made, one whose every call says why. Raises StateUnusable."""
        ledger = self.ledger()
        why: RotatorError
        try:
            return self.kit(credential, Use.CHANGE)
        except StateUnusable:
            raise
        except RotatorError as error:
            why = error  # `error` ends with this clause
        except Interrupted:
            why = not_begun(credential)
        absent = AbsentProvider(lambda: why), AbsentStore(lambda: why), AbsentProver(lambda: why)
        return self.kit_with(credential, *absent, ledger, install="")

    def kit_with(
        self, credential: Credential, provider: Provider, store: Store, prover: Prover, ledger: Ledger, install: str
    ) -> Kit:
        """Return a kit with these ports, and what comes with that provider."""
        more, who = self._extras.get(credential.provider, NONE), (self.actor, self.progress, self.pause)
        return Kit(credential, provider, store, prover, ledger, self.clock, install, *who, *more)

    def pause(self, duration: timedelta) -> None:
        """Wait. Raises Interrupted when the program is to stop."""
        if self.clock.wait(duration, self.stop):
            raise Interrupted

    def install(self, name: str, use: Use) -> str:
        """Return the id that all states on one staging area share; it is made by the first that may change something.

        Empty where there is none yet and none may be made: nothing at the issuer is ours then.
        """
        may_make = use is Use.CHANGE and not self.observing
        return self._installs.of(name, lambda: self.store(name, use).staging, may_make=may_make)

    # --------------------------------------------------------------------------------------------------------- visits

    @contextmanager
    def crew(self) -> Iterator[Visitors]:
        """Yield threads that make visits: those of the daemon, else new ones, which end with this.

        Each visit looks at store and issuer: who asks for a pass wants to know of edits and orphans now.
        """
        if self.visitors is not None:
            yield Thorough(self.visitors, self.ledger())
            return
        with new_crew(self.config.service, self.clock, self.stop, observing=self.observing) as crew:
            yield crew

    def reserved(self, credentials: Iterable[Credential]) -> AbstractContextManager[None]:
        """Keep a daemon's visits away from these, for what a person decides about them; without a daemon nothing."""
        return nullcontext() if self.visitors is None else self.visitors.reserved(tuple(credentials))
