"""`rotator status`: is anything going to break? Reads the state only; contacts nobody, waits for nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rotator.cli.lazy import Command
from rotator.cli.notes import notes
from rotator.cli.opening import opened
from rotator.cli.options import names as names_argument
from rotator.cli.options import talk_of
from rotator.cli.page import GREEN, RED, YELLOW, Page
from rotator.cli.table import Column, render
from rotator.cli.times import NOTHING, When, moment_of
from rotator.cli.words import short_key

if TYPE_CHECKING:
    from rotator.app.watching import Watched

_COLOURS = {
    "ok": GREEN,
    "grace": GREEN,
    "rotating": GREEN,
    "due": YELLOW,
    "paused": YELLOW,
    "unknown": YELLOW,
    "parked": RED,
    "expired": RED,
}
_COLUMNS = (
    Column("NAME", stays=True),
    Column("STATE", stays=True, paint=_COLOURS.get),
    Column("EXPIRES"),
    Column("NEXT"),
    Column("LAST ROTATION"),
)
_EXACT_COLUMNS = (*_COLUMNS, Column("KEY"), Column("PROVIDER"))


@click.command(cls=Command)
@names_argument()
@click.option("--check", is_flag=True, help="Exit with 1 if any is parked, expired, or has an error.")
@click.pass_context
def status(ctx: click.Context, names: tuple[str, ...], check: bool) -> int:
    """How each credential is doing, and what happens next.

    Below the table stands what a person must know or do. It reads the state only: to ask the issuers, see check.
    """
    from rotator.app import watching

    talk = talk_of(ctx)
    with opened(talk) as house:
        found: Watched
        if house.readable:
            found = watching.status(house, names, check=check)
        else:
            from rotator.app.handover.reads import looked

            found = looked(house, "status", names=list(names), check=check)
        when = When(house.clock.now(), exact=talk.verbose)
    remarks = [(one.name, one.message, one.hint) for one in found.remarks]
    talk.show("StatusList", found.items, lambda page: status_lines(found.items, remarks, page, when))
    return found.exit_status


def status_lines(
    items: Sequence[Mapping[str, Any]], remarks: Sequence[tuple[str, str, str]], page: Page, when: When
) -> Iterator[str]:
    """Yield the table and the notes below it."""
    if not items:
        yield "No credential is configured yet."
        return
    yield from render(_EXACT_COLUMNS if when.exact else _COLUMNS, [_row(item, when) for item in items], page)
    yield from notes(remarks, page)


def _row(item: Mapping[str, Any], when: When) -> list[str]:
    current = item["current"] or {}
    row = [
        item["name"],
        item["state"],
        _expiry(item, when),
        _next(item, when),
        _last(item["last_rotation"], when),
    ]
    if when.exact:
        row += [current.get("key_id") or NOTHING, item["provider"] or NOTHING]
    return row


def _expiry(item: Mapping[str, Any], when: When) -> str:
    current = item["current"]
    if current is None:
        return NOTHING
    return when.distance(current["expires_at"]) if current["expires_at"] else "not known"


def _next(item: Mapping[str, Any], when: When) -> str:
    if item["state"] == "parked":
        return "needs you"
    due = item["next"]
    if item["state"] == "paused":
        return "paused"
    if due is None:
        return NOTHING
    at = moment_of(due["at"])
    if due["action"] == "remind" and (item["state"] == "due" or (at is not None and at <= when.now)):
        return "waiting for a person"
    what = "retire old" if due["action"] == "retire" else due["action"]
    return f"{what} now" if at is not None and at <= when.now else f"{what} {when.distance(at)}"


def _last(last: Mapping[str, Any] | None, when: When) -> str:
    if last is None:
        return "never"
    ended = when.distance(last["finished_at"])
    return ended if last["outcome"] in ("promoted", "retired") else f"{last['outcome']} {ended}"


def key_of(key_id: str | None, page: Page, when: When) -> str:
    """Return a key id: its ends on a terminal, whole in a pipe and where exact values are wanted."""
    return short_key(key_id) or NOTHING if page.terminal and not when.exact else key_id or NOTHING
