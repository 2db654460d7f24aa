"""`rotator pause`, `resume` and `forget`: what persons decide about a credential. Only forget ends a secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from rotator.app.usage import UsageFault
from rotator.cli.asking import agreed, agreed_to_danger
from rotator.cli.lazy import Command
from rotator.cli.opening import opened, stoppable
from rotator.cli.options import name as name_argument
from rotator.cli.options import names as names_argument
from rotator.cli.options import talk_of, yes
from rotator.cli.status import status_lines
from rotator.cli.talk import Talk
from rotator.cli.times import When
from rotator.cli.words import listed

if TYPE_CHECKING:
    from rotator.app.keeping import Kept


@click.command(cls=Command)
@names_argument()
@click.option("--all", "everything", is_flag=True, help="Every credential.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the audit log.")
@yes()
@click.pass_context
def pause(ctx: click.Context, names: tuple[str, ...], everything: bool, reason: str) -> int:
    """Stop scheduling a credential; alerts go on.

    What was asked for and not done yet is withdrawn. A secret that nobody rotates still expires. To let it go on:
    rotator resume NAME
    """
    if bool(names) == everything:
        raise UsageFault("Whom to pause is not clear.", hint="Give one or more NAMEs, or --all.")
    return _kept(talk_of(ctx), "paused", "pause", names=list(names), everything=everything, note=reason)


@click.command(cls=Command)
@names_argument(required=True)
@click.option("--reason", default="", metavar="TEXT", help="Why, for the audit log.")
@yes()
@click.pass_context
def resume(ctx: click.Context, names: tuple[str, ...], reason: str) -> int:
    """Let a paused or parked credential go on.

    What stands in the store now is accepted as it is.
    """
    return _kept(talk_of(ctx), "resumed", "resume", names=list(names), note=reason)


@click.command(cls=Command)
@name_argument()
@click.option("--retire", is_flag=True, help="Retire our versions; consumers are refused from then on.")
@click.option("--leave", is_flag=True, help="Leave the current version to others, working.")
@yes()
@click.pass_context
def forget(ctx: click.Context, /, name: str, **how: bool) -> int:
    """End the management of a credential.

    Also of one that has left the configuration. It is recorded, and the history stays.
    """
    from rotator.app import keeping

    said = [way for way, given in how.items() if given]
    if len(said) != 1:
        raise UsageFault(
            "What becomes of its versions is " + ("said twice." if said else "not said."),
            hint=f"Retire them: rotator forget {name} --retire\nLeave them, working: rotator forget {name} --leave",
        )
    talk = talk_of(ctx)
    farewell = keeping.Farewell(said[0])
    if farewell is keeping.Farewell.RETIRE:
        question = f"Forget {name} and retire its versions? Its consumers are refused from then on."
        if not agreed_to_danger(talk, question):
            return 1
    elif not agreed(talk, f"Forget {name} and leave its current version to others?"):
        return 1
    return _kept(talk, "forgotten", "forget", name=name, how=farewell.value)


def _kept(talk: Talk, verb: str, act: str, **given: Any) -> int:
    from rotator.app.handover.caller import carried

    with stoppable(talk) as stop, opened(talk, stop=stop) as house:
        found: Kept = carried(house, act, **given)
        when = When(house.clock.now(), exact=talk.verbose)
    talk.show("StatusList", found.items, lambda page: status_lines(found.items, (), page, when))
    talk.say(_said(verb, found.changed))
    return found.exit_status


def _said(verb: str, changed: Sequence[str]) -> str:
    if not changed:
        return "Nothing was changed."
    return f"{verb.capitalize()}: {listed(changed)}."
