"""Masses and spins from the posterior samples of a parameter estimation, an HDF5 file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gwbatch.errors import BadInput

SUFFIX = ".hdf5"
TABLE = "posterior_samples"
MOST = 20_000  # samples to read; more do not change the first three digits of a probability
REDSHIFTS = (1e-5, 20.0, 4000)  # lowest, highest and number in the table that turns distances into redshifts


class Samples(NamedTuple):
    """Source-frame masses in solar masses, and the dimensionless spin of the heavier component.

    Arrays of shape (samples,); `heavy` is never less than `light`.
    """

    heavy: Any
    light: Any
    spin: Any


def given_samples(inputs: Mapping[str, Path]) -> Path | None:
    """Return the file of posterior samples among the inputs of a job; None if there is none."""
    return next((path for name, path in inputs.items() if name.endswith(SUFFIX)), None)


def read_samples(path: Path) -> Samples:
    """Read masses and spins, at most 20,000 samples evenly spaced.

    Masses come from ``mass_1_source`` and ``mass_2_source``, or from ``chirp_mass_source`` and ``mass_ratio``. If the
    table has neither, detector-frame masses are divided by 1 + z, with z from ``redshift`` or from
    ``luminosity_distance`` (Mpc; Planck 2018). The spin along the orbital angular momentum is ``spin_1z``, ``chi_1``,
    or ``a_1`` times the cosine of ``tilt_1``. Without any of these it is 0.

    Raises
    ------
    BadInput
        When the file has no such table, or the table is empty, lacks masses or holds impossible masses or spins.
    """
    import h5py
    import numpy as np

    try:
        with h5py.File(path, "r") as file:
            table = file[TABLE]
            names = set(table.dtype.names or ())
            step = max(1, -(-len(table) // MOST))
            columns = {name: np.asarray(table[name][::step], dtype=float) for name in names & set(_READ)}
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise BadInput(f"Cannot read {path.name}: it is not an HDF5 file with a table {TABLE!r} ({error}).") from error
    first, second = _masses(columns, path.name)
    spin = _spin(columns, len(first))
    fit = (first > 0) & (second > 0) & np.isfinite(first) & np.isfinite(second) & (np.abs(spin) <= 1)
    if not (len(fit) and fit.all()):
        raise BadInput(f"Cannot use {path.name}: it is empty, or has impossible masses or spins.")
    # The spin is that of the first component, which is the heavier one by convention.
    return Samples(np.maximum(first, second), np.minimum(first, second), spin)


_READ = (
    "mass_1_source", "mass_2_source", "mass_1", "mass_2", "chirp_mass_source", "chirp_mass", "mass_ratio", "redshift",
    "luminosity_distance", "spin_1z", "chi_1", "a_1", "cos_tilt_1", "tilt_1",
)  # fmt: skip


def _masses(columns: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    for suffix in ("_source", ""):
        found = _components(columns, suffix)
        if found is not None:
            stretch = 1.0 if suffix else _stretch(columns, name)
            return found[0] / stretch, found[1] / stretch
    raise BadInput(f"Cannot use {name}: it has neither component masses nor chirp mass and mass ratio.")


def _components(columns: Mapping[str, Any], suffix: str) -> tuple[Any, Any] | None:
    if {f"mass_1{suffix}", f"mass_2{suffix}"} <= columns.keys():
        return columns[f"mass_1{suffix}"], columns[f"mass_2{suffix}"]
    if {f"chirp_mass{suffix}", "mass_ratio"} <= columns.keys():
        chirp_mass, ratio = columns[f"chirp_mass{suffix}"], columns["mass_ratio"]
        first = chirp_mass * (1 + ratio) ** 0.2 / ratio**0.6
        return first, ratio * first
    return None


def _stretch(columns: Mapping[str, Any], name: str) -> Any:
    """Return 1 + z of each sample."""
    import numpy as np

    if "redshift" in columns:
        return 1 + columns["redshift"]
    if "luminosity_distance" not in columns:
        raise BadInput(f"Cannot use {name}: its masses are detector-frame, and it has no distance or redshift.")
    from astropy.cosmology import Planck18

    redshifts = np.geomspace(*REDSHIFTS)
    return 1 + np.interp(columns["luminosity_distance"], Planck18.luminosity_distance(redshifts).value, redshifts)


def _spin(columns: Mapping[str, Any], count: int) -> Any:
    import numpy as np

    for name in ("spin_1z", "chi_1"):
        if name in columns:
            return columns[name]
    if "a_1" in columns and "cos_tilt_1" in columns:
        return columns["a_1"] * columns["cos_tilt_1"]
    if "a_1" in columns and "tilt_1" in columns:
        return columns["a_1"] * np.cos(columns["tilt_1"])
    return np.zeros(count)
