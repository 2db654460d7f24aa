"""`rotator history`: the rotations of one credential, step by step, the newest first. Reads the state only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from rotator.cli.lazy import Command
from rotator.cli.opening import opened
from rotator.cli.options import name as name_argument
from rotator.cli.options import talk_of
from rotator.cli.page import BOLD, GREEN, RED, YELLOW, Page
from rotator.cli.table import Column, render
from rotator.cli.times import NOTHING, When, took
from rotator.cli.words import HELD

if TYPE_CHECKING:
    from rotator.app.watching import Told

SHORT_ID: Final = 8
"""So much of a rotation's id tells it from the others of one credential. In a pipe it stands whole."""

_COLOURS = {"promoted": GREEN, "retired": GREEN, "abandoned": YELLOW, "parked": RED}
_COLUMNS = (
    Column("ROTATION", stays=True),
    Column("WHEN", stays=True),
    Column("OUTCOME", stays=True, paint=_COLOURS.get),
    Column("WHY"),
    Column("STEPS", stays=True, folds=True),
)
_STEP_COLUMNS = (
    Column("", stays=True),
    Column("", stays=True),
    Column("", stays=True),
    Column("", stays=True),
    Column("", stays=True, folds=True),
)


@click.command(cls=Command)
@name_argument()
@click.option("--limit", type=click.IntRange(1), metavar="N", default=50, show_default=True, help="How many rotations.")
@click.pass_context
def history(ctx: click.Context, name: str, limit: int) -> int:
    """The rotations of one credential, step by step.

    The newest stands first; -v gives every step its own line.
    """
    from rotator.app import watching

    talk = talk_of(ctx)
    with opened(talk) as house:
        found: Told
        if house.readable:
            found = watching.history(house, name, limit=limit)
        else:
            from rotator.app.handover.reads import looked

            found = looked(house, "history", name=name, limit=limit)
        when = When(house.clock.now(), exact=talk.verbose)
    talk.show("HistoryList", found.items, lambda page: history_lines(found.items, page, when))
    return found.exit_status


def history_lines(items: Sequence[Mapping[str, Any]], page: Page, when: When) -> Iterator[str]:
    """Yield a line for each rotation; where exact values are wanted, one for each step below it."""
    if not items:
        yield "It was never rotated."
        return
    if not when.exact:
        yield from render(_COLUMNS, [[*_row(item, page, when), steps_in_a_line(item["steps"])] for item in items], page)
        return
    for item in items:
        yield page.paint("  ".join(_row(item, page, when)), BOLD)
        yield from render(_STEP_COLUMNS, [_step_row(step, when) for step in item["steps"]], page, titles=False)


def _row(item: Mapping[str, Any], page: Page, when: When) -> list[str]:
    rotation = item["rotation_id"] or NOTHING
    shown = rotation[:SHORT_ID] if page.terminal and not when.exact else rotation
    moment = when.calendar(item["finished_at"] or item["started_at"])
    return [shown, moment, item["outcome"] or "unfinished", item["reason"] or ""]


def _step_row(step: Mapping[str, Any], when: When) -> list[str]:
    return ["", when.calendar(step["at"]), f"{step['step']} {step['outcome']}", _time(step), step["detail"] or ""]


def steps_in_a_line(steps: Sequence[Mapping[str, Any]]) -> str:
    """Return the steps in their order: `create 0.8 s · stage · verify 39 s (5 tries) · promote`."""
    tries: dict[str, int] = {}
    last: dict[str, Mapping[str, Any]] = {}
    for step in steps:
        tries[step["step"]] = tries.get(step["step"], 0) + 1
        last[step["step"]] = step
    return " · ".join(_step(step, tries[name]) for name, step in last.items())


def _step(step: Mapping[str, Any], tries: int) -> str:
    said = " ".join(filter(None, (step["step"], _time(step))))
    if step["outcome"] == "failed":
        said = f"{step['step']} failed"
    if tries > 1:
        said = f"{said} ({tries} times)"
    said = said.replace(" ", HELD)
    return f"{said}: {step['detail']}" if step["outcome"] == "failed" and step["detail"] else said


def _time(step: Mapping[str, Any]) -> str:
    seconds = step.get("duration_seconds")
    return took(timedelta(seconds=seconds)) if seconds and seconds >= 0.05 else ""
