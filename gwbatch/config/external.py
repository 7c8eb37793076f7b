"""The policy of external triggers as typed, frozen values."""

from __future__ import annotations

import msgspec


class Targeted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds in Hz up to which a targeted search looks.

    Attributes
    ----------
    far_external : float
        On the observatory's side; triggers above it are vetoed, of any search.
    far_gw : float or None
        On the gravitational-wave side; None takes the less-significant threshold of the superevent's search.
    """

    far_external: float
    far_gw: float | None = None


class Vetoes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From where on a notice speaks against its trigger; see ``policy.toml``."""

    grb_probability: float
    most_likely_grb: int
    most_likely_percent: float
    importance: float
    p_astro: float
    reliability: float


class Mixture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Systematic error as a core with the weight `core_weight` and a tail, each a 1-sigma radius in deg."""

    core_weight: float
    core: float
    tail: float


class ExternalPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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
        """The longest time in s between a superevent and an external event that could belong together."""
        return max(abs(bound) for windows in self.windows.values() for window in windows.values() for bound in window)
