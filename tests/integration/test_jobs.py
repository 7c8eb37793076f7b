"""Computations with the real science stack: maps identical to ligo.skymap's, and clear errors for bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from gwbatch import children
from gwbatch.annotation import PRODUCTS
from gwbatch.demo.verdict import total_probability
from gwbatch.jobs.catalogue import computations
from gwbatch.jobs.result import fault, read_result, sha256


def run(tmp_path: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run ``gwbatch job`` as a user would; return the exit code, the result and stderr."""
    process = subprocess.run(
        [sys.executable, "-m", "gwbatch", "job", *arguments, "--json"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    path = tmp_path / "result.json"
    return process.returncode, json.loads(path.read_text()) if path.exists() else {}, process.stderr


@pytest.fixture(scope="session")
def skymap(tmp_path_factory: pytest.TempPathFactory, fast_coinc: Path) -> Path:
    folder = tmp_path_factory.mktemp("localize")
    code, result, errors = run(folder, "localize", str(fast_coinc), "-o", "bayestar.multiorder.fits")
    assert code == 0, errors
    assert result["facts"]["waveform"] == "IMRPhenomD"
    return folder / "bayestar.multiorder.fits"


def test_the_map_is_the_one_that_ligo_skymap_makes(skymap: Path, fast_coinc: Path, tmp_path: Path) -> None:
    """The map equals that of bayestar-localize-coincs, column for column."""
    from ligo.skymap.io import read_sky_map
    from ligo.skymap.tool.bayestar_localize_coincs import main

    main(
        [
            str(fast_coinc),
            str(fast_coinc),
            "-o",
            str(tmp_path),
            "--f-low",
            "15",
            "--waveform",
            "IMRPhenomD",
            "--loglevel",
            "ERROR",
        ]
    )
    (reference,) = tmp_path.glob("*.fits*")
    ours, theirs = read_sky_map(str(skymap), moc=True), read_sky_map(str(reference), moc=True)
    assert ours.colnames == theirs.colnames
    for column in ours.colnames:
        assert (ours[column] == theirs[column]).all(), column
        assert ours[column].unit == theirs[column].unit


def test_the_map_is_normalised_and_the_result_describes_it(skymap: Path) -> None:
    assert total_probability(skymap) == pytest.approx(1.0, abs=1e-9)
    result = json.loads((skymap.parent / "result.json").read_text())
    assert result["outputs"] == {skymap.name: {"sha256": sha256(skymap), "bytes": skymap.stat().st_size}}
    assert result["facts"]["has_distances"]
    assert result["facts"]["has_coherence"]
    assert {"python", "ligo.skymap", "lalsuite"} <= result["versions"].keys()
    assert result["cores"] >= 1
    assert result["run_seconds"] > 0


@pytest.mark.parametrize(
    ("command", "options", "name", "magic"),
    [
        ("plot-allsky", [], "bayestar.png", b"\x89PNG"),
        ("plot-volume", ["--dpi", "10"], "bayestar.volume.png", b"\x89PNG"),
        ("plot-coherence", [], "bayestar.coherence.png", b"\x89PNG"),
        ("flatten", ["--nside", "32"], "bayestar.fits.gz", b"\x1f\x8b"),
        ("fits-header", [], "bayestar.html", b"<!DOCTYPE html>"),
    ],
)
def test_each_product_is_made_by_hand(
    skymap: Path, tmp_path: Path, command: str, options: list[str], name: str, magic: bytes
) -> None:
    code, result, errors = run(tmp_path, command, str(skymap), "-o", name, *options)
    assert code == 0, errors
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert result["outputs"][name]["sha256"] == sha256(tmp_path / name)


def test_the_header_page_escapes_what_it_shows(skymap: Path, tmp_path: Path) -> None:
    from astropy.io import fits

    evil = tmp_path / "evil.fits"
    with fits.open(skymap) as units:
        units[1].header["OBJECT"] = "<script>alert(1)</script>"
        units.writeto(evil)
    assert run(tmp_path, "fits-header", str(evil), "-o", "page.html")[0] == 0
    assert "<script>" not in (tmp_path / "page.html").read_text()


def without_psd(coinc: Path) -> bytes:
    tree = etree.parse(coinc)
    for element in list(tree.iter("LIGO_LW")):
        if element.get("Name") in ("REAL8FrequencySeries", "psd"):
            element.getparent().remove(element)
    return etree.tostring(tree)


def without_event(coinc: Path) -> bytes:
    tree = etree.parse(coinc)
    for name in ("coinc_event:table", "coinc_event_map:table", "coinc_inspiral:table"):
        for table in tree.iter("Table"):
            if table.get("Name") == name:
                table.find("Stream").text = ""
    return etree.tostring(tree)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_psd, "PSD"),
        (without_event, "holds 0 coincidence events"),
        (lambda path: b"not xml", "as a LIGO_LW coincidence file"),
        (lambda path: b"", "as a LIGO_LW coincidence file"),
        (lambda path: path.read_bytes()[:50_000], "as a LIGO_LW coincidence file"),
    ],
    ids=["no-psd", "no-event", "text", "empty", "truncated"],
)
def test_bad_coincidences_fail_in_words_for_good(
    tmp_path: Path, fast_coinc: Path, spoil: Callable[[Path], bytes], words: str
) -> None:
    (tmp_path / "coinc.xml").write_bytes(spoil(fast_coinc))
    code, result, _ = run(tmp_path, "localize", "coinc.xml", "-o", "map.fits")
    assert code == 3
    assert words in result["error"]["message"]
    assert not result["error"]["retryable"]
    assert not (tmp_path / "map.fits").exists()
    assert not list(tmp_path.glob(".partial*"))


