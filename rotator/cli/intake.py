"""`rotator intake`: takes a secret that a person made in a console. It never shows it, nor takes it as a word."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rotator.app.usage import UsageFault
from rotator.cli.asking import typed
from rotator.cli.following import Hearing, followed
from rotator.cli.lazy import Command
from rotator.cli.opening import opened, stoppable
from rotator.cli.options import name as name_argument
from rotator.cli.options import talk_of, yes
from rotator.cli.rotate import rotate_lines
from rotator.cli.times import When

if TYPE_CHECKING:
    from rotator.app.results import Rotated

LONGEST: Final = 64 * 1024
"""Bytes that are read of a file or a pipe."""


class _Intake(Command):
    """A command that repeats no word too many: a person may have typed the secret there."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words. Raises UsageFault for what click would quote."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if type(error) not in (click.UsageError, click.NoSuchOption):
                raise
            raise UsageFault(
                "There is a word too many; it is not repeated here, for it may be a part of the secret.",
                hint="The secret is asked for, or read with --from file:PATH; see: rotator intake --help",
            ) from None


@click.command(cls=_Intake)
@name_argument()
@click.option("--from", "source", metavar="file:PATH", help="A file whose first line is the secret.")
@click.option("--client-id", metavar="ID", help="When the vendor gave a new one.")
@click.option("--issued-at", metavar="TIME", help="When it was made; now, when it is not said.")
@click.option("--expires-at", metavar="TIME", help="When it ends, where that is not the provider's `lifetime` later.")
@click.option("--reason", "note", default="", metavar="TEXT", help="Why, for the audit log.")
@yes()
@click.pass_context
def intake(
    ctx: click.Context,
    name: str,
    source: str | None,
    client_id: str | None,
    issued_at: str | None,
    expires_at: str | None,
    note: str,
) -> int:
    """Take a secret that a vendor issued by hand.

    It is asked for without an echo, or read from standard input or a file: the first line. Then it is staged, proved
    and shown to consumers like any other.
    """
    from rotator.app.handover.caller import carried

    talk = talk_of(ctx)
    issued, ends = _moment("--issued-at", issued_at), _moment("--expires-at", expires_at)
    if source is None and talk.can_ask:
        client_id = client_id or _asked("Client id", "as it is")
        value = click.prompt("Secret (nothing is shown)", hide_input=True, err=True, prompt_suffix=": ")
        if issued is None and ends is None:
            issued = _moment("--issued-at", _asked("Issued at", "now"))
    else:
        value = _first_line(name, source)
    with stoppable(talk) as stop, opened(talk, stop=stop, progress=(hearing := Hearing())) as house:

        def taken() -> Rotated:
            found: Rotated = carried(
                house,
                "intake",
                name=name,
                value=value,
                client_id=client_id,
                issued_at=issued,
                expires_at=ends,
                note=note,
            )
            return found

        found = followed(talk, house, hearing, [name], f"given by {house.actor}", taken)
        when = When(house.clock.now(), exact=talk.verbose)
    talk.show("RotationList", found.items, lambda page: rotate_lines(found, page, when))
    return found.exit_status


def _asked(question: str, otherwise: str) -> str | None:
    answer = click.prompt(f"{question} [{otherwise}]", default="", show_default=False, err=True)
    return str(answer).strip() or None


def _moment(option: str, text: str | None) -> datetime | None:
    return None if text is None else typed(option, text)


def _first_line(name: str, source: str | None) -> str:
    """Return the first line of a file or of standard input, without its end."""
    if source is None:
        data = sys.stdin.buffer.read(LONGEST)
    else:
        scheme, _, path = source.partition(":")
        if scheme != "file" or not path:
            hint = f"Such as: rotator intake {name} --from file:secret.txt; it is never a word of the command line."
            raise UsageFault("--from needs file:PATH.", hint=hint)
        try:
            with Path(path).expanduser().open("rb") as file:
                data = file.read(LONGEST)
        except OSError as error:
            why = (error.strerror or "cannot be read").lower()
            raise UsageFault(f"{path}: {why}.", hint="Name a file that this user may read.") from None
    try:
        return data.decode("utf-8-sig").partition("\n")[0].removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageFault("What was given is not text in UTF-8.", hint="Its first line is to be the secret.") from None
