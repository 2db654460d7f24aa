"""`rotator check`: would it work tonight? Looks at everything that a rotation would touch; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from rotator.cli.lazy import Command
from rotator.cli.opening import opened
from rotator.cli.options import talk_of
from rotator.cli.page import DIM, GREEN, RED, YELLOW, Page
from rotator.cli.table import Column, render
from rotator.cli.words import count, listed

_COLOURS = {"ok": GREEN, "warn": YELLOW, "fail": RED, "skip": DIM}
_COLUMNS = (
    Column("SUBJECT", stays=True),
    Column("OUTCOME", stays=True, paint=_COLOURS.get),
    Column("FINDING", stays=True, folds=True),
)


@click.command(cls=Command)
@click.option("--offline", is_flag=True, help="Only what is on this machine: configuration, secrets, state.")
@click.pass_context
def check(ctx: click.Context, offline: bool) -> int:
    """Would it work tonight? Changes nothing.

    Looks at the configuration, the secrets it names, the state, each provider, store and token endpoint, and proves
    that the current secrets work.
    """
    from rotator.app import checking
    from rotator.app.handover.caller import carried

    talk = talk_of(ctx)
    with opened(talk) as house:
        found = checking.check(house, offline=True) if offline else carried(house, "check", offline=False)
    talk.show("CheckList", found.items, lambda page: check_lines(found.items, page))
    talk.say()
    talk.say(f"{summary(found.items)} Nothing was changed.")
    return found.exit_status


def check_lines(items: Sequence[Mapping[str, Any]], page: Page) -> Iterator[str]:
    """Yield one line for each finding, with what to do about it below it; the same words are said once."""
    rows = dict.fromkeys((item["subject"], item["outcome"], _finding(item)) for item in items)
    return render(_COLUMNS, list(rows), page, titles=False)


def _finding(item: Mapping[str, Any]) -> str:
    hint = item["hint"] if item["outcome"] in ("warn", "fail") else ""
    return "\n".join(filter(None, (item["message"], hint)))


def summary(items: Sequence[Mapping[str, Any]]) -> str:
    """Return how many findings there are of each kind that matters: `1 failure and 2 warnings.`"""
    outcomes = [item["outcome"] for item in items]
    failures, warnings = outcomes.count("fail"), outcomes.count("warn")
    said = [count(failures, "failure")] if failures else []
    said += [count(warnings, "warning")] if warnings else []
    return f"{listed(said)}." if said else "All is well."
