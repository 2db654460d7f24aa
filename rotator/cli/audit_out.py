"""`rotator audit follow`, `export` and `prune`: the record on its way out. Only prune changes the state."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rotator.cli.asking import agreed
from rotator.cli.audit import audit_lines
from rotator.cli.audit_filters import filters, moment
from rotator.cli.lazy import Command
from rotator.cli.opening import opened, stoppable
from rotator.cli.options import talk_of, yes
from rotator.cli.streams import printing
from rotator.cli.talk import Format
from rotator.errors import Refused

if TYPE_CHECKING:
    from rotator.app.pruning import Pruned

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
            talk.flush()
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
            for line in text:
                with printing():
                    sys.stdout.write(line)
        else:
            _write(out, text)
            talk.say(f"Written to {out}.")
    return 0


@click.command(cls=Command)
@click.option(
    "--before", metavar="T", required=True, callback=moment, help="Records older than this: 2025-11-24, 400d."
)
@click.option(
    "--out", metavar="FILE", required=True, type=click.Path(path_type=Path), help="The segment; it must not exist yet."
)
@yes()
@click.pass_context
def prune(ctx: click.Context, before: datetime, out: Path) -> int:
    """Export old records into a segment, seal it in the chain, and remove them.

    Needs `audit.signing_key`. The chain verifies from the seal on; the segment by itself, or with the state:
    rotator audit verify --segment FILE
    """
    from rotator.app.handover.caller import carried

    talk = talk_of(ctx)
    if not agreed(talk, f"Remove the records before {before:%Y-%m-%d %H:%M} UTC, once they are in {out}?"):
        return 1
    with opened(talk) as house:
        found: Pruned = carried(house, "prune", before=before, out=str(out.absolute()))
    if found.finished:
        talk.say(f"{found.finished} records that an earlier prune had left were removed.")
    if found.seal is None:
        talk.say("No record is old enough; nothing was written.")
        return 0
    item = {"first_seq": found.seal.first, "last_seq": found.seal.last, "removed": found.removed, "out": str(out)}
    item["file_sha256"] = found.seal.file
    line = f"Records {found.seal.first} to {found.seal.last} are in {out}, and no longer in the state."
    talk.show("PruneList", [item], lambda page: [page.fit(line)])
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
