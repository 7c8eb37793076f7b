"""The CLI reference, generated from the commands: ``python -m gwbatch.cli.reference > docs/cli.md``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from gwbatch.cli import cli


def reference() -> str:
    """Return every command's help as one Markdown page."""
    pages = [f"## `{path}`\n\n```text\n{text.rstrip()}\n```\n" for path, text in _helps(cli, "gwbatch", None)]
    return "# Commands\n\nMade by `python -m gwbatch.cli.reference > docs/cli.md`.\n\n" + "\n".join(pages)


def _helps(command: click.Command, path: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command, info_name=path.rpartition(" ")[2], parent=parent, max_content_width=100, terminal_width=100,
        help_option_names=cli.context_settings["help_option_names"],
    )  # fmt: skip
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _helps(inner, f"{path} {name}", context)


if __name__ == "__main__":
    print(reference(), end="")
