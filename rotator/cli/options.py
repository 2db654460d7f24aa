"""The options that stand before or after a command, and the arguments that many commands share. They do nothing else.

Each option writes into the one `Talk` of the run, so the place where it stands makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from rotator.cli.talk import Format, Loudness, Talk

F = TypeVar("F", bound=Callable[..., Any])


def talk_of(ctx: click.Context) -> Talk:
    """Return the voice of this run."""
    return ctx.ensure_object(Talk)


def _config(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        talk_of(ctx).config = value


def _form(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        talk_of(ctx).form = Format(value)


def _verbose(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        talk_of(ctx).loudness = Loudness.VERBOSE


def _quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        talk_of(ctx).loudness = Loudness.QUIET


def _plain(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        talk_of(ctx).plain = True


def _yes(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        talk_of(ctx).yes = True


class CommonOption(click.Option):
    """An option that every command takes, and that the help of each need not repeat."""


def common() -> list[click.Parameter]:
    """Return the options that every command and group takes."""
    return [
        CommonOption(
            ["--config"],
            metavar="FILE",
            type=click.Path(),
            expose_value=False,
            callback=_config,
            help="The configuration; else $ROTATOR_CONFIG, ./config.yaml or /etc/rotator/config.yaml.",
        ),
        CommonOption(
            ["-o", "--output"],
            type=click.Choice([form.value for form in Format]),
            metavar="FORMAT",
            expose_value=False,
            callback=_form,
            help="table (for people, the default), json (one object) or jsonl (one item a line).",
        ),
        CommonOption(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            callback=_verbose,
            help="Exact times and whole key ids.",
        ),
        CommonOption(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_quiet,
            help="Data and errors only, no progress.",
        ),
        CommonOption(
            ["--no-color"],
            is_flag=True,
            expose_value=False,
            callback=_plain,
            help="No colours; NO_COLOR does the same.",
        ),
    ]


def yes() -> Callable[[F], F]:
    """Add `--yes` to a command that changes something."""
    return click.option(
        "--yes", "-y", is_flag=True, expose_value=False, callback=_yes, help="Ask nothing: the answer is yes."
    )


def _completed_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from rotator.cli.completing import credential_names

    return credential_names(talk_of(ctx), incomplete)


def name() -> Callable[[F], F]:
    """Add one NAME."""
    return click.argument("name", metavar="NAME", shell_complete=_completed_names)


def names(*, required: bool = False) -> Callable[[F], F]:
    """Add any number of NAMEs."""
    metavar = "NAME..." if required else "[NAME...]"
    return click.argument("names", metavar=metavar, nargs=-1, required=required, shell_complete=_completed_names)
