"""Completeness and publishability of events, and the order of preference among the events of a superevent."""

from __future__ import annotations

from gwbatch.config.policy import Policy
from gwbatch.superevents.candidate import Event

RAVEN_ALERT = "RAVEN_ALERT"
Preference = tuple[bool, bool, bool, bool, bool, int, int, float]


def required_labels(event: Event, policy: Policy) -> frozenset[str] | None:
    """Return the labels that complete this kind of event; None for a kind that never completes."""
    own = f"{event.group}.{event.pipeline}.{event.search}"
    required = policy.complete.get(own, policy.complete.get(event.kind))
    return None if required is None else frozenset(required)


def is_complete(event: Event, policy: Policy) -> bool:
    """Return whether all data products that an alert needs exist."""
    required = required_labels(event, policy)
    return required is not None and required <= event.labels


def publishable(event: Event, policy: Policy) -> tuple[bool, bool, bool, bool]:
    """Return ``(ok_S, far_S, ok_L, far_L)``, for publication as significant (S) and as less significant (L).

    ``ok`` is true unless the event is an injection or comes from an offline search, ``far`` if it passes the threshold.
    An event that passes the significant threshold also passes the less significant one.
    """
    eligible = not event.offline and "INJ" not in event.labels
    significant = _passes(event, policy, "significant")
    less_significant = significant or _passes(event, policy, "less_significant")
    return eligible, significant, eligible, less_significant


def _passes(event: Event, policy: Policy, level: str) -> bool:
    if not is_listed(event, policy):
        return False
    if RAVEN_ALERT in event.labels:
        return True
    threshold = getattr(policy, level).get(event.kind)
    return threshold is not None and event.far is not None and threshold.trials * event.far <= threshold.far


def is_listed(event: Event, policy: Policy) -> bool:
    """Return whether the policy knows this kind of event; other kinds are never publishable, whatever their labels."""
    return event.kind in policy.significant or event.kind in policy.less_significant


def is_significant(event: Event, policy: Policy) -> bool:
    """Return whether the event may be published as significant."""
    return all(publishable(event, policy)[:2])


def is_less_significant(event: Event, policy: Policy) -> bool:
    """Return whether the event may be published at all."""
    return all(publishable(event, policy)[2:])


def preference(event: Event, policy: Policy) -> Preference:
    """Return the tuple that ranks events; the event with the largest one is preferred.

    ``(complete, ok_S, far_S, ok_L, far_L, group_rank, n_ifos, snr or -far)``
    """
    far = event.far if event.far is not None else float("inf")
    if counts_as_cbc(event, policy):
        counted = (policy.ranking_instruments_only and event.ranking_instruments) or event.instruments
        n_ifos, strength = len(counted), event.snr or 0.0
    else:
        n_ifos, strength = -1, -far
    return (
        is_complete(event, policy),
        *publishable(event, policy),
        policy.rank.get(_ranked_kind(event, policy), policy.rank_of_others),
        n_ifos,
        strength,
    )


def counts_as_cbc(event: Event, policy: Policy) -> bool:
    """Return whether detectors and SNR are compared (CBC, except for searches without a matched filter)."""
    return _ranked_kind(event, policy).startswith("cbc.")


def _ranked_kind(event: Event, policy: Policy) -> str:
    if event.pipeline in policy.burst_like_pipelines and event.kind == "cbc.allsky":
        return "burst.allsky"
    return event.kind
