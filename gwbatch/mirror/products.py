"""Existing data products, as the mirror stores them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StoredProduct:
    """A data product that exists.

    Attributes
    ----------
    version : str
        Identifies what it was made from; another version has other content.
    created : float
        When it was recorded, Unix time in s.
    path : str or None
        The file on this machine, if one of our jobs made it.
    """

    subject: str
    name: str
    version: str
    path: str | None
    facts: dict[str, Any]
    created: float = field(default=0.0, compare=False)
