"""`rotator completion`: prints what makes a shell complete commands, options and names. Installs nothing."""

from __future__ import annotations

from typing import Final

import click

from rotator.cli.lazy import Command
from rotator.cli.options import talk_of

VARIABLE: Final = "_ROTATOR_COMPLETE"


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the completion script of a shell.

    \b
    bash   rotator completion bash > ~/.local/share/bash-completion/completions/rotator
    zsh    rotator completion zsh > a file named _rotator in a folder of $fpath
    fish   rotator completion fish > ~/.config/fish/completions/rotator.fish

    Names of credentials are completed from the configuration, without loading it whole.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click knows each of the three
    script = kind(ctx.find_root().command, {}, "rotator", VARIABLE)
    talk_of(ctx).data([(script.source_template % script.source_vars()).strip()])
    return 0
