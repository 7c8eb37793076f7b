"""Small charts in one style, such as evidence on a scale, probabilities as bars, and timelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BULLET_THRESHOLDS = (1, 3, 5)
"""Natural logarithms of a Bayes factor from which evidence is positive, strong and very strong.

Kass & Raftery 1995 (JASA 90, 773) give them for twice the logarithm, as 2, 6 and 10.
"""
_WORDS = ("", "strong\n", "very strong\n")
_END = 7  # of the scale
DPI = 200
WATERFALL = (
    "#999999",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#000000",
    "#882255",
)
"""Colours of the milestones: a grey, Okabe and Ito's palette for colour-blind readers, and a wine red."""
BLUE, GREY = "#0072B2", "#999999"  # from the same palette


def new_figure(width: float, height: float, dpi: int = DPI, layout: str | None = "constrained") -> Any:
    """Return an empty figure; sizes in inches."""
    import matplotlib.artist

    # Skip the property tables in the docstrings of artists, which take a fifth of Matplotlib's import time.
    matplotlib.artist.kwdoc = lambda _: ""  # type: ignore[assignment]
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)  # type: ignore[arg-type]
    FigureCanvasAgg(figure)
    return figure


def bullet(log_factor: float, *, title: str, symbol: str, output: Path) -> None:
    """Draw the natural logarithm of a Bayes factor on the scale of evidence; infinite values reach its end."""
    import matplotlib as mpl
    import numpy as np

    figure = new_figure(6, 1.7)
    axes = figure.add_subplot()
    thresholds = (*(-value for value in reversed(BULLET_THRESHOLDS)), 0, *BULLET_THRESHOLDS)
    edges = np.array((-_END, *thresholds, _END))
    colours = mpl.colormaps["RdYlBu"](np.arange(1, len(edges)) / len(edges))
    axes.barh(0, np.diff(edges), 1, edges[:-1], color=colours, edgecolor="white")
    axes.barh(0, float(np.clip(log_factor, -_END, _END)), 0.5, color="black", edgecolor="white")
    axes.set_xlim(-_END, _END)
    axes.set_ylim(-0.5, 0.5)
    axes.set_title(title)
    axes.set_yticks([0], [rf"$\ln\,{symbol}$"])
    words = [f"{word}evidence" for word in _WORDS]
    against, support = [f"{word}\nagainst" for word in reversed(words)], [f"{word}\nfor" for word in words]
    axes.set_xticks(thresholds, [*against, "", *support], fontsize=9)
    for number, label in enumerate(axes.get_xticklabels()):
        label.set_horizontalalignment("right" if number < len(BULLET_THRESHOLDS) else "left")
    above = axes.secondary_xaxis("top")
    above.set_xticks(thresholds, [f"{value:+d}" if value else "0" for value in thresholds])
    for part in (axes, above):
        part.tick_params(length=0)
        part.spines[:].set_visible(False)
    figure.savefig(output, format="png")


def probability_bars(values: Mapping[str, float], *, title: str, output: Path, faded: Sequence[str] = ()) -> None:
    """Draw probabilities (0 to 1) as horizontal bars labelled in per cent; names in `faded` are grey."""
    figure = new_figure(4.5, 0.7 + 0.35 * max(len(values), 1))
    axes = figure.add_subplot()
    names = list(values)
    axes.barh(names, [1.0] * len(names), 0.7, color="#eeeeee")
    axes.barh(names, list(values.values()), 0.7, color=[GREY if name in faded else BLUE for name in names])
    for row, value in enumerate(values.values()):
        axes.text(1.02, row, percent(value), va="center", fontsize=10)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontsize=11)
    figure.savefig(output, format="png")


