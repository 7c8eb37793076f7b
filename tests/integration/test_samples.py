"""Products of posterior samples and of flat maps, made by the real computations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gwbatch.errors import BadInput
from gwbatch.jobs.samples import MOST, read_samples
from tests.integration.test_jobs import run
from tests.samples import DISTANCE, PLACE, write_samples
from tests.skymaps import simulated

SAMPLES = "amplfi.posterior_samples.hdf5"
NEUTRON_STARS = {"mass_1": (1.6, 0.01), "mass_2": (1.3, 0.01), "chirp_mass": None, "mass_ratio": None}
BLACK_HOLES = {"chirp_mass": (30.0, 1.0), "luminosity_distance": (1000.0, 50.0)}


# ---- reading ----------------------------------------------------------------------------------------------


def test_detector_masses_become_those_of_the_source(tmp_path: Path) -> None:
    from astropy.cosmology import Planck18, z_at_value
    from astropy.units import Mpc

    heavy, light, spin = read_samples(write_samples(tmp_path / SAMPLES, luminosity_distance=(1000.0, 0.0)))
    stretch = 1 + float(z_at_value(Planck18.luminosity_distance, 1000 * Mpc))
    chirp_mass = (heavy * light) ** 0.6 / (heavy + light) ** 0.2
    assert chirp_mass.mean() == pytest.approx(1.2227 / stretch, rel=1e-4)
    assert (heavy >= light).all()
    assert spin.mean() == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize(
    "fields",
    [
        {"mass_1_source": (1.5, 0.0), "mass_2_source": (1.2, 0.0)},
        {"mass_1": (1.65, 0.0), "mass_2": (1.32, 0.0), "redshift": (0.1, 0.0), "luminosity_distance": None},
        {"chirp_mass_source": (1.8**0.6 / 2.7**0.2, 0.0), "mass_ratio": (0.8, 0.0)},
        {"mass_1_source": (1.2, 0.0), "mass_2_source": (1.5, 0.0)},
    ],
)
def test_masses_are_read_from_whatever_columns_there_are(tmp_path: Path, fields: dict[str, Any]) -> None:
    heavy, light, _ = read_samples(write_samples(tmp_path / SAMPLES, **fields))
    assert (heavy.mean(), light.mean()) == pytest.approx((1.5, 1.2), rel=1e-4)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"spin_1z": None}, 0.0),
        ({"spin_1z": None, "chi_1": (0.3, 0.0)}, 0.3),
        ({"spin_1z": None, "a_1": (0.6, 0.0), "cos_tilt_1": (-0.5, 0.0)}, -0.3),
        ({"spin_1z": None, "a_1": (0.6, 0.0), "tilt_1": (np.pi / 3, 0.0)}, 0.3),
    ],
)
def test_spins_are_read_along_the_orbital_angular_momentum(
    tmp_path: Path, fields: dict[str, Any], expected: float
) -> None:
    assert read_samples(write_samples(tmp_path / SAMPLES, **fields)).spin == pytest.approx(expected)


def test_of_very_many_samples_some_are_taken(tmp_path: Path) -> None:
    assert MOST / 2 < len(read_samples(write_samples(tmp_path / SAMPLES, 3 * MOST + 1)).heavy) <= MOST


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"chirp_mass": None}, "neither component masses"),
        ({"luminosity_distance": None}, "no distance or redshift"),
        ({"chirp_mass": (-1.0, 0.1)}, "impossible"),
        ({"spin_1z": (3.0, 0.1)}, "impossible"),
    ],
)
def test_samples_that_cannot_be_used_are_refused_in_words(tmp_path: Path, fields: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_samples(write_samples(tmp_path / SAMPLES, **fields))


@pytest.mark.parametrize("count", [0, 1])
def test_an_empty_table_and_a_single_sample(tmp_path: Path, count: int) -> None:
    path = write_samples(tmp_path / SAMPLES, count)
    if count:
        assert len(read_samples(path).heavy) == 1
    else:
        with pytest.raises(BadInput, match="empty"):
            read_samples(path)


@pytest.mark.parametrize("job", ["em-bright", "mchirp-source", "skymap-from-samples"])
@pytest.mark.parametrize("content", [b"", b"not HDF5"])
def test_what_is_no_file_of_samples_fails_in_words(tmp_path: Path, job: str, content: bytes) -> None:
    (tmp_path / SAMPLES).write_bytes(content)
    code, result, errors = run(tmp_path, job, SAMPLES, "-o", "out.fits")
    assert (code, result["error"]["retryable"]) == (3, False)
    assert f"Cannot read {SAMPLES}" in errors
    assert "Traceback" not in errors


# ---- products --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fields", "has_star"), [(NEUTRON_STARS, 1.0), (BLACK_HOLES, 0.0)])
def test_properties_of_samples(tmp_path: Path, fields: dict[str, Any], has_star: float) -> None:
    write_samples(tmp_path / SAMPLES, **fields)
    code, result, errors = run(tmp_path, "em-bright", SAMPLES, "-o", "em_bright.json")
    assert code == 0, errors
    found = json.loads((tmp_path / "em_bright.json").read_text())
    assert list(found) == ["HasSSM", "HasNS", "HasRemnant", "HasMassGap"]
    assert (found["HasNS"], found["HasRemnant"], found["HasSSM"]) == (has_star, has_star, 0.0)
    assert result["facts"]["method"] == "samples"


def test_the_share_of_samples_is_the_probability(tmp_path: Path) -> None:
    """About half of the samples have a component between 3 and 5 solar masses."""
    write_samples(tmp_path / SAMPLES, mass_1_source=(5.0, 0.2), mass_2_source=(1.4, 0.01))
    assert run(tmp_path, "em-bright", SAMPLES, "-o", "em_bright.json")[0] == 0
    found = json.loads((tmp_path / "em_bright.json").read_text())
    heavy, _, _ = read_samples(tmp_path / SAMPLES)
    assert found["HasMassGap"] == pytest.approx(np.mean(heavy < 5), abs=1e-4)
    assert 0.3 < found["HasMassGap"] < 0.7


def test_the_chirp_masses_of_samples_are_counted_in_their_bins(tmp_path: Path) -> None:
    heavy, light, _ = read_samples(write_samples(tmp_path / SAMPLES, chirp_mass=(1.24, 0.02)))
    code, result, errors = run(tmp_path, "mchirp-source", SAMPLES, "-o", "mchirp_source.json")
    assert code == 0, errors
    found = json.loads((tmp_path / "mchirp_source.json").read_text())
    assert len(found["bin_edges"]) == len(found["probabilities"]) + 1 == 19
    counted, _ = np.histogram((heavy * light) ** 0.6 / (heavy + light) ** 0.2, found["bin_edges"])
    assert found["probabilities"] == pytest.approx(counted / len(heavy), abs=0.001)
    assert result["facts"]["note"] == "posterior samples"


def test_a_coinc_xml_without_a_map_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "coinc.xml").write_bytes(b"x")
    code, _, errors = run(tmp_path, "mchirp-source", "coinc.xml", "-o", "mchirp_source.json")
    assert code == 2
    assert "Give the sky map, too" in errors


@pytest.mark.parametrize("distances", [pytest.param(True, marks=pytest.mark.soak), False])
def test_a_map_of_samples_is_where_they_are(tmp_path: Path, distances: bool) -> None:
    from ligo.skymap.io import read_sky_map
    from ligo.skymap.moc import uniq2ang, uniq2pixarea

    write_samples(tmp_path / SAMPLES, **({} if distances else {"luminosity_distance": None}))
    code, result, errors = run(
        tmp_path, "skymap-from-samples", SAMPLES, "--most", "100", "-o", "amplfi.multiorder.fits"
    )
    assert code == 0, errors
    assert result["facts"]["has_distances"] is distances
    skymap = read_sky_map(str(tmp_path / "amplfi.multiorder.fits"), moc=True)
    probability = skymap["PROBDENSITY"] * uniq2pixarea(skymap["UNIQ"])
    assert np.sum(probability) == pytest.approx(1.0, abs=1e-6)
    theta, phi = uniq2ang(skymap["UNIQ"][[np.argmax(skymap["PROBDENSITY"])]])
    assert (phi[0], np.pi / 2 - theta[0]) == pytest.approx(PLACE, abs=0.05)
    assert skymap.meta["gps_time"] == pytest.approx(1187008882.4, abs=0.01)
    assert ("DISTMU" in skymap.colnames) is distances
    if distances:
        assert skymap.meta["distmean"] == pytest.approx(DISTANCE[0], rel=0.02)


# ---- flat maps of pipelines ---------------------------------------------------------------------------------


def flat(folder: Path, name: str, *, distances: bool) -> Path:
    from ligo.skymap.io import read_sky_map, write_sky_map

    from gwbatch.jobs.flat_map import FlatMap

    source = folder / "source.multiorder.fits"
    skymap = read_sky_map(str(simulated("bns_hlv")), moc=True)
    if not distances:
        skymap.remove_columns(["DISTMU", "DISTSIGMA", "DISTNORM"])
    write_sky_map(str(source), skymap, nest=True)
    with (folder / name).open("wb") as file:
        FlatMap.read(source, 128).write(file)
    return source


@pytest.mark.parametrize("distances", [True, False])
def test_a_flat_map_is_the_same_sky_as_a_multi_order_one(tmp_path: Path, distances: bool) -> None:
    from ligo.skymap.io import read_sky_map

    source = flat(tmp_path, "cwb.fits", distances=distances)
    code, result, errors = run(tmp_path, "multi-order", "cwb.fits", "-o", "cwb.multiorder.fits")
    assert code == 0, errors
    assert result["facts"]["has_distances"] is distances
    made = read_sky_map(str(tmp_path / "cwb.multiorder.fits"), moc=True)
    assert "UNIQ" in made.colnames
    assert ("DISTMU" in made.colnames) is distances
    given, meta = read_sky_map(str(tmp_path / "cwb.fits"), nest=True)
    back, made_meta = read_sky_map(str(tmp_path / "cwb.multiorder.fits"), nest=True)
    finest = np.asarray(given).repeat(len(back) // len(given)) / (len(back) // len(given))
    assert np.asarray(back) == pytest.approx(finest, rel=1e-6, abs=1e-15)
    assert made_meta["gps_time"] == meta["gps_time"]
    assert made_meta["instruments"] == meta["instruments"]
    assert source.exists()


@pytest.mark.parametrize("content", [b"", b"no map"])
def test_what_is_no_map_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cwb.fits").write_bytes(content)
    code, result, errors = run(tmp_path, "multi-order", "cwb.fits", "-o", "cwb.multiorder.fits")
    assert (code, result["error"]["retryable"]) == (3, False)
    assert "cwb.fits is not a HEALPix sky map" in errors


def test_a_pipelines_map_is_combined_with_an_external_one(tmp_path: Path) -> None:
    """Converted to multi-order form, without distances, the map gives the same overlap as its source."""
    from ligo.skymap.io import read_sky_map

    flat(tmp_path, "cwb.fits", distances=False)
    assert run(tmp_path, "multi-order", "cwb.fits", "-o", "cwb.multiorder.fits")[0] == 0
    overlaps = []
    for name in ("cwb.multiorder.fits", "source.multiorder.fits"):
        code, result, errors = run(tmp_path, "combine-skymaps", name, str(simulated("nsbh_hl")), "-o", f"with-{name}")
        assert code == 0, errors
        overlaps.append(result["facts"]["overlap_integral"])
        assert "DISTMU" not in read_sky_map(str(tmp_path / f"with-{name}"), moc=True).colnames
    assert overlaps[0] == pytest.approx(overlaps[1], rel=0.05, abs=1e-6)
