"""Multi-order maps reduced to fewer pixels: the file gets smaller, and the sky stays the same."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ligo.skymap.io import read_sky_map
from ligo.skymap.postprocess import crossmatch

from gwbatch.alerts.encoding import encode_json, smaller
from gwbatch.errors import BadInput
from gwbatch.jobs.healpix import pixel_area, split_uniq
from gwbatch.jobs.multi_order import area_within, smaller_map
from tests.skymaps import simulated


@pytest.fixture(scope="module")
def skymap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plain = tmp_path_factory.mktemp("maps") / "bns.multiorder.fits"
    plain.write_bytes(gzip.decompress(simulated("bns_hlv").read_bytes()))
    return plain


def read(content: bytes, folder: Path) -> Any:
    (folder / "small.fits").write_bytes(content)
    return read_sky_map(str(folder / "small.fits"), moc=True)


def moved(whole: Any, small: Any) -> float:
    """Return the probability that has moved: half the sum of the differences at the finer map's resolution."""
    uniq, density = np.asarray(whole["UNIQ"]), np.asarray(whole["PROBDENSITY"])
    known = dict(zip(np.asarray(small["UNIQ"]).tolist(), np.asarray(small["PROBDENSITY"]).tolist(), strict=True))
    there = []
    for pixel in uniq.tolist():
        while pixel not in known:
            pixel //= 4
        there.append(known[pixel])
    return float(np.sum(np.abs(density - there) * pixel_area(split_uniq(uniq)[0])) / 2)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
def test_a_smaller_map_holds_the_same_sky(skymap: Path, tmp_path: Path, share: float) -> None:
    whole = read_sky_map(str(skymap), moc=True)
    content = smaller_map(skymap.read_bytes(), share)
    small = read(content, tmp_path)
    assert small.colnames == ["UNIQ", "PROBDENSITY"]
    assert small.meta["instruments"] == whole.meta["instruments"]
    assert small.meta.get("distmean") == whole.meta.get("distmean")
    uniq, density = np.asarray(small["UNIQ"]), np.asarray(small["PROBDENSITY"])
    area = pixel_area(split_uniq(uniq)[0])
    assert len(uniq) <= max(12, share * len(whole))
    assert np.sum(area) == pytest.approx(4 * np.pi)
    before = np.asarray(whole["PROBDENSITY"]) * pixel_area(split_uniq(np.asarray(whole["UNIQ"]))[0])
    assert np.sum(density * area) == pytest.approx(np.sum(before))
    assert area_within(content, 0.9) == pytest.approx(area_within(skymap.read_bytes(), 0.9), rel=0.02)
    assert moved(whole, small) < {1.0: 1e-12, 0.5: 0.01, 0.2: 0.03}[share]
    assert len(content) < len(skymap.read_bytes())


def test_the_area_is_that_of_the_fields_tool(skymap: Path) -> None:
    whole = read_sky_map(str(skymap), moc=True)
    theirs = crossmatch(whole["UNIQ", "PROBDENSITY"], contours=(0.9,)).contour_areas[0]
    assert area_within(skymap.read_bytes(), 0.9) == pytest.approx(theirs, rel=0.01)


def test_ever_smaller_notices_end_without_a_map(skymap: Path) -> None:
    record = {"urls": {}, "event": {"skymap": skymap.read_bytes()}, "external_coinc": None}
    found = list(smaller(record))
    sizes = [len(encode_json(reduced)) for reduced, _ in found]
    assert sizes == sorted(sizes, reverse=True)
    assert len(found) == 4
    assert found[0][1] == "the distances in the sky map"
    assert found[-1][0]["event"]["skymap"] is None


@pytest.mark.parametrize("content", [b"", b"SIMPLE  =", b"x" * 5760])
def test_what_is_no_multi_order_map_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput):
        smaller_map(content)
    with pytest.raises(BadInput):
        area_within(content, 0.9)


def test_a_flat_map_is_left_as_it_is(tmp_path: Path) -> None:
    from astropy.table import Table
    from ligo.skymap.io import write_sky_map

    flat = Table({"PROB": np.full(12 * 8**2, 1 / (12 * 8**2))})
    write_sky_map(str(tmp_path / "flat.fits"), flat, nest=True)
    with pytest.raises(BadInput, match="not a multi-order map"):
        smaller_map((tmp_path / "flat.fits").read_bytes())
