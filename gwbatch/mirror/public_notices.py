"""Public notices as rows, which are planned, frozen with their bytes, sent to each broker and stored in GraceDB."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gwbatch.ledger import Transaction
from gwbatch.mirror import query

STATES = ("planned", "refused", "frozen", "dry-run", "withheld", "delivered", "stored")


@dataclass(frozen=True)
class PublicNotice:
    """One notice.

    Attributes
    ----------
    superevent : str
        Key of the superevent.
    ordinal : int
        1 for the first of its kind about the superevent.
    state : str
        ``planned``, ``refused``, ``frozen``, ``dry-run``, ``withheld``, ``delivered`` (to a broker) or ``stored`` (in
        GraceDB).
    orders : dict
        Who ordered it (``by``), why (``why``), and which files it must use (``files``, product to ``NAME,VERSION``).
    planned, frozen, delivered, stored, labelled, drafted : float or None
        Unix time in s.
    record : dict or None
        The content of the notice without its maps, once it is frozen.
    decision : dict or None
        What it was made from, and what was missing.
    """

    id: int
    superevent: str
    kind: str
    ordinal: int
    state: str
    reason: str | None
    orders: dict[str, Any]
    category: str
    planned: float
    frozen: float | None
    delivered: float | None
    stored: float | None
    labelled: float | None
    drafted: float | None
    uid: str | None
    time_created: str | None
    record: dict[str, Any] | None
    decision: dict[str, Any] | None

    @property
    def is_foreign(self) -> bool:
        """Whether another dispatcher sent it, or this one before its ledger was lost."""
        return self.state == "stored" and self.frozen is None

    @property
    def name(self) -> str:
        """The notice's name among those about its superevent: ``preliminary``, ``update-2``."""
        return self.kind if self.ordinal == 1 else f"{self.kind}-{self.ordinal}"


@dataclass(frozen=True)
class Send:
    """A notice on its way to one broker."""

    notice: int
    broker: str
    topic: str
    form: str
    variant: int
    left_out: str | None
    state: str
    reason: str | None
    round: int
    tries: int
    partition: int | None
    mark: int | None
    offset: int | None
    delivered: float | None


def plan(
    tx: Transaction,
    superevent: str,
    category: str,
    kind: str,
    now: float,
    occasion: str = "",
    orders: Mapping[str, Any] | None = None,
    *,
    again: bool = False,
) -> PublicNotice | None:
    """Store a planned notice; return None if the occasion already has one.

    Parameters
    ----------
    again : bool
        Plan it once more if it was refused.
    """
    values = {"superevent": superevent, "kind": kind, "occasion": occasion, "category": category, "now": now}
    values["orders"] = json.dumps(dict(orders or {}))
    row = tx.execute(query("plan_notice"), values).fetchone()
    if row is None and again:
        row = tx.execute(query("plan_notice_again"), values).fetchone()
    return None if row is None else get(tx, row["id"])


def remember(
    tx: Transaction,
    superevent: str,
    category: str,
    kind: str,
    occasion: str,
    number: int,
    time_created: str,
    sent: float,
) -> PublicNotice | None:
    """Store a notice that GraceDB has under `number` but this ledger did not send; return None if it is known.

    A planned or refused notice of the same occasion then counts as sent.
    """
    values = {"superevent": superevent, "kind": kind, "occasion": occasion, "category": category, "sent": sent}
    row = tx.execute(query("remember_notice"), {**values, "time_created": time_created, "number": number}).fetchone()
    return None if row is None else get(tx, row["id"])


def get(tx: Transaction, notice: int) -> PublicNotice | None:
    """Return a notice by its number."""
    row = tx.execute("SELECT * FROM public_notices WHERE id = ?", (notice,)).fetchone()
    return None if row is None else _notice(row)


def is_known(tx: Transaction, superevent: str, kind: str, occasion: str) -> bool:
    """Return whether an occasion already has a notice."""
    sql = "SELECT 1 FROM public_notices WHERE superevent = ? AND kind = ? AND occasion = ?"
    return tx.execute(sql, (superevent, kind, occasion)).fetchone() is not None


def asked_for_by(tx: Transaction, notice: int) -> str:
    """Return the occasion of a notice."""
    return str(tx.execute("SELECT occasion FROM public_notices WHERE id = ?", (notice,)).fetchone()["occasion"])


def about(tx: Transaction, superevent: str) -> list[PublicNotice]:
    """Return the notices about a superevent, in the order in which they were planned."""
    rows = tx.execute("SELECT * FROM public_notices WHERE superevent = ? ORDER BY id", (superevent,))
    return [_notice(row) for row in rows.fetchall()]


def refuse(tx: Transaction, notice: int, reason: str) -> None:
    """Record why a notice does not go out."""
    tx.execute(
        "UPDATE public_notices SET state = 'refused', reason = ? WHERE id = ? AND state = 'planned'", (reason, notice)
    )


def freeze(
    tx: Transaction,
    notice: int,
    state: str,
    uid: str,
    record: Mapping[str, Any],
    decision: Mapping[str, Any],
    now: float,
) -> None:
    """Freeze a notice with its content (`record`, without its maps)."""
    tx.execute(
        query("freeze_notice"),
        {
            "id": notice,
            "state": state,
            "uid": uid,
            "time_created": record["time_created"],
            "record": json.dumps(dict(record)),
            "decision": json.dumps(dict(decision)),
            "now": now,
        },
    )


