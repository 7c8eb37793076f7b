"""The numbers in an alert from which the event's classification starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gwbatch.superevents.candidate import Event, finite

NUMBERS = ("mass1", "mass2", "spin1z", "spin2z")
MASS_OF_CHIRP_MASS = 2**0.2  # each of two equal masses, over their chirp mass
USUAL_CHIRP_MASS = 30.0  # solar masses; the customary value if cWB reports none


def template_numbers(event: Event, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return masses (solar masses, detector frame) and spins of the best-matching template, by their column names.

    A burst from cWB's search for binary black holes counts as two equal masses without spins. The result is empty if
    the alert has no masses.
    """
    extra = data.get("extra_attributes")
    extra = extra if isinstance(extra, Mapping) else {}
    if event.group == "burst":
        burst = extra.get("MultiBurst")
        if event.search != "bbh" or not isinstance(burst, Mapping):
            return {}
        mass = MASS_OF_CHIRP_MASS * (finite(burst.get("mchirp")) or USUAL_CHIRP_MASS)
        return {"mass1": mass, "mass2": mass, "spin1z": 0.0, "spin2z": 0.0}
    singles = extra.get("SingleInspiral")
    first = singles[0] if isinstance(singles, list) and singles and isinstance(singles[0], Mapping) else {}
    numbers = {name: finite(first.get(name)) for name in NUMBERS}
    if numbers["mass1"] is None or numbers["mass2"] is None:
        return {}
    return {name: value or 0.0 for name, value in numbers.items()}


def search_numbers(event: Event) -> dict[str, Any]:
    """Return what the search says about an event, for its classification: FAR in Hz, SNR, instruments and kind."""
    return {
        "group": event.group,
        "search": event.search,
        "pipeline": event.pipeline,
        "far": event.far,
        "snr": event.snr,
        "instruments": sorted(event.ranking_instruments or event.instruments),
    }
