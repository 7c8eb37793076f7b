"""Labels of external events and their superevents that can be set and removed repeatedly."""

from __future__ import annotations

from gwbatch.effects import Effect
from gwbatch.effects.kinds import Label, Unlabel
from gwbatch.handlers.context import Context
from gwbatch.keys import creation_of


def relabel(key: str, name: str, context: Context, *, on: bool, after: str | None = None) -> Effect:
    """Set or remove a label of an external event, and record that the alert about it will be our own echo."""
    event = context.externals.get(key)
    assert event is not None
    context.externals.set_pending(key, [*event.pending_writes, f"{'+' if on else '-'}{name}"])
    return set_label(key, name, context, on=on, after=after or creation_of(key))


def set_label(target: str, name: str, context: Context, *, on: bool, after: str | None) -> Effect:
    """Set or remove a label that can change repeatedly; other effects of the target do not wait for it."""
    if on:
        return Label(target, name, occasion(context), in_order=False, after=after)
    return Unlabel(target, name, occasion(context), after=after)


def occasion(context: Context) -> str:
    """Return a text that tells one change of a label from the next, even within one message."""
    return f"{context.message_id}.{len(context.decisions)}"
