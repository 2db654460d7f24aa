"""`rotator plan`: what will happen, when and why. A forecast from the state; contacts nobody, promises nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from rotator.cli.lazy import Command
from rotator.cli.notes import notes
from rotator.cli.opening import opened
from rotator.cli.options import names as names_argument
from rotator.cli.options import talk_of
from rotator.cli.page import Page
from rotator.cli.table import Column, render
from rotator.cli.times import When, moment_of

if TYPE_CHECKING:
    from rotator.app.planning import Planned

MOST_ROWS: Final = 20
MOST_BARS: Final = 30
"""A screen shows so many; a pipe gets everything."""

_COLUMNS = (
    Column("WHEN", stays=True),
    Column("NAME", stays=True),
    Column("ACTION", stays=True),
    Column("WHY", stays=True, folds=True),
)


@click.command(cls=Command)
@names_argument()
@click.option(
    "--days", type=click.IntRange(1, 3650), metavar="N", default=90, show_default=True, help="How far to look ahead."
)
@click.pass_context
def plan(ctx: click.Context, names: tuple[str, ...], days: int) -> int:
    """What will happen, when and why.

    A terminal shows when each version serves, too. Nothing is promised: what fails is tried again later.
    """
    from rotator.app import planning

    talk = talk_of(ctx)
    with opened(talk) as house:
        found: Planned
        if house.readable:
            found = planning.plan(house, names, span=timedelta(days=days))
        else:
            from rotator.app.handover.reads import looked

            found = looked(house, "plan", names=list(names), days=days)
    when = When(found.start, exact=talk.verbose)
    talk.show("PlanList", found.items, lambda page: _screen(found, page, when))
    return found.exit_status


def _screen(found: Planned, page: Page, when: When) -> Iterator[str]:
    if page.terminal and 0 < len(found.timelines) <= MOST_BARS:
        from rotator.cli.timeline import Row, timeline

        rows = [Row(one.name, one.forecast) for one in found.timelines]
        yield from timeline(rows, found.start, found.until, page)
        yield ""
    yield from plan_lines(found.items, page, when)
    yield from notes([(one.name, one.message, one.hint) for one in found.remarks], page)


def plan_lines(items: Sequence[Mapping[str, Any]], page: Page, when: When) -> Iterator[str]:
    """Yield the table; on a terminal only its first rows, and how many more there are."""
    if not items:
        yield "Nothing is planned in this time."
        return
    shown = items[:MOST_ROWS] if page.terminal else items
    yield from render(_COLUMNS, [_row(item, when) for item in shown], page)
    if len(shown) < len(items):
        yield page.fit(f"… {len(items) - len(shown)} more; all of them: rotator plan -o jsonl")


def _row(item: Mapping[str, Any], when: When) -> list[str]:
    at = moment_of(item["at"])
    overdue = at is not None and at <= when.now and not when.exact
    return ["now" if overdue else when.calendar(at), item["name"], item["action"], item["sentence"]]
