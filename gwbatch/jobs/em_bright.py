"""Source properties, such as a neutron star or matter left outside: ``em_bright.json`` from template or samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs.by_hand import ByHand, Parameter
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.charts import describe
from gwbatch.jobs.remnant import EquationOfState, equation_of_state, remnant_fraction
from gwbatch.jobs.samples import given_samples, read_samples
from gwbatch.jobs.template import EVENT, SSM, Template, read_template

NOTE_OF_SAMPLES = "estimate from posterior samples, not the field's classifier"
NOTE = "point estimate from the template, not the field's classifier"
MASS_GAP = (3.0, 5.0)  # solar masses
SUBSOLAR = 1.0  # solar masses
# Number of points for each spread; each point is the median of an equal share of the normal distribution.
MASS_STEPS, SPIN_STEPS = 41, 9


def _prepare(parameters: Mapping[str, Any]) -> None:
    """Build the equations of state in advance, because they take most of the time."""
    for name in parameters.get("equations_of_state", ()):
        equation_of_state(name)


@job(
    queue="general",
    name="em-bright",
    preload=["numpy", "igwn_ligolw.utils"],
    prepare=_prepare,
    by_hand=ByHand(
        "Source properties of an EVENT: from the masses and spins of the template in its coinc.xml, or from samples."
        "\n\nHasNS: a component is a neutron star. HasRemnant: the merger leaves matter outside. HasMassGap: a "
        "component has 3 to 5 solar masses. docs/products.md describes the method and its limits.",
        (EVENT,),
        (
            SSM,
            Parameter(
                "equations_of_state", "Equation of state; repeatable.  [default: the policy's 13]", option="eos",
                is_repeated=True,
            ),
        ),
        examples=(
            "em-bright coinc.xml -o em_bright.json",
            "em-bright coinc.xml --eos SLY --eos MPA1 -o em_bright.json",
            "em-bright amplfi.posterior_samples.hdf5 -o em_bright.json",
        ),
    ),
)  # fmt: skip
def em_bright(work: Work) -> dict[str, Any]:
    """Write HasNS, HasRemnant and HasMassGap; for sub-solar-mass searches HasSSM, HasNS and HasMassGap.

    Parameters of the annotation: ``equations_of_state``, ``total_spread``, ``ratio_spread``, ``spin_spread``. The
    template is read from ``mass1``, ``mass2``, ``spin1z``, ``spin2z``, or else from ``coinc.xml``. From posterior
    samples (an input ``*.hdf5``) it writes all four properties and applies no spread.
    """
    names = work.parameters.get("equations_of_state", ())
    if not names:
        raise BadInput("Cannot estimate source properties: the policy's equations_of_state is empty.")
    equations = [equation_of_state(name) for name in names]
    samples = given_samples(work.inputs)
    if samples is not None:
        found = judged(*read_samples(samples), equations)
        work.output.write_text(json.dumps(found))
        return {"method": "samples", "note": NOTE_OF_SAMPLES, "alt": describe(found)}
    template = read_template(work.inputs, work.parameters)
    spread = {name: float(work.parameters[name]) for name in SPREADS if name in work.parameters}
    found = source_properties(template, equations, **spread)
    if str(work.parameters.get("search", "")).lower() == "ssm":
        found.pop("HasRemnant")
    else:
        found.pop("HasSSM")
    work.output.write_text(json.dumps(found))
    return {"method": "point-estimate", "note": NOTE, "alt": describe(found)}


SPREADS = ("total_spread", "ratio_spread", "spin_spread")


def source_properties(
    template: Template,
    equations: Sequence[EquationOfState],
    *,
    total_spread: float = 0.01,
    ratio_spread: float = 0.1,
    spin_spread: float = 0.1,
) -> dict[str, float]:
    """Estimate the properties of a source from its best-matching template.

    A log-normal factor (`total_spread`) multiplies both masses. A second one (`ratio_spread`) multiplies one mass and
    divides the other, which leaves the chirp mass of comparable masses unchanged, because the search measures the chirp
    mass a hundred times better than the ratio. The spin of the heavier component gets a normal spread, cut off at -1
    and 1. Every combination is evaluated under every equation of state, all with equal weight.

    Parameters
    ----------
    template : Template
        Its masses are taken as source-frame masses, because the redshift is not known yet.
    equations : sequence of EquationOfState
        The set to marginalize over.
    total_spread, ratio_spread, spin_spread : float
        Standard deviations: relative, relative, and of the dimensionless spin.

    Returns
    -------
    dict
        Probabilities from 0 to 1, given that the source is astrophysical: ``HasSSM`` (a component below one solar
        mass), ``HasNS`` (the lighter component does not exceed the largest mass of a neutron star), ``HasRemnant``
        (matter is left outside: always if both are neutron stars, else by `remnant_fraction`), ``HasMassGap`` (a
        component between 3 and 5 solar masses).

    Notes
    -----
    The definitions are those of Chatterjee et al. 2020 (arXiv:1911.00116) and of the public alert user guide.
    """
    import numpy as np

    heavy, light = sorted(((template.mass1, template.spin1z), (template.mass2, template.spin2z)), reverse=True)
    steps, spins = normal_quantiles(MASS_STEPS), normal_quantiles(SPIN_STEPS)
    total = np.exp(total_spread * steps)[:, None, None]
    ratio = np.exp(ratio_spread * steps)[None, :, None]
    spin = np.clip(heavy[1] + spin_spread * spins, -1, 1)[None, None, :]
    first, second = heavy[0] * total * ratio, light[0] * total / ratio
    return judged(np.maximum(first, second), np.minimum(first, second), spin, equations)


def judged(larger: Any, smaller: Any, spin: Any, equations: Sequence[EquationOfState]) -> dict[str, float]:
    """Return the share of given sources that has each property, with equal weight for every equation of state.

    Parameters
    ----------
    larger, smaller : array
        Masses in solar masses.
    spin : array
        Dimensionless spin of the heavier component along the orbital angular momentum; all three shapes broadcast.
    equations : sequence of EquationOfState
        The set to marginalize over.

    Returns
    -------
    dict
        As `source_properties` returns it.
    """
    import numpy as np

    shape = np.broadcast_shapes(larger.shape, smaller.shape, spin.shape)
    has_star, has_remnant = [], []
    for equation in equations:
        star = smaller <= equation.largest_mass
        both = larger <= equation.largest_mass
        left = remnant_fraction(larger / smaller, spin, equation.compactness(smaller)) > 0
        has_star.append(np.mean(np.broadcast_to(star, shape)))
        has_remnant.append(np.mean(star & (both | left)))
    gap = ((larger > MASS_GAP[0]) & (larger < MASS_GAP[1])) | ((smaller > MASS_GAP[0]) & (smaller < MASS_GAP[1]))
    return {
        "HasSSM": _probability(smaller < SUBSOLAR),
        "HasNS": _probability(has_star),
        "HasRemnant": _probability(has_remnant),
        "HasMassGap": _probability(gap),
    }


def normal_quantiles(count: int) -> Any:
    """Return the medians of `count` equal shares of the standard normal distribution, ascending; shape (count,)."""
    from statistics import NormalDist

    import numpy as np

    return np.array([NormalDist().inv_cdf((step + 0.5) / count) for step in range(count)])


def _probability(values: Any) -> float:
    import numpy as np

    return round(float(np.mean(values)), 4)
