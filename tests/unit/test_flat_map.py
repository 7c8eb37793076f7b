"""Flat maps, compared with the files that ligo-skymap-flatten writes."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gwbatch.errors import BadInput
from gwbatch.jobs.catalogue import Work, computation
from gwbatch.jobs.flat_map import FlatMap
from tests.skymaps import adaptive, needle, simulated, write_hard, write_map


def _flatten(source: Path, output: Path, nside: int = 0) -> Path:
    computation("flatten").function(Work({source.name: source}, output, {"nside": nside}))
    return output


def _tool(source: Path, output: Path, nside: int = 0) -> Path:
    from ligo.skymap.tool.ligo_skymap_flatten import main

    main([str(source), str(output), *(["--nside", str(nside)] if nside else [])])
    return output


def test_at_full_resolution_it_is_byte_for_byte_the_file_of_the_tool(tmp_path: Path) -> None:
    source = simulated("nsbh_hl")
    ours, theirs = _flatten(source, tmp_path / "ours.fits.gz"), _tool(source, tmp_path / "theirs.fits")
    assert gzip.decompress(ours.read_bytes()) == theirs.read_bytes()


def test_cells_without_a_distance_stay_as_they_are(tmp_path: Path) -> None:
    order, ipix, density = adaptive(needle, 6, 0.25)
    mu = np.where(np.arange(len(ipix)) % 3 == 0, np.inf, 40.0)
    source = write_map(tmp_path / "map.fits", order, ipix, density, mu, 5.0, norm=1.0)
    ours, theirs = _flatten(source, tmp_path / "ours.fits"), _tool(source, tmp_path / "theirs.fits")
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("nside", [16, 128, 1024])
def test_at_another_resolution_the_columns_are_those_of_the_tool(tmp_path: Path, nside: int) -> None:
    source = simulated("nsbh_hl")
    ours, theirs = _flatten(source, tmp_path / "ours.fits", nside), _tool(source, tmp_path / "theirs.fits", nside)
    with fits.open(ours) as mine, fits.open(theirs) as other:
        assert mine[1].data["PROB"].sum() == pytest.approx(1, abs=1e-6)
        for column in ("PROB", "DISTMU", "DISTSIGMA", "DISTNORM"):
            np.testing.assert_allclose(mine[1].data[column], other[1].data[column], rtol=1e-6)  # ill-conditioned


def test_a_map_of_another_layout_goes_through_the_tool(tmp_path: Path) -> None:
    source = _tool(write_hard("shell", tmp_path / "map.fits"), tmp_path / "flat.fits")
    with pytest.warns(UserWarning, match="ordering"):
        _flatten(source, tmp_path / "again.fits")
    with fits.open(tmp_path / "again.fits") as again:
        assert again[1].header["ORDERING"] == "NESTED"
        assert again[1].data["PROB"].sum() == pytest.approx(1)


@pytest.mark.parametrize(("nside", "words"), [(3, "not a power of two"), (1 << 20, "too many")])
def test_an_impossible_resolution_is_refused_with_a_sentence(nside: int, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        FlatMap.read(simulated("nsbh_hl"), nside)


def test_a_large_map_takes_little_memory(tmp_path: Path) -> None:
    """Writing 400 MB of pixels takes less than 300 MiB of memory."""
    script = (
        "import re, sys\nfrom pathlib import Path\nfrom gwbatch.jobs.catalogue import Work, computation\n"
        "computation('flatten').function(Work({'m': Path(sys.argv[1])}, Path(sys.argv[2]), {'nside': 1024}))\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', Path('/proc/self/status').read_text())[1])"
    )
    arguments = [sys.executable, "-c", script, str(simulated("bbh_hlv")), str(tmp_path / "flat.fits.gz")]
    used = int(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
    assert used < 300 * 1024
