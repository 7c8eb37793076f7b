"""Sky maps of external triggers from the real science stack, compared with theory and with `ligo-raven`."""

from __future__ import annotations

import base64
import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from ligo.skymap.io import read_sky_map, write_sky_map
from ligo.skymap.moc import rasterize

from gwbatch.config.policy import load_policy
from gwbatch.demo.verdict import total_probability
from gwbatch.errors import BadInput
from gwbatch.external import ExternalEvent, GWCandidate
from gwbatch.external.coincidence import YEAR, joint_far
from gwbatch.jobs.catalogue import Work, computation
from gwbatch.jobs.combine_skymaps import combine
from gwbatch.jobs.external_skymap import GIVEN, circle, pixel_area

ABOUT = {"gps_time": 1187008884.47, "instrument": "Fermi", "object": "Fermi 524666471"}
TINY = Path(__file__).parents[1] / "data" / "tiny.multiorder.fits"
WITHIN = 1 - math.exp(-0.5)  # probability within the 1-sigma radius of a Gaussian on a plane


def make(name: str, output: Path, inputs: dict[str, Path] | None = None, **parameters: Any) -> dict[str, Any]:
    return dict(computation(name).function(Work(inputs or {}, output, parameters)) or {})


def radius_of(table: Any, probability: float) -> float:
    """Return the radius (deg) of a cap with the area of the smallest region that holds the probability."""
    density, area = np.asarray(table["PROBDENSITY"]), pixel_area(table["UNIQ"])
    order = np.argsort(-density)
    inside = np.searchsorted(np.cumsum((density * area)[order]), probability)
    return math.degrees(math.acos(1 - np.cumsum(area[order])[inside] / (2 * math.pi)))


@pytest.mark.parametrize("error", [0.08, 0.5, 5.0])
@pytest.mark.parametrize("dec", [-90.0, 0.0, 88.0])
def test_an_error_circle_is_a_gaussian_of_its_radius(error: float, dec: float) -> None:
    table = circle(172.0, dec, error, [[1.0, 0.0]])
    assert np.sum(np.asarray(table["PROBDENSITY"]) * pixel_area(table["UNIQ"])) == pytest.approx(1)
    assert radius_of(table, WITHIN) == pytest.approx(error, rel=0.02)


def test_the_peak_is_where_the_notice_says() -> None:
    import astropy_healpix as ah

    table = circle(172.0, -34.8, 1.0, [[1.0, 0.0]])
    order, pixel = ah.uniq_to_level_ipix(int(table["UNIQ"][np.argmax(table["PROBDENSITY"])]))
    lon, lat = ah.healpix_to_lonlat(pixel, ah.level_to_nside(order), order="nested")
    assert (lon.deg, lat.deg) == (pytest.approx(172.0, abs=0.1), pytest.approx(-34.8, abs=0.1))


def test_core_and_tail_of_fermi() -> None:
    """Each part adds its statistical and systematic errors in quadrature, and holds its share of the probability."""
    table = circle(100.0, 20.0, 3.0, [[0.9, 3.71], [0.1, 14.3]])
    parts = [circle(100.0, 20.0, math.hypot(3.0, sigma), [[1.0, 0.0]]) for sigma in (3.71, 14.3)]
    mixed = 0.9 * rasterize(parts[0], order=6)["PROBDENSITY"] + 0.1 * rasterize(parts[1], order=6)["PROBDENSITY"]
    found = rasterize(table, order=6)["PROBDENSITY"]
    assert np.max(np.abs(found - mixed)) < 0.02 * np.max(mixed)


def test_the_file_has_the_headers_of_the_field(tmp_path: Path) -> None:
    make("external-skymap", tmp_path / "x.multiorder.fits", ra=10, dec=20, error=5, **ABOUT)
    meta = read_sky_map(str(tmp_path / "x.multiorder.fits"), moc=True).meta
    assert meta["objid"] == "Fermi 524666471"
    assert meta["instruments"] == {"Fermi"}
    assert meta["gps_time"] == pytest.approx(1187008884.47)
    assert total_probability(tmp_path / "x.multiorder.fits") == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("packed", [False, True])
