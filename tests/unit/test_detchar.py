"""Data quality: bits over windows, verdicts, and real frame files."""

from __future__ import annotations

from pathlib import Path

import gwframe
import numpy as np
import pytest

from gwbatch.config.policy import load_policy
from gwbatch.detchar.bits import Bit, Glitch, evaluate, least_probability
from gwbatch.detchar.frames import covering, read
from gwbatch.detchar.verdict import judge

GOOD = 0b1111100011
CHANNEL = "H1:GDS-CALIB_STATE_VECTOR"
NAMES = {"HOFT_OK": 0, "NO_CBC_HW_INJ": 6}


def bits(**on: bool | None) -> list[Bit]:
    return [Bit(f"{name.partition('_')[0]}:X", name.partition("_")[2], value) for name, value in on.items()]


@pytest.mark.parametrize(
    ("samples", "on"),
    [
        ([GOOD] * 4, [True, True]), ([GOOD, GOOD - 1], [False, True]), ([float(GOOD)], [True, True]),
        ([GOOD, GOOD - 64], [True, False]), (None, [None, None]), ([], [None, None]), ([-1.0], [None, None]),
        ([float("nan")], [None, None]),
    ],
)  # fmt: skip
def test_a_bit_is_on_only_if_every_sample_has_it(samples: list[float] | None, on: list[bool | None]) -> None:
    assert [bit.on for bit in evaluate(CHANNEL, NAMES, samples)] == on


@pytest.mark.parametrize(
    ("ok", "fap", "found"),
    [
        ([1, 1], [0.5, 0.02], 0.02),
        ([1, 0], [0.5, 0.02], None),
        (None, [0.5], None),
        ([1], None, None),
        ([1], [7], None),
    ],
)
def test_idq_counts_only_while_it_is_fine(ok: list[float] | None, fap: list[float] | None, found: float | None) -> None:
    assert least_probability("H1", ok, fap).probability == found


@pytest.mark.parametrize(
    ("found", "add", "remove"),
    [
        (bits(H1_OK=True, L1_OK=True, V1_OK=True), {"DQOK"}, {"DQV"}),
        (bits(H1_OK=True, L1_OK=False), {"DQV"}, {"DQOK"}),
        (bits(H1_OK=True, L1_OK=None), set(), set()),
        (bits(H1_OK=True, L1_OK=True, V1_OK=False), {"DQOK"}, {"DQV"}),  # V1 did not take part
        ([], set(), set()),
        (bits(H1_OK=True, H1_CBC_INJ=False), {"DQOK", "INJ"}, {"DQV"}),  # V1 has no bit at all
        (bits(H1_OK=True, V1_CBC_INJ=False), {"DQOK"}, {"DQV"}),
        (bits(H1_OK=True, H1_CBC_INJ=True, V1_CBC_INJ=True), {"DQOK"}, {"DQV", "INJ"}),
        (bits(H1_OK=None, H1_CBC_INJ=None), set(), set()),
    ],
)
def test_the_verdict_is_about_the_events_own_detectors(found: list[Bit], add: set[str], remove: set[str]) -> None:
    report = judge(found, [], {"H1", "L1"}, 0.01, veto_glitches=False)
    assert (report.add, report.remove) == (add, remove)
    assert not report.add & report.remove


def test_a_glitch_warns_and_vetoes_only_where_the_policy_says_so() -> None:
    good = bits(H1_OK=True, L1_OK=True)
    for veto, label in ((False, "DQOK"), (True, "DQV")):
        report = judge(good, [Glitch("H1", 0.001), Glitch("L1", None)], {"H1", "L1"}, 0.01, veto_glitches=veto)
        assert report.add == {label}
        assert "H1 0.001 (a glitch is likely), L1 unknown" in report.glitches


def write(folder: Path, start: int, channels: dict[str, np.ndarray], seconds: int = 1) -> None:
    rates = {name: len(values) / seconds for name, values in channels.items()}
    path = folder / f"H-H1_llhoft-{start}-{seconds}.gwf"
    gwframe.write(path, channels, start=float(start), sample_rate=rates)


def test_frames_of_one_second_are_put_together(tmp_path: Path) -> None:
    for second in range(100, 110):
        start = 1_000_000_000 + second
        write(tmp_path, start, {CHANNEL: np.full(16, second, np.uint32), "H1:IDQ": np.full(4, 0.5, np.float32)})
    pattern = f"{tmp_path}/*.gwf"
    start, end = 1_000_000_102.5, 1_000_000_105.25
    files = covering(pattern, start, end)
    assert files is not None
    assert len(files) == 4
    found = read(files, [CHANNEL, "H1:IDQ", "H1:NOT_THERE"], start, end)
    state = found[CHANNEL]
    assert state is not None
    assert (len(state), set(state)) == (8 + 16 + 16 + 4, {102, 103, 104, 105})
    assert found["H1:NOT_THERE"] is None
    assert covering(pattern, 1_000_000_108.0, 1_000_000_111.0) is None
    (tmp_path / "H-H1_llhoft-1000000104-1.gwf").unlink()
    assert covering(pattern, start, end) is None
    assert covering(f"{tmp_path}/nothing/*.gwf", start, end) is None


def test_a_broken_frame_is_an_unknown_state(tmp_path: Path) -> None:
    (tmp_path / "H-H1_llhoft-1000000100-1.gwf").write_bytes(b"no frame")
    files = covering(f"{tmp_path}/*.gwf", 1_000_000_100.0, 1_000_000_101.0)
    assert files is not None
    assert read(files, [CHANNEL], 1_000_000_100.0, 1_000_000_101.0) == {CHANNEL: None}


def test_the_policy_names_the_fields_channels() -> None:
    settings = load_policy().alerts.data_quality
    assert settings.window("cwb", 10.0, 12.0) == (8.5, 13.5)
    assert settings.window("gstlal", 10.0, 12.0) == (8.0, 14.0)
    assert len(settings.tables("gstlal")) == 3
    assert len(settings.tables("mly")) == 5
    assert settings.bits["V1:DQ_ANALYSIS_STATE_VECTOR"]["GOOD_DATA_QUALITY_CAT1"] == 10
