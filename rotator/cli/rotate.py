"""`rotator rotate`: one full pass in the foreground, or a rotation now. It shows; what is done is decided elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rotator.app.usage import UsageFault
from rotator.cli.asking import agreed, agreed_to_danger
from rotator.cli.failing import STOPPED
from rotator.cli.following import Hearing, followed
from rotator.cli.lazy import Command
from rotator.cli.notes import paragraphs
from rotator.cli.opening import opened, stoppable
from rotator.cli.options import names as names_argument
from rotator.cli.options import talk_of, yes
from rotator.cli.page import Page
from rotator.cli.talk import Talk
from rotator.cli.times import When, moment_of, took
from rotator.cli.words import count

if TYPE_CHECKING:
    from rotator.app.house import House
    from rotator.app.results import Rotated
    from rotator.app.rotating import Wish
    from rotator.model import Credential


@click.command(cls=Command)
@names_argument()
@click.option("--now", is_flag=True, help="Rotate at once, due or not.")
@click.option("--all", "everything", is_flag=True, help="With --now: every credential; paused and parked are skipped.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="Those with this label; may be repeated.")
@click.option("--reason", "note", default="", metavar="TEXT", help="Why, for the audit log.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@click.option("--emergency", is_flag=True, help="With --now: skip the grace; old secrets stop working at once.")
@click.option("--no-wait", is_flag=True, help="With --now: write the request down, and leave it to the next pass.")
@yes()
@click.pass_context
def rotate(ctx: click.Context, /, names: tuple[str, ...], labels: tuple[str, ...], **asked: Any) -> int:
    """Make one full pass now, or rotate at once with --now.

    \b
    A pass goes in this order, for the credentials named or for all:
      finish or undo what is unfinished, retire what is past its grace,
      sweep our orphans, rotate what is due.
    """
    from rotator.app.rotating import Wish

    wish = Wish(names=names, labels=dict(_label(label) for label in labels), **asked)
    _see_that_it_makes_sense(wish)
    return _rotated(talk_of(ctx), wish)


def one_pass(ctx: click.Context, *, leave_metrics: bool) -> int:
    """Make one full pass over all credentials, as `rotator daemon --once` does.

    leave_metrics: write them where `$ROTATOR_METRICS_FILE` says, whatever the pass came to.
    """
    from rotator.app.rotating import Wish

    return _rotated(talk_of(ctx), Wish(), leave_metrics=leave_metrics)


def _rotated(talk: Talk, wish: Wish, *, leave_metrics: bool = False) -> int:
    with ExitStack() as stack:
        stop = stack.enter_context(stoppable(talk))
        house = stack.enter_context(opened(talk, stop=stop, progress=(hearing := Hearing())))
        everything = wish.everything or not (wish.names or wish.labels)
        chosen = house.chosen(wish.names, wish.labels, everything=everything)
        if not _agreed(talk, wish, chosen):
            return 1
        found = _rotating(talk, house, wish, chosen, hearing)
        when = When(house.clock.now(), exact=talk.verbose)
        if leave_metrics:
            _leave_metrics(house)
    talk.show("RotationList", found.items, lambda page: rotate_lines(found, page, when))
    for trouble in found.troubles:
        talk.trouble(trouble.error.message, trouble.error.hint, who=trouble.name)
    return _stopped(talk, found) if stop.is_set() else found.exit_status


def _leave_metrics(house: House) -> None:
    from rotator.app.serving import metrics_file, write_metrics_file

    path = metrics_file(house)
    if path is not None:
        write_metrics_file(house, path)


def _label(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not (key and sign):
        raise UsageFault(f'"{text}" is no label.', hint="Write it as KEY=VALUE, such as --label env=prod")
    return key, value


def _see_that_it_makes_sense(wish: Wish) -> None:
    ways = [bool(wish.names), bool(wish.labels), wish.everything]
    if sum(ways) > 1:
        raise UsageFault("NAME, --label and --all are three ways to choose.", hint="Give one of them.")
    if wish.now and not any(ways):
        raise UsageFault(
            "--now rotates whether it is due or not, so it must be told what.",
            hint="Give a NAME, --label KEY=VALUE or --all; or leave out --now to rotate what is due.",
        )
    asked = ((wish.emergency, "--emergency"), (bool(wish.note), "--reason"), (wish.no_wait, "--no-wait"))
    for given, option in asked:
        if given and not wish.now:
            raise UsageFault(f"{option} belongs to a rotation that is asked for.", hint=f"Add --now to {option}.")


def _agreed(talk: Talk, wish: Wish, chosen: Sequence[Credential]) -> bool:
    if wish.dry_run or not wish.now:
        return True
    whom = chosen[0].name if len(chosen) == 1 else count(len(chosen), "credential")
    if wish.emergency:
        return agreed_to_danger(talk, f"Rotate {whom} now, without grace? The old secrets stop working at once.")
    if len(chosen) > 1:
        return agreed(talk, f"Rotate {whom} now?")
    return True


# --------------------------------------------------------------------------------------------------------- progress


def _rotating(talk: Talk, house: House, wish: Wish, chosen: Sequence[Credential], hearing: Hearing) -> Rotated:
    from rotator.app.handover.caller import carried

    def rotated() -> Rotated:
        if wish.dry_run:
            from rotator.app import rotating

            return rotating.rotate(house, wish)
        done: Rotated = carried(house, "rotate", **asdict(wish))
        return done

    if wish.dry_run or wish.no_wait:
        return rotated()
    return followed(talk, house, hearing, [one.name for one in chosen], _heading(house, wish), rotated)


def _heading(house: House, wish: Wish) -> str:
    if not wish.now:
        return ""
    note = f' · "{wish.note}"' if wish.note else ""
    return f"requested by {house.actor}{note}"


def _stopped(talk: Talk, found: Rotated) -> int:
    left = [item["name"] for item in found.items if item["outcome"] not in ("promoted", "retired", "abandoned")]
    if not left:
        return found.exit_status
    if not found.troubles:
        talk.complain(
            "Stopped. What was begun and not finished is written down; the next run settles it: rotator rotate"
        )
    return STOPPED


# ---------------------------------------------------------------------------------------------------------- results


def rotate_lines(found: Rotated, page: Page, when: When) -> Iterator[str]:
    """Yield for each credential what became of it, and what follows from that."""
    said: dict[str, list[str]] = {}
    for remark in found.remarks:
        said.setdefault(remark.name, []).extend(filter(None, (remark.message, remark.hint)))
    failed = {trouble.name for trouble in found.troubles}
    idle = 0
    remarks = []
    for item in found.items:
        name = str(item["name"])
        if item["outcome"] == "skipped" and name not in said:
            idle += name not in failed  # what hindered the others is said on standard error
            continue
        sentence = outcome_sentence(item, found.places.get(name), when)
        remarks.append((name, sentence, "\n".join(said.get(name, ()))))
    names = {item["name"] for item in found.items}
    remarks += [(one.name, one.message, one.hint) for one in found.remarks if one.name not in names]
    yield from paragraphs(remarks, page)
    if idle:
        yield f"{count(idle, 'credential')}: nothing was due."


def outcome_sentence(item: Mapping[str, Any], place: str | None, when: When) -> str:
    """Return what became of one credential: `promoted in 41 s. Consumers read kv/… v8.`"""
    outcome = item["outcome"]
    began, ended = moment_of(item["started_at"]), moment_of(item["finished_at"])
    in_time = f" in {took(ended - began)}" if began and ended else ""
    if outcome in ("promoted", "retired") and item["store_version"] is not None:
        reads = f" Consumers read {place} v{item['store_version']}." if place else ""
        done = "put back" if item["reason"] == "reverted" else outcome
        return f"{done}{in_time}.{reads}"
    if outcome == "abandoned":
        made = "the new version is undone" if item["new_key_id"] else "no new version was made"
        serves = ", the old one serves" if item["old_key_ids"] else ""
        return f"abandoned{in_time}: {made}{serves}."
    if outcome == "skipped" and item["error"] is not None:
        return "not rotated."
    if outcome == "skipped" and item["reason"] not in ("parked", "paused", "forgotten"):
        return "nothing was due."
    return f"{outcome}."
