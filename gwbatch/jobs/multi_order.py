"""Multi-order HEALPix maps with NumPy alone: the area of a credible region, and the same sky in fewer pixels."""

from __future__ import annotations

import io

from gwbatch.errors import BadInput
from gwbatch.jobs.fits_file import BLOCK, Card, Unit, card, each_unit, header_block, read_table
from gwbatch.jobs.healpix import Floats, Integers, pixel_area, split_uniq
from gwbatch.jobs.skymap import credible_area

_OF_COLUMNS = ("TTYPE", "TFORM", "TUNIT", "TDIM", "TNULL", "TDISP", "TCOMM")
_REWRITTEN = ("XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS", "MOCORDER")
_LEFT_OUT = ("CHECKSUM", "DATASUM", "THEAP")


def warm_up() -> None:
    """Import NumPy ahead of the first computation."""
    import numpy  # noqa: F401


def area_within(content: bytes, level: float) -> float:
    """Return the area in deg² of the credible region of a multi-order map (a FITS file).

    Raises
    ------
    BadInput
        When the content is not a multi-order map.
    """
    _, uniq, density = _read(content)
    return credible_area(density, pixel_area(split_uniq(uniq)[0]), level)


def smaller_map(content: bytes, share: float = 1.0) -> bytes:
    """Return a multi-order map without its distances, in at most the given share of its pixels where possible.

    Four sister pixels are merged into one, first where that moves the least probability from one pixel to another.  The
    header is kept, including the mean distance over the whole sky.

    Raises
    ------
    BadInput
        When the content is not a multi-order map.
    """
    unit, uniq, density = _read(content)
    uniq, density = _merged(uniq, density, max(12, int(len(uniq) * share)))
    return _written(unit, uniq, density)


def _read(content: bytes) -> tuple[Unit, Integers, Floats]:
    stream = io.BytesIO(content)
    for unit in each_unit(stream):
        if str(unit.header.get("ORDERING", "")).strip() == "NUNIQ":
            columns = read_table(stream, unit)
            if {"UNIQ", "PROBDENSITY"} <= columns.keys() and len(columns["UNIQ"]):
                return unit, columns["UNIQ"], columns["PROBDENSITY"]
    raise BadInput("Cannot read the sky map: it is not a multi-order map with UNIQ and PROBDENSITY.")


def _merged(uniq: Integers, density: Floats, wanted: int) -> tuple[Integers, Floats]:
    """Merge sets of four sister pixels until at most `wanted` pixels are left, or no complete set is."""
    import numpy as np

    order = np.argsort(uniq)
    uniq, density = uniq[order], density[order]
    while len(uniq) > wanted:
        first = np.flatnonzero((uniq[:-3] % 4 == 0) & (uniq[:-3] >= 16) & (uniq[3:] - uniq[:-3] == 3))
        if not len(first):
            break
        values = density[first[:, None] + np.arange(4)]
        away = np.abs(values - values.mean(axis=1, keepdims=True)).sum(axis=1)
        moved = away * pixel_area(
            split_uniq(uniq[first])[0]
        )  # probability that merging moves from one pixel to another
        first = first[np.argsort(moved)[: -(-(len(uniq) - wanted) // 3)]]
        sisters = first[:, None] + np.arange(4)
        parents, means = uniq[first] // 4, density[sisters].mean(axis=1)
        keep: Floats = np.ones(len(uniq), bool)
        keep[sisters] = False
        uniq, density = np.concatenate([uniq[keep], parents]), np.concatenate([density[keep], means])
        order = np.argsort(uniq)
        uniq, density = uniq[order], density[order]
    return uniq, density


def _written(unit: Unit, uniq: Integers, density: Floats) -> bytes:
    import numpy as np

    table: Floats = np.empty(len(uniq), [("UNIQ", ">i8"), ("PROBDENSITY", ">f8")])
    table["UNIQ"], table["PROBDENSITY"] = uniq, density
    primary = [card("SIMPLE", True), card("BITPIX", 8), card("NAXIS", 0), card("EXTEND", True)]
    shape = [
        card("XTENSION", "BINTABLE"), card("BITPIX", 8), card("NAXIS", 2), card("NAXIS1", table.itemsize),
        card("NAXIS2", len(table)), card("PCOUNT", 0), card("GCOUNT", 1), card("TFIELDS", 2),
        card("TTYPE1", "UNIQ"), card("TFORM1", "K"),
        card("TTYPE2", "PROBDENSITY"), card("TFORM2", "D"), card("TUNIT2", "sr-1"),
        card("MOCORDER", int(split_uniq(uniq)[0].max()), "MOC resolution (best order)"),
    ]  # fmt: skip
    kept = [one.lines for one in unit.cards if _is_kept(one)]
    content: bytes = table.tobytes()
    padding = bytes(-len(content) % BLOCK)
    return header_block(primary) + header_block([*shape, *kept]) + content + padding


def _is_kept(one: Card) -> bool:
    return not one.keyword.startswith(_OF_COLUMNS) and one.keyword not in (*_REWRITTEN, *_LEFT_OUT)
