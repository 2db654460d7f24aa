"""`rotator audit follow` and `export`: the record for other eyes and programs. They change nothing in the state."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click

from rotator.cli.audit import audit_lines
from rotator.cli.audit_filters import filters
from rotator.cli.lazy import Command
from rotator.cli.opening import opened, stoppable
from rotator.cli.options import talk_of
from rotator.cli.talk import Format
from rotator.errors import Refused

FORMS: Final = ("jsonl", "csv", "cef", "syslog", "ocsf", "ecs")


@click.command(cls=Command)
@filters
@click.pass_context
def follow(ctx: click.Context, /, **wanted: Any) -> int:
    """The records as they are written, from now on; Ctrl-C ends it.

    With --since those since then come first. In a pipe, one JSON object a line.
    """
    from rotator.app import auditing

    talk = talk_of(ctx)
    as_json = talk.form is not Format.TABLE or not talk.out.terminal
    with stoppable(talk, farewell="") as stop, opened(talk, stop=stop) as house:
        titles = True
        for item in auditing.audit_follow(house, auditing.Filter(**wanted), stop):
            if as_json:
                talk.data([json.dumps(item, ensure_ascii=not talk.out.unicode)])
            else:
                talk.data(audit_lines([item], talk.out, whole=talk.verbose, titles=titles))
            titles = False
            sys.stdout.flush()
    return 0


@click.command(cls=Command)
@click.option(
    "--format", "form", type=click.Choice(FORMS), default="jsonl", show_default=True, help="The form of the lines."
)
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Into this file instead of printing it.")
@filters
@click.pass_context
def export(ctx: click.Context, /, form: str, out: Path | None, **wanted: Any) -> int:
    """All records, or those that fit, oldest first, in a form that other programs read.

    A chain can be checked from jsonl without rotator. csv is safe to open in a spreadsheet.
    """
    from rotator.app import auditing
    from rotator.exports import Form

    talk = talk_of(ctx)
    with opened(talk) as house:
        text = auditing.audit_export(house, auditing.Filter(**wanted), Form(form))
        if out is None:
            _verbatim()
            sys.stdout.writelines(text)
        else:
            _write(out, text)
            talk.say(f"Written to {out}.")
    return 0


def _verbatim() -> None:
    """Let standard output write UTF-8 and every line end as it is: the formats say so, whatever the locale says."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", newline="")


def _write(path: Path, text: Iterable[str]) -> None:
    """Write a file that appears whole or not at all, private to this user, in place of one that was there."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            file.writelines(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise _unwritable(path, error) from None
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _unwritable(path: Path, error: OSError) -> Refused:
    return Refused(
        f"{path} cannot be written: {error.strerror}.",
        hint="Name a file in a folder that this user may write to: --out FILE",
        code="file_unwritable",
    )
