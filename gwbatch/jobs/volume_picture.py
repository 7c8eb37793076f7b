"""Picture of the volume: three faces of a cube, the distance, and the scale, markers and labels to read them.

Layout, colours, markers and contours are those of ``ligo-skymap-plot-volume``, whose pictures astronomers know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs import volume
from gwbatch.jobs.charts import new_figure, plain
from gwbatch.jobs.healpix import Floats
from gwbatch.jobs.skymap import SkyMap, credible_area, rounded
from gwbatch.jobs.volume_faces import Moments

_PLACES = ((0, 0), (1, 1), (1, 0))  # row and column of each face


@dataclass(frozen=True)
class Options:
    """Options of a picture.

    Attributes
    ----------
    dpi : int
        Dots per inch.
    size : tuple of float
        Width and height of the figure in inches.
    contours : sequence of float
        Credible levels in per cent.
    annotate : bool
        Write the name of the event, instruments and distance.
    summary : bool
        Write the 90 % area and volume with them.
    reach : float or None
        Half the side of the cube in Mpc; None takes mean plus 2.5 standard deviations of the distance.
    marks : sequence of tuple
        Right ascension, declination (deg) and distance (Mpc) of places to mark.
    face : int
        0 draws all three faces and the distance, 1 to 3 one of them.
    colours : str
        Colour map.
    transparent : bool
        Leave the background out.
    samples : ndarray or None
        Posterior samples to draw as points, Cartesian in Mpc, shape (3, n).
    """

    dpi: int = 200
    size: tuple[float, float] = (3.5, 3.5)
    contours: Sequence[float] = ()
    annotate: bool = True
    summary: bool = True
    reach: float | None = None
    marks: Sequence[tuple[float, float, float]] = ()
    face: int = 0
    colours: str = "cylon"
    transparent: bool = False
    samples: Floats = None


@dataclass(frozen=True)
class Scene:
    """A map, and the cube through which it is viewed."""

    skymap: SkyMap
    cells: Moments
    rotation: Floats
    reach: float

    @classmethod
    def of(cls, skymap: SkyMap, options: Options, align_to: SkyMap | None = None) -> Scene:
        """View a map along its own principal axes, or along those of `align_to`, which also sets the default reach."""
        skymap = volume.usable(skymap)
        cells = volume.cell_moments(skymap)
        guide, moments = skymap, cells
        if align_to is not None:
            guide = volume.usable(align_to)
            moments = volume.cell_moments(guide)
        mean, std = volume.sky_moments(guide, moments)
        return cls(skymap, cells, volume.principal_axes(guide, moments), options.reach or mean + 2.5 * std)

    @cached_property
    def credible(self) -> tuple[float, float]:
        """Area in deg^2 and volume in Mpc^3 that hold 90 % of the probability."""
        return credible_area(self.skymap.density, self.skymap.area), volume.credible_volume(self.skymap, self.cells)


def draw(scene: Scene, options: Options, output: Path, faces: Floats = None) -> None:
    """Write the picture, in the format of the file's suffix (PNG if it has none).

    Parameters
    ----------
    faces : ndarray or None
        Projections, as `volume.render` makes them; None renders them.
    """

    side = 1 if options.face else 2
    elements = int(options.dpi * options.size[0] / side)
    if elements < 2:
        raise BadInput(f"Cannot draw the volume: {options.dpi} dpi give a face of {elements} elements. Choose more.")
    if faces is None:
        faces = volume.render(scene.skymap, scene.cells, scene.rotation, scene.reach, elements)
    figure = new_figure(*options.size, dpi=options.dpi, layout=None)
    from matplotlib.gridspec import GridSpec

    grid = GridSpec(side, side, left=0.01, right=0.99, bottom=0.01, top=0.99, wspace=0.05, hspace=0.05)
    colours = colour_map(options.colours)
    axes = None
    for number, (face, (row, column)) in enumerate(zip(faces, _PLACES, strict=True)):
        if options.face in (0, number + 1):
            axes = figure.add_subplot(grid[0, 0] if options.face else grid[row, column], aspect=1)
            contours = _draw_face(axes, face, volume.FACES[number], scene, options, colours)
            if number == 2:
                axes.invert_xaxis()
    if axes is not None and options.contours:
        axes.clabel(contours, fmt="%d%%", fontsize=7)
    if axes is not None and not options.face:
        _draw_scale(axes, scene.reach)
        inner = grid[0, 1].subgridspec(5, 5)
        _draw_distance(figure.add_subplot(inner[1:-1, 1:-1]), scene, options)
    figure.savefig(
        output, dpi=options.dpi, format=output.suffix.lstrip(".").lower() or "png", transparent=options.transparent
    )


def _draw_face(axes: Any, density: Floats, plane: tuple[int, int], scene: Scene, options: Options, colours: Any) -> Any:
    import numpy as np

    reach, (across, up) = scene.reach, plane
    axes.imshow(density, origin="lower", extent=[-reach, reach, -reach, reach], cmap=colours)
    contours = None
    if options.contours:
        places = np.linspace(-reach, reach, len(density))
        contours = axes.contour(
            places, places, enclosed(density) * 100, levels=sorted(options.contours), linewidths=0.5, cmap=colours
        )
    for number, mark in enumerate(options.marks):
        place = scene.rotation.T @ _cartesian(*mark)
        colour = f"C{number + 1}"
        axes.plot(place[across], place[up], marker=reticle(), markerfacecolor="none", markeredgewidth=1, color=colour)
    if options.samples is not None:
        rotated = scene.rotation.T @ options.samples
        axes.plot(rotated[across], rotated[up], ".k", markersize=0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlim([-reach, reach])
    axes.set_ylim([-reach, reach])
    axes.plot(
        [0], [0], marker=earth(), markersize=5, markerfacecolor="none", markeredgecolor="black", markeredgewidth=0.75
    )
    return contours


def enclosed(density: Floats) -> Floats:
    """Return, for each element, the share of the total that lies in elements at least as dense."""
    import numpy as np

    flat = density.ravel()
    order = np.argsort(flat)[::-1]
    sums = np.cumsum(flat[order])
    shares = np.empty_like(flat)
    shares[order] = sums / sums[-1]
    return shares.reshape(density.shape)


def _draw_scale(axes: Any, reach: float) -> None:
    axes.plot([0.0625, 0.3125], [0.0625, 0.0625], color="black", linewidth=1, transform=axes.transAxes)
    text = f"{round(0.5 * reach):d} Mpc"
    axes.text(0.0625, 0.0625, text, fontsize=8, transform=axes.transAxes, verticalalignment="bottom")


def _draw_distance(axes: Any, scene: Scene, options: Options) -> None:
    import numpy as np
    from matplotlib.transforms import blended_transform_factory

    distance = np.linspace(0, scene.reach)
    axes.fill_between(distance, volume.distance_density(scene.skymap, distance), alpha=0.5, color="C0")
    for number, (ra, dec, mark) in enumerate(options.marks):
        colour = f"C{number}"
        below = blended_transform_factory(axes.transData, axes.transAxes)
        axes.plot(
            [mark], [-0.15], marker=reticle(), markerfacecolor="none", markeredgewidth=1, clip_on=False,
            transform=below, color=colour,
        )  # fmt: skip
        cell = scene.skymap[[_cell_at(scene.skymap, ra, dec)]]
        axes.fill_between(distance, volume.conditional_density(cell, distance, np.ones(1)), alpha=0.5, color=colour)
        axes.axvline(mark, color="black", linewidth=0.5)
    axes.set_xticks([0, scene.reach])
    axes.set_xticklabels(["0", f"{round(scene.reach):d}\nMpc"], fontsize=9)
    axes.set_yticks([])
    axes.set_xlim(0, scene.reach)
    axes.set_ylim(0, axes.get_ylim()[1])
    lines = annotation(scene, summary=options.summary) if options.annotate else []
    left = -0.35 if options.summary else 0  # longer lines begin further left
    axes.text(left, 1, "\n".join(lines), transform=axes.transAxes, fontsize=7, ha="left", va="bottom", clip_on=False)


def annotation(scene: Scene, *, summary: bool) -> list[str]:
    """Return the lines above the distance: event, instruments and distance; `summary` adds the 90 % area and volume."""
    header = scene.skymap.header
    event = f"event ID: {plain(str(header['OBJECT']))}" if header.get("OBJECT") not in (None, "") else ""
    instruments = ", ".join(sorted(str(header.get("INSTRUME") or "").split(",")))
    distance = ""
    if header.get("DISTMEAN") is not None and header.get("DISTSTD") is not None:
        distance = f"{round(header['DISTMEAN']):d}±{round(header['DISTSTD']):d} Mpc"
    if not summary:
        return (
            [event] * bool(event)
            + [f"instruments: {instruments}"] * bool(instruments)
            + ([f"distance: {distance}"] * bool(distance))
        )
    area, size = scene.credible
    return [event, " at ".join(filter(None, (instruments, distance))), f"90%: {_short(area)} deg², {_short(size)} Mpc³"]


def description(scene: Scene) -> list[str]:
    """Return the parts of the picture's alternative text: the distance, and the 90 % area and volume."""
    header, (area, size) = scene.skymap.header, scene.credible
    mean, std = header.get("DISTMEAN"), header.get("DISTSTD")
    distance = "" if mean is None or std is None else f"distance {mean:.0f}±{std:.0f} Mpc"
    return [distance, f"90% of the probability in {rounded(area)} deg² and {rounded(size)} Mpc³"]


