"""`rotator orphans`: what lives at the issuers beside the versions that we know. Foreign ones are never touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rotator.cli.asking import agreed_to_danger
from rotator.cli.lazy import Command
from rotator.cli.opening import opened, stoppable
from rotator.cli.options import talk_of, yes
from rotator.cli.page import RED, YELLOW, Page
from rotator.cli.status import key_of
from rotator.cli.table import Column, render
from rotator.cli.times import NOTHING, When
from rotator.cli.words import count

if TYPE_CHECKING:
    from rotator.app.judging import Orphaned

_COLOURS = {"orphan": RED, "foreign": YELLOW}
_COLUMNS = (
    Column("CLASS", stays=True, paint=_COLOURS.get),
    Column("APPLICATION", stays=True),
    Column("KEY", stays=True),
    Column("CREATED"),
    Column("EXPIRES"),
    Column("PROVIDER"),
    Column("TAG"),
)
_ORDER = ("orphan", "foreign", "previous", "current")


@click.command(cls=Command)
@click.option("--retire", is_flag=True, help="Retire our orphans, after a second look.")
@click.option("--check", is_flag=True, help="Exit with 1 if there are any.")
@yes()
@click.pass_context
def orphans(ctx: click.Context, retire: bool, check: bool) -> int:
    """Versions at the issuer that no rotation knows.

    An orphan carries our tag and nothing names it. Foreign versions, which rotator did not create, are listed apart and
    never touched; -v lists the versions in use, too.
    """
    talk = talk_of(ctx)
    question = "Retire the orphans? Whatever still uses one of them is refused from then on."
    if retire and not agreed_to_danger(talk, question):
        return 1
    from rotator.app.handover.caller import carried

    with stoppable(talk) as stop, opened(talk, stop=stop) as house:
        found: Orphaned = carried(house, "orphans", retire=retire, check=check)
        when = When(house.clock.now(), exact=talk.verbose)
    talk.show("OrphanList", found.items, lambda page: orphan_lines(found.items, page, when))
    if found.retired:
        talk.say(f"{count(len(found.retired), 'orphan')} retired: {', '.join(found.retired)}")
    for trouble in found.troubles:
        talk.trouble(trouble.error.message, trouble.error.hint, who=trouble.name)
    return found.exit_status


def orphan_lines(items: Sequence[Mapping[str, Any]], page: Page, when: When) -> Iterator[str]:
    """Yield how many there are, and a table of those that nobody here uses."""
    wanted = [item for item in items if when.exact or item["class"] in ("orphan", "foreign")]
    ours = sum(item["class"] == "orphan" for item in items)
    foreign = sum(item["class"] == "foreign" for item in items)
    if wanted:
        wanted.sort(key=lambda item: _ORDER.index(item["class"]))
        yield from render(_COLUMNS, [_row(item, page, when) for item in wanted], page)
        yield ""
    untouched = f" {count(foreign, 'foreign version')}, never touched." if foreign else ""
    yield f"{count(ours, 'orphan') if ours else 'No orphans'}.{untouched}"


def _row(item: Mapping[str, Any], page: Page, when: When) -> list[str]:
    return [
        item["class"],
        item["application"],
        key_of(item["key_id"], page, when),
        when.distance(item["created_at"]),
        when.distance(item["expires_at"]),
        item["provider"],
        item["tag"] or NOTHING,
    ]
