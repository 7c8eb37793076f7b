"""The chirp mass of a source, in its own frame: ``mchirp_source.json`` from template and sky map."""

from __future__ import annotations

import json
import math
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.science import offline_astropy
from gwbatch.jobs.template import COINC, read_template


@job(
    queue="general",
    name="mchirp-source",
    preload=["ligo_cgmi.chirp_probabilities", "ligo.skymap.io"],
)
def mchirp_source(work: Work) -> dict[str, Any]:
    """Write the probabilities of the field's 18 bins of chirp mass, in solar masses, with the bins' 19 edges.

    The template's chirp mass is divided by 1 + z, z marginalized over the distances of the sky map. Where the map has
    none, as for bursts, all is in the bin of the chirp mass in the detector frame.
    """
    offline_astropy()
    from ligo.skymap.io import read_sky_map
    from ligo_cgmi.chirp_probabilities import cgmi

    template = read_template(work.inputs, work.parameters)
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
    found = {"bin_edges": [float(edge) for edge in edges], "probabilities": values}
    work.output.write_text(json.dumps(found))
    most = max(range(len(values)), key=values.__getitem__)
    return {
        "method": "ligo-cgmi",
        **({} if known else {"note": "detector frame: the sky map has no distances"}),
        "alt": f"most probable from {edges[most]:g} to {edges[most + 1]:g} solar masses ({values[most]:.0%})",
    }
