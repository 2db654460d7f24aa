"""Questions: before acts that cannot be taken back, and for moments that only a person knows. Asked on a terminal only.

What agrees to an act is never asked when `--yes` was given.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import click

from rotator.app.usage import UsageFault
from rotator.cli.talk import Talk
from rotator.cli.times import typed_moment
from rotator.cli.words import fold
from rotator.clock import SystemClock

_CHOICE: Final = " [y/N]: "
"""What click puts behind a question."""

MOMENTS: Final = "such as 2026-11-24T14:00:00Z, or 2h for two hours ago"
"""How a moment may be typed."""


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


def asked_moment(talk: Talk, question: str) -> datetime:
    """Ask for a moment. Raises UsageFault for an answer that is none."""
    with _ctrl_c_ends_at_once():
        answer = click.prompt("\n".join(_folded(talk, question, ": ")), err=True)
    return typed("The moment", str(answer).strip())


def typed(what: str, text: str) -> datetime:
    """Return a moment that a person typed. Raises UsageFault for what is none."""
    try:
        return typed_moment(text, SystemClock().now())
    except ValueError as error:
        raise UsageFault(f"{what}: {error}.", hint=f"{MOMENTS[0].upper()}{MOMENTS[1:]}.") from None


def _folded(talk: Talk, question: str, behind: str) -> list[str]:
    width = talk.err.width
    return fold(talk.err.fit(question), None if width is None else width - len(behind))


def _asked(talk: Talk, question: str) -> bool:
    lines = _folded(talk, question, _CHOICE)
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
