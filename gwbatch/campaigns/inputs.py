"""Readers of event files, for use in science processes only."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.campaigns import psds
from gwbatch.campaigns.cost import DEFAULT_SAMPLES, predict, samples
from gwbatch.errors import BadInput


class Described(msgspec.Struct, frozen=True):
    """An event as described by its file.

    Attributes
    ----------
    detectors : str
        Names in alphabetical order, as in ``H1,L1,V1``.
    samples : int
        Number of SNR samples that BAYESTAR will marginalize over.
    predicted : float
        CPU seconds.
    far : float or None
        Hz.
    truth : dict or None
        For an injection: ``simulation_id``, ``ra`` and ``dec`` (rad), ``distance`` (Mpc).
    """

    coinc: int
    detectors: str
    samples: int
    predicted: float
    snr: float | None
    far: float | None
    truth: dict[str, float] | None


def describe(path: Path) -> tuple[list[Described], dict[int, str]]:
    """Return the events of a file, and the reasons why others in it cannot be localized.

    Raises
    ------
    BadInput
        If the file cannot be read or has no event.
    """
    document = _document(path)
    events = _events(path, document)
    if not events:
        raise BadInput("it has no coincidence event")
    facts, truths = _figures(document), _truths(document)
    found, unusable = [], {}
    for coinc, event in events.items():
        try:
            found.append(_described(coinc, event, facts.get(coinc, (None, None)), truths.get(coinc)))
        except BadInput as error:
            unusable[coinc] = str(error)
    return found, unusable


def event_of(path: Path, expected: str, coinc: int) -> Any:
    """Return one event in the form that BAYESTAR takes.

    Parameters
    ----------
    expected : str
        Digest of the file and of its PSD files when the campaign was planned.

    Raises
    ------
    BadInput
        If the file cannot be read, or has changed since the campaign was planned.
    """
    events = _events_of_file(path, expected)
    if coinc not in events:
        raise BadInput(f"{path.name} no longer has event {coinc}")
    return events[coinc]


@lru_cache(maxsize=2)
def _events_of_file(path: Path, expected: str) -> Any:
    psds.require_unchanged(path, expected)
    return _events(path, _document(path))


def _document(path: Path) -> Any:
    from igwn_ligolw.utils import load_filename
    from ligo.skymap.io.events.ligolw import ContentHandler

    try:
        return load_filename(str(path), contenthandler=ContentHandler)
    except Exception as error:
        raise BadInput(f"it cannot be read as LIGO_LW: {error or type(error).__name__}") from error


def _events(path: Path, document: Any) -> Any:
    from igwn_ligolw.lsctables import SimInspiralTable
    from lalinspiral.thinca import InspiralCoincDef
    from ligo.skymap.io import events

    # Files with injections also hold coincidences that link events to injections. Skip those.
    kind = InspiralCoincDef if _has(document, SimInspiralTable) else None
    # The PSDs are in this file, or in those that process_params names.
    inside = str(path) if _has_psds(document) else None
    if inside is None:
        _resolve_psd_names(document, path)
    try:
        return events.ligolw.open(document, psd_file=inside, coinc_def=kind)
    except Exception as error:
        raise BadInput(f"its events cannot be read: {error or type(error).__name__}") from error


def _resolve_psd_names(document: Any, path: Path) -> None:
    """Replace the names of PSD files in process_params by their paths."""
    from igwn_ligolw.lsctables import ProcessParamsTable

    for row in ProcessParamsTable.get_table(document) if _has(document, ProcessParamsTable) else ():
        if row.param == psds.PARAMETER:
            row.value = str(psds.locate(row.value, path) or row.value)


def _has_psds(document: Any) -> bool:
    from igwn_ligolw.ligolw import LIGO_LW

    elements = document.getElementsByTagName(LIGO_LW.tagName)
    return any(one.hasAttribute("Name") and one.Name == "REAL8FrequencySeries" for one in elements)


def _has(document: Any, table: Any) -> bool:
    try:
        table.get_table(document)
    except ValueError:
        return False
    return True


def _described(
    coinc: int, event: Any, figures: tuple[float | None, float | None], truth: dict[str, float] | None
) -> Described:
    import lalsimulation

    singles = event.singles
    names = [single.detector for single in singles]
    try:
        lacking = [single.detector for single in singles if single.psd is None]
    except Exception as error:
        raise BadInput(f"it has no usable PSDs: {error or type(error).__name__}") from error
    if lacking or not names:
        raise BadInput(f"it has no PSD for {', '.join(lacking)}" if names else "it has no triggers")
    series = [single.snr_series for single in singles]
    count = DEFAULT_SAMPLES
    if all(one is not None for one in series):
        places = [lalsimulation.DetectorPrefixToLALDetector(name).location.tolist() for name in names]
        # A detector without its own trigger has only an SNR series, and little weight in the timing.
        snrs = [float(single.snr or 1.0) for single in singles]
        shortest = min(len(one.data.data) for one in series)
        count = samples(places, snrs, 1 / series[0].deltaT, shortest)
    return Described(coinc, ",".join(sorted(names)), count, predict(count), figures[0], figures[1], truth)


def _figures(document: Any) -> dict[int, tuple[float | None, float | None]]:
    """Read SNR and FAR (Hz) by coinc_event_id."""
    from igwn_ligolw.lsctables import CoincInspiralTable

    if not _has(document, CoincInspiralTable):
        return {}
    rows = CoincInspiralTable.get_table(document)
    return {int(row.coinc_event_id): (_finite(row, "snr"), _finite(row, "combined_far")) for row in rows}


def _finite(row: Any, name: str) -> float | None:
    value = getattr(row, name, None)
    return float(value) if value is not None and math.isfinite(value) else None


def _truths(document: Any) -> dict[int, dict[str, float]]:
    """Read the true parameters of injections, by the coinc_event_id of the event that found them."""
    from igwn_ligolw.lsctables import CoincMapTable, SimInspiralTable

    if not _has(document, SimInspiralTable):
        return {}
    simulations = {row.simulation_id: row for row in SimInspiralTable.get_table(document)}
    found: dict[Any, Any] = {}
    events: dict[Any, list[int]] = {}
    for row in CoincMapTable.get_table(document):
        if row.table_name == "sim_inspiral":
            found[row.coinc_event_id] = simulations[row.event_id]
        elif row.table_name == "coinc_event":
            events.setdefault(row.coinc_event_id, []).append(int(row.event_id))
    return {
        event: {
            "simulation_id": int(simulation.simulation_id),
            "ra": float(simulation.longitude),
            "dec": float(simulation.latitude),
            "distance": float(simulation.distance),
        }
        for joint, simulation in found.items()
        for event in events.get(joint, [])
    }
