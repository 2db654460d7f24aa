"""Which companions the daemon has, in the order in which they start. It starts none itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rotator.app.checkpointing import Checkpointing
from rotator.app.companion import Companion
from rotator.app.handover.acts import ACTS
from rotator.app.handover.caller import READERS, for_readers, place_of
from rotator.app.handover.desk import Desk
from rotator.app.handover.reads import READS
from rotator.app.mirroring import Mirroring
from rotator.app.notifying import Notifying
from rotator.app.serving import Serving

if TYPE_CHECKING:
    from rotator.app.daemon import Daemon
    from rotator.app.house import House


def companions(house: House, daemon: Daemon) -> list[Companion]:
    """Return a new companion of each kind for this house."""
    place = place_of(house.database, house.environ)
    changes = Desk(lambda: daemon.house, place, ACTS)
    looks = Desk(lambda: daemon.house, for_readers(place), READS, READERS)
    return [changes, looks, Serving(house, daemon), Checkpointing(house), Mirroring(house), Notifying(house)]