# ---- bodies ------------------------------------------------------------------------------------------------


def put_body(tx: Transaction, notice: int, form: str, variant: int, body: bytes) -> None:
    """Store the bytes of a notice in one form."""
    digest = hashlib.sha256(body).hexdigest()
    values = {"notice": notice, "form": form, "variant": variant, "body": body, "size": len(body), "sha256": digest}
    tx.execute(query("put_body"), values)


def body(tx: Transaction, notice: int, form: str, variant: int = 0) -> bytes | None:
    """Return the bytes of a notice; None if it was never frozen in this form, or they were dropped since."""
    row = tx.execute(
        "SELECT body FROM public_bodies WHERE notice = ? AND form = ? AND variant = ?", (notice, form, variant)
    ).fetchone()
    return None if row is None else row["body"]


def forget_bodies(tx: Transaction, before: float, long_before: float) -> int:
    """Drop the bytes of finished notices frozen before `before`, and of withheld ones before `long_before` (Unix s)."""
    return tx.execute(query("forget_bodies"), {"before": before, "long_before": long_before}).rowcount


# ---- sends -------------------------------------------------------------------------------------------------


def put_send(
    tx: Transaction,
    notice: int,
    broker: str,
    topic: str,
    form: str,
    variant: int,
    left_out: str | None,
    withheld: str | None = None,
) -> None:
    """Record that a notice goes to a broker, or why it is withheld from it."""
    state = "waiting" if withheld is None else "withheld"
    values = {"notice": notice, "broker": broker, "topic": topic, "form": form, "variant": variant}
    tx.execute(query("put_send"), {**values, "left_out": left_out, "state": state, "reason": withheld})


def send(tx: Transaction, notice: int, broker: str) -> Send | None:
    """Return the progress of a notice towards one broker."""
    row = tx.execute("SELECT * FROM public_sends WHERE notice = ? AND broker = ?", (notice, broker)).fetchone()
    return None if row is None else Send(**dict(row))


def sends(tx: Transaction, notice: int) -> list[Send]:
    """Return the progress of a notice towards each broker."""
    rows = tx.execute("SELECT * FROM public_sends WHERE notice = ? ORDER BY broker", (notice,))
    return [Send(**dict(row)) for row in rows.fetchall()]


def begin_send(tx: Transaction, notice: int, broker: str, partition: int, mark: int) -> None:
    """Record, before a notice goes to a broker, where to look for it on the topic.

    Parameters
    ----------
    mark : int
        The current end of the partition; the value of the first try stays.
    """
    tx.execute(
        query("begin_send"),
        (partition, mark, notice, broker),
    )


def delivered(tx: Transaction, notice: int, broker: str, partition: int, offset: int, now: float) -> bool:
    """Record that a broker has a notice, and return whether it is the first one."""
    tx.execute(
        query("delivered_send"),
        (partition, offset, now, notice, broker),
    )
    return tx.execute(query("deliver_notice"), {"id": notice, "now": now}).rowcount == 1


def withhold(tx: Transaction, notice: int, broker: str, reason: str) -> None:
    """Withhold a notice from a broker until an operator releases it, and record why."""
    tx.execute(
        "UPDATE public_sends SET state = 'withheld', reason = ? WHERE notice = ? AND broker = ?",
        (reason, notice, broker),
    )
    tx.execute(query("withhold_notice"), {"id": notice, "reason": reason})


def release(tx: Transaction, notice: int) -> list[Send]:
    """Release a withheld notice to its brokers, and return the sends that are now waiting."""
    tx.execute(
        query("release_sends"),
        (notice,),
    )
    tx.execute(
        "UPDATE public_notices SET state = 'frozen', reason = NULL WHERE id = ? AND state = 'withheld'", (notice,)
    )
    return [one for one in sends(tx, notice) if one.state == "waiting"]


# ---- afterwards --------------------------------------------------------------------------------------------


def stored(tx: Transaction, notice: int, now: float) -> None:
    """Note that GraceDB has the notice."""
    tx.execute("UPDATE public_notices SET stored = ?, state = 'stored' WHERE id = ?", (now, notice))


def labelled(tx: Transaction, notice: int, now: float) -> None:
    """Note that the superevent has the label that says that the notice was sent."""
    tx.execute("UPDATE public_notices SET labelled = ? WHERE id = ?", (now, notice))


def drafted(tx: Transaction, notice: int, now: float) -> None:
    """Note that a circular about the notice was drafted."""
    tx.execute("UPDATE public_notices SET drafted = ? WHERE id = ?", (now, notice))


def merge(tx: Transaction, gone: str, kept: str) -> None:
    """Move the notices of one superevent to another with which it was merged; refuse planned duplicates."""
    tx.execute("UPDATE OR IGNORE public_notices SET superevent = ? WHERE superevent = ?", (kept, gone))
    tx.execute(
        query("refuse_merged_notices"),
        (gone,),
    )


def _notice(row: Any) -> PublicNotice:
    values = {name: row[name] for name in PublicNotice.__dataclass_fields__}
    for name in ("orders", "record", "decision"):
        values[name] = None if values[name] is None else json.loads(values[name])
    return PublicNotice(**values)


def records_since(tx: Transaction, since: float) -> list[dict[str, Any]]:
    """Return the content of the notices that were frozen after a Unix time (s)."""
    rows = tx.execute("SELECT record FROM public_notices WHERE frozen > ?", (since,)).fetchall()
    return [json.loads(row["record"]) for row in rows]
