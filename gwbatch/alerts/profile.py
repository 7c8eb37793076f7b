"""The criteria for HIGH_PROFILE, the label of preliminary notices that call people together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gwbatch.config.alerts import HighProfile
from gwbatch.superevents import Event

UNBOUND = float("inf")


def high_profile(
    members: Iterable[Event],
    preferred: Event,
    classification: Mapping[str, float],
    properties: Mapping[str, float],
    area: float | None,
    limits: HighProfile,
) -> str | None:
    """Return why a superevent is high-profile, or None.

    Parameters
    ----------
    area : float or None
        Area of the 90 % credible region in deg², if known.
    """
    rarest = min(members, key=lambda event: UNBOUND if event.far is None else event.far, default=preferred)
    if rarest.group == "burst" and rarest.search != "bbh":
        return f"the event with the lowest false alarm rate, {rarest.graceid}, is a burst"
    if preferred.search == "ssm":
        return f"{preferred.graceid} is from the search for sub-solar masses"
    if preferred.group != "cbc" or classification.get("Terrestrial", 1.0) >= limits.terrestrial:
        return None
    for name, value in (*classification.items(), *properties.items()):
        limit = limits.above.get(name)
        if limit is not None and value > limit:
            return f"{name} is {value:.2f}, above {limit:g}"
    if area is not None and area < limits.area:
        return f"90 % of the probability lies within {area:.0f} deg², less than {limits.area:g}"
    return None
