"""`rotator sandbox` and `rotator demo`: something to try things against, on this machine alone. Both live elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from rotator.cli.lazy import Command
from rotator.cli.opening import stoppable
from rotator.cli.options import talk_of


@click.command(cls=Command)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".sandbox"),
    show_default=True,
    help="Where its CA, keys and configuration are kept.",
)
@click.pass_context
def sandbox(ctx: click.Context, directory: Path) -> int:
    """Start issuers on this machine to try things against.

    A token endpoint with Graph beside it and a vendor, over HTTPS on loopback with their own CA. Ctrl-C stops them.
    """
    from rotator.sandbox.run import serve

    talk = talk_of(ctx)
    with stoppable(talk, farewell="") as stop:
        serve(directory, talk.say, stop)
    return 0


@click.command(cls=Command)
@click.pass_context
def demo(ctx: click.Context) -> int:
    """The whole life of three credentials, in about a minute.

    It needs no server and no account, and leaves nothing behind. The audit log is verified at the end.
    """
    from rotator.sandbox.demo import run

    return run(talk_of(ctx).say)