def timeline(
    rows: Sequence[tuple[str, Sequence[float], float, float]], *, title: str, output: Path, unit: str = "s"
) -> None:
    """Draw when things waited and ran.

    Parameters
    ----------
    rows : sequence of tuple
        Name, moments (drawn as ticks), and begin and end of a bar (no bar if equal), in `unit` since the first alert.
    """
    figure = new_figure(8, 0.9 + 0.24 * max(len(rows), 1))
    axes = figure.add_subplot()
    for row, (_, moments, begin, end) in enumerate(rows):
        if end > begin:
            axes.barh(row, end - begin, 0.6, begin, color=BLUE)
            axes.text(end, row, f" {end - begin:.2g} {unit}", va="center", fontsize=7)
        axes.plot(moments, [row] * len(moments), "|", color="black", markersize=7)
    axes.set_yticks(range(len(rows)), [plain(name) for name, *_ in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.1)
    axes.set_xlabel(f"{unit} since the first alert")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title(title, loc="left", fontsize=11)
    figure.savefig(output, format="png")


def queues(histories: Mapping[str, Sequence[tuple[float, int, int]]], *, output: Path) -> None:
    """Draw how many jobs waited and ran over time, one panel for each of `histories`.

    Parameters
    ----------
    histories : mapping of str to sequence of tuple
        By title: time in s, with the numbers of waiting and running jobs from then on.
    """
    figure = new_figure(9, 2.4 * max(len(histories), 1))
    panels = figure.subplots(max(len(histories), 1), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (title, history) in zip(panels, histories.items(), strict=False):
        hours = [at / 3600.0 for at, *_ in history]
        for column, colour, name in ((1, "#D55E00", "waiting"), (2, BLUE, "running")):
            axes.step(hours, [row[column] for row in history], where="post", color=colour, label=name)
        axes.set_title(plain(title), loc="left", fontsize=11)
        axes.set_ylabel("whole-node jobs")
        axes.grid(color="#dddddd")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="upper right")
    panels[-1].set_xlabel("hours since the beginning")
    figure.savefig(output, format="png")


def waterfall(
    rows: Sequence[tuple[str, Sequence[tuple[str, float, float]]]],
    names: Mapping[str, str],
    *,
    title: str,
    output: Path,
) -> None:
    """Draw where the seconds went, with one row for each name and one coloured piece for each milestone.

    Parameters
    ----------
    rows : sequence of tuple
        Name, and milestones with the begin and end of their pieces in s since the first alert.
    names : mapping of str to str
        Name of each milestone in the legend, in the legend's order.
    """
    figure = new_figure(9, 1.6 + 0.24 * max(len(rows), 1))
    axes = figure.add_subplot()
    colours = dict(zip(names, WATERFALL, strict=False))
    for row, (_, pieces) in enumerate(rows):
        for milestone, begin, end in pieces:
            axes.barh(row, end - begin, 0.7, begin, color=colours[milestone], linewidth=0)
        last = max((end for *_, end in pieces), default=0.0)
        axes.text(last, row, f" {last:.1f} s", va="center", fontsize=7)
    present = {milestone for _, pieces in rows for milestone, *_ in pieces}
    for milestone in (name for name in names if name in present):
        axes.barh(0, 0, color=colours[milestone], label=names[milestone])
    axes.set_yticks(range(len(rows)), [plain(name) for name, _ in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.1)
    axes.set_xlabel("s since the first alert")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title(title, loc="left", fontsize=11)
    if present:
        figure.legend(loc="outside lower center", ncols=4, fontsize=7, frameon=False)
    figure.savefig(output, format="png")


def plain(text: str) -> str:
    """Escape a text so that Matplotlib does not take any of it for a formula."""
    return text.replace("$", r"\$")


def percent(value: float) -> str:
    """Format a probability in per cent; only exactly 0 and 1 become 0 % and 100 %."""
    if 0 < value < 0.01:
        return "<1%"
    return ">99%" if 0.99 < value < 1 else f"{100 * value:.0f}%"


def describe(probabilities: Mapping[str, float]) -> str:
    """Format named probabilities as a readable list."""
    return ", ".join(f"{name} {percent(value)}" for name, value in probabilities.items())
