"""Coincidences of superevents with external triggers, their rates by chance, and whether they may be announced.

Rates of chance coincidences follow Urban (2016) and LIGO-T1900297, as in `ligo-raven`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from gwbatch.config.external import ExternalPolicy
from gwbatch.config.policy import Policy
from gwbatch.external.event import ExternalEvent

NOT_GRB = "NOT_GRB"
EM_COINC = "EM_COINC"
RAVEN_ALERT = "RAVEN_ALERT"
HIGH_PROFILE = "HIGH_PROFILE"
PE_READY = "PE_READY"
TARGETED = "subgrbtargeted"
YEAR = 365.0 * 86400.0


@dataclass(frozen=True)
class GWCandidate:
    """The properties of a superevent that matter for a coincidence.

    Attributes
    ----------
    t_0 : float
        GPS time of the preferred event in s.
    far : float
        False alarm rate of the preferred event in Hz.
    kind : str
        ``group.search`` of the preferred event, in lower case.
    burst : bool
        Whether the windows for bursts apply (for cWB BBH they do not).
    category : str
        ``production``, ``test`` or ``mdc``.
    """

    key: str
    t_0: float
    far: float
    kind: str
    burst: bool
    category: str = "production"


@dataclass(frozen=True)
class Match:
    """A coincidence.

    Attributes
    ----------
    dt : float
        Time of the gravitational wave minus that of the external event, in s.
    window : tuple of float
        The window in which `dt` lies, in s.
    far_time : float
        Joint false alarm rate from the times alone, in Hz.
    overlap : float or None
        Overlap integral of the sky maps; None if one of them is missing.
    far_spacetime : float or None
        Joint false alarm rate from times and sky maps, in Hz; None without an overlap.
    """

    superevent: str
    external: str
    dt: float
    window: tuple[float, float]
    far_time: float
    overlap: float | None = None
    far_spacetime: float | None = None


def window_of(external: ExternalEvent, burst: bool, settings: ExternalPolicy) -> tuple[float, float] | None:
    """Return the window (gravitational wave minus external, in s) for an event; None if the policy has none."""
    windows = settings.windows.get(external.search.lower()) or {}
    by_observatory = settings.windows.get(f"{external.search}.{external.observatory}".lower()) or {}
    found = {**windows, **by_observatory}.get("burst" if burst else "cbc")
    return None if found is None else (found[0], found[1])


def is_looked_at(partner: GWCandidate, external: ExternalEvent, policy: Policy) -> bool:
    """Return whether an external event's search considers superevents of this kind at all."""
    settings, search = policy.external, external.search.lower()
    if partner.kind in settings.never_looked_at:
        return False
    kinds = settings.looks_among.get(search)
    if kinds is not None and not any(fnmatchcase(partner.kind, kind) for kind in kinds):
        return False
    return search != TARGETED or partner.kind in policy.less_significant


def coincide(partner: GWCandidate, external: ExternalEvent, overlap: float | None, policy: Policy) -> Match | None:
    """Return the coincidence of a superevent and an external event, or None.

    Parameters
    ----------
    overlap : float or None
        Overlap integral of their sky maps, if both exist.
    """
    if external.category != partner.category or not is_looked_at(partner, external, policy):
        return None
    window = window_of(external, partner.burst, policy.external)
    dt = partner.t_0 - external.time
    if window is None or not window[0] <= dt <= window[1]:
        return None
    far_time = joint_far(partner, window, external, policy)
    far_spacetime = None if overlap is None else far_time / overlap if overlap > 0 else math.inf
    return Match(partner.key, external.key, dt, window, far_time, overlap, far_spacetime)


def joint_far(partner: GWCandidate, window: tuple[float, float], external: ExternalEvent, policy: Policy) -> float:
    """Return the joint false alarm rate in Hz, from the times alone.

    Untargeted: width of the window x rate of external triggers x FAR of the superevent.  Targeted sub-threshold
    searches: ``Z (1 - ln(Z / Z_max))`` with ``Z = width x far_ext x far_gw``, and ``Z_max`` from the thresholds.
    """
    settings, width = policy.external, window[1] - window[0]
    targeted = settings.targeted.get(external.observatory.lower())
    if external.search.lower() == TARGETED and targeted is not None and external.far is not None:
        threshold = policy.less_significant[partner.kind]
        far_gw = threshold.far / threshold.trials if targeted.far_gw is None else targeted.far_gw
        z = width * external.far * partner.far
        z_max = width * targeted.far_external * far_gw
        return z * (1 - math.log(z / z_max)) if 0 < z <= z_max else z
    per_year = settings.rates.get(external.search.lower(), settings.rate_of_others)
    return width * per_year / YEAR * partner.far


def raven_alert(match: Match, partner: GWCandidate, external: ExternalEvent, policy: Policy) -> str | None:
    """Return why a coincidence is not announced, or None if it is.

    This ignores whether the superevent has been announced before.
    """
    settings = policy.external
    threshold = policy.significant.get(partner.kind)
    if external.test or partner.category == "test":
        return "a test"
    if external.search not in settings.announced:
        return f"the search {external.search} is not announced by itself"
    if external.search.lower() == TARGETED and (
        external.far is None or external.observatory.lower() not in settings.targeted
    ):
        return "a targeted search without a false alarm rate of its own"
    if not external.is_burst:
        return "the external event is no burst"
    if threshold is None:
        return f"the policy lists no threshold for {partner.kind}"
    if external.search == "Supernova":
        limit = settings.supernova_far
        rate = partner.far * threshold.trials
        if rate < 0:
            return f"a false alarm rate of {rate:.3g} Hz, below zero"
        return None if rate < limit else f"{rate:.3g} Hz with trials, wanted is less than {limit:.3g} Hz"
    if match.far_spacetime is None:
        return "the overlap of the sky maps is not known"
    if match.far_spacetime < 0:
        return f"a joint false alarm rate of {match.far_spacetime:.3g} Hz, below zero"
    rate = match.far_spacetime * threshold.trials * (threshold.trials - 1)
    return None if rate <= threshold.far else f"{rate:.3g} Hz with trials, wanted is at most {threshold.far:.3g} Hz"


def preferred_external(
    candidates: Iterable[tuple[ExternalEvent, Match]], settings: ExternalPolicy
) -> ExternalEvent | None:
    """Return the preferred external event of a superevent; None if there are no candidates."""
    ranked = sorted(candidates, key=lambda pair: (*_preference(pair[0], pair[1], settings), pair[0].key))
    return ranked[-1][0] if ranked else None


def best_match(matches: Iterable[Match]) -> Match | None:
    """Return the coincidence that is least likely to be due to chance; None if there are none."""
    return min(
        matches, key=lambda match: (_rate(match), match.far_time, match.superevent, match.external), default=None
    )


def _rate(match: Match) -> float:
    return match.far_time if match.far_spacetime is None else match.far_spacetime


def _preference(external: ExternalEvent, match: Match, settings: ExternalPolicy) -> tuple[float, ...]:
    return (
        external.is_burst,
        RAVEN_ALERT in external.labels,
        settings.search_rank.get(external.search.lower(), settings.rank_of_others),
        _inverse(match.far_spacetime),
        _inverse(match.far_time),
    )


def _inverse(rate: float | None) -> float:
    if rate is None or rate == math.inf:
        return 0.0
    return math.inf if rate <= 0 else 1 / rate
