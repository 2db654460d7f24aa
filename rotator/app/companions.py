"""Which companions the daemon has, in the order in which they start. It starts none itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotator.app.checkpointing import Checkpointing
from rotator.app.companion import Companion
from rotator.app.handover.caller import place_of
from rotator.app.handover.desk import Desk
from rotator.app.mirroring import Mirroring
from rotator.app.notifying import Notifying
from rotator.app.serving import Serving

if TYPE_CHECKING:
    from rotator.app.daemon import Daemon
    from rotator.app.house import House


def companions(house: House, daemon: Daemon) -> list[Companion]:
    """Return a new companion of each kind for this house."""
    desk = Desk(lambda: daemon.house, place_of(house.database, house.environ))
    return [desk, Serving(house, daemon), Checkpointing(house), Mirroring(house), Notifying(house)]