def _short(value: float) -> str:
    if 0.1 <= value < 1e6:
        return rounded(value)
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_RAISED)}"  # mathtext would cost a tenth of a second


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def colour_map(name: str) -> Any:
    """Return a colour map by its name; ``cylon`` comes from a file of ligo.skymap."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    if name not in ("cylon", "cylon_r"):
        try:
            return mpl.colormaps[name]
        except KeyError as error:
            raise BadInput(f"Unknown colour map {name!r}. Choose one of Matplotlib's.") from error
    package = find_spec("ligo.skymap")  # found without importing it, which would take a second
    assert package is not None
    assert package.origin is not None
    table = np.loadtxt(Path(package.origin).parent / "plot" / "cylon.csv", delimiter=",")
    return LinearSegmentedColormap.from_list(name, table[::-1] if name == "cylon_r" else table)


def earth() -> Any:
    """Return the astronomical symbol of Earth as a marker: a circle with a cross in it."""
    import numpy as np
    from matplotlib.markers import MarkerStyle
    from matplotlib.path import Path as Outline

    circle = Outline.unit_circle()
    cross = [[-1, 0], [1, 0], [0, -1], [0, 1]]
    codes = [Outline.MOVETO, Outline.LINETO] * 2
    outline = Outline(np.concatenate((circle.vertices, cross)), np.concatenate((circle.codes, codes)))
    return MarkerStyle(outline, fillstyle="none")


def reticle() -> Any:
    """Return a marker of four diagonal strokes around a gap."""
    import numpy as np
    from matplotlib.markers import MarkerStyle
    from matplotlib.path import Path as Outline

    inner, outer = 0.5 * np.sqrt(2), 1.5 * np.sqrt(2)
    angles = np.deg2rad(45 + 90 * np.arange(4))
    strokes = [[radius * np.cos(angle), radius * np.sin(angle)] for angle in angles for radius in (inner, outer)]
    return MarkerStyle(Outline(np.array(strokes), [Outline.MOVETO, Outline.LINETO] * 4), fillstyle="none")


def _cartesian(ra: float, dec: float, distance: float) -> Floats:
    import numpy as np

    longitude, latitude = np.deg2rad(ra), np.deg2rad(dec)
    flat = np.cos(latitude)
    return distance * np.array([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)])


def _cell_at(skymap: SkyMap, ra: float, dec: float) -> int:
    """Return the cell in a direction, which is the one whose centre is nearest in units of its own size."""
    import numpy as np

    away = np.arccos(np.clip(_cartesian(ra, dec, 1.0) @ skymap.directions, -1, 1))
    return int(np.argmin(away / np.sqrt(skymap.area)))
