"""Multi-order maps written at a single resolution, block by block.

The file is the same as that of ``ligo-skymap-flatten``, but is never held in memory as a whole.  At full resolution a
well-localized event has 200 million pixels of 32 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gwbatch.errors import BadInput
from gwbatch.jobs.fits_file import BLOCK, Card, Unsupported, card, header_block, open_fits, read_table, read_units
from gwbatch.jobs.healpix import Floats, Integers, split_uniq
from gwbatch.jobs.skymap import DISTANCES

PIXELS = 1 << 18  # in a block of 8 MiB
FINEST = 15  # highest order of a flat map, which takes 412 GB with distances
_UNITS = {"PROB": "pix-1", "DISTMU": "Mpc", "DISTSIGMA": "Mpc", "DISTNORM": "Mpc-2"}
_OURS = frozenset((
    "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS", "MOC", "PIXTYPE", "ORDERING",
    "COORDSYS", "MOCORDER", "NSIDE", "INDXSCHM", "FIRSTPIX", "LASTPIX", "EXTNAME", "EXTVER", "CHECKSUM", "DATASUM",
))  # fmt: skip


class Writable(Protocol):
    """Anything that bytes can be written to."""

    def write(self, content: bytes, /) -> int: ...


@dataclass(frozen=True)
class FlatMap:
    """A map at a single resolution, ready to be written.

    Attributes
    ----------
    order : int
        HEALPix order of the pixels, in nested numbering.
    columns : mapping of str to ndarray, shape (n,)
        Values of each cell by column name, in the order of the sky.
    count : ndarray of int, shape (n,)
        Pixels in each cell.
    cards : list of Card
        Header of the source.
    """

    order: int
    columns: dict[str, Floats]
    count: Integers
    cards: tuple[Card, ...]

    @classmethod
    def read(cls, path: Path, nside: int = 0) -> FlatMap:
        """Read a multi-order map for writing with `nside` (0: as fine as its finest cell).

        Raises
        ------
        BadInput
            When it cannot be read, `nside` is not a power of two, or the flat map would have too many pixels.
        Unsupported
            When it is not laid out like BAYESTAR's maps.
        """
        import numpy as np

        if nside & (nside - 1):
            raise BadInput(f"Cannot flatten {path.name}: nside {nside} is not a power of two.")
        try:
            with open_fits(path) as stream:
                unit = read_units(stream)[1]
                table = read_table(stream, unit)
        except (IndexError, OSError) as error:
            raise BadInput(f"Cannot read {path.name} as a sky map: {error}.") from error
        uniq = table.pop("UNIQ", None)
        names = list(table)
        if uniq is None or names not in (["PROBDENSITY"], ["PROBDENSITY", *DISTANCES]):
            raise Unsupported(f"{path.name} has the columns {', '.join(names)}")
        if any(column.dtype != np.float64 or column.ndim != 1 for column in table.values()):
            raise Unsupported(f"{path.name} has columns that are not of float64")
        cell_order, ipix = split_uniq(uniq)
        finest = int(cell_order.max())
        if not np.sum(np.int64(1) << (2 * (finest - cell_order))) == 12 << (2 * finest):
            raise Unsupported(f"{path.name} does not cover the sky once")
        order = nside.bit_length() - 1 if nside else finest
        if order > FINEST:
            raise BadInput(f"Cannot flatten {path.name} to {12 * 4**order} pixels: too many. Choose a lower nside.")
        place = np.argsort(ipix << (2 * (finest - cell_order)), kind="stable")
        cell_order, ipix = cell_order[place], ipix[place]
        columns = {name: column[place] for name, column in table.items()}
        if order < finest:
            cell_order, columns = _downsample(cell_order, ipix, columns, order)
        columns["PROB"] = columns.pop("PROBDENSITY") * (4 * np.pi / (12 << (2 * order)))
        columns = {name: columns[name] for name in _UNITS if name in columns}
        return cls(order, columns, np.int64(1) << (2 * (order - cell_order)), unit.cards)

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return 12 << (2 * self.order)

    def write(self, stream: Writable) -> None:
        """Write the map as a FITS file."""
        stream.write(header_block(_PRIMARY))
        stream.write(header_block(self._header()))
        for block in self._blocks():
            stream.write(block)
        stream.write(bytes(-(self.pixels * 8 * len(self.columns)) % BLOCK))

    def _header(self) -> list[str]:
        structure = [
            card("XTENSION", "BINTABLE", "binary table extension"),
            card("BITPIX", 8, "array data type"),
            card("NAXIS", 2, "number of array dimensions"),
            card("NAXIS1", 8 * len(self.columns), "length of dimension 1"),
            card("NAXIS2", self.pixels, "length of dimension 2"),
            card("PCOUNT", 0, "number of group parameters"),
            card("GCOUNT", 1, "number of groups"),
            card("TFIELDS", len(self.columns), "number of table fields"),
        ]
        for number, name in enumerate(self.columns, 1):
            structure += [card(f"TTYPE{number}", name), card(f"TFORM{number}", "D")]
            structure += [card(f"TUNIT{number}", _UNITS[name])]
        sky = [
            *(theirs.lines for theirs in self.cards if theirs.keyword == "MOC"),
            card("PIXTYPE", "HEALPIX", "HEALPIX pixelisation"),
            card("ORDERING", "NESTED", "Pixel ordering scheme: RING, NESTED, or NUNIQ"),
            card("COORDSYS", "C", "Ecliptic, Galactic or Celestial (equatorial)"),
            card("NSIDE", 1 << self.order, "Resolution parameter of HEALPIX"),
            card("INDXSCHM", "IMPLICIT", "Indexing: IMPLICIT or EXPLICIT"),
        ]
        return structure + sky + [theirs.lines for theirs in self.cards if not _is_ours(theirs.keyword)]

    def _blocks(self) -> Iterator[bytes]:
        """Yield the rows of the table, a block of pixels at a time."""
        import numpy as np

        rows = np.stack(list(self.columns.values()), axis=1).astype(">f8")
        ends = np.cumsum(self.count)
        for first in range(0, self.pixels, PIXELS):
            last = min(first + PIXELS, self.pixels)
            begin, end = (int(np.searchsorted(ends, at, side="right")) for at in (first, last - 1))
            chosen = slice(begin, end + 1)
            inside = np.minimum(ends[chosen], last) - np.maximum(ends[chosen] - self.count[chosen], first)
            yield np.repeat(rows[chosen], inside, axis=0).tobytes()


_PRIMARY = [
    card("SIMPLE", value=True, comment="conforms to FITS standard"),
    card("BITPIX", 8, "array data type"),
    card("NAXIS", 0, "number of array dimensions"),
    card("EXTEND", value=True),
]


def _is_ours(keyword: str) -> bool:
    return keyword in _OURS or (keyword[:5] in ("TTYPE", "TFORM", "TUNIT", "TNULL", "TDISP") and keyword[5:].isdigit())


def _downsample(
    order: Integers, ipix: Integers, columns: dict[str, Any], wanted: int
) -> tuple[Integers, dict[str, Any]]:
    """Average the densities and distance moments of cells that are finer than the order `wanted`."""
    import numpy as np
    from ligo.skymap.core import moments_to_parameters, parameters_to_moments

    density, with_distance = columns["PROBDENSITY"], "DISTMU" in columns
    averaged = [density]
    if with_distance:
        bad = ~(np.isfinite(columns["DISTMU"]) & np.isfinite(columns["DISTSIGMA"]))
        mean, std, _ = parameters_to_moments(columns["DISTMU"], columns["DISTSIGMA"])
        mean[bad] = std[bad] = np.nan
        averaged += [density * mean, density * (np.square(std) + np.square(mean))]
    finer = np.maximum(order - wanted, 0)
    pixel = np.where(order > wanted, (ipix >> (2 * finer)), -1 - np.arange(len(ipix)))  # others stay as they are
    first = np.flatnonzero(np.r_[True, pixel[1:] != pixel[:-1]])
    density, *moments = (np.add.reduceat(column * (1.0 / (1 << (2 * finer))), first) for column in averaged)
    means = {"PROBDENSITY": density}
    if with_distance:
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = moments[0] / density
            std = np.sqrt(moments[1] / density - np.square(mean))
        means.update(zip(DISTANCES, moments_to_parameters(mean, std), strict=True))
    return np.minimum(order, wanted)[first], means