def test_a_flat_map_of_the_observatory_is_taken_as_it_is(tmp_path: Path, packed: bool) -> None:
    flat = np.asarray(rasterize(circle(10.0, 20.0, 5.0, [[1.0, 0.0]]), order=6)["PROBDENSITY"])
    write_sky_map(str(tmp_path / "flat.fits"), flat / flat.sum(), nest=True)
    content = (tmp_path / "flat.fits").read_bytes()
    (tmp_path / GIVEN).write_bytes(gzip.compress(content) if packed else content)
    made = make("external-skymap", tmp_path / "x.multiorder.fits", {GIVEN: tmp_path / GIVEN}, **ABOUT)
    assert made["given"]
    table = read_sky_map(str(tmp_path / "x.multiorder.fits"), moc=True)
    assert radius_of(table, WITHIN) == pytest.approx(5.0, rel=0.02)


@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>", b"\x1f\x8bgarbage", base64.b64encode(b"x" * 5000), b"SIMPLE  ="]
)
def test_what_is_no_map_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / GIVEN).write_bytes(content)
    with pytest.raises(BadInput):
        make("external-skymap", tmp_path / "x.multiorder.fits", {GIVEN: tmp_path / GIVEN}, **ABOUT)


def test_the_overlap_of_two_gaussians() -> None:
    """The overlap is 2 / (s1^2 + s2^2) exp(-d^2 / 2 (s1^2 + s2^2)), radii s and distance d in rad."""
    combined, overlap = combine(circle(33.0, 0.0, 5.0, [[1.0, 0.0]]), circle(30.0, 0.0, 0.5, [[1.0, 0.0]]))
    variance = math.radians(5.0) ** 2 + math.radians(0.5) ** 2
    assert overlap == pytest.approx(2 / variance * math.exp(-(math.radians(3.0) ** 2) / 2 / variance), rel=2e-3)
    assert np.sum(combined["PROBDENSITY"] * pixel_area(combined["UNIQ"])) == pytest.approx(1)
    assert np.sum(pixel_area(combined["UNIQ"])) == pytest.approx(4 * math.pi)


def test_a_uniform_map_changes_nothing() -> None:
    uniform = Table({"UNIQ": np.arange(4, 16), "PROBDENSITY": np.full(12, 1 / (4 * math.pi))})
    ours = circle(33.0, 0.0, 5.0, [[1.0, 0.0]])
    combined, overlap = combine(ours, uniform)
    assert overlap == pytest.approx(1.0)
    by_uniq = dict(zip(combined["UNIQ"], combined["PROBDENSITY"], strict=True))
    assert all(by_uniq[uniq] == pytest.approx(p) for uniq, p in zip(ours["UNIQ"], ours["PROBDENSITY"], strict=True))


def test_maps_that_do_not_touch_are_disjoint(tmp_path: Path) -> None:
    for name, ra in (("superevent.fits", 0.0), ("external.fits", 180.0)):
        make("external-skymap", tmp_path / name, ra=ra, dec=0.0, error=0.08, **ABOUT)
    inputs = {name: tmp_path / name for name in ("superevent.fits", "external.fits")}
    facts = make("combine-skymaps", tmp_path / "c.multiorder.fits", inputs)
    assert facts == {"overlap_integral": 0.0, "disjoint": True}


class Nobody:
    """All that `ligo-raven` needs of a GraceDB client when it gets all data as arguments."""

    _service_url = "nowhere"


def raven(search: str, window: tuple[float, float], far: float, observatory: str, **known: Any) -> dict[str, Any]:
    from ligo.raven.search import coinc_far

    superevent = {"superevent_id": "S1", "far": far, "t_0": 0.0, "preferred_event": "G1"}
    place = {"GRB": {"ra": 0.0, "dec": 0.0, "error_radius": 1.0}}
    external = {"graceid": "E1", "gpstime": 0.0, "pipeline": observatory, "search": search, "extra_attributes": place}
    return dict(
        coinc_far("S1", "E1", *window, search, gracedb=Nobody(), se_dict=superevent, ext_dict=external, **known)
    )


