"""Stops all retiring at a provider while several of its credentials fail alike: the fault may be ours, or the issuer's.

What was said of a credential's version in use stays until it is proved, or until the credential is forgotten. A proof
of one that did not fail says nothing of those that did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BRAKE_AT: Final = 3
"""So many credentials of one provider that fail alike stop all retiring there."""

_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Brake:
    """Why nothing is retired at a provider. code: what was said of each. names: whose secrets in use do not pass."""

    provider: str
    code: str
    names: tuple[str, ...]

    @property
    def message(self) -> str:
        """Return what is wrong, and what follows from it."""
        more = len(self.names) - _NAMED
        named = ", ".join(self.names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        count = len(self.names)
        return f"{count} credentials of {self.provider} fail alike ({self.code}): {named}. Nothing is retired there."

    @property
    def hint(self) -> str:
        """Return what lifts it."""
        return f"It goes on as soon as one of them is proved: rotator verify {self.names[0]}"


def brake(provider: str, ailing: Mapping[str, str]) -> Brake | None:
    """Return the brake of a provider, if it is on. ailing: see `Ledger.ailing`."""
    for code, count in Counter(ailing.values()).most_common(1):
        if count >= BRAKE_AT:
            return Brake(provider, code, tuple(sorted(name for name, said in ailing.items() if said == code)))
    return None
