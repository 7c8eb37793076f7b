"""Waveform of a localization, and the messages for nodes without the data files of the field's default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

ROM_MASS = 4.0  # total in solar masses, from which the field's default template needs reduced-order model data
PHENOMENOLOGICAL = "IMRPhenomD"  # needs no data files
NOTE = "waveform IMRPhenomD, because the node has no reduced-order model data (SEOBNRv4ROM in LAL_DATA_PATH)"
"""The note in a map's log message when the field's default template could not be used."""


WITHOUT_ROM_DATA = (
    "sky maps of binaries of 4 solar masses or more use IMRPhenomD: no SEOBNRv4ROM*.hdf5 in LAL_DATA_PATH; "
    "set scheduler.environment.LAL_DATA_PATH to the folder that has it"
)


def choose_waveform(event: Any, wish: str) -> str:
    """Return the template to use: `wish`, unless it is ``auto``.

    ``auto`` gives the field's default, or a template that needs no data files where the default's are not installed.
    """
    if wish != "auto":
        return wish
    arguments = event.template_args
    if arguments["mass1"] + arguments["mass2"] < ROM_MASS or has_rom_data(os.environ.get("LAL_DATA_PATH", "")):
        return "o2-uberbank"
    return PHENOMENOLOGICAL


def has_rom_data(folders: str) -> bool:
    """Return whether one of the folders of a ``LAL_DATA_PATH`` holds the reduced-order model's data."""
    return any(any(Path(folder).glob("SEOBNRv4ROM*.hdf5")) for folder in filter(None, folders.split(":")))
