"""Choice of the waveform where the field's default lacks its data files, and the dispatcher's warning about it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from gwbatch.config.policy import default_policy, policy_from
from gwbatch.config.profile import load_site
from gwbatch.dispatcher.service import waveform_trouble
from gwbatch.jobs.waveforms import PHENOMENOLOGICAL, choose_waveform, has_rom_data


def _event(mass: float) -> SimpleNamespace:
    return SimpleNamespace(template_args={"mass1": mass / 2, "mass2": mass / 2})


@pytest.fixture
def rom_data(tmp_path: Path) -> Path:
    (tmp_path / "SEOBNRv4ROM_v3.0.hdf5").touch()
    return tmp_path


def test_the_default_is_taken_where_its_data_are(rom_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAL_DATA_PATH", f"/nowhere:{rom_data}")
    assert choose_waveform(_event(60), "auto") == "o2-uberbank"


def test_without_them_light_binaries_keep_it_and_heavy_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAL_DATA_PATH", raising=False)
    assert choose_waveform(_event(2.8), "auto") == "o2-uberbank"
    assert choose_waveform(_event(60), "auto") == PHENOMENOLOGICAL
    assert choose_waveform(_event(60), "SEOBNRv4_ROM") == "SEOBNRv4_ROM"


def test_a_folder_without_the_file_has_no_data(tmp_path: Path, rom_data: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert not has_rom_data(str(tmp_path / "empty"))
    assert not has_rom_data("")
    assert has_rom_data(f":{tmp_path / 'empty'}:{rom_data}")


def test_the_dispatcher_says_what_its_jobs_will_lack(rom_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAL_DATA_PATH", raising=False)
    policy, local = policy_from(default_policy()), load_site("local").profile
    assert "SEOBNRv4ROM" in waveform_trouble(policy, local)
    given = load_site("local", [f"scheduler.environment.LAL_DATA_PATH={rom_data}"]).profile
    assert waveform_trouble(policy, given) == ""
    monkeypatch.setenv("LAL_DATA_PATH", str(rom_data))
    values = default_policy()
    values["annotation"]["parameters"]["localize"]["waveform"] = PHENOMENOLOGICAL
    assert waveform_trouble(policy_from(values), local) == ""
