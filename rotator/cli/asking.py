"""Questions before acts that cannot be taken back. Asked on a terminal only, never when `--yes` was given."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from rotator.app.usage import UsageFault
from rotator.cli.talk import Talk
from rotator.cli.words import fold

_CHOICE: Final = " [y/N]: "
"""What click puts behind a question."""


def agreed(talk: Talk, question: str) -> bool:
    """Ask where a person is there to answer; without one the answer is yes, as with `--yes`."""
    if talk.yes or not talk.can_ask:
        return True
    return _asked(talk, question)


def agreed_to_danger(talk: Talk, question: str) -> bool:
    """Ask, and where nobody can answer refuse. Raises UsageFault with the command that says yes."""
    if talk.yes:
        return True
    if not talk.can_ask:
        command = shlex.join([*talk.argv, "--yes"])
        raise UsageFault(f"{question} Nobody is here to answer.", hint=f"If that is what you want: {command}")
    return _asked(talk, question)


def _asked(talk: Talk, question: str) -> bool:
    width = talk.err.width
    lines = fold(talk.err.fit(question), None if width is None else width - len(_CHOICE))
    with _ctrl_c_ends_at_once():
        answer = click.confirm("\n".join(lines), default=False, err=True)
    if not answer:
        talk.complain("Nothing was changed.")
    return answer


@contextmanager
def _ctrl_c_ends_at_once() -> Iterator[None]:
    """Let signals do while a person is asked what they do anywhere else: nothing is under way that must be finished."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
