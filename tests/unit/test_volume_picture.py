"""The picture of the volume, compared with those that ligo.skymap's own tool drew of the same maps.

``python -m tests.write_volume_pictures`` draws the tool's pictures. ``GWBATCH_WRITE_GOLDEN=1`` writes the pairs in
``docs/volume``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.image import imread, imsave
from scipy.ndimage import gaussian_filter

from gwbatch.annotation import as_chosen, product_named, workflow
from gwbatch.cli import cli
from gwbatch.config.policy import default_policy, policy_from
from gwbatch.errors import BadInput
from gwbatch.jobs import volume
from gwbatch.jobs.catalogue import Work, computation
from gwbatch.jobs.plot_volume import ALIGN_TO
from gwbatch.jobs.skymap import read_distances
from gwbatch.jobs.volume_picture import enclosed
from tests.skymaps import HARD, SIMULATED, simulated, write_hard
from tests.write_volume_pictures import DPI, PICTURES

PAIRS = Path(__file__).parents[2] / "docs" / "volume"
ALONE = {"dpi": DPI, "annotate": False}
# Elements of each face inside the 50 % and 90 % contours, from line integrals on a grid five times finer.
ENCLOSED = {
    "bns_hlv": [(1, 8), (19, 85), (50, 171)],
    "nsbh_hl": [(126, 405), (110, 398), (1363, 3524)],
    "bbh_hlv": [(2, 4), (13, 33), (65, 221)],
}


def _draw(source: Path, output: Path, inputs: dict[str, Path] | None = None, **parameters: Any) -> Any:
    computation("plot-volume").function(Work({source.name: source, **(inputs or {})}, output, parameters))
    return imread(output)


def _likeness(ours: Any, theirs: Any) -> float:
    """Return the structural similarity of the mean of the colours, with a Gaussian window of 1.5 pixels."""
    a, b = (picture[..., :3].mean(axis=2) for picture in (ours, theirs))

    def mean(image: Any) -> Any:
        return gaussian_filter(image, 1.5)

    variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
    covariance = mean(a * b) - mean(a) * mean(b)
    alike = (2 * mean(a) * mean(b) + 1e-4) * (2 * covariance + 9e-4)
    return float((alike / ((mean(a) ** 2 + mean(b) ** 2 + 1e-4) * (variances + 9e-4))).mean())


@pytest.mark.parametrize("name", [*SIMULATED, *HARD])
def test_it_is_the_picture_of_the_tool(name: str, tmp_path: Path) -> None:
    source = simulated(name) if name in SIMULATED else write_hard(name, tmp_path / "map.fits")
    ours, theirs = _draw(source, tmp_path / "ours.png", **ALONE), imread(PICTURES / f"{name}.png")
    if os.environ.get("GWBATCH_WRITE_GOLDEN"):
        PAIRS.mkdir(exist_ok=True)
        imsave(PAIRS / f"{name}.png", np.hstack([ours, theirs]))
    assert ours.shape == theirs.shape
    likeness = _likeness(ours, theirs)
    print(f"{name}: {likeness:.5f}")
    assert likeness >= 0.999
    assert (PAIRS / f"{name}.png").exists()


@pytest.mark.parametrize("name", SIMULATED)
def test_contours_enclose_as_much_as_they_say(name: str) -> None:
    skymap = volume.usable(read_distances(simulated(name)))
    cells = volume.cell_moments(skymap)
    mean, std = volume.sky_moments(skymap, cells)
    faces = volume.render(skymap, cells, volume.principal_axes(skymap, cells), mean + 2.5 * std, 175)
    for face, expected in zip(faces, ENCLOSED[name], strict=True):
        for level, count in zip((0.5, 0.9), expected, strict=True):
            assert np.sum(enclosed(face) <= level) == pytest.approx(count, rel=0.08, abs=3)


def test_the_same_map_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        _draw(simulated("bns_hlv"), tmp_path / name, contours=[50, 90])
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_the_default_can_be_read_on_a_poster(tmp_path: Path) -> None:
    assert _draw(simulated("bns_hlv"), tmp_path / "volume.png").shape[:2] == (700, 700)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--contour", "50", "--contour", "90"],
        ["--max-distance", "1000"],
        ["--radecdist", "197.45", "-23.38", "40.7", "--radecdist", "10", "20", "100"],
        ["--projection", "2"],
        ["--colormap", "viridis"],
        ["--figure-width", "7", "--figure-height", "7"],
        ["--transparent"],
        ["--no-annotate"],
        ["--no-summary"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_option_changes_the_picture(arguments: list[str], tmp_path: Path) -> None:
    plain, changed = tmp_path / "plain.png", tmp_path / "changed.png"
    for output, options in ((plain, []), (changed, arguments)):
        shared = ["job", "plot-volume", str(simulated("bns_hlv")), "-o", str(output), "--dpi", "60", *options]
        done = CliRunner().invoke(cli, shared)
        assert done.exit_code == 0, done.output
    assert plain.read_bytes() != changed.read_bytes()
    assert (imread(changed)[..., 3].min() == 0) == (arguments == ["--transparent"])


def test_it_can_be_aligned_to_another_map(tmp_path: Path) -> None:
    alone = _draw(simulated("bns_hlv"), tmp_path / "alone.png", **ALONE)
    beside = {ALIGN_TO: simulated("nsbh_hl")}
    assert _likeness(alone, _draw(simulated("bns_hlv"), tmp_path / "aligned.png", beside, **ALONE)) < 0.99
    itself = {ALIGN_TO: simulated("bns_hlv")}
    assert _likeness(alone, _draw(simulated("bns_hlv"), tmp_path / "itself.png", itself, **ALONE)) == pytest.approx(1)


def test_posterior_samples_are_drawn_as_points(tmp_path: Path) -> None:
    from astropy.table import Table
    from ligo.skymap.io import write_samples

    chain = tmp_path / "chain.hdf5"
    samples = Table({"ra": [0.1, 0.2], "dec": [0.3, -0.2], "dist": [100.0, 120.0]})
    write_samples(samples, str(chain), path="/posterior_samples")
    output = tmp_path / "volume.png"
    arguments = ["job", "plot-volume", str(simulated("bns_hlv")), "--chain", str(chain), "-o", str(output)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output


def test_a_chain_that_is_none_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "chain.hdf5").write_text("nothing")
    arguments = ["--chain", str(tmp_path / "chain.hdf5"), "-o", str(tmp_path / "volume.png")]
    done = CliRunner().invoke(cli, ["job", "plot-volume", str(simulated("bns_hlv")), *arguments])
    assert done.exit_code == 3
    assert "Cannot read chain.hdf5 as posterior samples" in done.output


def test_the_exact_picture_takes_only_what_the_tool_is_given(tmp_path: Path) -> None:
    source, output = str(simulated("bns_hlv")), str(tmp_path / "volume.png")
    arguments = ["job", "plot-volume", source, "--exact", "--projection", "1", "-o", output]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    assert "--exact takes only" in done.output


def test_an_unknown_colour_map_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Unknown colour map 'dusk'"):
        _draw(simulated("bns_hlv"), tmp_path / "volume.png", colormap="dusk")


def test_the_policy_chooses_who_draws() -> None:
    product = product_named("bayestar.volume.png")
    assert computation(product.job).queue == "general"
    values = default_policy()
    values["annotation"]["made_by"] = {product.name: "plot-volume-exact"}
    settings = policy_from(values).annotation
    assert as_chosen(product, settings).job == "plot-volume-exact"
    assert computation("plot-volume-exact").queue == "openmp"
    node = next(
        node for node in workflow("S1", ["bayestar.multiorder.fits"], settings) if node.product.name == product.name
    )
    assert (node.name, node.parameters["dpi"]) == ("S1.plot-volume-exact", 100)
