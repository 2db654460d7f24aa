"""`rotator sandbox` and `rotator demo`: something to try things against, on this machine alone. Both live elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from rotator.cli.lazy import Command
from rotator.cli.opening import stoppable
from rotator.cli.options import talk_of
from rotator.cli.page import DIM

_LINE_AGAIN: Final = "\r\x1b[K"
"""Goes back to the begin of the line and clears it."""


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
    """The whole life of five credentials, in about a minute.

    It needs no server and no account. What it leaves is in one temporary folder, which it names at the end. The audit
    log is verified, and whatever is claimed is measured: status 1 when anything is not so.
    """
    from rotator.sandbox.demo import run

    talk = talk_of(ctx)
    page = talk.out
    in_place = page.terminal and talk.environ.get("TERM", "") not in ("", "dumb")

    def say(line: str) -> None:
        sys.stdout.write((_LINE_AGAIN if in_place else "") + page.fit(line) + "\n")
        sys.stdout.flush()

    def passing(text: str) -> None:
        if in_place:
            sys.stdout.write(_LINE_AGAIN + page.paint(page.fit(text), DIM))
            sys.stdout.flush()

    with stoppable(talk, farewell="") as stop:
        return run(say, columns=page.width, passing=passing, stop=stop)
