"""Source properties from the template: probabilities, symmetric, monotonic, and right for published events."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gwbatch.config.policy import load_policy
from gwbatch.errors import BadInput
from gwbatch.jobs.em_bright import normal_quantiles, source_properties
from gwbatch.jobs.p_astro import classify
from gwbatch.jobs.remnant import EquationOfState, equation_of_state, innermost_stable_orbit, remnant_fraction
from gwbatch.jobs.template import Template, read_template

NAMES = load_policy().annotation.parameters["em-bright"]["equations_of_state"]
MASSES = st.floats(0.6, 150.0)
SPINS = st.floats(-1.0, 1.0)
FACTORS = st.floats(1.0, 3.0)


@pytest.fixture(scope="module")
def equations() -> list[EquationOfState]:
    return [equation_of_state(name) for name in NAMES]


@given(MASSES, MASSES, SPINS, SPINS)
@settings(max_examples=60, deadline=None)
def test_they_are_probabilities_and_do_not_depend_on_the_order(
    equations: list[EquationOfState], m1: float, m2: float, s1: float, s2: float
) -> None:
    assume(m1 != m2)  # with equal masses, the larger spin counts in either order
    found = source_properties(Template(m1, m2, s1, s2), equations)
    assert all(0 <= value <= 1 for value in found.values())
    assert found == source_properties(Template(m2, m1, s2, s1), equations)
    assert found["HasRemnant"] <= found["HasNS"], "what is left outside was a star"


@given(MASSES, MASSES, FACTORS)
@settings(max_examples=60, deadline=None)
def test_a_larger_mass_never_makes_a_neutron_star_likelier(
    equations: list[EquationOfState], m1: float, m2: float, factor: float
) -> None:
    before = source_properties(Template(m1, m2), equations)["HasNS"]
    assert source_properties(Template(m1 * factor, m2), equations)["HasNS"] <= before
    assert source_properties(Template(m1, m2 * factor), equations)["HasNS"] <= before


@given(st.floats(3.5, 30.0), st.floats(1.0, 2.0), st.floats(-1.0, 0.9), st.floats(0.0, 0.5), FACTORS)
@settings(max_examples=60, deadline=None)
def test_spin_leaves_more_outside_and_a_heavier_hole_less(
    equations: list[EquationOfState], hole: float, star: float, spin: float, more: float, factor: float
) -> None:
    before = source_properties(Template(hole, star, spin), equations)["HasRemnant"]
    assert source_properties(Template(hole, star, min(spin + more, 1.0)), equations)["HasRemnant"] >= before
    assume(spin <= 0.7)  # near the largest spins the fit grows with the mass ratio
    assert source_properties(Template(hole * factor, star, spin), equations)["HasRemnant"] <= before


# Published medians of source masses and primary spin, and whether the announced probabilities exceed one half.
@pytest.mark.parametrize(
    ("masses", "spin", "has_ns", "has_remnant"),
    [
        pytest.param((1.46, 1.27), 0.0, True, True, id="GW170817"),
        pytest.param((1.74, 1.56), 0.0, True, True, id="GW190425"),
        pytest.param((8.9, 1.9), -0.01, True, False, id="GW200105"),
        pytest.param((5.7, 1.5), -0.19, True, False, id="GW200115"),
        pytest.param((3.6, 1.4), -0.10, True, False, id="GW230529"),
        pytest.param((23.3, 2.6), 0.0, False, False, id="GW190814"),
        pytest.param((35.6, 30.6), 0.0, False, False, id="GW150914"),
    ],
)
def test_published_events_come_out_on_the_right_side(
    equations: list[EquationOfState], masses: tuple[float, float], spin: float, has_ns: bool, has_remnant: bool
) -> None:
    found = source_properties(Template(*masses, spin), equations)
    assert (found["HasNS"] > 0.5, found["HasRemnant"] > 0.5) == (has_ns, has_remnant)


def test_the_mass_gap_is_between_three_and_five_solar_masses(equations: list[EquationOfState]) -> None:
    found = {mass: source_properties(Template(mass, 1.4), equations)["HasMassGap"] for mass in (2.0, 4.0, 9.0)}
    assert found == {2.0: 0.0, 4.0: pytest.approx(1.0, abs=0.05), 9.0: 0.0}


def test_below_one_solar_mass_nothing_is_a_star_of_the_usual_kind(equations: list[EquationOfState]) -> None:
    assert source_properties(Template(0.7, 0.3), equations)["HasSSM"] == 1.0
    assert source_properties(Template(2.0, 1.5), equations)["HasSSM"] == 0.0


# Bardeen, Press and Teukolsky 1972.
@pytest.mark.parametrize(("spin", "radius"), [(-1, 9), (0, 6), (1, 1), (0.9, 2.3209), (-0.9, 8.7174)])
def test_innermost_stable_orbit(spin: float, radius: float) -> None:
    assert float(innermost_stable_orbit(spin)) == pytest.approx(radius, abs=1e-4)


def test_the_remnant_by_hand() -> None:
    """The values are Q = 4, spin 0.6, C = 0.15, hence eta = 0.16, an orbit of 3.8291, and the fit's four numbers."""
    free, swallowed = 0.406 * 0.7 / 0.16 ** (1 / 3), 0.139 * 3.82907 * 0.15 / 0.16
    assert float(remnant_fraction(4.0, 0.6, 0.15)) == pytest.approx((free - swallowed + 0.255) ** 1.761, rel=1e-5)
    assert float(remnant_fraction(7.0, 0.0, 0.15)) == 0.0


