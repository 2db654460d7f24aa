"""What the author of a plug-in needs to know: how a provider or a store of another package is found, and made.

A package announces what it brings by entry points (packaging.python.org, "Entry points specification"):

    [project.entry-points."rotator.providers"]
    acme = "rotator_acme:provider"

    [project.entry-points."rotator.stores"]
    safe = "rotator_safe:store"

The name is the `kind` of the configuration; what stands there is called with one `Making` and returns a
`rotator.ports.Provider`, or a `rotator.ports.Store`. It may have a function `faults` as an attribute, which is given
the settings when the configuration is loaded and says what is wrong with them. A plug-in runs with all our rights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from rotator.clock import Clock
from rotator.secret import Secret

PROVIDERS = "rotator.providers"
STORES = "rotator.stores"
"""The groups of entry points."""


class Fault(NamedTuple):
    """Something wrong with the settings. path: the keys that lead to it, below the section; hint: what to do."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Making:
    """What a provider or a store is made of.

    name: as the configuration calls it. settings: its section, without `kind`. secret: turns a reference such as
    `file:/etc/rotator/token` into what fetches the value anew at each use; raises Misconfigured when it is none.
    """

    name: str
    settings: Mapping[str, Any]
    secret: Callable[[str], Callable[[], Secret]]
    clock: Clock
