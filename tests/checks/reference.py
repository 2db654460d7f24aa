"""Reference: docs/reference says what the code says.

To write it anew: python -m tests.checks.reference
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
FOLDER = Path("docs/reference")


def faults() -> list[str]:
    """Return each page that is missing or says something else."""
    return [
        f"{path} is not what the code says; run: python -m tests.checks.reference"
        for path, text in pages().items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != text
    ]


def write() -> None:
    """Write every page."""
    for path, text in pages().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")


def pages() -> dict[Path, str]:
    """Return the pages as they should be."""
    from rotator.cli.config import schema_text
    from tests.checks import audit_format

    return {
        FOLDER / "audit-format.md": audit_format.page(),
        FOLDER / "controls.md": "\n".join(_controls()) + "\n",
        FOLDER / "cli.md": "\n".join(_commands()) + "\n",
        FOLDER / "config.schema.json": schema_text() + "\n",
        FOLDER / "lifecycle.md": "\n".join(_lifecycle()) + "\n",
    }


def _controls() -> Iterator[str]:
    from rotator.app.controls import CONTROLS

    yield "# Controls"
    yield ""
    yield "Generated from the table behind `rotator report --controls` (`python -m tests.checks.reference`)."
    yield ""
    yield "`rotator report --controls` computes the evidence for each from the live state: `shown`, or `gap` and what"
    yield "is missing. `-o json` gives the same to programs. Whether a control is met is for an auditor to say."
    yield ""
    yield "| control | what it asks | what is shown | at length |"
    yield "|---|---|---|---|"
    for one in CONTROLS:
        yield f"| {one.framework} {one.number} | {one.asks} | {one.shows.__doc__} | `{one.command}` |"
    yield ""
    yield "Sources: NIST SP 800-53 rev. 5, PCI DSS 4.0.1, ISO/IEC 27001:2022 annex A, CIS Microsoft 365 Foundations"
    yield "Benchmark 7.0."


# ------------------------------------------------------------------------------------------------------------- commands

_BEFORE = """\
# Commands

Generated from the commands themselves (`python -m tests.checks.reference`).

Data goes to standard output, talk to standard error. On a terminal tables are fitted to its width; in a pipe or a file
everything is printed, whole and plain. Times are relative for people (`in 23 d`, `tomorrow 09:20`), exact in UTC with
`-v` and in JSON."""

_AFTER = """\
## Options that every command takes

They stand before or after the command; the one that stands later wins.

{options}

`--yes` is taken by every command that changes something. Questions are asked on a terminal only. Without one, an act
that cannot be taken back (`rotate --emergency`, `orphans --retire`, `retire`, `forget --retire`) needs `--yes`; else it
ends with 2 and names the command to type.

## Exit codes

| code | meaning |
|---|---|
| 0 | done, warnings too |
| 1 | something failed or needs attention, or a question was answered with no; old secrets still serve |
| 2 | wrong usage |
| 4 | the audit chain is broken |
| 69 | a vendor or the store cannot be reached |
| 75 | try again later: a lock is held, a vendor throttles, or the run was stopped in the middle |
| 77 | permission denied |
| 78 | the configuration is wrong |
| 130 | Ctrl-C while nothing was under way, or for the second time |

One credential asked for: its own code. Several: 1, unless all share one.

## Ctrl-C

The first Ctrl-C (or SIGTERM) lets the step in hand end and leaves the rest to the next run; what was begun is named,
and the exit code is 75. The second ends the process at once. Both are safe: every mutating call is written down before
it is made, and the next run finds out what became of it.

## JSON

`-o json` prints one object, `{{"apiVersion": "rotator/v1", "kind": "…List", "items": […]}}`; `-o jsonl` prints the
items, one a line. Times are RFC 3339 in UTC, durations are seconds with the unit in the key, and what is not known is
`null`. Failures are printed on standard error in these forms too, so standard output stays valid.

## Environment

