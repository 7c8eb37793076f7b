"""The three-dimensional sky map, projected onto its principal planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gwbatch.jobs.by_hand import CONTOURS, DPI, SKYMAP, ByHand, Input, Other, Parameter
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.science import offline_astropy

ALIGN_TO, CHAIN = "align-to.fits", "chain.hdf5"

_BY_HAND = ByHand(
    "Draw the three-dimensional sky map, projected onto its principal planes.",
    (
        SKYMAP,
        Input("align_to", ALIGN_TO, help="Use the principal axes of this sky map."),
        Input("chain", CHAIN, help="HDF5 file of posterior samples, drawn as points."),
    ),
    (
        DPI,
        CONTOURS,
        Parameter(
            "max_distance",
            "Half the width of the picture in Mpc.  [default: mean distance plus 2.5 standard deviations]",
            float, least=0, is_open=True,
        ),
        Parameter(
            "radecdist", "Mark a place, in deg and Mpc; repeatable.", (float, float, float), is_repeated=True,
            metavar="RA DEC DISTANCE",
        ),
        Parameter("projection", "Draw only this face; 0 draws all three and the distance.", int, least=0, most=3),
        Parameter("colormap", "Any Matplotlib colour map.  [default: cylon]"),
        Parameter("figure_width", "Width in inches.  [default: 3.5]", float, least=0.5, most=50),
        Parameter("figure_height", "Height in inches.  [default: 3.5]", float, least=0.5, most=50),
        Parameter("transparent", "Make the background transparent.", stands_for=True),
        Parameter("annotate", "Show event, instruments and distance.  [default: yes]", bool),
        Parameter("summary", "Also show the 90 % area and volume.  [default: yes]", bool),
    ),
    Other(
        "exact", "plot-volume-exact", "Draw with ligo-skymap-plot-volume (minutes); takes only --dpi and --contour."
    ),
    (
        "plot-volume bayestar.multiorder.fits -o bayestar.volume.png",
        "plot-volume bayestar.multiorder.fits --radecdist 197.45 -23.38 40.7 -o bayestar.volume.png",
        "plot-volume bayestar.multiorder.fits --projection 1 --dpi 300 -o face.pdf",
    ),
)  # fmt: skip


@job(
    queue="general",
    preload=["gwbatch.jobs.volume_picture", "matplotlib.figure", "astropy.utils.iers"],
    by_hand=_BY_HAND,
)
def plot_volume(work: Work) -> dict[str, Any]:
    """Draw the probability per volume on one core, in a second or two.

    Parameters of the job, all optional: ``dpi``, ``contours`` (in per cent), ``annotate``, ``summary``,
    ``max_distance`` (Mpc), ``radecdist`` (list of right ascension, declination in deg, distance in Mpc),
    ``projection`` (0 to 3), ``colormap``, ``figure_width`` and ``figure_height`` (inches), ``transparent``.
    Optional inputs beside the map are ``align-to.fits``, a map whose principal axes are used, and ``chain.hdf5``,
    posterior samples.
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


@job(
    queue="openmp",
    by_hand=ByHand("Draw with ligo-skymap-plot-volume, which takes minutes on all cores.", (SKYMAP,), (DPI, CONTOURS)),
)
def plot_volume_exact(work: Work) -> None:
    """Draw the volume with the field's own tool, whose line integrals take minutes on a whole node.

    Parameters of the job, both optional: ``dpi``, ``contours`` (in per cent).
    """
    offline_astropy()
    from ligo.skymap.tool.ligo_skymap_plot_volume import main

    (source,) = work.inputs.values()
    contours = [str(level) for level in work.parameters.get("contours", ())]
    # Always pass a value, because the tool never applies its own default.
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
