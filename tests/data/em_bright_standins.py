"""Stand-ins for the model files of ligo.em_bright, made with the Python of its environment.

``PYTHON em_bright_standins.py FOLDER [real-size]``

The real files, some 640 MB, must be downloaded.  The stand-ins have the same names and shapes.  They are trained on
simple rules, so that a double neutron star and a binary black hole get the right class, but their numbers mean nothing.
With ``real-size`` they take 600 MB in all and show what loading and calling the models costs.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import h5py
import numpy as np
from ligo.em_bright import PACKAGE_DATA_LINKS
from sklearn.neighbors import KNeighborsClassifier

rng = np.random.default_rng(1)
NOT_AN_EQUATION = {"MASS_GAP", "GSTLAL_SSM", "MBTA_SSM"}


def features(count: int, *, subsolar: bool = False) -> np.ndarray:
    """Draw masses (the heavier first), spins and SNR; sub-solar-mass searches have the chirp mass before the SNR."""
    masses = np.sort(np.exp(rng.uniform(np.log(0.2 if subsolar else 1.0), np.log(60.0), (count, 2))))[:, ::-1]
    spins, snr = rng.uniform(-0.1, 0.1, (count, 2)), rng.uniform(8, 30, count)
    chirp = (masses[:, 0] * masses[:, 1]) ** 0.6 / masses.sum(axis=1) ** 0.2
    columns = [masses, spins, *([chirp[:, None]] if subsolar else []), snr[:, None]]
    return np.hstack(columns)


def trained(points: np.ndarray, labels: np.ndarray) -> KNeighborsClassifier:
    return KNeighborsClassifier(5).fit(points, labels)


def write(folder: Path, scale: int = 1) -> None:
    equations = [name.removesuffix(".pickle") for name in PACKAGE_DATA_LINKS if name.endswith(".pickle")]
    equations = sorted(set(equations) - NOT_AN_EQUATION)
    points = features(4000 * scale)
    heavy, light = points[:, 0], points[:, 1]
    for number, name in enumerate(equations):
        largest = 2.0 + 0.02 * number
        star = trained(points, (light < largest).astype(int))
        remnant = trained(points, ((light < largest) & (heavy < 2 * largest)).astype(int))
        (folder / f"{name}.pickle").write_bytes(pickle.dumps((star, remnant, name)))
    gap = ((heavy > 3) & (heavy < 5)) | ((light > 3) & (light < 5))
    (folder / "MASS_GAP.pickle").write_bytes(pickle.dumps((trained(points, gap.astype(int)), "gap")))
    small = features(4000 * scale, subsolar=True)
    kind = np.select(
        [(small[:, 1] < 1) & (small[:, 0] < 1), (small[:, 1] < 1) & (small[:, 0] < 3), (small[:, 1] < 1)],
        [0, 1, 2 + (np.arange(len(small)) % 2)],
        4 + np.arange(len(small)) % 3,
    )
    for name in ("GSTLAL_SSM", "MBTA_SSM"):
        (folder / f"{name}.pickle").write_bytes(pickle.dumps((trained(small, kind), name)))
    (folder / "EOS_BAYES_FACTOR_MAP.json").write_text(json.dumps(dict.fromkeys(equations, 1.0)))
    (folder / "EOS_MAX_MASS_MAP.json").write_text(json.dumps(dict.fromkeys(equations, 2.2)))
    mass = np.linspace(1.0, 2.2, 20)
    draws = np.zeros(150 * (scale if scale == 1 else 20 * scale), dtype=[("M", float, 20), ("R", float, 20)])
    draws["M"], draws["R"] = mass * rng.uniform(0.95, 1.05, (len(draws), 1)), 12.0
    with h5py.File(folder / "EOS_POSTERIOR_DRAWS.h5", "w") as file:
        file["EOS"] = draws
    np.savetxt(folder / "equil_2H.dat", np.column_stack([mass, 1.1 * mass, 0.12 * mass]))
    samples = np.zeros(300, dtype=[(n, float) for n in ("mass_1_source", "mass_2_source", "spin_1z", "spin_2z")])
    samples["mass_1_source"], samples["mass_2_source"] = rng.uniform(1.4, 1.6, 300), rng.uniform(1.2, 1.4, 300)
    with h5py.File(folder / "samples.hdf5", "w") as file:
        file["posterior_samples"] = samples


if __name__ == "__main__":
    write(Path(sys.argv[1]), *([72] if sys.argv[2:] == ["real-size"] else []))
