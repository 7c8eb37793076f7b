"""The policy for external triggers, as typed, frozen values."""

from __future__ import annotations

import msgspec


class Targeted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """False alarm rate thresholds of a targeted search, in Hz.

    Attributes
    ----------
    far_external : float
        For the observatory's triggers. Triggers above it are vetoed, whatever their search.
    far_gw : float or None
        For gravitational-wave candidates. None takes the less-significant threshold of the superevent's kind, divided
        by its trials.
    """

    far_external: float
    far_gw: float | None = None


class Vetoes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits beyond which a notice vetoes its own trigger; see ``policy.toml``."""

    grb_probability: float
    most_likely_grb: int
    most_likely_percent: float
    importance: float
    p_astro: float
    reliability: float


class Mixture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Systematic error as a core (weight `core_weight`) plus a tail, each given by its 1-sigma radius in deg."""

    core_weight: float
    core: float
    tail: float


class ExternalPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every parameter of the rules for external triggers; ``policy.toml`` documents each."""

    windows: dict[str, dict[str, list[float]]]
    rates: dict[str, float]
    rate_of_others: float
    targeted: dict[str, Targeted]
    announced: list[str]
    supernova_far: float
    search_rank: dict[str, int]
    rank_of_others: int
    cbc_like: list[str]
    looks_among: dict[str, list[str]]
    never_looked_at: list[str]
    vetoes: Vetoes
    least_error: float
    radius_contains: dict[str, float]
    fermi_systematics: dict[str, Mixture]
    map_sources: list[str]
    map_wait: float
    map_tries: int
    official_map_after: float
    official_map_wait: float
    largest_map: int

    @property
    def reach(self) -> float:
        """The longest time (s) between a superevent and an external event that can still coincide."""
        return max(abs(bound) for windows in self.windows.values() for window in windows.values() for bound in window)
