"""`rotator report`: prints what the live state shows of each control that auditors ask for. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from rotator.cli.lazy import Command
from rotator.cli.notes import paragraphs
from rotator.cli.opening import opened
from rotator.cli.options import talk_of
from rotator.cli.page import BOLD, GREEN, YELLOW, Page

_PAINT: Final = {"shown": GREEN, "gap": YELLOW}


@click.command(cls=Command)
@click.option("--controls", is_flag=True, help="The evidence for each control, computed now.")
@click.option("--offline", is_flag=True, help="Do not compare with the head that is kept in the stores.")
@click.pass_context
def report(ctx: click.Context, controls: bool, offline: bool) -> int:
    """The evidence for what auditors ask.

    A gap is no failure: it says what is missing. Exits with 4 when the audit chain is broken.
    """
    if not controls:
        raise click.UsageError(
            "The report as a page comes with a later release. The evidence: rotator report --controls"
        )
    from rotator.app.controls import controls as evidence

    talk = talk_of(ctx)
    with opened(talk) as house:
        found = evidence(house, offline=offline)
    talk.show("ControlList", found.items, lambda page: control_lines(found.items, page))
    return found.exit_status


def control_lines(items: Sequence[Mapping[str, Any]], page: Page) -> Iterator[str]:
    """Yield the controls of each framework below its name."""
    for framework in dict.fromkeys(item["framework"] for item in items):
        yield page.paint(framework, BOLD)
        for item in items:
            if item["framework"] == framework:
                yield from _one(item, page)
        yield ""


def _one(item: Mapping[str, Any], page: Page) -> Iterator[str]:
    mark = page.paint(item["outcome"], _PAINT[item["outcome"]])
    yield f"  {item['control']}  {mark}  {page.fit(item['asks'])}"
    yield from paragraphs([("   ", item["evidence"], f"See: {item['command']}")], page)
