"""Orders from the console: what people can start with a click, giving a reason if they like.

An order is a message to the dispatcher, the same that the command line sends, or a repair of one job or dead letter.
Stopping the alerts needs no dispatcher.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gwbatch.alerts import EXPECTED
from gwbatch.config.policy import load_policy
from gwbatch.config.profile import Profile
from gwbatch.errors import BadInput
from gwbatch.executors.repairs import REPAIRS
from gwbatch.handlers.messages import (
    Annotate,
    Announce,
    CopyMap,
    Message,
    Prefer,
    PreferForPipeline,
    ReleaseNotice,
    SendNotice,
    UseMap,
)
from gwbatch.ledger import Ledger, alert_switch, in_force, messages
from gwbatch.orchestrator.commands import ordered

STOP = "stop-alerts"
LONGEST = 1000  # characters of a reason

_FILE = re.compile(r"[^,/]+,\d+")


@dataclass(frozen=True)
class Order:
    """The message that one kind of order sends.

    Attributes
    ----------
    fields : tuple of str
        Fields that the page sets.
    fixed : mapping
        Fields that are the same for every order of this kind.
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
    "send-update": Order(SendNotice, ("superevent", "files", "why"), {"kind": "update"}),
    "copy-map": Order(CopyMap, ("source", "file", "target", "why")),
    "use-map": Order(UseMap, ("external", "url", "why")),
}
"""All orders that are messages, by name."""


def hand_over(ledger: Ledger, wanted: Any, by: str, now: float) -> str:
    """Carry out an order, or queue it for the dispatcher; return a sentence that says which.

    Parameters
    ----------
    wanted : object
        The order as the page sends it: ``order``, and the fields of that order.

    Raises
    ------
    BadInput
        If `wanted` is not an order.
    ConfigError
        If the object of the order does not exist or does not allow it.
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
    if wanted["order"] in REPAIRS:
        field, carry_out = REPAIRS[wanted["order"]]
        if not isinstance(wanted.get(field), str):
            raise BadInput(f"Cannot take the order: {field!r} must name its object.")
        return carry_out(ledger, wanted[field], ordered(by, why), now)
    order = ORDERS.get(wanted["order"])
    if order is None:
        known = ", ".join((STOP, *sorted([*ORDERS, *REPAIRS])))
        raise BadInput(f"There is no order {wanted['order'][:60]!r}. Known: {known}.")
    said = {name: wanted[name] for name in order.fields if name in wanted}
    if "files" in said:
        said["files"] = chosen_files(said["files"])
    message = order.message.read({**said, **order.fixed, "by": by, "at": now})
    with ledger.transaction() as tx:
        messages.send_message(tx, message, now)
    return "Queued for the dispatcher."


def notice_now(ledger: Ledger, superevent: str, kind: str, files: str, state: Path) -> dict[str, Any]:
    """Return a notice as it would go out now under the dispatcher's policy and profile.

    Parameters
    ----------
    files : str
        JSON object: product to ``NAME,VERSION`` of the superevent, for files that were chosen manually.

    Raises
    ------
    BadInput
        If `files` is not such an object.
    """
    from gwbatch.executors.notices.preview import preview  # slow because it imports Kafka, so only previews load it

    policy, profile = in_force.recorded_policy(ledger), in_force.recorded_profile(ledger)
    chosen = chosen_files(json.loads(files or "{}"))
    in_use = load_policy() if policy is None else policy[0]
    return preview(ledger, superevent, kind, chosen, in_use, profile or Profile(), state)


def chosen_files(value: Any) -> dict[str, str]:
    """Check the files that somebody has chosen for products, and return them by product.

    Raises
    ------
    BadInput
        If a product is unknown, or a file is not given as ``NAME,VERSION``.
    """
    if not isinstance(value, dict):
        raise BadInput("Cannot read the chosen files: they must be a JSON object.")
    for product, file in value.items():
        if product not in EXPECTED:
            raise BadInput(f"A notice has no product {product[:60]!r}. Known: {', '.join(EXPECTED)}.")
        if not isinstance(file, str) or not _FILE.fullmatch(file):
            raise BadInput(f"Cannot tell which version of {str(file)[:60]!r} to use. Write NAME,VERSION.")
    return dict(value)
