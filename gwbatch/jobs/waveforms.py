"""Which template a localization takes, and what is said where the field's default lacks its data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

ROM_MASS = 4.0  # solar masses: from here on the field's default template needs reduced-order model data
PHENOMENOLOGICAL = "IMRPhenomD"  # needs no data files
NOTE = "waveform IMRPhenomD, for the node has no reduced-order model data (SEOBNRv4ROM in LAL_DATA_PATH)"
"""What a map's log message says when the field's default template could not be used."""


WITHOUT_ROM_DATA = (
    "sky maps of binaries from 4 solar masses on use IMRPhenomD, for there is no SEOBNRv4ROM*.hdf5 in LAL_DATA_PATH; "
    "set scheduler.environment.LAL_DATA_PATH to the folder that has it"
)


def choose_waveform(event: Any, wish: str) -> str:
    """Return the field's default template, or one without data files where the default's are not installed."""
    if wish != "auto":
        return wish
    arguments = event.template_args
    if arguments["mass1"] + arguments["mass2"] < ROM_MASS or has_rom_data(os.environ.get("LAL_DATA_PATH", "")):
        return "o2-uberbank"
    return PHENOMENOLOGICAL


def has_rom_data(folders: str) -> bool:
    """Return whether the reduced-order model's data lies in one of the folders of a ``LAL_DATA_PATH``."""
    return any(any(Path(folder).glob("SEOBNRv4ROM*.hdf5")) for folder in filter(None, folders.split(":")))
