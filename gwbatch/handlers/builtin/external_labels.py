"""Labels of external events and their superevents that may come and go."""

from __future__ import annotations

from gwbatch import effects
from gwbatch.effects import Effect
from gwbatch.handlers.registry import Context


def relabel(key: str, name: str, context: Context, *, on: bool, after: str | None = None) -> Effect:
    """Set or take away a label of an external event, and remember that the alert about it will be our own echo."""
    event = context.externals.get(key)
    assert event is not None
    context.externals.expect(key, [*event.expected, f"{'+' if on else '-'}{name}"])
    return effects.relabel(key, name, occasion=occasion(context), on=on, after=after or f"{key}/create")


def occasion(context: Context) -> str:
    """Tells one time of setting a label from the next, also within one message."""
    return f"{context.message_id}.{len(context.decisions)}"
