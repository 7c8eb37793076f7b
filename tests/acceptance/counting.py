"""A plug-in that counts the alerts it handles in the lane's transaction, so that a repetition would show."""

from __future__ import annotations

from typing import Any

from gwbatch import effects, igwn_alert
from gwbatch.handlers import Context


@igwn_alert.handler("cbc_soak", queue="superevent")
def count(alert: dict[str, Any], context: Context) -> effects.Effect | None:
    context.tx.execute("CREATE TABLE IF NOT EXISTS counted (n INTEGER)")
    context.tx.execute("INSERT INTO counted VALUES (?)", (alert["n"],))
    return effects.log("G1", "counted", key=str(alert["n"])) if alert["n"] % 100 == 0 else None
