"""A campaign of two injections, whose maps and statistics equal those of the field's tools, which read its files."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gwbatch import children
from gwbatch.campaigns.figures import ks_tests
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.packing import open_map

DATA = Path(__file__).parents[1] / "data" / "injections-short.xml.gz"  # truncated SNR series: seconds, not a minute
BIN = Path(sys.executable).parent
pytestmark = pytest.mark.timeout(600)


def gwbatch(*words: object, code: int = 0, **environment: str) -> Any:
    """Run a campaign command and return what it prints, decoded with ``--json``."""
    done = subprocess.run(
        children.python("gwbatch", "campaign", *map(str, words)), capture_output=True, text=True, check=False,
        env=children.environment(environment),
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if "--json" in words else done.stdout


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a campaign and run it to the end, with maps and all statistics."""
    folder = tmp_path_factory.mktemp("campaign") / "c"
    bad = folder.parent / "bad.xml"
    bad.write_text("this is no event")
    planned = gwbatch("plan", DATA, bad, "-o", folder, "--products", "map,volume-stats,allsky-plot", "--json")
    assert planned["events"] == 2
    assert list(planned["rejected"]) == [str(bad)]
    gwbatch("run", folder)
    gwbatch("stats", folder)
    return folder


@pytest.fixture
def campaign(made: Path, tmp_path: Path) -> Path:
    """Copy the finished campaign, so that a test may change it."""
    return Path(shutil.copytree(made, tmp_path / "c"))


def test_maps_are_those_of_bare_bayestar_and_name_the_event_by_its_integer(made: Path) -> None:
    from lalinspiral.thinca import InspiralCoincDef
    from ligo.skymap.bayestar import localize
    from ligo.skymap.io import events, fits

    event = events.ligolw.open(str(DATA), psd_file=str(DATA), coinc_def=InspiralCoincDef)[1]
    bare = localize(event, waveform="IMRPhenomD", f_low=15.0)
    ours = fits.read_sky_map(str(Folder(made).file("map", 1, ".fits")), moc=True)
    for name in bare.colnames:
        np.testing.assert_array_equal(np.asarray(ours[name]), np.asarray(bare[name]), err_msg=name)
    for name in ("log_bci", "log_bsn", "distmean", "diststd"):
        assert ours.meta[name] == pytest.approx(bare.meta[name], rel=1e-12)
    assert ours.meta["objid"] == 1


def test_every_event_has_its_picture(made: Path) -> None:
    for event in (0, 1):
        assert Folder(made).file("allsky-plot", event, ".png").read_bytes().startswith(b"\x89PNG")


def injections(path: Path) -> Path:
    """Write the database that ``ligo-skymap-stats -d`` reads."""
    from igwn_ligolw import lsctables
    from igwn_ligolw.utils import load_filename
    from ligo.skymap.io.events.ligolw import ContentHandler

    document = load_filename(str(DATA), contenthandler=ContentHandler)
    database = sqlite3.connect(path)
    for table, columns in (
        (lsctables.SimInspiralTable, ("simulation_id", "longitude", "latitude", "distance")),
        (lsctables.CoincMapTable, ("coinc_event_id", "table_name", "event_id")),
        (lsctables.CoincInspiralTable, ("coinc_event_id", "combined_far", "snr")),
    ):
        found = table.get_table(document)
        database.execute(f"CREATE TABLE {found.Name} ({', '.join(columns)})")
        rows = [tuple(getattr(row, name) for name in columns) for row in found]
        marks = ", ".join("?" * len(columns))
        database.executemany(f"INSERT INTO {found.Name} VALUES ({marks})", rows)
    database.commit()
    database.close()
    return path