def test_a_psd_beside_the_coincidence_gives_the_same_map(skymap: Path, fast_coinc: Path, tmp_path: Path) -> None:
    (tmp_path / "coinc.xml").write_bytes(without_psd(fast_coinc))
    code, _, errors = run(tmp_path, "localize", "coinc.xml", "--psd", str(fast_coinc), "-o", "map.fits")
    assert code == 0, errors
    from ligo.skymap.io import read_sky_map

    ours, theirs = read_sky_map(str(tmp_path / "map.fits"), moc=True), read_sky_map(str(skymap), moc=True)
    assert (ours["PROBDENSITY"] == theirs["PROBDENSITY"]).all()


def test_a_result_of_another_attempt_or_a_torn_one_is_none(tmp_path: Path) -> None:
    assert read_result(tmp_path, "G1/localize/1") is None
    (tmp_path / "result.json").write_text('{"key": "G1/localize/1", "outputs"')
    assert read_result(tmp_path, "G1/localize/1") is None
    (tmp_path / "result.json").write_text('{"key": "G1/localize/1", "outputs": {"x": {"sha256": "0"}}}')
    assert read_result(tmp_path, "G1/localize/2") is None
    result = read_result(tmp_path, "G1/localize/1")
    assert result is not None
    assert fault(tmp_path, result) == "the output x is missing"
    (tmp_path / "x").write_text("y")
    assert "checksum differs" in str(fault(tmp_path, result))


def test_one_full_map_holds_the_true_position(tmp_path: Path) -> None:
    """In the map of the full simulated binary neutron star, the true position lies inside the 90 % region."""
    from gwbatch.config.resources import example_event
    from gwbatch.jobs.science import offline_astropy

    code, _, errors = run(tmp_path, "localize", str(example_event("bns_hlv")), "-o", "map.fits", "--graceid", "G1")
    assert code == 0, errors
    offline_astropy()
    from astropy.coordinates import SkyCoord
    from ligo.skymap.io import read_sky_map
    from ligo.skymap.postprocess import crossmatch

    truth = json.loads((example_event("bns_hlv").parent / "truth.json").read_text())
    table = read_sky_map(str(tmp_path / "map.fits"), moc=True)
    assert table.meta["objid"] == "G1"
    position = SkyCoord(truth["ra_deg"], truth["dec_deg"], unit="deg")
    on_the_sky = table["UNIQ", "PROBDENSITY"]  # with distances, crossmatch builds 19 million voxels (gigabytes)
    assert crossmatch(on_the_sky, position).searched_prob < 0.9


def test_nothing_in_a_job_starts_mpi_even_where_it_is_installed(tmp_path: Path) -> None:
    """BAYESTAR's imports would start MPI, which aborts, crashes or hangs in a child of an MPI rank."""
    (tmp_path / "asks_for_mpi.py").write_text(
        "from gwbatch.jobs import job\n"
        "@job(queue='general')\n"
        "def asks_for_mpi(work):\n"
        "    try:\n"
        "        import mpi4py\n"
        "    except ImportError:\n"
        "        import ligo.skymap.bayestar\n"
        "        work.output.write_text('no MPI')\n"
    )
    assert version("mpi4py")
    request = {"key": "k", "kind": "asks-for-mpi", "inputs": [], "output": "out.txt"}
    folder = {"plugins": ["asks_for_mpi"], "plugin_folders": [str(tmp_path)]}
    (tmp_path / "job.json").write_text(json.dumps(request | folder))
    command = children.python("gwbatch.jobs.runner", str(tmp_path))
    done = subprocess.run(
        command,
        env=children.environment({"PMI_RANK": "0", "PMI_SIZE": "2"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.txt").read_text() == "no MPI"


PLUG_IN = """
from pathlib import Path

from gwbatch import job
from gwbatch.jobs import ByHand, Input, Parameter, Work


@job(
    queue="general",
    by_hand=ByHand(
        "How long a file is, in words.",
        (Input("notes", "notes.txt"),),
        (Parameter("unit", "What is counted.", default="bytes"), Parameter("loud", "Shout.", stands_for=True)),
        examples=("measure notes.txt -o length.txt",),
    ),
)
def measure(work: Work):
    said = f"{len(work.inputs['notes.txt'].read_bytes())} {work.parameters['unit']}"
    work.output.write_text(said.upper() if work.parameters.get("loud") else said)
"""


def test_a_plug_in_s_computation_is_a_command(tmp_path: Path) -> None:
    (tmp_path / "site_plots.py").write_text(PLUG_IN)
    (tmp_path / "length.md").write_text("four")
    code, result, errors = run(tmp_path, "--plugin", "site_plots", "measure", "length.md", "--loud", "-o", "said.txt")
    assert (code, errors) == (0, "")
    assert (tmp_path / "said.txt").read_text() == "4 BYTES"
    assert list(result["outputs"]) == ["said.txt"]
    words = [sys.executable, "-m", "gwbatch", "job", "--plugin", "site_plots"]
    listed = subprocess.run([*words, "--help"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "measure               How long a file is, in words." in listed.stdout
    shown = subprocess.run([*words, "measure", "--help"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "gwbatch job measure notes.txt -o length.txt" in shown.stdout
    missing = subprocess.run([*words, "measur", "x"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert missing.returncode == 2
    assert "No such command 'measur'" in missing.stderr


def test_every_computation_of_a_product_is_a_command() -> None:
    """The exception is external-skymap, whose inputs come only from an event in the ledger."""
    offered = {name for name, one in computations().items() if one.by_hand is not None} | {"external-skymap"}
    assert {product.job for product in PRODUCTS} <= offered
