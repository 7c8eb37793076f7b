"""The built-in products: sky maps, their statistics, and an all-sky plot."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.campaigns import psds
from gwbatch.campaigns.inputs import describe
from gwbatch.campaigns.packing import open_map
from gwbatch.campaigns.products import Work, product
from gwbatch.jobs.result import sha256, sync

BAYESTAR = ["gwbatch.jobs.waveforms", "ligo.skymap.bayestar", "ligo.skymap.io.fits", "ligo.skymap.io.events"]
CROSSMATCH = ["ligo.skymap.postprocess.crossmatch", "ligo.skymap.io.fits", "astropy.coordinates"]
ROW_ID = ["", "The integer in the OBJECT card is the number of the event in its campaign.", ""]
FROM_THE_MAP = ("runtime", "distmean", "diststd", "log_bci", "log_bsn")


@product("describe", preload=["igwn_ligolw.lsctables", "ligo.skymap.io.events", "lalsimulation"])
def describe_file(work: Work) -> Mapping[str, Any]:
    """Describe the contents of an event file for ``plan``."""
    path = Path(work.task.path)
    found, unusable = describe(path)
    return {"sha256": psds.digest(path), "events": msgspec.to_builtins(found), "unusable": unusable}


@product("map", preload=BAYESTAR, suffix=".fits")
def make_map(work: Work) -> Mapping[str, Any]:
    """Localize the event with BAYESTAR and write a multi-order map."""
    from ligo.skymap.io import fits

    from gwbatch.jobs.localize import localized

    options = msgspec.structs.asdict(work.science)
    del options["contours"], options["comoving_volumes"]
    skymap, waveform = localized(work.event, **options)
    skymap.meta["objid"] = work.task.id  # other software matches maps to events by this integer
    skymap.meta["comment"] = ROW_ID
    draft = work.draft("map", ".fits")
    fits.write_sky_map(str(draft), skymap, moc=True)
    facts = {name: _number(skymap.meta.get(name)) for name in FROM_THE_MAP}
    return {**facts, "waveform": waveform, **_finished(draft, work.file("map", ".fits"))}


@product("stats", needs=["map"], preload=CROSSMATCH)
def make_statistics(work: Work) -> Mapping[str, Any]:
    """Compute credible areas and, for an injection, the searched area and the offset."""
    return _statistics(work, volumes=False)


@product("volume-stats", needs=["map"], preload=CROSSMATCH, memory=1600.0)
def make_volume_statistics(work: Work) -> Mapping[str, Any]:
    """Compute the same plus credible volumes and distances, which takes 3 to 5 s and 1.4 GB."""
    return _statistics(work, volumes=True)


@product("allsky-plot", needs=["map"], preload=["ligo.skymap.plot"], suffix=".png")
def make_allsky_plot(work: Work) -> Mapping[str, Any]:
    """Draw an all-sky plot of the map."""
    from gwbatch.jobs.catalogue import Work as JobWork
    from gwbatch.jobs.catalogue import computation

    draft = work.draft("allsky-plot", ".png")
    name = "bayestar.multiorder.fits"
    computation("plot-allsky").function(JobWork({name: work.file("map", ".fits")}, draft, {}))
    return _finished(draft, work.file("allsky-plot", ".png"))


def _statistics(work: Work, *, volumes: bool) -> Mapping[str, Any]:
    from astropy import units
    from astropy.coordinates import SkyCoord
    from ligo.skymap.io import fits
    from ligo.skymap.postprocess import crossmatch

    source = open_map(work.folder, work.task.id)
    skymap = fits.read_sky_map(str(source) if isinstance(source, Path) else source, moc=True)
    if not volumes:
        skymap.remove_columns([name for name in skymap.colnames if name.startswith("DIST")])
    truth, levels = work.task.truth, work.science.contours
    place = None
    if truth is not None:
        place = SkyCoord(truth["ra"] * units.rad, truth["dec"] * units.rad, truth["distance"] * units.Mpc)
    found = crossmatch(
        skymap, place, contours=[0.01 * level for level in levels], cosmology=work.science.comoving_volumes
    )
    named = {
        "searched_area": found.searched_area, "searched_prob": found.searched_prob,
        "searched_prob_dist": found.searched_prob_dist, "searched_vol": found.searched_vol,
        "searched_prob_vol": found.searched_prob_vol, "offset": found.offset,
    }  # fmt: skip
    for name, values in (
        ("area", found.contour_areas),
        ("dist", found.contour_dists),
        ("vol", found.contour_vols),
    ):
        named |= {f"{name}({level:g})": value for level, value in zip(levels, values, strict=True)}
    return {name: _number(value) for name, value in named.items()}


def _number(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _finished(draft: Path, path: Path) -> dict[str, Any]:
    """Move a draft, once it is safely on disk, to its final path, and return the facts of the file there.

    A file that already exists stays. It differs only in dates, and the table may already hold its digest.
    """
    sync(draft)
    try:
        os.link(draft, path)
        draft.unlink()
    except FileExistsError:
        draft.unlink()
    except OSError:  # a file system without links
        draft.rename(path)
    sync(path.parent)
    return {"sha256": sha256(path), "bytes": path.stat().st_size}
