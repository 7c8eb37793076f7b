"""How our own writes went: which of two is right depends on whether ours is still to come, failed, or was undone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gwbatch.ledger import Ledger


@dataclass(frozen=True)
class Write:
    """The newest effect that set or removed something: its state is that of the ledger."""

    key: str
    kind: str
    state: str
    error: str

    @property
    def open(self) -> bool:
        """Whether it is still to come."""
        return self.state in ("ready", "running")


def newest(ledger: Ledger, keys: Iterable[str]) -> Write | None:
    """Return the newest effect with one of these keys, or with one that goes on with a slash; None if there is none."""
    found = []
    for key in keys:
        rows = ledger.read(
            "SELECT id, key, kind, state, error FROM effects WHERE key = ? OR (key > ? AND key < ?)",
            (key, f"{key}/", f"{key}0"),  # "0" comes after "/"
        )
        found += [(row["id"], Write(row["key"], row["kind"], row["state"], row["error"] or "")) for row in rows]
    return max(found, key=lambda one: one[0])[1] if found else None
