"""Groups that know their commands by a table, and import the one that is called. They run nothing of their own.

`rotator --help` and the Tab key must be quick, so the sentence for each command stands in the table; a test compares
it with what the command itself says.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rotator.cli.options import CommonOption, common

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Command(click.Command):
    """A command with the options that every command takes. It returns its exit status."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params = [*self.params, *common()]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of this command, and how to see the others."""
        _own_options(self, ctx, formatter)


class Entry(NamedTuple):
    """One command in a table. place: `module:attribute` below rotator.cli. does: one sentence for the list."""

    place: str
    does: str


class Group(click.Group):
    """A group whose commands are imported when they are called. sections: title -> name -> where it is."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, Entry]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params = [*self.params, *common()]
        self.sections = sections
        self.entries = {name: entry for section in sections.values() for name, entry in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"rotator.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant, or say which one could be."""
        first = args[0]
        if first not in self.entries and not first.startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f'There is no command "{first}".{_close(first, self.entries)}', ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, and the options: all of them for the outermost group."""
        self.format_commands(ctx, formatter)
        if ctx.parent is None:
            click.Command.format_options(self, ctx, formatter)
        else:
            _own_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, without importing a command."""
        longest = max(map(len, self.entries))
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{longest}}", entry.does) for name, entry in section.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer commands by the table, and options."""
        from click.shell_completion import CompletionItem

        offered = [
            CompletionItem(name, help=entry.does) for name, entry in self.entries.items() if name.startswith(incomplete)
        ]
        return [*offered, *click.Command.shell_complete(self, ctx, incomplete)]


def _own_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    records = [
        record
        for param in command.get_params(ctx)
        if isinstance(param, click.Option)
        and not isinstance(param, CommonOption)
        and (record := param.get_help_record(ctx)) is not None
    ]
    with formatter.section("Options"):
        formatter.write_dl(records)
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text("Every command also takes --config -o -v -q --no-color, see: rotator --help")


def _close(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1)
    return f' Did you mean "{close[0]}"?' if close else ""
