"""Figures of a campaign, which show the quality and the cost of its maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.results import has_injections, rows

FORMATS = ("pdf", "png")
CONFIDENCE = 0.95
PP = {"searched_prob": "sky", "searched_prob_dist": "distance", "searched_prob_vol": "volume"}


class Test(NamedTuple):
    """A Kolmogorov-Smirnov test of searched probabilities against a uniform distribution."""

    quantity: str
    events: int
    p_value: float
    factor: float  # rescale_loglikelihood of the maps


def ks_tests(found: Sequence[dict[str, Any]], factor: float) -> list[Test]:
    """Test whether the searched probabilities are uniform for sky, distance and volume.

    A small p-value means that the maps are overconfident or underconfident.  A factor below 1 makes them underconfident
    on purpose, so the test is meaningful only for maps with a factor of 1.

    Parameters
    ----------
    factor : float
        ``rescale_loglikelihood`` of the maps.
    """
    from scipy.stats import kstest

    tests = []
    for column, quantity in PP.items():
        values = _known(found, column)
        if values:
            tests.append(Test(quantity, len(values), float(kstest(values, "uniform").pvalue), factor))
    return tests


def draw(folder: Folder, output: Path) -> list[Path]:
    """Draw all figures that the results allow, as PDF and PNG, and return the files."""
    from matplotlib.figure import Figure

    found = rows(folder)
    factor = folder.settings().science.rescale_loglikelihood
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for name, fill in _figures(found, factor):
        figure = Figure(figsize=(4.5, 4.0), layout="constrained")
        fill(figure)
        for suffix in FORMATS:
            path = output / f"{name}.{suffix}"
            figure.savefig(path, dpi=200)
            written.append(path)
    return written


def _figures(found: list[dict[str, Any]], factor: float) -> Iterator[tuple[str, Callable[[Any], None]]]:
    tests = ks_tests(found, factor) if has_injections(found) else []
    if tests:
        yield "pp", lambda figure: _pp(figure, found, tests)
    if _known(found, "area(90)"):
        yield "areas", lambda figure: _distribution(figure, found, "area", "Credible area (deg²)")
    if _known(found, "vol(90)"):
        yield "volumes", lambda figure: _distribution(figure, found, "vol", "Credible volume (Mpc³)")
    if _known(found, "searched_area"):
        yield "searched-area", lambda figure: _searched(figure, found)
    if _known(found, "cpu"):
        yield "cost", lambda figure: _cost(figure, found)
        yield "progress", lambda figure: _progress(figure, found)


def _pp(figure: Any, found: list[dict[str, Any]], tests: list[Test]) -> None:
    import ligo.skymap.plot  # noqa: F401  (registers the projection)

    axes = figure.add_subplot(projection="pp_plot")
    axes.add_confidence_band(min(test.events for test in tests), alpha=CONFIDENCE)
    axes.add_diagonal(color="0.5", linewidth=0.8)
    columns = {quantity: column for column, quantity in PP.items()}
    for test in tests:
        label = f"{test.quantity} (KS p = {test.p_value:.2g})"
        axes.add_series(_known(found, columns[test.quantity]), label=label)
    axes.set_xlabel("Credible level")
    axes.set_ylabel("Fraction of events within that level")
    axes.set_title(f"{tests[0].events} events, log likelihood × {tests[0].factor:g}", fontsize="medium")
    axes.legend(fontsize="small", loc="upper left")
    axes.grid(visible=True, alpha=0.3)


def _distribution(figure: Any, found: list[dict[str, Any]], quantity: str, label: str) -> None:
    axes = figure.add_subplot()
    for name in sorted({name for row in found for name in row if name.startswith(f"{quantity}(")}, key=_level):
        values = sorted(_known(found, name))
        if values:
            axes.step(values, _fractions(values), where="post", label=f"{_level(name):g} %")
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("Fraction of events below")
    axes.legend(title="Credible level", fontsize="small")
    axes.grid(visible=True, alpha=0.3)


def _searched(figure: Any, found: list[dict[str, Any]]) -> None:
    axes = figure.add_subplot()
    by_detectors: dict[str, list[float]] = {}
    for row in found:
        if row.get("searched_area") is not None:
            by_detectors.setdefault(row["detectors"], []).append(row["searched_area"])
    for detectors, values in sorted(by_detectors.items()):
        axes.step(sorted(values), _fractions(values), where="post", label=f"{detectors} ({len(values)})")
    axes.set_xscale("log")
    axes.set_xlabel("Searched area (deg²)")
    axes.set_ylabel("Fraction of events below")
    axes.legend(title="Detectors", fontsize="small")
    axes.grid(visible=True, alpha=0.3)


def _cost(figure: Any, found: list[dict[str, Any]]) -> None:
    axes = figure.add_subplot()
    for detectors in sorted({row["detectors"] for row in found}):
        these = [row for row in found if row["detectors"] == detectors and row["cpu"] is not None]
        axes.plot([row["predicted"] for row in these], [row["cpu"] for row in these], ".", label=detectors)
    low, high = axes.get_xlim()
    axes.axline((low, low), (high, high), color="0.5", linewidth=0.8)
    axes.set_xlabel("Predicted CPU time (s)")
    axes.set_ylabel("CPU time (s)")
    axes.legend(title="Detectors", fontsize="small")
    axes.grid(visible=True, alpha=0.3)


def _progress(figure: Any, found: list[dict[str, Any]]) -> None:
    times = sorted(_known(found, "finished"))
    hours = [(time - times[0]) / 3600 for time in times]
    axes = figure.add_subplot()
    axes.step(hours, range(1, len(hours) + 1), where="post")
    axes.set_xlabel("Time since the first event was done (h)")
    axes.set_ylabel("Events done")
    axes.grid(visible=True, alpha=0.3)


def _known(found: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [row[name] for row in found if row.get(name) is not None and math.isfinite(row[name])]


def _fractions(values: Sequence[float]) -> list[float]:
    return [(number + 1) / len(values) for number in range(len(values))]


def _level(name: str) -> float:
    return float(name.partition("(")[2].rstrip(")"))
