"""`rotator db`: schema, copies and restores of the state database. A restore rotates nothing by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rotator.cli.asking import agreed
from rotator.cli.lazy import Command, Entry, Group
from rotator.cli.opening import opened
from rotator.cli.options import talk_of, yes
from rotator.cli.talk import Talk

if TYPE_CHECKING:
    from rotator.app.databases import Database
    from rotator.app.house import House

SECTIONS: Final = {
    "Commands": {
        "upgrade": Entry("db:upgrade", "Bring the schema up to date."),
        "current": Entry("db:current", "The revision of the schema."),
        "backup": Entry("db:backup", "Copy the state while it is in use."),
        "restore": Entry("db:restore", "Put a copy in the place of the state."),
    }
}
KIND: Final = "DatabaseList"

_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=Group, sections=SECTIONS)
def db() -> None:
    """The state database: upgrade, current, backup, restore."""


@click.command(cls=Command)
@yes()
@click.pass_context
def upgrade(ctx: click.Context) -> int:
    """Bring the schema up to date.

    A copy of the file is kept beside it.
    """
    from rotator.app import databases

    return _done(talk_of(ctx), databases.db_upgrade)


@click.command(cls=Command)
@click.pass_context
def current(ctx: click.Context) -> int:
    """The revision of the schema.

    Exits with 1 when it is not the newest.
    """
    from rotator.app import databases

    return _done(talk_of(ctx), databases.db_current)


@click.command(cls=Command)
@click.argument("file", metavar="FILE", type=_FILE)
@yes()
@click.pass_context
def backup(ctx: click.Context, file: Path) -> int:
    """Copy the state while it is in use.

    It never overwrites. There is no secret in it; who rotated what, there is.
    """
    from rotator.app import databases

    return _done(talk_of(ctx), lambda house: databases.db_backup(house, file))


@click.command(cls=Command)
@click.argument("file", metavar="FILE", type=_FILE)
@yes()
@click.pass_context
def restore(ctx: click.Context, file: Path) -> int:
    """Put a copy in the place of the state.

    The next pass looks at every store and issuer before it rotates anything. The break in the audit chain is recorded.
    """
    from rotator.app import databases

    talk = talk_of(ctx)
    if not agreed(talk, f"Replace the state by {file}? What was recorded after that copy is put aside."):
        return 1
    return _done(talk, lambda house: databases.db_restore(house, file))


def _done(talk: Talk, act: Callable[[House], Database]) -> int:
    with opened(talk) as house:
        found = act(house)
    talk.show(KIND, found.items, lambda page: [page.fit(line) for line in filter(None, (found.message, found.hint))])
    return found.exit_status
