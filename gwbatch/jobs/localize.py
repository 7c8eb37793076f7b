"""Localization of a coincidence with BAYESTAR, as a multi-order sky map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs.by_hand import GRACEID, ByHand, Input, Parameter
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.science import offline_astropy
from gwbatch.jobs.waveforms import NOTE, PHENOMENOLOGICAL, choose_waveform


@job(
    queue="openmp",
    preload=["gwbatch.jobs.waveforms", "ligo.skymap.bayestar", "ligo.skymap.io.fits", "ligo.skymap.io.events"],
    by_hand=ByHand(
        "Localize the event in COINC with BAYESTAR, on OMP_NUM_THREADS cores.",
        (Input("coinc", "coinc.xml"), Input("psd", "psd.xml.gz", help="PSD file, if COINC does not contain the PSD.")),
        (
            Parameter("f_low", "Low-frequency cutoff in Hz.  [default: the policy's, 15]", float),
            Parameter(
                "waveform", "Template; auto: the field's choice, or IMRPhenomD where its data files are missing.  "
                "[default: the policy's, auto]",
            ),
            GRACEID,
        ),
    ),
)  # fmt: skip
def localize(work: Work) -> dict[str, Any]:
    """Localize the event of a ``coinc.xml`` (PSD inside, or in ``psd.xml.gz`` beside it).

    Parameters of the annotation: ``f_low`` (Hz), ``waveform`` (a template name, or ``auto``), ``graceid``.
    Writes the probability density per steradian and the distance parameters (Mpc) as a multi-order map.
    """
    from ligo.skymap.io import fits

    coinc = work.inputs["coinc.xml"]
    event = read_event(coinc, work.inputs.get("psd.xml.gz", coinc))
    skymap, waveform = localized(
        event, str(work.parameters.get("waveform", "auto")), float(work.parameters.get("f_low", 15.0))
    )
    if work.parameters.get("graceid"):
        skymap.meta["objid"] = work.parameters["graceid"]
    fits.write_sky_map(str(work.output), skymap, moc=True)
    facts = {
        "has_distances": "DISTNORM" in skymap.colnames,
        "has_coherence": "log_bci" in skymap.meta,
        "waveform": waveform,
        "inference_seconds": skymap.meta.get("runtime"),
        "area_90": credible_area(skymap["UNIQ"], skymap["PROBDENSITY"], 0.9),
    }
    return (
        facts
        if waveform != PHENOMENOLOGICAL or work.parameters.get("waveform") == waveform
        else {**facts, "note": NOTE}
    )


def localized(event: Any, waveform: str = "auto", f_low: float = 15.0, **options: Any) -> tuple[Any, str]:
    """Return the sky map of an event as an astropy table, and the template that was used.

    Parameters
    ----------
    f_low : float
        Hz.
    options : dict
        More arguments of ``ligo.skymap.bayestar.localize``.
    """
    offline_astropy()
    from ligo.skymap.bayestar import localize as bayestar

    chosen = choose_waveform(event, waveform)
    return bayestar(event, waveform=chosen, f_low=f_low, **options), chosen


def credible_area(uniq: Any, density: Any, level: float) -> float:
    """Return the area in deg² of the smallest region that holds the probability `level`.

    Parameters
    ----------
    uniq, density : array of shape (pixels,)
        NUNIQ indices, and probability per steradian.
    level : float
        Between 0 and 1.
    """
    import numpy as np

    area = np.pi / 3 / 4.0 ** (np.log2(np.asarray(uniq) / 4) // 2)
    likely = np.argsort(-np.asarray(density))
    inside = np.cumsum((np.asarray(density) * area)[likely])
    return float(np.interp(level, inside, np.cumsum(area[likely])) * (180 / np.pi) ** 2)


def read_event(coinc: Path, psd: Path) -> Any:
    """Read the one event of a coincidence file, with its PSDs.

    Raises
    ------
    BadInput
        When the file cannot be read, does not hold exactly one event, or has no PSD for a detector.
    """
    from ligo.skymap.io import events

    try:
        found = list(events.ligolw.open(str(coinc), psd_file=str(psd), coinc_def=None).values())
    except Exception as error:
        raise BadInput(
            f"Cannot read {coinc.name} as a LIGO_LW coincidence file: {error or type(error).__name__}"
        ) from error
    if len(found) != 1:
        raise BadInput(f"Cannot localize {coinc.name}: it holds {len(found)} coincidence events, not exactly one.")
    (event,) = found
    try:
        lacking = [single.detector for single in event.singles if single.psd is None]
    except Exception as error:
        raise BadInput(f"{psd.name} has no usable PSD for {coinc.name}: {error or type(error).__name__}") from error
    if not event.singles:
        raise BadInput(f"{coinc.name} has an event without single-detector triggers.")
    if lacking:
        raise BadInput(
            f"{psd.name} has no PSD for {', '.join(lacking)}. Upload psd.xml.gz or put the PSD into {coinc.name}."
        )
    return event
