"""ligo.em_bright in an environment prepared as at a site, with stand-ins for its models, which need the network."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gwbatch.annotation import not_made
from gwbatch.cli import cli
from gwbatch.config.policy import load_policy
from gwbatch.config.profile import load_site
from gwbatch.config.resources import example_event
from gwbatch.dispatcher import run_once
from gwbatch.errors import BadInput, ConfigError
from gwbatch.jobs import em_bright_classifier as classifier
from gwbatch.jobs.catalogue import Work, computation
from gwbatch.jobs.em_bright_program import KNOWN_CASE, MEMORY
from gwbatch.model import JobState
from tests.clusters.standby import StandbyBench

pytestmark = pytest.mark.timeout(900)
STANDINS = Path(__file__).parents[1] / "data" / "em_bright_standins.py"
HEAVY = {"mass1": 36.0, "mass2": 29.0, "snr": 20.0}


def prepare(folder: Path, models: Path) -> tuple[int, dict[str, Any], str]:
    arguments = ["site", "prepare", "em-bright", str(folder), "--models", str(models), "--json"]
    result = CliRunner().invoke(cli, arguments)
    last = result.stdout.strip().splitlines()
    return result.exit_code, json.loads(last[-1]) if last and result.exit_code == 0 else {}, str(result.exception)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """Prepare the environment; return it with the folder of stand-in models and the command's output."""
    folder, models = tmp_path_factory.mktemp("em-bright") / "environment", tmp_path_factory.mktemp("models")
    code, _, words = prepare(folder, models)
    assert code != 0
    assert "Cannot get the model file" in words  # the packages are installed by now; the model folder is empty
    subprocess.run([folder / "bin" / "python", "-I", STANDINS, models], check=True)
    code, told, words = prepare(folder, models)
    assert code == 0, words
    return folder, models, told


