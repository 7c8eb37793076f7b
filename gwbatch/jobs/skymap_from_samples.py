"""Sky map of posterior samples, as a density fitted to their positions and distances."""

from __future__ import annotations

import os
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs.by_hand import ByHand, Input, Parameter
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.science import offline_astropy

TOP_NSIDE = 16  # resolution from which the map is refined
TRIALS = 5  # fits for each number of clusters
TIMES = ("time", "geocent_time", "time_mean", "time_maxl")


@job(
    queue="openmp",
    name="skymap-from-samples",
    by_hand=ByHand(
        "Make the sky map of posterior SAMPLES (HDF5), with distances if they have them.\n\n"
        "It runs on OMP_NUM_THREADS cores.",
        (Input("samples"),),
        (Parameter("most", "Maximum number of samples, evenly spaced.  [default: the policy's, 5000]", int, least=10),),
        examples=("skymap-from-samples Bilby.posterior_samples.hdf5 -o Bilby.multiorder.fits",),
    ),
)
def skymap_from_samples(work: Work) -> dict[str, Any]:
    """Write a multi-order map, with distances if the samples have them, by ligo.skymap's clustered kernel density.

    Parameters of the annotation: ``most`` (maximum number of samples, evenly spaced), ``graceid``. The job uses
    ``OMP_NUM_THREADS`` processes, or one for each core if that is not set.
    """
    offline_astropy()
    import numpy as np
    from astropy.time import Time
    from ligo.skymap.io import fits, read_samples
    from ligo.skymap.kde import Clustered2DSkyKDE, Clustered2Plus1DSkyKDE

    (path,) = work.inputs.values()
    try:
        table = read_samples(str(path))
        points = [np.asarray(table[name], dtype=float) for name in ("ra", "dec", "dist") if name in table.colnames]
    except Exception as error:
        raise BadInput(f"Cannot read {path.name}: {error or type(error).__name__}. It must be an HDF5 file with a "
                       "table 'posterior_samples'.") from error  # fmt: skip
    if not {"ra", "dec"} <= set(table.colnames):
        raise BadInput(f"Cannot make a sky map from {path.name}: its samples lack ra or dec.")
    step = max(1, -(-len(table) // int(work.parameters.get("most", 5000))))
    density = (Clustered2Plus1DSkyKDE if len(points) == 3 else Clustered2DSkyKDE)(
        np.column_stack(points)[::step], trials=TRIALS, jobs=_processes()
    )
    skymap = density.as_healpix(top_nside=TOP_NSIDE)
    skymap.meta.update(creator="gwbatch", origin="LIGO/Virgo/KAGRA", gps_creation_time=Time.now().gps)
    if work.parameters.get("graceid"):
        skymap.meta["objid"] = work.parameters["graceid"]
    if len(points) == 3:
        skymap.meta.update(distmean=float(points[2].mean()), diststd=float(points[2].std()))
    when = next((name for name in TIMES if name in table.colnames), None)
    if when is not None:
        skymap.meta["gps_time"] = float(np.mean(table[when]))
    fits.write_sky_map(str(work.output), skymap, moc=True)
    return {"has_distances": len(points) == 3, "has_coherence": False, "samples": len(table[::step])}


def _processes() -> int:
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
