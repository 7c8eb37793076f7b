"""Coincidences: time windows, joint FARs, which ones are announced, and the public case of 2017 August 17."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwbatch.config.policy import load_policy
from gwbatch.external import ExternalEvent, GWCandidate, Match, best_match, coincide, preferred_external, raven_alert
from gwbatch.external.coincidence import YEAR, is_looked_at, joint_far

POLICY = load_policy()
RULES = POLICY.external


def superevent(t_0: float = 1000.0, far: float = 1e-9, kind: str = "cbc.allsky", **changes: Any) -> GWCandidate:
    return GWCandidate("S1", t_0, far, kind, burst=kind.startswith("burst"), **changes)


def external(time: float = 1000.0, search: str = "GRB", observatory: str = "Fermi", **changes: Any) -> ExternalEvent:
    return ExternalEvent("E1", observatory, search, time, **changes)


def test_gw170817_and_grb_170817a() -> None:
    """The gravitational waves (t_0 = GPS 1187008882.43) precede the burst (T0 = 12:41:06.47 UTC) by two seconds."""
    match = coincide(superevent(1187008882.43, 1e-14), external(1187008884.47), 32.4, POLICY)
    assert match is not None
    assert match.dt == pytest.approx(-2.04, abs=1e-6)
    assert match.far_time == pytest.approx(6 * 325 / YEAR * 1e-14)
    assert match.far_spacetime == pytest.approx(match.far_time / 32.4)
    assert raven_alert(match, superevent(1187008882.43, 1e-14), external(1187008884.47), POLICY) is None


WINDOWS = [
    ("GRB", "Fermi", "cbc.allsky", -5, 1), ("GRB", "Swift", "burst.allsky", -600, 60),
    ("SubGRB", "Fermi", "cbc.allsky", -11, 1), ("SubGRB", "Swift", "cbc.allsky", -20, 10),
    ("SubGRBTargeted", "Swift", "cbc.allsky", -20, 10), ("FRB", "CHIME", "cbc.allsky", -10, 2),
    ("FRB", "CHIME", "burst.allsky", -600, 120), ("HEN", "IceCube", "cbc.allsky", -10, 10),
    ("HEN", "IceCube", "burst.allsky", -500, 500), ("Supernova", "SNEWS", "burst.allsky", -10, 10),
]  # fmt: skip


@pytest.mark.parametrize(("search", "observatory", "kind", "low", "high"), WINDOWS)
def test_windows(search: str, observatory: str, kind: str, low: float, high: float) -> None:
    def match(dt: float) -> Match | None:
        return coincide(superevent(1000.0 + dt, kind=kind), external(1000.0, search, observatory), None, POLICY)

    assert match(low) is not None
    assert match(high) is not None
    assert match(low - 0.01) is None
    assert match(high + 0.01) is None


@pytest.mark.parametrize(
    ("search", "observatory", "kind"),
    [("Supernova", "SNEWS", "cbc.allsky"), ("SubGRB", "Fermi", "burst.allsky"), ("SubGRB", "Swift", "burst.allsky")],
)
def test_what_is_not_looked_for(search: str, observatory: str, kind: str) -> None:
    assert coincide(superevent(kind=kind), external(1000.0, search, observatory), None, POLICY) is None


def test_tests_and_observations_never_match() -> None:
    assert coincide(superevent(), external(test=True), None, POLICY) is None
    assert coincide(superevent(category="test"), external(), None, POLICY) is None
    assert coincide(superevent(category="test"), external(test=True), None, POLICY) is not None


def test_the_joint_rate_of_times_alone() -> None:
    """The reference value is for a FAR of 1e-8 Hz, a window of 6 s and 310 bursts per year; the policy has 325."""
    assert pytest.approx(5.898e-13, rel=1e-3) == 6 * 310 / YEAR * 1e-8
    assert joint_far(superevent(far=1e-8), (-5, 1), external(), POLICY) == pytest.approx(6 * 325 / YEAR * 1e-8)
    assert joint_far(superevent(far=1e-8), (-10, 10), external(search="HEN"), POLICY) == pytest.approx(
        20 * 15 / YEAR * 1e-8
    )


@pytest.mark.parametrize(
    ("observatory", "far_external", "window"), [("Fermi", 1e-4, (-11, 1)), ("Swift", 1e-3, (-20, 10))]
)
def test_the_joint_rate_of_a_targeted_search(
    observatory: str, far_external: float, window: tuple[float, float]
) -> None:
    """For both missions the largest gravitational-wave FAR is the less-significant threshold, 2 per day per search."""
    far_gw, far_ext, width = 1e-6, 1e-5, window[1] - window[0]
    z, z_max = width * far_gw * far_ext, width * far_external * 2 / 86400
    event = external(search="SubGRBTargeted", observatory=observatory, far=far_ext)
    found = joint_far(superevent(far=far_gw), window, event, POLICY)
    assert found == pytest.approx(z * (1 - math.log(z / z_max)))


@pytest.mark.parametrize(
    ("search", "observatory", "kind", "looked_at"),
    [
        ("SubGRBTargeted", "Swift", "cbc.allsky", True), ("SubGRBTargeted", "Swift", "burst.bbh", True),
        ("SubGRBTargeted", "Fermi", "cbc.earlywarning", False), ("SubGRBTargeted", "Fermi", "cbc.ssm", False),
        ("SubGRBTargeted", "Fermi", "burst.allsky", True), ("SubGRB", "Fermi", "cbc.ssm", True),
        ("SubGRB", "Fermi", "burst.allsky", False), ("SubGRB", "Swift", "burst.bbh", True),
        ("Supernova", "SNEWS", "burst.allsky", True), ("Supernova", "SNEWS", "burst.bbh", False),
        ("Supernova", "SNEWS", "test.allsky", True), ("Supernova", "SNEWS", "cbc.allsky", False),
        ("GRB", "Fermi", "burst.imbh", False), ("GRB", "Fermi", "cbc.ssm", True),
        ("HEN", "IceCube", "burst.imbh", False),
    ],
)  # fmt: skip
def test_which_search_looks_among_which_superevents(search: str, observatory: str, kind: str, looked_at: bool) -> None:
    assert is_looked_at(superevent(kind=kind), external(1000.0, search, observatory), POLICY) is looked_at


def test_a_joint_rate_below_zero_is_never_announced() -> None:
    match = Match("S1", "E1", -2.0, (-5, 1), -1e-12, 10.0, -1e-13)
    why = raven_alert(match, superevent(far=-1e-9), external(), POLICY)
    assert why is not None
    assert "below zero" in why
    supernova = raven_alert(match, superevent(far=-1e-9, kind="burst.allsky"), external(search="Supernova"), POLICY)
    assert supernova is not None


@pytest.mark.parametrize(
    ("match", "partner", "event", "why"),
    [
        ({}, {}, {}, None),
        ({"far_spacetime": 1e-8}, {}, {}, "wanted is at most"),
        ({"far_spacetime": None}, {}, {}, "overlap of the sky maps is not known"),
        ({}, {}, {"reasons": ("no position yet",)}, "no burst"),
        ({}, {}, {"search": "SubGRB"}, "not announced"),
        ({}, {"kind": "burst.imbh"}, {}, "lists no threshold"),
        ({}, {"category": "test"}, {"test": True}, "a test"),
        ({}, {}, {"search": "SubGRBTargeted"}, "without a false alarm rate of its own"),
        ({}, {}, {"search": "SubGRBTargeted", "observatory": "SVOM", "far": 1e-5}, "without a false alarm rate"),
        ({}, {}, {"search": "SubGRBTargeted", "far": 1e-5}, None),
        ({"far_spacetime": None}, {"kind": "burst.allsky", "far": 1e-6}, {"search": "Supernova"}, None),
        ({"far_spacetime": None}, {"kind": "burst.allsky", "far": 1e-5}, {"search": "Supernova"}, "less than"),
    ],
)
def test_what_is_announced(
    match: dict[str, Any], partner: dict[str, Any], event: dict[str, Any], why: str | None
) -> None:
    found = Match("S1", "E1", -2.0, (-5, 1), 1e-12, 10.0, 1e-13)
    values = {"superevent": "S1", "external": "E1", "dt": -2.0, "window": (-5, 1), "far_time": found.far_time}
    told = raven_alert(
        Match(**{**values, "overlap": 10.0, "far_spacetime": 1e-13, **match}),
        superevent(**{"kind": "cbc.allsky", **partner}), external(**event), POLICY,
    )  # fmt: skip
    assert told is None if why is None else (told is not None and why in told)


def test_a_sky_without_overlap_is_never_announced() -> None:
    match = coincide(superevent(), external(), 0.0, POLICY)
    assert match is not None
    assert match.far_spacetime == math.inf
    assert raven_alert(match, superevent(), external(), POLICY) is not None


def test_of_several_the_least_likely_by_chance() -> None:
    by_time, by_sky = Match("S1", "E1", 0, (-5, 1), 1e-13), Match("S2", "E1", 0, (-5, 1), 1e-12, 100.0, 1e-14)
    assert best_match([by_time, by_sky]) is by_sky
    assert best_match([]) is None


def test_the_external_event_that_stands_for_a_superevent() -> None:
    def candidate(key: str, far: float, **changes: Any) -> tuple[ExternalEvent, Match]:
        event = ExternalEvent(key, "Fermi", **{"search": "GRB", "time": 0.0, **changes})
        return event, Match("S1", key, 0, (-5, 1), far)

    likely, rare = candidate("E1", 1e-9), candidate("E2", 1e-12)
    announced = candidate("E3", 1e-8, labels=("RAVEN_ALERT",))
    no_burst, weak = candidate("E4", 1e-15, reasons=("no position yet",)), candidate("E5", 1e-15, search="SubGRB")
    chosen = [preferred_external(group, RULES) for group in (
        [likely, rare], [likely, rare, announced], [no_burst, likely], [weak, likely], [no_burst], [],
    )]  # fmt: skip
    assert [None if one is None else one.key for one in chosen] == ["E2", "E3", "E1", "E1", "E4", None]


@given(st.floats(-700, 700), st.sampled_from(WINDOWS), st.floats(1e-14, 1e-4), st.none() | st.floats(0, 1e4))
def test_any_coincidence_is_within_its_window_and_has_a_rate(
    dt: float, kind: tuple[str, str, str, float, float], far: float, overlap: float | None
) -> None:
    search, observatory, gw, low, high = kind
    match = coincide(superevent(1000.0 + dt, far, gw), external(1000.0, search, observatory), overlap, POLICY)
    assert (match is not None) is (low <= (1000.0 + dt) - 1000.0 <= high)
    if match is not None:
        assert match.far_time > 0
        assert (match.far_spacetime is None) is (overlap is None)
