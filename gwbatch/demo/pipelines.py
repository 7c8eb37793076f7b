"""Simulated search pipelines, which upload with the unmodified ``ligo-gracedb`` client as real ones do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ligo.gracedb.rest import GraceDb

from gwbatch.config.resources import example_event

# The source classifications that the pipelines upload. The numbers are made up for the demo, not computed.
CLASSIFICATION = {
    "bns_hlv": {"BNS": 0.99, "NSBH": 0.0, "BBH": 0.0, "Terrestrial": 0.01},
    "bbh_hlv": {"BNS": 0.0, "NSBH": 0.02, "BBH": 0.97, "Terrestrial": 0.01},
    "nsbh_hl": {"BNS": 0.0, "NSBH": 0.97, "BBH": 0.02, "Terrestrial": 0.01},
}


@dataclass(frozen=True)
class Trigger:
    """One upload of one pipeline.

    Attributes
    ----------
    event : str
        Name of the simulated event; empty: not a compact binary, so no source classification is uploaded.
    far : float
        False alarm rate in Hz that the pipeline assigns.
    """

    pipeline: str
    event: str
    far: float
    search: str = "AllSky"
    group: str = "CBC"


TRIGGERS = (
    Trigger("gstlal", "bns_hlv", 1.0e-9),
    Trigger("pycbc", "bns_hlv", 3.0e-9),
    Trigger("MBTA", "bbh_hlv", 2.0e-6),
)
"""One binary neutron star seen by two pipelines (significant), and one other event (less significant)."""


def upload(client: GraceDb, trigger: Trigger, content: bytes | None = None) -> str:
    """Upload a trigger and, if it has one, its source classification, as pipelines do; return the graceid."""
    content = with_far(example_event(trigger.event).read_bytes(), trigger.far) if content is None else content
    response = client.create_event(
        trigger.group, trigger.pipeline, "coinc.xml", search=trigger.search, filecontents=content
    )
    graceid = str(response.json()["graceid"])
    if not trigger.event:
        return graceid
    client.write_log(
        graceid,
        "source classification",
        filename=f"{trigger.pipeline.lower()}.p_astro.json",
        filecontents=json.dumps(CLASSIFICATION[trigger.event]),
        tag_name=["p_astro", "public"],
    )
    return graceid


def with_far(coinc: bytes, far: float) -> bytes:
    """Return the coincidence with another ``combined_far`` (Hz), the second column of its ``coinc_inspiral`` table."""
    pattern = rb'(Name="coinc_inspiral:table" Delimiter="," Type="Local">\s*\d+,)([^,]+)(,)'
    changed, count = re.subn(pattern, lambda match: match[1] + repr(far).encode() + match[3], coinc)
    if count != 1:
        raise ValueError("this is not one of the simulated coincidences")
    return changed
