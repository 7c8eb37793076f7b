"""FITS headers and tables, compared with what astropy reads from the same files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gwbatch.errors import BadInput
from gwbatch.jobs.fits_file import Unsupported, open_fits, read_table, read_units
from tests.skymaps import SIMULATED, simulated


@pytest.mark.parametrize("name", SIMULATED)
def test_headers_and_columns_are_those_that_astropy_reads(name: str) -> None:
    with open_fits(simulated(name)) as stream:
        units = read_units(stream)
        table = read_table(stream, units[1])
    with fits.open(simulated(name)) as theirs:
        assert len(units) == len(theirs)
        for unit, other in zip(units, theirs, strict=True):
            cards = [(card.keyword, card.value, card.comment) for card in other.header.cards]
            assert [(card.keyword, card.value, card.comment) for card in unit.cards] == cards
        for column in theirs[1].columns.names:
            np.testing.assert_array_equal(table[column], theirs[1].data[column])
            assert table[column].dtype.isnative


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    path = tmp_path / "map.fits"
    header = fits.Header()
    header["TEXT"] = ("O'Neill / half", "with a slash")
    header["LONG"] = "x" * 200
    header["YES"], header["NUMBER"], header["REAL"], header["NOTHING"] = True, -3, 1.5e-300, None
    header["EMPTY"] = ""
    columns = [
        fits.Column("A", "L", array=np.array([True, False])),
        fits.Column("B", "3J", array=np.arange(6).reshape(2, 3)),
        fits.Column("C", "E", array=np.array([1.5, np.nan])),
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, header)]).writeto(path)
    with open_fits(path) as stream:
        unit = read_units(stream)[1]
        table = read_table(stream, unit)
    with fits.open(path) as theirs:
        for keyword in ("TEXT", "LONG", "YES", "NUMBER", "REAL", "EMPTY"):
            assert unit.header[keyword] == theirs[1].header[keyword]
    assert unit.header["NOTHING"] is None
    np.testing.assert_array_equal(table["B"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(table["C"], [1.5, np.nan])


@pytest.mark.parametrize("length", [0, 1, 79, 2880, 2881, 5760, 8640, 100_000])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_was_cut_off_is_refused_with_a_sentence(tmp_path: Path, length: int, packed: bool) -> None:
    whole = gzip.decompress(simulated("nsbh_hl").read_bytes())
    path = tmp_path / "map.fits"
    path.write_bytes(gzip.compress(whole[:length]) if packed else whole[:length])
    with open_fits(path) as stream, pytest.raises((BadInput, IndexError)):
        read_table(stream, read_units(stream)[1])


def test_a_damaged_gzip_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "map.fits.gz"
    path.write_bytes(simulated("nsbh_hl").read_bytes()[:5000])
    with open_fits(path) as stream, pytest.raises(BadInput, match="Cannot read the FITS file"):
        read_table(stream, read_units(stream)[1])


def test_what_only_a_whole_library_reads_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "map.fits"
    column = fits.Column("A", "J", bzero=2**31, array=np.arange(4, dtype=np.uint32))
    fits.BinTableHDU.from_columns([column]).writeto(path)
    with open_fits(path) as stream, pytest.raises(Unsupported):
        read_table(stream, read_units(stream)[1])
