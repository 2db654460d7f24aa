"""`rotator verify`: prove now that current versions work. Asks the token endpoints; changes nothing anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rotator.cli.lazy import Command
from rotator.cli.opening import opened, stoppable
from rotator.cli.options import names as names_argument
from rotator.cli.options import talk_of
from rotator.cli.page import GREEN, RED, YELLOW, Page
from rotator.cli.table import Column, render
from rotator.cli.times import When

if TYPE_CHECKING:
    from rotator.app.judging import Verified

_COLOURS = {"proved": GREEN, "refused": RED, "unreachable": YELLOW}
_COLUMNS = (
    Column("NAME", stays=True),
    Column("OUTCOME", stays=True, paint=_COLOURS.get),
    Column("PROOFS"),
    Column("EXPIRES"),
)


@click.command(cls=Command)
@names_argument(required=True)
@click.pass_context
def verify(ctx: click.Context, names: tuple[str, ...]) -> int:
    """Prove now that current versions work.

    Each named credential asks for tokens with the value that consumers read; aud, roles and exp must be as promised.
    """
    from rotator.app.handover.caller import carried

    talk = talk_of(ctx)
    with stoppable(talk) as stop, opened(talk, stop=stop) as house:
        found: Verified = carried(house, "verify", names=list(names))
        when = When(house.clock.now(), exact=talk.verbose)
    talk.show("VerificationList", found.items, lambda page: verify_lines(found.items, page, when))
    for trouble in found.troubles:
        talk.trouble(trouble.error.message, trouble.error.hint, who=trouble.name)
    return found.exit_status


def verify_lines(items: Sequence[Mapping[str, Any]], page: Page, when: When) -> Iterator[str]:
    """Yield the table. What the endpoints said of those that do not pass is told on standard error."""
    rows = [[item["name"], item["outcome"], str(item["proofs"]), when.distance(item["expires_at"])] for item in items]
    yield from render(_COLUMNS, rows, page)
