"""The one place where a run that failed becomes words on standard error and an exit status. It repairs nothing.

Values never get here: messages of our own errors are clean, and of any other error only its kind and place are shown.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final, TextIO

import click

from rotator.cli.streams import NotPrinted
from rotator.cli.talk import Talk
from rotator.errors import RotatorError

FAILED: Final = 1
USAGE: Final = 2
STOPPED: Final = 75
"""The run was stopped in the middle; the next one settles what it had begun."""
INTERRUPTED: Final = 130
"""What shells report for a command that ended by Ctrl-C: nothing was under way, or it was the second one."""


def explain(talk: Talk, error: BaseException) -> int:
    """Say what went wrong and what to do next. Returns the exit status."""
    from rotator.kit import Interrupted

    match error:
        case Interrupted():
            talk.complain("rotator: stopped on request. What was begun is written down; the next run settles it.")
            return STOPPED
        case RotatorError():
            _ours(talk, error)
            return error.exit_status
        case click.exceptions.NoArgsIsHelpError():
            sys.stderr.write(error.format_message() + "\n")
            return USAGE
        case click.UsageError():
            talk.trouble(error.format_message(), _usage_hint(error))
            return USAGE
        case click.ClickException():
            talk.trouble(error.format_message(), "")
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            talk.complain("rotator: interrupted; nothing was begun.")
            return INTERRUPTED
        case BrokenPipeError():
            _nowhere(sys.stdout)
            return FAILED
        case NotPrinted():
            _nowhere(sys.stdout)
            talk.trouble(
                f"Standard output cannot be written: {error.message}.",
                "What the command had to do is done all the same. See it with: rotator status",
            )
            return FAILED
        case _:
            _unexpected(talk, error)
            return FAILED


def _ours(talk: Talk, error: RotatorError) -> None:
    if error.code == "config_refused":  # it lists file, line and column itself
        talk.complain(error.message)
        talk.complain(error.hint)
    else:
        talk.trouble(error.message, error.hint)


def _usage_hint(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx is not None else "rotator"
    return f"See: {path} --help"


def _unexpected(talk: Talk, error: BaseException) -> None:
    import traceback

    kind = type(error).__name__
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" in {os.path.basename(last[0].filename)}, line {last[0].lineno}" if last else ""
    if talk.verbose:
        for line in traceback.format_tb(error.__traceback__):
            sys.stderr.write(line)
        talk.trouble(f"{kind}{where}. This is a fault of rotator itself.", "Report it with the lines above.")
        return
    talk.trouble(
        f"{kind}{where}. This is a fault of rotator itself; whatever it had begun, the next run recovers.",
        "Where it happened, for a report (no values): the same command with -v",
    )


def let_go_of(stream: TextIO) -> None:
    """See that nothing complains about a stream while Python shuts down, when whoever read it has left."""
    try:
        stream.flush()
    except (OSError, ValueError):
        _nowhere(stream)


def _nowhere(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
