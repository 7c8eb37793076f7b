"""Orders to the dispatcher, which handles them like any other message."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gwbatch.handlers.messages import Message
    from gwbatch.ledger import Ledger

why_option = click.option("--why", default="", help="A reason, for the ledger and for GraceDB's log.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def hand_over(ledger: Ledger, order: type[Message], look: str, **fields: Any) -> None:
    """Record an order of this user in the ledger, and name the command (`look`) that shows its progress."""
    from gwbatch.ledger import messages

    now = time.time()
    with ledger.transaction() as tx:
        messages.send_message(tx, order(by=getpass.getuser(), at=now, **fields), now)
    click.echo(f"Queued for the dispatcher. Check progress with '{look}'.")
