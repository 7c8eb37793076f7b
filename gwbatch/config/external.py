"""The policy of external triggers as typed, frozen values."""

from __future__ import annotations

import msgspec


class Targeted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds in Hz up to which a targeted search looks."""

    far_external: float
    far_gw: float


class External(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every number that external triggers are judged by; see ``policy.toml`` for what each means."""

    windows: dict[str, dict[str, list[float]]]
    rates: dict[str, float]
    rate_of_others: float
    targeted: dict[str, Targeted]
    announced: list[str]
    supernova_far: float
    search_rank: dict[str, int]
    rank_of_others: int
    cbc_like: list[str]
    forget_after: float