@pytest.fixture
def environment(prepared: tuple[Path, Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(classifier.ENVIRONMENT, str(prepared[0]))
    return prepared[0]


def work(folder: Path, inputs: dict[str, Path], **parameters: Any) -> Work:
    return Work(inputs, folder / "em_bright.json", parameters)


def test_a_site_prepares_it_and_tries_a_known_case(prepared: tuple[Path, Path, dict[str, Any]]) -> None:
    folder, models, told = prepared
    assert (told["files"], told["trusted_now"], told["version"]) == (30, True, "ligo.em_bright 1.2.2")
    assert told["properties"]["HasNS"] > 0.9
    code, again, _ = prepare(folder, models)
    assert code == 0
    assert again["trusted_now"] is False


def test_the_right_sides(environment: Path, tmp_path: Path) -> None:
    job = computation("em-bright-classifier").function
    facts = job(work(tmp_path, {"coinc.xml": example_event("bns_hlv")}))
    found = json.loads((tmp_path / "em_bright.json").read_text())
    assert list(found) == ["HasNS", "HasRemnant", "HasMassGap"]
    assert min(found["HasNS"], found["HasRemnant"]) > 0.5
    assert facts["method"] == "ligo.em_bright 1.2.2"
    assert facts["note"] == facts["method"]  # the log comment shows it to people
    job(work(tmp_path, {}, **HEAVY))
    found = json.loads((tmp_path / "em_bright.json").read_text())
    assert max(found["HasNS"], found["HasRemnant"]) < 0.5


def test_sub_solar_masses_and_samples(
    environment: Path, prepared: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    job = computation("em-bright-classifier").function
    job(work(tmp_path, {}, mass1=0.8, mass2=0.5, snr=9.0, search="SSM", pipeline="MBTA"))
    found = json.loads((tmp_path / "em_bright.json").read_text())
    assert list(found) == ["HasSSM", "HasNS", "HasMassGap"]
    assert found["HasSSM"] > 0.5
    with pytest.raises(BadInput, match="sub-solar-mass events of gstlal and mbta, not sgnl"):
        job(work(tmp_path, {}, mass1=0.8, mass2=0.5, snr=9.0, search="SSM", pipeline="sgnl"))
    job(work(tmp_path, {"amplfi.posterior_samples.hdf5": prepared[1] / "samples.hdf5"}))
    found = json.loads((tmp_path / "em_bright.json").read_text())
    assert list(found) == ["HasSSM", "HasNS", "HasRemnant", "HasMassGap"]
    assert found["HasNS"] == 1.0
    again = work(tmp_path / "again.json", {"amplfi.posterior_samples.hdf5": prepared[1] / "samples.hdf5"})
    job(replace(again, output=tmp_path / "again.json"))
    assert json.loads((tmp_path / "again.json").read_text()) == found  # the seed is fixed


def test_a_resident_process_answers_a_pilots_children(environment: Path, tmp_path: Path) -> None:
    settings = [f"scheduler.em_bright={environment}", 'standby.general.kinds=["em-bright-classifier"]']
    stage = StandbyBench(tmp_path, load_site("local", settings).profile)
    stage.pilot(seconds=120)
    outcomes = []
    for number in range(3):
        directory = tmp_path / "jobs" / str(number)
        request = run_once.prepare_job(
            "em-bright-classifier", {}, "em_bright.json", dict(KNOWN_CASE), stage.profile, directory
        )
        stage.scheduler.submit(request)
        stage.until(request, JobState.DONE, seconds=120)
        outcomes.append(json.loads((directory / "em_bright.json").read_text()))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert len(stage.claims()) == 3
    stage.end_pilots()
    stage.scheduler.close()


def test_a_resident_process_that_is_gone_is_done_without(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(classifier.RESIDENT, str(tmp_path / "socket"))
    (tmp_path / "socket").touch()  # nothing listens there
    assert classifier.ask_resident(KNOWN_CASE) is None
    computation("em-bright-classifier").function(work(tmp_path, {}, **KNOWN_CASE))
    assert (tmp_path / "em_bright.json").exists()


def test_a_model_that_changed_is_never_loaded(prepared: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    """Loading a pickle runs code."""
    folder, models, _ = prepared
    manifest = folder / "manifest.json"
    trusted = manifest.read_text()
    values = json.loads(trusted)
    values["files"]["SLy.pickle"] = "0" * 64
    manifest.write_text(json.dumps(values))
    try:
        told = classifier.run(folder, "try")
        assert "SLy.pickle is not the one that was trusted" in told["error"]
        code, _, words = prepare(folder, models)
        assert code != 0
        assert "is not the one that was trusted" in words
        manifest.unlink()
        assert "has no manifest.json" in classifier.run(folder, "try")["error"]
    finally:
        manifest.write_text(trusted)
    assert classifier.run(folder, "try")["version"] == "ligo.em_bright 1.2.2"


def test_a_changed_file_is_not_taken_into_the_cache(
    prepared: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, models, _ = prepared
    other = tmp_path / "models"
    shutil.copytree(models, other)
    with (other / "H4.pickle").open("ab") as file:
        file.write(b"x")
    new = tmp_path / "new"
    new.mkdir()
    for part in ("bin", "lib", "pyvenv.cfg"):
        (new / part).symlink_to(folder / part)
    shutil.copy(folder / "manifest.json", new)
    told = classifier.run(new, "seed", str(other))
    assert "H4.pickle is not the one that was trusted" in told["error"]


@pytest.mark.soak
def test_models_of_the_real_size_fit_into_the_memory_of_a_resident_process(
    prepared: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _, _ = prepared
    models, large = tmp_path / "models", tmp_path / "environment"
    models.mkdir()
    large.mkdir()
    for part in ("bin", "lib", "pyvenv.cfg"):
        (large / part).symlink_to(folder / part)
    subprocess.run([folder / "bin" / "python", "-I", STANDINS, models, "real-size"], check=True)
    assert sum(path.stat().st_size for path in models.iterdir()) > 600e6
    assert classifier.run(large, "seed", str(models))["files"] == 30
    path = tmp_path / "socket"
    with subprocess.Popen(classifier.command(large, "serve", str(path))) as resident:
        try:
            while not path.exists():
                assert resident.poll() is None
                time.sleep(0.05)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(classifier.RESIDENT, str(path))
                told = classifier.ask_resident(KNOWN_CASE)
            assert told is not None
            assert told["properties"]["HasNS"] > 0.9
            status = Path(f"/proc/{resident.pid}/status").read_text()
        finally:
            resident.kill()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmPeak"))
    assert peak * 1024 < MEMORY / 2


def test_a_site_without_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(classifier.ENVIRONMENT, raising=False)
    with pytest.raises(ConfigError, match=r"names no scheduler\.em_bright"):
        computation("em-bright-classifier").function(work(tmp_path, {}, **KNOWN_CASE))
    monkeypatch.setenv(classifier.ENVIRONMENT, str(tmp_path))
    with pytest.raises(ConfigError, match="on this node"):
        computation("em-bright-classifier").function(work(tmp_path, {}, **KNOWN_CASE))
    chosen = tmp_path / "policy.toml"
    chosen.write_text(
        '[annotation.made_for]\n"em_bright.json" = ["cbc"]\n'
        '[annotation.made_by]\n"em_bright.json" = "em-bright-classifier"\n'
    )
    policy = load_policy(chosen)
    assert "ligo.em_bright" in not_made(policy, has_classifiers=False)["em_bright.json"]
    assert not_made(policy, has_classifiers=True) == {}


def test_an_event_without_snr_is_refused(environment: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="gives an SNR"):
        computation("em-bright-classifier").function(work(tmp_path, {}, mass1=1.4, mass2=1.3))
