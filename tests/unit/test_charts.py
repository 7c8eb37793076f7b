"""The small charts: refused inputs, alternative texts, and pictures that match the numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from gwbatch.annotation.graph import product_named
from gwbatch.errors import BadInput
from gwbatch.jobs.catalogue import Work, computation
from gwbatch.jobs.charts import bullet, percent
from gwbatch.orchestrator.jobs import comment
from tests.skymaps import simulated, write_hard


def _classify(folder: Path, content: Any, job: str = "plot-p-astro") -> tuple[dict[str, Any], Path]:
    source, output = folder / "p_astro.json", folder / "p_astro.png"
    source.write_text(content if isinstance(content, str) else json.dumps(content))
    work = Work({source.name: source}, output, {"graceid": "S$1"})
    return computation(job).function(work), output


def _share(picture: Any, colour: tuple[float, float, float]) -> float:
    return float(np.mean(np.abs(picture[..., :3] - colour).max(axis=2) < 0.02))


def test_bars_are_as_long_as_probabilities_say(tmp_path: Path) -> None:
    blue = (0, 0x72 / 255, 0xB2 / 255)
    (tmp_path / "b").mkdir()
    facts, little = _classify(tmp_path, {"BNS": 0.2, "Terrestrial": 0.8})
    _, much = _classify(tmp_path / "b", {"BNS": 0.8, "Terrestrial": 0.2})
    assert facts["alt"] == "BNS 20%, Terrestrial 80%"
    assert _share(imread(much), blue) == pytest.approx(4 * _share(imread(little), blue), rel=0.05)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "it is not JSON"), ([0.5], "not a mapping"), ({}, "not a mapping"), ({"BNS": 1.5}, "BNS is 1.5"),
        ({"BNS": "0.5"}, "BNS is '0.5'"), ({"BNS": True}, "BNS is True"), ('{"BNS": NaN}', "BNS is nan"),
    ],
)  # fmt: skip
def test_what_is_no_classification_is_refused_with_a_sentence(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        _classify(tmp_path, content, "plot-em-bright")


def test_percent_never_rounds_to_certainty() -> None:
    assert [percent(value) for value in (0.0, 1e-9, 0.014, 0.995, 1.0)] == ["0%", "<1%", "1%", ">99%", "100%"]


@pytest.mark.parametrize("value", [-math.inf, -2.0, 0.0, 20.8, math.inf])
def test_any_evidence_can_be_drawn(tmp_path: Path, value: float) -> None:
    output = tmp_path / "bullet.png"
    bullet(value, title="Coherence", symbol="B", output=output)
    black = np.abs(imread(output)[..., :3]).max(axis=2) < 0.02
    middle = black[int(0.44 * len(black)), black.shape[1] // 16 :]
    assert middle.mean() == pytest.approx(min(abs(value), 7) / 14, abs=0.03)


def test_the_coherence_is_that_of_the_header(tmp_path: Path) -> None:
    output = tmp_path / "coherence.png"
    source = simulated("bbh_hlv")
    facts = computation("plot-coherence").function(Work({source.name: source}, output, {}))
    assert facts == {"alt": "ln B = +20.8 for coherence between the detectors"}
    assert imread(output).shape[1] == 1200


def test_a_map_without_coherence_is_refused_with_a_sentence(tmp_path: Path) -> None:
    source = write_hard("shell", tmp_path / "map.fits")
    with pytest.raises(BadInput, match="has no Bayes factor"):
        computation("plot-coherence").function(Work({source.name: source}, tmp_path / "a.png", {}))


def test_the_log_message_says_what_the_picture_shows() -> None:
    product = product_named("bayestar.volume.png")
    assert comment(product, {}) == "Volume rendering of the 3D sky map"
    facts = {"alt": "distance 40±8 Mpc", "note": "with IMRPhenomD"}
    assert comment(product, facts) == "Volume rendering of the 3D sky map: distance 40±8 Mpc (with IMRPhenomD)"
