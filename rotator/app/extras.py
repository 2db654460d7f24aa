"""What some issuers can do beside the port that all of them have: a single slot, a record of sign-ins. Asks nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from rotator.app.counting import Calls, CountedSlot
from rotator.ports import Keeping, Provider, SignInActivity, Slot

if TYPE_CHECKING:
    from rotator.app.retry import Again


class Extras(NamedTuple):
    """Of one provider; None: it has none."""

    slot: Slot | None = None
    activity: SignInActivity | None = None
    keeping: Keeping | None = None


NONE: Final = Extras()


def extras(made: Provider, name: str, calls: Callable[[], Calls], again: Again) -> Extras:
    """Return what this provider can do beside the port, counted and repeated like its other calls."""
    from rotator.app.retry import SteadySlot

    slot = SteadySlot(CountedSlot(made, name, calls), again) if isinstance(made, Slot) else None
    activity = made if isinstance(made, SignInActivity) else None
    return Extras(slot, activity, made if isinstance(made, Keeping) else None)