def test_statistics_are_those_of_the_fields_tool(made: Path, tmp_path: Path) -> None:
    from astropy.table import Table

    theirs = tmp_path / "theirs.dat"
    subprocess.run(
        [
            BIN / "ligo-skymap-stats", "-o", theirs, "-d", injections(tmp_path / "injections.sqlite"),
            "--contour", "20", "50", "90", "--cosmology", "--", made / "files" / "map" / "000" / "*.fits",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    expected = Table.read(theirs, format="ascii")
    expected.sort("coinc_event_id")
    for name in ("allsky.dat", "allsky.fits"):
        ours = Table.read(made / name, **({"format": "ascii"} if name.endswith("dat") else {}))
        assert ours.colnames[: len(expected.colnames)] == expected.colnames
        assert len(ours) == len(expected) == 2
        for column in expected.colnames:
            np.testing.assert_allclose(
                np.asarray(ours[column], float), np.asarray(expected[column], float), rtol=1e-9, err_msg=column
            )


def test_the_fields_plots_read_our_table_and_ours_are_there(made: Path, tmp_path: Path) -> None:
    subprocess.run([BIN / "ligo-skymap-plot-stats", made / "allsky.dat"], check=True, capture_output=True, cwd=tmp_path)
    assert any(tmp_path.iterdir())
    told = gwbatch("plot", made, "-o", tmp_path / "plots", "--json")
    names = {Path(path).name for path in told["files"]}
    assert {
        f"{name}.{kind}" for name in ("pp", "areas", "volumes", "cost", "progress") for kind in ("pdf", "png")
    } <= names
    assert {test["quantity"] for test in told["ks"]} == {"sky", "distance", "volume"}
    assert all(Path(path).stat().st_size > 5000 for path in told["files"])


def test_packed_maps_are_the_maps_and_a_killed_pack_changes_nothing(campaign: Path) -> None:
    from ligo.skymap.io import fits

    folder = Folder(campaign)
    before = {event: folder.file("map", event, ".fits").read_bytes() for event in (0, 1)}
    gwbatch("pack", campaign, code=-9, GWBATCH_KILL_AT="campaign.packing:2")
    assert {event: folder.file("map", event, ".fits").read_bytes() for event in (0, 1)} == before
    gwbatch("verify", campaign)
    gwbatch("pack", campaign, code=-9, GWBATCH_KILL_AT="campaign.packed:1")
    packed = gwbatch("pack", campaign, "--json")
    (archive,) = packed["archives"]
    assert packed["archives"] == {archive: 2}
    with zipfile.ZipFile(archive) as opened:
        assert {event: opened.read(f"{event}.fits") for event in (0, 1)} == before
        assert {one.compress_type for one in opened.infolist()} == {zipfile.ZIP_STORED}
    assert not folder.file("map", 0, ".fits").exists()
    assert fits.read_sky_map(open_map(folder, 0), moc=True).meta["objid"] == 0
    gwbatch("verify", campaign)


def test_a_damaged_map_is_found_and_made_again(campaign: Path) -> None:
    path = Folder(campaign).file("map", 1, ".fits")
    content = bytearray(path.read_bytes())
    content[-3000] ^= 1
    path.write_bytes(content)
    assert "event 1: the map has changed since it was made" in gwbatch("verify", campaign, code=1)
    found = gwbatch("verify", campaign, "--again", "--json", code=1)
    assert [fault["id"] for fault in found["faults"]] == [1]
    status = gwbatch("status", campaign, "--json")
    assert (status["done"], status["left"]) == (1, 1)


def test_a_file_that_has_changed_since_the_plan_is_not_localized(tmp_path: Path) -> None:
    source = tmp_path / "coinc.xml.gz"
    shutil.copy(DATA, source)
    gwbatch("plan", source, "-o", tmp_path / "c")
    source.write_bytes(source.read_bytes() + b"\0")
    gwbatch("run", tmp_path / "c", code=1)
    status = gwbatch("status", tmp_path / "c", "--json")
    assert status["set_aside"] == 2
    assert "has changed since the campaign was planned" in status["failed"][0]["reason"]


def test_a_plan_without_events_leaves_nothing_behind(tmp_path: Path) -> None:
    bad = tmp_path / "bad.xml"
    bad.write_text("<xml/>")
    gwbatch("plan", bad, "-o", tmp_path / "c", code=3)
    assert not (tmp_path / "c").exists()
    gwbatch("plan", DATA, "-o", tmp_path / "c", "--products", "mapp", code=2)
    gwbatch("plan", DATA, "-o", tmp_path, code=2)
    assert bad.exists()


def test_true_places_drawn_from_a_map_pass_the_test_and_a_map_that_boasts_does_not(made: Path) -> None:
    from astropy import units
    from astropy.coordinates import SkyCoord
    from ligo.skymap.io import fits
    from ligo.skymap.postprocess import crossmatch

    from gwbatch.jobs.healpix import pixel_area, pixel_centres, split_uniq

    skymap = fits.read_sky_map(str(Folder(made).file("map", 0, ".fits")), moc=True)
    skymap = skymap["UNIQ", "PROBDENSITY"]
    order, ipix = split_uniq(np.asarray(skymap["UNIQ"]))
    area = pixel_area(order)
    probability = np.asarray(skymap["PROBDENSITY"]) * area
    drawn = np.random.default_rng(5).choice(len(area), 300, p=probability / probability.sum())
    x, y, z = pixel_centres(order[drawn], ipix[drawn])
    places = SkyCoord(np.arctan2(y, x) * units.rad, np.arcsin(z) * units.rad)

    def p_value(density: Any) -> float:
        skymap["PROBDENSITY"] = density / np.sum(density * area)
        found = crossmatch(skymap, places)
        (test,) = ks_tests([{"searched_prob": float(value)} for value in found.searched_prob], 1.0)
        return test.p_value

    density = np.asarray(skymap["PROBDENSITY"]).copy()
    assert p_value(density) > 0.01
    assert p_value(density**2) < 1e-6
