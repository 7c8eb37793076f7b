"""Reading of a notice's files, with the reason for each one that is missing or unusable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gwbatch.alerts import Contents, Seen, expected_products
from gwbatch.alerts.products import read_mchirp_source, read_probabilities, read_skymap
from gwbatch.annotation.graph import COMBINED_MAP, EM_BRIGHT, MAP, MCHIRP_SOURCE, P_ASTRO
from gwbatch.errors import BadInput, TransientError
from gwbatch.executors.notices.rapidpe import RAPID_PE, rescaled
from gwbatch.files import Files
from gwbatch.gracedb import GraceDBError

READERS: dict[str, tuple[str, Callable[[bytes, str], Any]]] = {
    MAP: ("skymap", read_skymap),
    EM_BRIGHT: ("properties", read_probabilities),
    P_ASTRO: ("classification", read_probabilities),
    MCHIRP_SOURCE: ("mchirp_source", read_mchirp_source),
}
"""For each product, the field of `Contents` that it fills and the function that reads it."""


@dataclass(frozen=True)
class Collected:
    """The contents that could be read.

    Attributes
    ----------
    missing : dict
        Product to the reason why it is not available yet.
    unusable : dict
        Product to the reason why its file cannot be used. Waiting does not help.
    """

    contents: Contents
    used: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)


def collect(seen: Seen, files: Files) -> Collected:
    """Read every file that a notice about a superevent can contain."""
    fields: dict[str, Any] = {}
    used: dict[str, str] = {}
    missing: dict[str, str] = {}
    unusable: dict[str, str] = {}
    wanted = expected_products(seen.event) if seen.event is not None else ()
    for name, (attribute, read) in READERS.items():
        place = seen.products.get(name)
        if place is None:
            if name in wanted:
                missing[name] = "not available"
            continue
        if name not in wanted and name != MCHIRP_SOURCE:
            continue
        try:
            fields[attribute] = read(files.read(place), place["gracedb"][1])
            used[name] = place["version"]
        except BadInput as error:
            unusable[name] = str(error)
        except (TransientError, GraceDBError, OSError) as error:
            missing[name] = str(error)
    by_people = seen.products.get(P_ASTRO, {})
    if "classification" in fields and "own" in by_people and str(by_people["file"]).startswith(RAPID_PE):
        fields["classification"] = rescaled(fields["classification"], by_people["own"], files)
    if seen.external is not None and seen.external.combined is not None:
        try:
            fields["combined_skymap"] = read_skymap(Path(seen.external.combined[0]).read_bytes(), COMBINED_MAP)
        except (OSError, BadInput) as error:
            unusable[COMBINED_MAP] = str(error)
    return Collected(Contents(**fields), used, missing, unusable)
