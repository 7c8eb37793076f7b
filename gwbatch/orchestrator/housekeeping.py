"""Housekeeping that keeps the ledger small."""

from __future__ import annotations

from typing import Any

from gwbatch.handlers.context import Context
from gwbatch.handlers.decorators import every
from gwbatch.ledger import messages

DAY = 86400.0


@every(3600, name="gwbatch.housekeeping.prune")
def prune(_tick: dict[str, Any], context: Context) -> None:
    """Delete settled messages that are older than the profile's `keep_days`."""
    messages.prune(context.tx, context.now - context.profile.keep_days * DAY)
