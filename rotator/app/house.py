"""The composition root: one run's configuration, clock and actor, and every part of the program, opened when used.

It decides nothing about credentials. Nothing is contacted, locked or made before a use case asks for the part that
needs it, so that `status` opens no store and `plan` takes no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from types import TracebackType
from typing import Self

from rotator.app.config import Loaded, Resolver
from rotator.clock import Clock
from rotator.kit import Kit
from rotator.model import Credential
from rotator.ports import Ledger, Progress, Prover, Provider, Store


class Use(Enum):
    """What the parts are opened for. LOOK makes nothing: no key, no install id, no database."""

    LOOK = "look"
    CHANGE = "change"


def silent(credential: Credential, step: str, state: str, text: str) -> None:
    """Hear of progress, and say nothing."""


class House:
    """One run of the program. A context manager: leaving it closes what was opened.

    `House.open` finds and loads the configuration; the constructor takes a loaded one. stop: set it to end at the next
    safe point. progress: hears what rotations do.
    """

    loaded: Loaded
    clock: Clock
    actor: str
    stop: threading.Event

    def __init__(
        self,
        loaded: Loaded,
        *,
        environ: Mapping[str, str],
        argv: Sequence[str],
        clock: Clock | None = None,
        stop: threading.Event | None = None,
        progress: Progress = silent,
    ) -> None:
        raise NotImplementedError

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
        """Find, load and hold the configuration. config: `--config`. Raises ConfigFaults or Misconfigured (78)."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all that was opened, the state lock last."""

    @property
    def resolver(self) -> Resolver:
        """Return what fetches the secrets that the configuration names; `vault:` through the named store."""
        raise NotImplementedError

    def store(self, name: str, use: Use) -> Store:
        """Return the store of that name."""
        raise NotImplementedError

    def provider(self, name: str) -> Provider:
        """Return the provider of that name; its libraries are imported only now."""
        raise NotImplementedError

    def prover(self, credential: Credential) -> Prover:
        """Return what proves the versions of this credential."""
        raise NotImplementedError

    def ledger(self) -> Ledger:
        """Return the state, opened for writing under its lock; waits 10 s for another holder, then Busy (75)."""
        raise NotImplementedError

    def kit(self, credential: Credential, use: Use) -> Kit:
        """Return the outside world as seen from one credential."""
        raise NotImplementedError

    def chosen(
        self, names: Sequence[str], labels: Mapping[str, str] | None = None, *, everything: bool = False
    ) -> tuple[Credential, ...]:
        """Return the credentials that the command names, in the order of the configuration. Raises UsageFault (2)."""
        raise NotImplementedError

    def place(self, credential: Credential) -> str:
        """Return where consumers read this credential, as people say it: `kv/partners/x`, `local:partners/x`."""
        raise NotImplementedError

    def need_secrets(self, credentials: Iterable[Credential]) -> None:
        """See that every env:, file: and cred: that these credentials use is there. Raises Misconfigured (78)."""
        raise NotImplementedError
