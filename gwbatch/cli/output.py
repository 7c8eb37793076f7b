"""Printing of lists, as text or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import click


def show(rows: Sequence[dict[str, Any]], as_json: bool, line: Callable[[dict[str, Any]], str], none: str) -> None:
    """Print rows as one JSON list or as one line each; `none` names what is missing if there are no rows."""
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(line(row))
    if not rows:
        click.echo(f"No {none}.")
