"""The three-dimensional sky map, projected onto its principal planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.science import offline_astropy

ALIGN_TO, CHAIN = "align-to.fits", "chain.hdf5"


@job(queue="general", preload=["gwbatch.jobs.volume_picture", "matplotlib.figure", "astropy.utils.iers"])
def plot_volume(work: Work) -> dict[str, Any]:
    """Draw the probability per volume on one core, in a second or two.

    Parameters of the job, all optional: ``dpi``, ``contours`` (in per cent), ``annotate``, ``summary``,
    ``max_distance`` (Mpc), ``radecdist`` (list of right ascension, declination in deg, distance in Mpc),
    ``projection`` (0 to 3), ``colormap``, ``figure_width`` and ``figure_height`` (inches), ``transparent``.  Beside the
    map there may be ``align-to.fits``, a map whose axes are taken, and ``chain.hdf5``, posterior samples.
    """
    from gwbatch.jobs.skymap import read_distances
    from gwbatch.jobs.volume_picture import Options, Scene, description, draw

    wanted, inputs = work.parameters, dict(work.inputs)
    align_to, chain = inputs.pop(ALIGN_TO, None), inputs.pop(CHAIN, None)
    (source,) = inputs.values()
    options = Options(
        dpi=int(wanted.get("dpi", Options.dpi)),
        size=(float(wanted.get("figure_width", 3.5)), float(wanted.get("figure_height", 3.5))),
        contours=[float(level) for level in wanted.get("contours", ())],
        annotate=bool(wanted.get("annotate", True)),
        summary=bool(wanted.get("summary", True)),
        reach=wanted.get("max_distance"),
        marks=[(mark[0], mark[1], mark[2]) for mark in wanted.get("radecdist", ())],
        face=int(wanted.get("projection", 0)),
        colours=str(wanted.get("colormap", Options.colours)),
        transparent=bool(wanted.get("transparent", False)),
        samples=None if chain is None else _samples(chain),
    )
    scene = Scene.of(read_distances(source), options, None if align_to is None else read_distances(align_to))
    draw(scene, options, work.output)
    return {"dpi": options.dpi, "reach_mpc": scene.reach, "alt": ", ".join(filter(None, description(scene)))}


@job(queue="openmp")
def plot_volume_exact(work: Work) -> None:
    """Draw it with the field's own tool, by line integrals: minutes on a whole node (``dpi``, ``contours``)."""
    offline_astropy()
    from ligo.skymap.tool.ligo_skymap_plot_volume import main

    (source,) = work.inputs.values()
    contours = [str(level) for level in work.parameters.get("contours", ())]
    # The tool never applies its own default: an explicit value is always passed.
    dpi = ["--dpi", str(int(work.parameters.get("dpi", 100)))]
    main([str(source), "-o", str(work.output), "--annotate", *dpi, *(["--contour", *contours] if contours else [])])


def _samples(path: Path) -> Any:
    """Read posterior samples as Cartesian coordinates in Mpc, shape (3, n)."""
    import numpy as np
    from ligo.skymap.io import read_samples

    from gwbatch.errors import BadInput

    try:
        chain = read_samples(str(path))
        longitude, latitude, distance = (np.asarray(chain[name]) for name in ("ra", "dec", "dist"))
    except Exception as error:
        raise BadInput(f"Cannot read {path.name} as posterior samples: {error}.") from error
    flat = np.cos(latitude)
    return distance * np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)])
