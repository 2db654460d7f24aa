"""`rotator config`: the configuration as it is understood, and its grammar. Secrets appear as references only."""

from __future__ import annotations

import json
from typing import Final

import click

from rotator.cli.lazy import Command, Entry, Group
from rotator.cli.options import talk_of
from rotator.cli.talk import Format

SECTIONS: Final = {
    "Commands": {
        "show": Entry("config:show", "The effective configuration, defaults laid under it."),
        "schema": Entry("config:schema", "A JSON Schema of config.yaml, for editors."),
    }
}


@click.group(cls=Group, sections=SECTIONS)
def config() -> None:
    """The configuration: show, schema."""


@click.command(cls=Command)
@click.pass_context
def show(ctx: click.Context) -> int:
    """The effective configuration, defaults laid under it.

    YAML that could be loaded again; secrets stay references.
    """
    from rotator.app.config import find, load
    from rotator.app.config.show import effective
    from rotator.app.config.written import to_yaml

    talk = talk_of(ctx)
    loaded = load(find(talk.config, talk.environ))
    data = effective(loaded.config)
    if talk.form is Format.TABLE:
        talk.data(to_yaml(data).splitlines())
    else:
        indent = 2 if talk.form is Format.JSON else None
        talk.data([json.dumps(data, indent=indent, ensure_ascii=not talk.out.unicode)])
    for warning in loaded.warnings:
        talk.say(f"warning: {warning}")
    return 0


@click.command(cls=Command)
@click.pass_context
def schema(ctx: click.Context) -> int:
    """A JSON Schema of config.yaml, for editors.

    \b
    In VS Code and others with a YAML language server, the first line of the file:
      # yaml-language-server: $schema=config.schema.json
    """
    talk_of(ctx).data([schema_text()])
    return 0


def schema_text() -> str:
    """Return the schema as it is printed and as the reference holds it."""
    from rotator.app.config.show import json_schema

    return json.dumps(json_schema(), indent=2)
