"""Posterior samples for tests: a double neutron star in one place on the sky."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

PLACE = (2.0, 0.5)  # right ascension and declination, rad
DISTANCE = (100.0, 10.0)  # Mpc
FIELDS: dict[str, tuple[float, float]] = {
    "ra": (PLACE[0], 0.05),
    "dec": (PLACE[1], 0.05),
    "luminosity_distance": DISTANCE,
    "chirp_mass": (1.2227, 0.0005),  # in the detector frame; 1.195 in the source frame
    "mass_ratio": (0.85, 0.05),
    "spin_1z": (0.01, 0.01),
    "geocent_time": (1187008882.4, 0.001),
}


def write_samples(path: Path, count: int = 400, **changes: tuple[float, float] | None) -> Path:
    """Write normally distributed samples; `changes` gives the mean and width of a field, or None to leave it out."""
    import h5py

    random = np.random.default_rng(7)
    fields: dict[str, Any] = {**FIELDS, **changes}
    fields = {name: value for name, value in fields.items() if value is not None}
    table = np.zeros(count, dtype=[(name, float) for name in fields])
    for name, (mean, width) in fields.items():
        table[name] = random.normal(mean, width, count)
    with h5py.File(path, "w") as file:
        file["posterior_samples"] = table
    return path
