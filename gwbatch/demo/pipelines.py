"""Playing search pipelines: uploads with the unmodified ``ligo-gracedb`` client, as pipelines do them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ligo.gracedb.rest import GraceDb

from gwbatch.config.resources import demo_event

# What pipelines upload of the nature of a source; numbers for the demo, not computed.
_NATURE = {
    "bns_hlv": (
        {"BNS": 0.99, "NSBH": 0.0, "BBH": 0.0, "Terrestrial": 0.01},
        {"HasNS": 1.0, "HasRemnant": 1.0, "HasMassGap": 0.0},
    ),
    "bbh_hlv": (
        {"BNS": 0.0, "NSBH": 0.02, "BBH": 0.97, "Terrestrial": 0.01},
        {"HasNS": 0.01, "HasRemnant": 0.0, "HasMassGap": 0.05},
    ),
    "nsbh_hl": (
        {"BNS": 0.0, "NSBH": 0.97, "BBH": 0.02, "Terrestrial": 0.01},
        {"HasNS": 1.0, "HasRemnant": 0.1, "HasMassGap": 0.0},
    ),
}


@dataclass(frozen=True)
class Trigger:
    """One upload of one pipeline.

    Attributes
    ----------
    event : str
        Name of the simulated event.
    far : float
        False alarm rate in Hz that the pipeline gives it.
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
    """Upload a trigger with its source classification and properties; returns its graceid."""
    content = with_far(demo_event(trigger.event).read_bytes(), trigger.far) if content is None else content
    response = client.create_event(
        trigger.group, trigger.pipeline, "coinc.xml", search=trigger.search, filecontents=content
    )
    graceid = str(response.json()["graceid"])
    p_astro, em_bright = _NATURE[trigger.event]
    for name, comment, tag, value in (
        ("p_astro.json", "source classification", "p_astro", p_astro),
        ("em_bright.json", "source properties", "em_bright", em_bright),
    ):
        client.write_log(graceid, comment, filename=name, filecontents=json.dumps(value), tag_name=[tag, "public"])
    return graceid


def with_far(coinc: bytes, far: float) -> bytes:
    """The coincidence with another ``combined_far`` (Hz): the second column of its ``coinc_inspiral`` table."""
    pattern = rb'(Name="coinc_inspiral:table" Delimiter="," Type="Local">\s*\d+,)([^,]+)(,)'
    changed, count = re.subn(pattern, lambda match: match[1] + repr(far).encode() + match[3], coinc)
    if count != 1:
        raise ValueError("this is not one of the simulated coincidences")
    return changed
