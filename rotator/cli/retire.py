"""`rotator retire`: end the life of a previous version now. The current one is proved first, and never touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rotator.cli.asking import agreed_to_danger
from rotator.cli.lazy import Command
from rotator.cli.notes import paragraphs
from rotator.cli.opening import opened, stoppable
from rotator.cli.options import name as name_argument
from rotator.cli.options import talk_of, yes
from rotator.cli.words import listed

if TYPE_CHECKING:
    from rotator.app.keeping import Ended


@click.command(cls=Command)
@name_argument()
@click.option("--key-id", metavar="ID", help="Only this version; else every previous one.")
@yes()
@click.pass_context
def retire(ctx: click.Context, name: str, key_id: str | None) -> int:
    """Retire a previous version now, after a proof.

    For `retire: manual`, or to end a grace early. The current version must prove itself first.
    """
    talk = talk_of(ctx)
    which = f"version {key_id}" if key_id else "the previous versions"
    question = f"Retire {which} of {name} now? Consumers that still use an old secret are refused from then on."
    if not agreed_to_danger(talk, question):
        return 1
    from rotator.app.handover.caller import carried

    with stoppable(talk) as stop, opened(talk, stop=stop) as house:
        found: Ended = carried(house, "retire", name=name, key_id=key_id)
    said = f"retired {listed(found.key_ids)}." if found.key_ids else "has no previous version; nothing was changed."
    talk.show("RotationList", found.items, lambda page: paragraphs([(name, said, "")], page))
    return found.exit_status
