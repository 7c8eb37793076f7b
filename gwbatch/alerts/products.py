"""The files that a notice is made of: which are expected for which event, and how to read and check them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gwbatch.annotation.graph import EM_BRIGHT, MAP, MCHIRP_SOURCE, P_ASTRO
from gwbatch.errors import BadInput
from gwbatch.superevents.candidate import Event

EXPECTED = (MAP, EM_BRIGHT, P_ASTRO, MCHIRP_SOURCE)
"""The products of an event that a notice can contain, in the order in which they are looked for."""

FITS = b"SIMPLE  ="


def expected_products(event: Event) -> tuple[str, ...]:
    """Return the products that a notice about an event should contain; the chirp mass is optional and not listed."""
    compact = event.group == "cbc" or event.search == "bbh"
    wanted = [MAP]
    if compact:
        wanted.append(EM_BRIGHT)
        if event.search != "ssm":
            wanted.append(P_ASTRO)
    return tuple(wanted)


@dataclass(frozen=True)
class Contents:
    """The contents of a notice's files.

    Attributes
    ----------
    skymap, combined_skymap : bytes or None
        Multi-order FITS files.
    properties, classification : mapping of str to float
        Probabilities from ``em_bright.json`` and ``p_astro.json``.
    mchirp_source : mapping or None
        ``bin_edges`` (N + 1, solar masses in the source frame) and ``probabilities`` (N).
    """

    skymap: bytes | None = None
    combined_skymap: bytes | None = None
    properties: Mapping[str, float] | None = None
    classification: Mapping[str, float] | None = None
    mchirp_source: Mapping[str, list[float]] | None = None


def read_skymap(content: bytes, name: str) -> bytes:
    """Check that a sky map is a FITS file, and return it unchanged.

    Raises
    ------
    BadInput
        If it is not a FITS file.
    """
    if not content.startswith(FITS):
        raise BadInput(f"Cannot use {name}: it is not a FITS file.")
    return content


def read_probabilities(content: bytes, name: str) -> dict[str, float]:
    """Return the numbers of a JSON object of probabilities.

    Raises
    ------
    BadInput
        If it is not a JSON object of finite numbers.
    """
    value = _object(content, name)
    numbers = {key: _number(number) for key, number in value.items()}
    if None in numbers.values():
        raise BadInput(f"Cannot use {name}: not all its values are finite numbers.")
    return {key: number for key, number in numbers.items() if number is not None}


def read_mchirp_source(content: bytes, name: str) -> dict[str, list[float]]:
    """Return bin edges and probabilities of the source-frame chirp mass, and nothing else.

    Raises
    ------
    BadInput
        If either is missing or invalid, or there is not exactly one more edge than probabilities.
    """
    value = _object(content, name)
    found: dict[str, list[float]] = {}
    for key in ("bin_edges", "probabilities"):
        numbers = [_number(number) for number in value[key]] if isinstance(value.get(key), list) else [None]
        if None in numbers:
            raise BadInput(f"Cannot use {name}: {key!r} is not a list of finite numbers.")
        found[key] = [number for number in numbers if number is not None]
    if len(found["bin_edges"]) != len(found["probabilities"]) + 1:
        raise BadInput(f"Cannot use {name}: it must have one bin edge more than probabilities.")
    return found


def _object(content: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"Cannot use {name}: it is not JSON ({error}).") from error
    if not isinstance(value, dict):
        raise BadInput(f"Cannot use {name}: it is not a JSON object.")
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
