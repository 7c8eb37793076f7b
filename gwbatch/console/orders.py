"""Orders from the console: what people may have done with a click, once they have said why.

An order is a message to the dispatcher, as the command line sends it; stopping the alerts needs no dispatcher.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.handlers.messages import Annotate, Announce, Message, Prefer, PreferForPipeline, ReleaseNotice, SendNotice
from gwbatch.ledger import Ledger, alert_switch, messages

STOP = "stop-alerts"
LONGEST = 1000  # characters of a reason


@dataclass(frozen=True)
class Order:
    """What one kind of order sends.

    Attributes
    ----------
    fields : tuple of str
        What the page says.
    fixed : mapping
        What is always so.
    """

    message: type[Message]
    fields: tuple[str, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)


ORDERS = {
    "send-preliminary": Order(SendNotice, ("superevent", "why"), {"kind": "ordered-preliminary"}),
    "release-notice": Order(ReleaseNotice, ("notice", "why")),
    "prefer": Order(Prefer, ("superevent", "event", "why")),
    "prefer-for-pipeline": Order(PreferForPipeline, ("superevent", "event", "why")),
    "announce": Order(Announce, ("superevent", "external", "why")),
    "annotate": Order(Annotate, ("superevent",)),
}
"""Every order by its name."""


def hand_over(ledger: Ledger, wanted: Any, by: str, now: float) -> str:
    """Carry out an order, or hand it over to the dispatcher; return what was done, in words.

    Parameters
    ----------
    wanted : object
        As the page sends it: ``order``, and the fields of that order.

    Raises
    ------
    BadInput
        If it is none.
    """
    if not isinstance(wanted, dict) or not isinstance(wanted.get("order"), str):
        raise BadInput("Cannot read the order: it must be a JSON object with 'order'.")
    why = wanted.get("why", "")
    if not isinstance(why, str) or len(why) > LONGEST:
        raise BadInput(f"Cannot take the order: the reason must be a text of at most {LONGEST} characters.")
    if wanted["order"] == STOP:
        with ledger.transaction() as tx:
            alert_switch.stop(tx, by, why, now)
        return "Alerts are stopped."
    order = ORDERS.get(wanted["order"])
    if order is None:
        raise BadInput(f"There is no order {wanted['order'][:60]!r}. Known: {', '.join((STOP, *sorted(ORDERS)))}.")
    said = {name: wanted[name] for name in order.fields if name in wanted}
    message = order.message.read({**said, **order.fixed, "by": by, "at": now})
    with ledger.transaction() as tx:
        messages.send_message(tx, message, now)
    return "Handed over to the dispatcher."