def test_the_stars_are_those_of_the_policys_comment(equations: list[EquationOfState]) -> None:
    for equation in equations:
        radius = 1.4766250385 * 1.4 / float(equation.compactness(1.4))
        assert 10.4 <= radius <= 13.7, equation.name
        assert equation.largest_mass > 2.0, equation.name
        assert np.all(np.diff(equation.compactnesses) > 0), "heavier stars are more compact"


def test_the_quantiles_are_those_of_a_normal_distribution() -> None:
    found = normal_quantiles(1001)
    assert (float(np.mean(found)), float(np.std(found))) == pytest.approx((0, 1), abs=0.01)


def test_an_unknown_equation_of_state_is_refused_with_the_list() -> None:
    with pytest.raises(BadInput, match=r"Unknown equation of state 'SLX'.*SLY"):
        equation_of_state("SLX")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"mass1": 0.0, "mass2": 1.0}, "must be positive"),
        ({"mass1": 1.4, "mass2": 1.2, "spin1z": 1.5}, "from -1 to 1"),
        ({"mass1": math.nan, "mass2": 1.2}, "not a number"),
        ({}, "has no coinc.xml"),
    ],
)
def test_impossible_templates_are_refused(parameters: dict[str, float], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_template({}, parameters)


# The two check values of the field's recipe.
def test_p_astro_of_a_loud_neutron_star_binary() -> None:
    found = classify(Template(1.4, 1.3, snr=15, far=1e-12, instruments=("H1", "L1")), "gstlal")
    assert found["BNS"] == pytest.approx(0.99994, abs=5e-6)


def test_p_astro_of_a_faint_black_hole_binary() -> None:
    found = classify(Template(30, 25, snr=9, far=1e-6, instruments=("H1", "L1")), "pycbc")
    assert (found["BBH"], found["Terrestrial"]) == pytest.approx((0.380, 0.620), abs=5e-4)


@given(MASSES, MASSES, st.floats(4.0, 100.0), st.floats(1e-30, 1e-3))
@settings(max_examples=60, deadline=None)
def test_classes_add_up_to_one(m1: float, m2: float, snr: float, far: float) -> None:
    found = classify(Template(m1, m2, snr=snr, far=far, instruments=("H1", "L1")), "spiir")
    assert sum(found.values()) == pytest.approx(1.0)
    assert all(0 <= value <= 1 for value in found.values())


@pytest.mark.parametrize(
    ("template", "pipeline", "words"),
    [
        (Template(1.4, 1.3, snr=9.0, far=0.0, instruments=("H1",)), "gstlal", "must be positive"),
        (Template(1.4, 1.3, snr=9.0, far=1e-9, instruments=("K1",)), "pycbc", "no threshold for pycbc with K1"),
        (Template(1.4, 1.3, snr=9.0, far=1e-9, instruments=("H1",)), "other", "no threshold for other"),
    ],
)
def test_what_cannot_be_classified_is_refused(template: Template, pipeline: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        classify(template, pipeline)
