"""Data products that exist, as the mirror keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StoredProduct:
    """A data product that exists.

    Attributes
    ----------
    version : str
        What it was made from; another version is another content.
    created : float
        When it was written down, Unix time in s.
    path : str or None
        On this machine, when one of our jobs made it.
    """

    subject: str
    name: str
    version: str
    path: str | None
    facts: dict[str, Any]
    created: float = field(default=0.0, compare=False)
