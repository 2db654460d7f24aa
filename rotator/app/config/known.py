"""What the parts of one configuration may name of each other, also while some of it is faulty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rotator.app.config.foreign import ForeignStore
from rotator.app.config.source import Source
from rotator.app.config.systems import AnyProvider, EmbeddedStore, VaultStore

AnyStore = VaultStore | EmbeddedStore | ForeignStore


@dataclass(frozen=True, slots=True)
class Known:
    """What credentials may name. stores, providers: those without fault; the name sets hold the faulty ones too.

    kinds: what the providers say of their kind, as far as they do, so that it is known what their credentials need.
    """

    main: Source
    stores: Mapping[str, AnyStore]
    providers: Mapping[str, AnyProvider]
    store_names: frozenset[str]
    provider_names: frozenset[str]
    kinds: Mapping[str, str]
