"""`rotator adopt`: takes the version that is in the store today under management."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from rotator.app.usage import UsageFault
from rotator.cli.asking import MOMENTS, asked_moment
from rotator.cli.following import Hearing, followed
from rotator.cli.lazy import Command
from rotator.cli.opening import opened, stoppable
from rotator.cli.options import name as name_argument
from rotator.cli.options import talk_of, yes
from rotator.cli.rotate import rotate_lines
from rotator.cli.times import When

if TYPE_CHECKING:
    from rotator.app.results import Rotated


@click.command(cls=Command)
@name_argument()
@click.option("--key-id", metavar="ID", help="Which version at the issuer it is, where several could be.")
@yes()
@click.pass_context
def adopt(ctx: click.Context, name: str, key_id: str | None) -> int:
    """Take the version in the store today under management.

    What consumers read is proved first, found at the issuer, and written once more with rotator's fields beside it.
    Nothing is made or removed at the issuer; from then on it is replaced in time and ended after its grace. Where
    neither the issuer nor the document says when it was made, you are asked.
    """
    from rotator.app.adopting import UNKNOWN_WINDOW
    from rotator.app.handover.caller import carried

    talk = talk_of(ctx)
    with stoppable(talk) as stop, opened(talk, stop=stop, progress=(hearing := Hearing())) as house:

        def taken(issued_at: datetime | None = None) -> Rotated:
            found: Rotated = carried(house, "adopt", name=name, key_id=key_id, issued_at=issued_at)
            return found

        heading = f"adopted by {house.actor}"
        try:
            found = followed(talk, house, hearing, [name], heading, taken)
        except UsageFault as fault:
            if fault.code != UNKNOWN_WINDOW or not talk.can_ask:
                raise
            issued_at = asked_moment(talk, f"{fault.message} When was it ({MOMENTS})?")
            found = followed(talk, house, hearing, [name], heading, partial(taken, issued_at))
        when = When(house.clock.now(), exact=talk.verbose)
    talk.show("RotationList", found.items, lambda page: rotate_lines(found, page, when))
    return found.exit_status
