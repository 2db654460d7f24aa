"""`rotator audit`: the record of everything that happened. It reads and checks; nothing but accept writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rotator.cli.asking import agreed
from rotator.cli.audit_filters import filters
from rotator.cli.lazy import Command, Entry, Group
from rotator.cli.notes import paragraphs
from rotator.cli.opening import opened
from rotator.cli.options import talk_of, yes
from rotator.cli.page import GREEN, RED, YELLOW, Page
from rotator.cli.streaming import show_all
from rotator.cli.table import Column, render
from rotator.cli.times import NOTHING, exactly, moment_of
from rotator.cli.words import fold, short_key

if TYPE_CHECKING:
    from rotator.app.auditing import ChainVerified, Records

SECTIONS: Final = {
    "Commands": {
        "list": Entry("audit:list_", "The records, oldest first."),
        "show": Entry("audit:show", "One record, whole."),
        "follow": Entry("audit_out:follow", "The records as they are written, from now on; Ctrl-C ends it."),
        "export": Entry(
            "audit_out:export", "All records, or those that fit, oldest first, in a form that other programs read."
        ),
        "prune": Entry("audit_out:prune", "Export old records into a segment, seal it in the chain, and remove them."),
        "verify": Entry("audit:verify", "Walk the chain, and name the first broken record."),
        "accept": Entry("audit:accept", "Record that a break is known, and go on from it."),
    }
}
SCREENFUL: Final = 50

_COLOURS = {"succeeded": GREEN, "refused": RED, "unknown": YELLOW}
_COLUMNS = (
    Column("SEQ", stays=True),
    Column("TIME (UTC)", stays=True),
    Column("EVENT", stays=True),
    Column("CREDENTIAL", stays=True),
    Column("OUTCOME", paint=_COLOURS.get),
    Column("ACTOR"),
    Column("DETAIL", folds=True),
)


@click.group(cls=Group, sections=SECTIONS)
def audit() -> None:
    """The audit log: list, show, follow, verify, export, prune, accept."""


@click.command("list", cls=Command)
@filters
@click.option("--last", type=click.IntRange(1), metavar="N", help=f"The newest N; on a terminal {SCREENFUL}, else all.")
@click.pass_context
def list_(ctx: click.Context, /, last: int | None, **wanted: Any) -> int:
    """The records, oldest first.

    Whether they are as they were written: rotator audit verify
    """
    from rotator.app import auditing

    talk = talk_of(ctx)
    most = SCREENFUL if last is None and talk.out.terminal else last
    with opened(talk) as house:
        found: Iterable[Mapping[str, Any]]
        if house.readable:
            found = auditing.audit_stream(house, auditing.Filter(**wanted), last=most)
        else:
            from rotator.app.handover.reads import looked

            found = looked(house, "records", last=most, **wanted).items
        count = show_all(talk, "AuditList", found, partial(audit_lines, whole=talk.verbose))
        kept = auditing.first_kept(house) if house.readable else 0
    if kept > 1 and last is None:
        talk.say(f"Records 1 to {kept - 1} were exported and pruned: rotator audit verify")
    if last is None and most is not None and count == most:
        talk.say(f"These are the newest {most}; more: --last N")
    return 0


@click.command(cls=Command)
@click.argument("seq", metavar="SEQ", type=click.IntRange(1))
@click.pass_context
def show(ctx: click.Context, seq: int) -> int:
    """One record, whole."""
    from rotator.app import auditing

    talk = talk_of(ctx)
    with opened(talk) as house:
        found: Records
        if house.readable:
            found = auditing.audit_show(house, seq)
        else:
            from rotator.app.handover.reads import looked

            found = looked(house, "record", seq=seq)
    talk.show("AuditList", found.items, lambda page: record_lines(found.items, page))
    return found.exit_status


@click.command(cls=Command)
@click.option("--offline", is_flag=True, help="Do not compare with the head that is kept in the stores.")
@click.option(
    "--segment",
    "segments",
    metavar="FILE",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Check this segment too, which prune has written. Any number of times.",
)
@click.pass_context
def verify(ctx: click.Context, offline: bool, segments: tuple[Path, ...]) -> int:
    """Walk the chain, and name the first broken record.

    Exits with 4 when it is broken, or when a store keeps another end of it than the records have.
    """
    from rotator.app import auditing

    talk = talk_of(ctx)
    with opened(talk) as house:
        found = auditing.audit_verify(house, offline=offline, segments=segments)
    talk.show("ChainList", found.items, lambda page: chain_lines(found, page))
    return found.exit_status


@click.command(cls=Command)
@click.option("--reason", required=True, metavar="TEXT", help="What happened, for whoever reads the log later.")
@yes()
@click.pass_context
def accept(ctx: click.Context, reason: str) -> int:
    """Record that a break is known, and go on from it.

    For the time after a restore from a backup. The break stays in the record.
    """
    from rotator.app.handover.caller import carried

    talk = talk_of(ctx)
    if not agreed(talk, "Accept the chain as it is, and go on from it?"):
        return 1
    with opened(talk) as house:
        found: Records = carried(house, "accept", reason=reason)
    talk.show("AuditList", found.items, lambda page: audit_lines(found.items, page, whole=talk.verbose))
    return found.exit_status


def audit_lines(items: Sequence[Mapping[str, Any]], page: Page, *, whole: bool, titles: bool = True) -> Iterator[str]:
    """Yield the table. whole: key ids are not shortened, which a pipe never does. titles: with a first line."""
    if not items:
        yield "No record fits."
        return
    yield from render(_COLUMNS, [_row(item, whole=whole or not page.terminal) for item in items], page, titles=titles)


def _row(item: Mapping[str, Any], *, whole: bool) -> list[str]:
    at = moment_of(item["time"])
    return [
        str(item["seq"]),
        exactly(at).removesuffix("Z") if at else NOTHING,
        item["event"],
        item["credential"] or NOTHING,
        item["outcome"] or NOTHING,
        item["actor"],
        _detail(item, whole=whole),
    ]


def _detail(item: Mapping[str, Any], *, whole: bool) -> str:
    """Return the sentence of a record, or what its other columns say."""
    key = item["key_id"]
    shown = key if whole else short_key(key)
    detail = item["detail"]
    if detail:
        return str(detail)
    place = f"{item['store_path']} v{item['store_version']}" if item["store_version"] else item["store_path"]
    return ", ".join(filter(None, (item["reason"], f"key {shown}" if key else None, place)))


def record_lines(items: Sequence[Mapping[str, Any]], page: Page) -> Iterator[str]:
    """Yield one line for each key of a record that says something."""
    for item in items:
        known = [(key, str(value), "") for key, value in item.items() if value is not None]
        yield from paragraphs(known, page)


def _signed_lines(found: ChainVerified, page: Page) -> Iterator[str]:
    if found.sealed:
        last = found.sealed[-1]
        yield f"exported and pruned: up to record {last.last}, file {short_key(last.file)}"
    signed = found.checkpoint
    if signed is not None:
        at = moment_of(signed.time)
        whose = {True: "our key", False: "another key", None: "key"}[signed.trusted]
        when = exactly(at) if at else signed.time
        yield page.fit(f"last signature: record {signed.seq}, {when}, {whose} {signed.key[:16]}")
        if signed.note:
            yield from fold(page.fit(signed.note), page.width)


def chain_lines(found: ChainVerified, page: Page) -> Iterator[str]:
    """Yield what the walk found: the first break, or from where to where it holds, and what the stores say."""
    if found.broken is not None:
        yield page.paint("chain broken:", RED) + page.fit(f" {found.broken}")
        yield from record_lines(found.record, page)
    elif found.last == 0:
        yield "There is no record yet."
    else:
        holds = page.paint("chain verified:", GREEN)
        head = page.fit(short_key(found.head)) if page.terminal else found.head
        yield f"{holds} {found.first} to {found.last}, head {head}"
    yield from _signed_lines(found, page)
    remarks = [(one.store, one.message, one.hint) for one in found.compared]
    yield from paragraphs(remarks, page)