@settings(max_examples=30, deadline=None)
@given(
    ra=st.floats(0, 359), dec=st.floats(-89, 89), error=st.floats(1, 40), away=st.floats(0, 30), wide=st.floats(1, 20)
)
def test_overlaps_are_those_of_ligo_raven(ra: float, dec: float, error: float, away: float, wide: float) -> None:
    """They agree exactly for equal pixels. For others, `ligo-raven` takes the nearest pixel; they agree within 10 %."""
    from ligo.raven.search import skymap_overlap_integral

    ours = circle(ra, dec, wide, [[1.0, 0.0]])
    other = circle(ra, dec - away if dec > 0 else dec + away, error, [[0.9, 0.0], [0.1, 20.0]])
    flat = [rasterize(table, order=5) for table in (ours, other)]
    equal = [Table({"UNIQ": np.arange(len(table)) + 4 * 4**5, "PROBDENSITY": table["PROBDENSITY"]}) for table in flat]
    theirs = skymap_overlap_integral(*(np.asarray(t["PROBDENSITY"]) for t in flat), [], [], None, None, True, True)
    assert combine(equal[0], equal[1])[1] == pytest.approx(theirs, rel=1e-9)
    nearest = skymap_overlap_integral(
        *(np.asarray(table["PROBDENSITY"]) for table in (ours, other)), *(table["UNIQ"] for table in (ours, other))
    )
    assert combine(ours, other)[1] == pytest.approx(nearest, rel=0.1)


@given(far=st.floats(1e-13, 1e-4), far_ext=st.floats(1e-9, 1e-3))
def test_rates_are_those_of_ligo_raven(far: float, far_ext: float) -> None:
    policy = load_policy()
    rules, partner = policy.external, GWCandidate("S1", 0.0, far, "cbc.allsky", burst=False)
    threshold = policy.less_significant[partner.kind]
    for observatory, window in (("Fermi", (-11, 1)), ("Swift", (-20, 10))):
        for search in ("GRB", "SubGRB"):
            ours = joint_far(partner, window, ExternalEvent("E1", observatory, search, 0.0), policy)
            theirs = raven(search, window, far, observatory, em_rate=rules.rates[search.lower()] / YEAR)
            assert ours == pytest.approx(theirs["temporal_coinc_far"], rel=1e-9)
        limits = (rules.targeted[observatory.lower()].far_external, threshold.far / threshold.trials)
        if far_ext * far <= limits[0] * limits[1]:  # the limits of a targeted search
            ours = joint_far(partner, window, ExternalEvent("E1", observatory, "SubGRBTargeted", 0.0, far_ext), policy)
            theirs = raven(
                "SubGRBTargeted",
                window,
                far,
                observatory,
                far_grb=far_ext,
                far_gw_thresh=limits[1],
                far_grb_thresh=limits[0],
            )
            assert ours == pytest.approx(theirs["temporal_coinc_far"], rel=1e-9)


def test_pictures_of_the_combined_map(tmp_path: Path) -> None:
    make("external-skymap", tmp_path / "external.fits", ra=10, dec=20, error=40, **ABOUT)
    facts = make(
        "combine-skymaps", tmp_path / "c.multiorder.fits",
        {"superevent.fits": TINY, "external.fits": tmp_path / "external.fits"},
    )  # fmt: skip
    table = read_sky_map(str(tmp_path / "c.multiorder.fits"), moc=True)
    assert {"DISTMU", "DISTSIGMA", "DISTNORM"} <= set(table.colnames)
    assert table.meta["distmean"] > 0
    assert table.meta["instruments"] >= {"Fermi"}
    assert total_probability(tmp_path / "c.multiorder.fits") == pytest.approx(1, abs=1e-9)
    json.dumps(facts)
    make("plot-allsky", tmp_path / "c.png", {"c": tmp_path / "c.multiorder.fits"})
    make("plot-overlap", tmp_path / "o.png", overlap=facts["overlap_integral"])
    for name in ("c.png", "o.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
