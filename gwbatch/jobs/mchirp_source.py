"""Source-frame chirp mass: ``mchirp_source.json`` from a template and a sky map, or from posterior samples."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs.by_hand import ByHand, Input
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.samples import given_samples, read_samples
from gwbatch.jobs.science import offline_astropy
from gwbatch.jobs.template import COINC, EVENT, read_template


def _lacks_a_map(inputs: Collection[str]) -> str | None:
    alone = set(inputs) == {COINC}
    return "Cannot compute the chirp mass from coinc.xml alone. Give the sky map, too." if alone else None


@job(
    queue="general",
    name="mchirp-source",
    preload=["ligo_cgmi.chirp_probabilities", "ligo.skymap.io"],
    by_hand=ByHand(
        "Source-frame chirp mass of an EVENT in the field's bins: from its coinc.xml, at the distances "
        "of SKYMAP, or from posterior samples alone.",
        (EVENT, Input("skymap", is_required=False)),
        examples=(
            "mchirp-source coinc.xml bayestar.multiorder.fits -o mchirp_source.json",
            "mchirp-source amplfi.posterior_samples.hdf5 -o mchirp_source.json",
        ),
        wrong=_lacks_a_map,
    ),
)
def mchirp_source(work: Work) -> dict[str, Any]:
    """Write the probabilities of the field's 18 bins of chirp mass, in solar masses, with the bins' 19 edges.

    The template's chirp mass is divided by 1 + z, with z marginalized over the distances of the sky map. If the map
    has none, as for bursts, the bin of the detector-frame chirp mass gets all the probability. Posterior samples (an
    input ``*.hdf5``) are counted bin by bin.
    """
    offline_astropy()
    samples = given_samples(work.inputs)
    edges, values, note = _of_samples(samples) if samples is not None else _of_template(work)
    found = {"bin_edges": [float(edge) for edge in edges], "probabilities": values}
    work.output.write_text(json.dumps(found))
    most = max(range(len(values)), key=values.__getitem__)
    return {
        "method": "ligo-cgmi",
        **({"note": note} if note else {}),
        "alt": f"most probable from {edges[most]:g} to {edges[most + 1]:g} solar masses ({values[most]:.0%})",
    }


def _of_samples(path: Path) -> tuple[Any, list[float], str]:
    import numpy as np
    from ligo_cgmi.chirp_probabilities import cgmi

    heavy, light, _ = read_samples(path)
    masses = {"chirp_mass_source": (heavy * light) ** 0.6 / (heavy + light) ** 0.2}
    edges, _, probabilities = cgmi(None, None, masses, None, cgmi_type="PE")
    values = [float(value) for value in probabilities]
    if not (np.isfinite(values).all() and any(values)):
        raise BadInput(f"Cannot compute the chirp mass of the source: no sample of {path.name} is in the field's bins.")
    return edges, values, "posterior samples"


def _of_template(work: Work) -> tuple[Any, list[float], str]:
    from ligo.skymap.io import read_sky_map
    from ligo_cgmi.chirp_probabilities import cgmi

    template = read_template(work.inputs, work.parameters)
    if (problem := _lacks_a_map(work.inputs)) is not None:
        raise BadInput(problem)
    (path,) = [path for name, path in work.inputs.items() if name != COINC]
    skymap = read_sky_map(str(path), moc=True)
    known = {"DISTMU", "DISTSIGMA", "DISTNORM"} <= set(skymap.colnames)
    edges, probabilities, _ = cgmi("CBC" if known else "Burst", template.chirp_mass, None, skymap, cgmi_type="LL")
    values = [float(value) for value in probabilities]
    if not all(math.isfinite(value) for value in values):
        raise BadInput(
            f"Cannot compute the chirp mass of the source: {template.chirp_mass:g} solar masses in the detector frame "
            f"are in none of the field's bins, {edges[0]:g} to {edges[-1]:g}, at any distance of {path.name}."
        )
    return edges, values, "" if known else "detector frame: the sky map has no distances"
