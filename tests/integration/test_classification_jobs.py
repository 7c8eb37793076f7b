"""The jobs em-bright, p-astro and mchirp-source, on the simulated events and on inputs that cannot be classified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gwbatch.config.resources import example_event
from tests.integration.test_jobs import run, without_event
from tests.skymaps import simulated

TRUTH = {"bns_hlv": (True, True, "BNS"), "nsbh_hl": (True, False, "NSBH"), "bbh_hlv": (False, False, "BBH")}
CHIRP_MASS = {"bns_hlv": 1.184, "nsbh_hl": 3.15, "bbh_hlv": 9.28}  # solar masses, from the simulated component masses


@pytest.mark.parametrize("event", TRUTH)
def test_the_simulated_events_come_out_right(tmp_path: Path, event: str) -> None:
    has_ns, has_remnant, kind = TRUTH[event]
    code, result, errors = run(tmp_path, "em-bright", str(example_event(event)), "-o", "em_bright.json")
    assert code == 0, errors
    found = json.loads((tmp_path / "em_bright.json").read_text())
    assert list(found) == ["HasNS", "HasRemnant", "HasMassGap"]
    assert (found["HasNS"] > 0.5, found["HasRemnant"] > 0.5) == (has_ns, has_remnant)
    assert result["facts"]["method"] == "point-estimate"
    code, _, errors = run(tmp_path, "p-astro", str(example_event(event)), "--pipeline", "gstlal", "-o", "p_astro.json")
    assert code == 0, errors
    classes = json.loads((tmp_path / "p_astro.json").read_text())
    assert max(classes, key=classes.__getitem__) == kind


@pytest.mark.parametrize("event", TRUTH)
def test_the_chirp_mass_of_the_source_is_in_its_bin(tmp_path: Path, event: str) -> None:
    code, _, errors = run(
        tmp_path, "mchirp-source", str(example_event(event)), str(simulated(event)), "-o", "mchirp_source.json"
    )
    assert code == 0, errors
    found = json.loads((tmp_path / "mchirp_source.json").read_text())
    assert list(found) == ["bin_edges", "probabilities"]
    assert len(found["bin_edges"]) == len(found["probabilities"]) + 1 == 19
    assert sum(found["probabilities"]) == pytest.approx(1.0, abs=0.01)
    bins = zip(found["bin_edges"], found["bin_edges"][1:], found["probabilities"], strict=False)
    (probability,) = [p for low, high, p in bins if low <= CHIRP_MASS[event] < high]
    assert probability > 0.5


def test_a_map_without_distances_gives_the_detector_frame(tmp_path: Path) -> None:
    from ligo.skymap.io import read_sky_map, write_sky_map

    flat = read_sky_map(str(simulated("bns_hlv")), moc=True)
    flat.remove_columns(["DISTMU", "DISTSIGMA", "DISTNORM"])
    write_sky_map(str(tmp_path / "cwb.multiorder.fits"), flat, nest=True)
    code, result, errors = run(
        tmp_path, "mchirp-source", str(example_event("bns_hlv")), "cwb.multiorder.fits", "-o", "mchirp_source.json"
    )
    assert code == 0, errors
    assert max(json.loads((tmp_path / "mchirp_source.json").read_text())["probabilities"]) == 1.0
    assert "detector frame" in result["facts"]["note"]


def test_a_search_for_subsolar_masses_gets_has_ssm(tmp_path: Path) -> None:
    assert run(tmp_path, "em-bright", str(example_event("bns_hlv")), "--ssm", "-o", "em_bright.json")[0] == 0
    assert list(json.loads((tmp_path / "em_bright.json").read_text())) == ["HasSSM", "HasNS", "HasMassGap"]


@pytest.mark.parametrize("job", ["em-bright", "p-astro"])
@pytest.mark.parametrize("content", [b"", b"not xml", without_event(example_event("bns_hlv"))])
def test_what_is_no_coincidence_fails_in_words(tmp_path: Path, job: str, content: bytes) -> None:
    (tmp_path / "coinc.xml").write_bytes(content)
    code, result, errors = run(tmp_path, job, "coinc.xml", "-o", "out.json")
    assert (code, result["error"]["retryable"]) == (3, False)
    assert "Cannot read the template of coinc.xml" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out.json").exists()


def test_an_unknown_equation_of_state_fails_in_words(tmp_path: Path) -> None:
    code, _, errors = run(tmp_path, "em-bright", str(example_event("bns_hlv")), "--eos", "SLX", "-o", "em_bright.json")
    assert code == 3
    assert "Unknown equation of state 'SLX'. lalsimulation has:" in errors
