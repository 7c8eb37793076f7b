"""``gwbatch completion``: tab completion of commands, options and file names."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete gwbatch's commands and options.

    \b
    Examples:
      gwbatch completion bash > ~/.local/share/bash-completion/completions/gwbatch
      gwbatch completion zsh > "${fpath[1]}/_gwbatch"
      gwbatch completion fish > ~/.config/fish/completions/gwbatch.fish
    """
    from click.shell_completion import get_completion_class

    from gwbatch.cli import cli

    made = get_completion_class(shell)
    assert made is not None  # click knows these three
    click.echo(made(cli, {}, "gwbatch", "_GWBATCH_COMPLETE").source())
