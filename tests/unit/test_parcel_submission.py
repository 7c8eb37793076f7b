"""The submit file of a parcel on HTCondor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gwbatch.config.profile import load_site
from gwbatch.schedulers.campaign import Parcel
from gwbatch.schedulers.htcondor.campaign import HTCondorCampaign


class Schedd:
    """A schedd that keeps what is submitted."""

    def __init__(self) -> None:
        self.descriptions: list[str] = []

    def submit(self, description: str) -> str:
        self.descriptions.append(description)
        return "1.0"


def submitted(*settings: str, avoid: tuple[str, ...] = ()) -> list[str]:
    """Return the lines of a parcel's submit file."""
    profile = load_site("htcondor-generic", list(settings)).profile
    schedd: Any = Schedd()
    parcel = Parcel(Path("/c"), "parcel-1", Path("/c/parcels/parcel-1"), avoid)
    HTCondorCampaign(profile.scheduler, profile.campaign, lambda: schedd).send(parcel)
    (description,) = schedd.descriptions
    return list(map(str, description.splitlines()))


def test_a_parcel_is_moved_both_ways_and_found_by_its_attributes() -> None:
    lines = submitted("campaign.node.processes=3")
    for wanted in (
        "should_transfer_files = YES", "transfer_input_files = parcel.zip", "transfer_output_files = result.zip",
        "initialdir = /c/parcels/parcel-1", '+GwbatchCampaign = "/c"', '+GwbatchParcel = "parcel-1"',
        '+GwbatchRole = "campaign-parcel"', "nice_user = true",
    ):  # fmt: skip
        assert lines.count(wanted) == 1, wanted
    assert '+GwbatchRole = "campaign"' not in lines
    assert any("--set campaign.node.processes=3" in line for line in lines)


def test_a_node_at_fault_is_excluded_whether_the_pool_names_it_in_short_or_in_full() -> None:
    (line,) = [line for line in submitted(avoid=("bad.site.org", "n-2")) if line.startswith("requirements")]
    assert line.endswith(
        '&& !regexp("^bad([.]|$)", TARGET.Machine, "i") && !regexp("^n-2([.]|$)", TARGET.Machine, "i")'
    )
    (line,) = [line for line in submitted() if line.startswith("requirements")]
    assert "regexp" not in line
