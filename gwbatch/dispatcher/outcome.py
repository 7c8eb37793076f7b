"""How an effect went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gwbatch.ledger import Transaction


@dataclass(frozen=True)
class Outcome:
    """How an effect went: its result, and what else to write in the transaction that marks it done."""

    result: Mapping[str, Any] = field(default_factory=dict)
    commit: Callable[[Transaction], None] | None = None