| variable | meaning |
|---|---|
| `ROTATOR_CONFIG` | the configuration, where `--config` is not given |
| `NO_COLOR` | no colours, whatever its value; `TERM=dumb` does the same and draws nothing in place |
| `COLUMNS` | the width of the terminal, where it cannot be asked |

## Completion

`rotator completion bash|zsh|fish` prints the script of a shell; `rotator completion --help` says where each one looks
for it. Names of credentials are completed from the configuration and the files it includes, found by their look, so a
Tab costs milliseconds."""


def _commands() -> Iterator[str]:
    from rotator.cli.main import main
    from rotator.cli.options import CommonOption

    yield _BEFORE
    yield ""
    context = click.Context(main, info_name="rotator")
    for title, section in main.sections.items():
        yield f"## {title}"
        yield ""
        for name in section:
            yield from _command(main, name, context)
    common = [param for param in main.params if isinstance(param, CommonOption)]
    yield _AFTER.format(options="\n".join(_options(common, context)))


def _command(group: click.Group, name: str, parent: click.Context) -> Iterator[str]:
    from rotator.cli.lazy import Group
    from rotator.cli.options import CommonOption

    command = group.get_command(parent, name)
    assert command is not None
    context = click.Context(command, info_name=name, parent=parent)
    if isinstance(command, Group):
        for inner in command.list_commands(context):
            yield from _command(command, inner, context)
        return
    own = [param for param in command.params if isinstance(param, click.Option) and not isinstance(param, CommonOption)]
    pieces = [piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]"]
    yield f"### {context.command_path}"
    yield ""
    yield f"    {' '.join([context.command_path, *(['[OPTIONS]'] if own else []), *pieces])}"
    yield ""
    yield from _prose(command.help or "")
    if own:
        yield from _options(own, context)
        yield ""


def _prose(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text; what may not be wrapped there is code here."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield from (f"    {line}" for line in paragraph.splitlines()[1:])
        else:
            yield " ".join(paragraph.split())
        yield ""


def _options(params: Sequence[click.Option], context: click.Context) -> Iterator[str]:
    yield "| option | meaning |"
    yield "|---|---|"
    for param in params:
        record = param.get_help_record(context)
        assert record is not None
        name, meaning = (text.replace("|", "\\|") for text in record)
        yield f"| `{name}` | {' '.join(meaning.split())} |"


# ------------------------------------------------------------------------------------------------------------ lifecycle


def _lifecycle() -> Iterator[str]:
    from rotator.lifecycle import LIFE

    yield "# The life of a rotation"
    yield ""
    yield "Generated from the table in `rotator/lifecycle.py` (`python -m tests.checks.reference`)."
    yield "A transition that is not here does not exist."
    for procedure, course in LIFE.items():
        yield ""
        yield f"## Procedure {procedure}"
        yield ""
        yield f"Steps: {', '.join(course.steps)}."
        yield ""
        yield "```mermaid"
        yield "stateDiagram-v2"
        yield f"    [*] --> {next(iter(course.rows))}"
        for phase, row in course.rows.items():
            for after in row.leads_to:
                yield f"    {phase} --> {after}: {row.act.__name__}"
        for end in dict.fromkeys(after for row in course.rows.values() for after in row.leads_to if after.final):
            yield f"    {end} --> [*]"
        yield "```"
        yield ""
        yield "| phase | what is true in it | what is done | what may follow |"
        yield "|---|---|---|---|"
        for phase, row in course.rows.items():
            yield f"| {phase} | {row.means} | {row.act.__name__} | {', '.join(row.leads_to)} |"
    yield ""
    yield "## What is done"
    for act in dict.fromkeys(row.act for course in LIFE.values() for row in course.rows.values()):
        yield ""
        yield f"### {act.__name__}"
        for paragraph in inspect.cleandoc(act.__doc__ or "").split("\n\n"):
            yield ""
            yield " ".join(paragraph.split())


if __name__ == "__main__":
    write()
