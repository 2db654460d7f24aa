"""`rotator read`: gives one field of a consumer document to a file. The only command whose purpose is a secret's value.

It never prints one on a terminal.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rotator.app.usage import UsageFault
from rotator.cli.lazy import Command
from rotator.cli.opening import opened
from rotator.cli.options import name as name_argument
from rotator.cli.options import talk_of, yes

if TYPE_CHECKING:
    from rotator.app.house import House


@click.command(cls=Command)
@name_argument()
@click.option("--field", required=True, metavar="FIELD", help="Such as client_secret or client_id.")
@click.option("--to", "target", required=True, metavar="FILE|-", help="Replaced atomically; - only into a pipe.")
@click.option("--mode", metavar="MODE", help="Permissions in octal, such as 0640; new files get 0600.")
@click.option("--group", metavar="GROUP", help="The group of the file.")
@yes()
@click.pass_context
def read(ctx: click.Context, name: str, field: str, target: str, mode: str | None, group: str | None) -> int:
    """Write one field of a consumer document to a file.

    The reading is recorded before the value leaves the store. An existing file keeps its owner and mode.
    """
    from rotator.app import reading
    from rotator.app.handover.caller import carried

    talk = talk_of(ctx)
    into: reading.ToFile | reading.ToStream
    if target == "-":
        if sys.stdout.isatty():
            raise UsageFault(
                "A secret is not printed on a terminal.",
                hint=f"Into a file: rotator read {name} --field {field} --to FILE",
            )
        if mode or group:
            raise UsageFault("--mode and --group are of a file.", hint="Leave them out, or name a file with --to.")
        into = reading.ToStream(sys.stdout.buffer)
    else:
        into = reading.ToFile(Path(target), _mode(mode), group)

    def fetched(house: House, name: str, field: str, where: str) -> reading.Fetched:
        found: reading.Fetched = carried(house, "fetch", name=name, field=field, where=where)
        return found

    with opened(talk) as house:
        found = reading.read(house, name, field, into, fetched)
    if target != "-":
        how = "written to" if found.changed else "already in"
        talk.say(f"{field} of {name} v{found.version} {how} {target}")
    return found.exit_status


def _mode(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise UsageFault(f'"{text}" is no mode of a file.', hint="Write it in octal, such as --mode 0640")
    return mode
