"""The options by which audit records are chosen, the same for each command that reads many. They choose nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from rotator.cli.times import typed_moment
from rotator.clock import SystemClock
from rotator.event import EventName, Outcome

F = TypeVar("F", bound=Callable[..., Any])


def moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """Return the time that an option names, or None."""
    if value is None:
        return None
    try:
        return typed_moment(value, SystemClock().now())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_OPTIONS = (
    click.option(
        "--since", metavar="T", callback=moment, help="From then on: 2026-11-24, 2026-11-24T14:00Z, or 7d ago."
    ),
    click.option("--until", metavar="T", callback=moment, help="Until before then; as for --since."),
    click.option("--credential", metavar="NAME", help="Of this credential."),
    click.option(
        "--event", type=click.Choice([one.value for one in EventName]), metavar="EVENT", help="Of this event."
    ),
    click.option(
        "--outcome", type=click.Choice([one.value for one in Outcome]), metavar="OUTCOME", help="With this outcome."
    ),
    click.option("--actor", metavar="WHO", help="By this actor."),
    click.option("--rotation", metavar="ID", help="Of this rotation; its first characters will do."),
)


def filters(command: F) -> F:
    """Add them to a command, which gets them as keyword arguments by the names of `auditing.Filter`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
