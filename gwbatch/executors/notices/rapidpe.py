"""RapidPE's source classification, which ignores terrestrial noise, with that probability from the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gwbatch.alerts.products import read_probabilities
from gwbatch.errors import GwbatchError
from gwbatch.files import Files

RAPID_PE = "RapidPE_RIFT.p_astro.json"
TERRESTRIAL = "Terrestrial"


def rescaled(found: Mapping[str, float], own: Mapping[str, Any], files: Files) -> dict[str, float]:
    """Rescale a classification to the terrestrial probability of the pipeline's own at `own`, if that can be read."""
    try:
        terrestrial = read_probabilities(files.read(own), own["gracedb"][1]).get(TERRESTRIAL, 0.0)
    except (GwbatchError, OSError):
        return dict(found)
    return with_terrestrial(found, terrestrial)


def with_terrestrial(found: Mapping[str, float], terrestrial: float) -> dict[str, float]:
    """Set the terrestrial probability, and scale the others so that they sum to the rest."""
    others = {name: value for name, value in found.items() if name != TERRESTRIAL}
    total = sum(others.values())
    scale = (1.0 - terrestrial) / total if total > 0 else 0.0
    return {**{name: value * scale for name, value in others.items()}, TERRESTRIAL: terrestrial}
