"""Campaigns whose PSDs are in files of their own, which ``--reference-psd`` names."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import pytest

from gwbatch.campaigns import parcels, psds
from gwbatch.campaigns.chunks import Chunk
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.inputs import event_of
from gwbatch.campaigns.planning import plan
from gwbatch.campaigns.running import owned
from gwbatch.campaigns.settings import Science
from gwbatch.config.campaign import NodeSettings
from gwbatch.config.resources import example_event
from gwbatch.errors import BadInput
from gwbatch.jobs.result import sha256

pytestmark = pytest.mark.timeout(120)
PSDS = re.compile(r'\t<LIGO_LW Name="psd">.*?\n\t</LIGO_LW>\n', re.DOTALL)
PARAMETERS = """
	<Table Name="process_params:table">
		<Column Name="process:process_id" Type="int_8s"/>
		<Column Name="program" Type="lstring"/>
		<Column Name="param" Type="lstring"/>
		<Column Name="type" Type="lstring"/>
		<Column Name="value" Type="lstring"/>
		<Stream Name="process_params:table" Delimiter="," Type="Local">
			0,"gstlal_inspiral","--reference-psd","lstring","{name}"
		</Stream>
	</Table>
"""


def apart(event: Path, psd: Path, name: str) -> None:
    """Write a simulated event and its PSDs to two files, the first of which names the second one `name`."""
    text = example_event("short").read_text()
    (found,) = PSDS.findall(text)
    head, _, _ = text.partition("\t<Table")
    event.parent.mkdir(parents=True, exist_ok=True)
    psd.parent.mkdir(parents=True, exist_ok=True)
    event.write_text(PSDS.sub("", text).replace("<LIGO_LW>", "<LIGO_LW>" + PARAMETERS.format(name=name), 1))
    psd.write_text(f"{head}{found}</LIGO_LW>\n")


@pytest.mark.parametrize("where", ["beside", "above", "absolute"])
def test_psds_in_another_file_give_the_same_map_also_on_a_node_that_sees_none_of_them(
    tmp_path: Path, where: str
) -> None:
    event, psd = tmp_path / "events" / "coinc.xml", tmp_path / ("events" if where == "beside" else "psds") / "psd.xml"
    apart(event, psd, {"beside": "psd.xml", "above": "../psds/psd.xml", "absolute": str(psd)}[where])
    folder = Folder(tmp_path / "c")
    plan([event, example_event("short")], folder, ["map"], Science())
    with owned(folder) as (_, table):
        tasks = [task for task, _, _ in table.tasks([0, 1], ["map"]).values()]
    parcels.pack(folder.settings(), Chunk("c", 0, tasks), tmp_path / "parcel.zip")
    event.unlink()
    psd.unlink()
    did = parcels.work(tmp_path / "parcel.zip", tmp_path / "result.zip", NodeSettings(processes=1))
    assert [(one.how, one.reason) for one in did.outcomes] == [("done", "")] * 2
    with_own, without = (
        {name: one.facts["map"][name] for name in ("log_bci", "distmean", "diststd")} for one in did.outcomes
    )
    assert with_own == without


def test_an_event_is_refused_once_its_psds_have_changed(tmp_path: Path) -> None:
    event, psd = tmp_path / "coinc.xml", tmp_path / "psd.xml"
    apart(event, psd, "psd.xml")
    planned = psds.digest(event)
    psd.write_text(psd.read_text() + "\n")
    with pytest.raises(BadInput, match=r"a PSD file that .*coinc.xml names is missing, or has changed"):
        event_of(event, planned, 0)


def test_a_campaign_that_was_planned_without_the_digest_of_its_psds_still_runs(tmp_path: Path) -> None:
    event, psd = tmp_path / "coinc.xml", tmp_path / "psd.xml"
    apart(event, psd, "psd.xml")
    event_of(event, sha256(event), 0)


def test_psds_that_an_event_does_not_need_are_left_alone(tmp_path: Path) -> None:
    """A pipeline keeps its PSD file up to date, and the PSDs at the time of the event are in the event's file."""
    event, psd = tmp_path / "coinc.xml.gz", tmp_path / "psd.xml"
    text = example_event("short").read_text()
    event.write_bytes(gzip.compress(text.replace("<LIGO_LW>", "<LIGO_LW>" + PARAMETERS.format(name=psd), 1).encode()))
    psd.write_text("anything")
    assert psds.named(event) == {}
    assert psds.digest(event) == sha256(event)
    event_of(event, sha256(event), 0)


def test_files_of_equal_name_do_not_overwrite_each_other_in_a_parcel(tmp_path: Path) -> None:
    event = tmp_path / "events" / "coinc.xml"
    event.parent.mkdir()
    others = [tmp_path / "a" / "psd.xml", tmp_path / "b" / "psd.xml"]
    for other in others:
        other.parent.mkdir()
        other.write_text(str(other))
    event.write_text("".join(f'0,"bayestar","--reference-psd","lstring","{other}"\n' for other in others))
    there = tmp_path / "node" / "coinc.xml"
    there.parent.mkdir()
    shutil.copy(event, there)
    for name, place in psds.named(event).items():
        shutil.copy(place, there.parent / psds.name_in_parcel(name))
    planned = psds.digest(event)
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(tmp_path / "b")
    assert psds.digest(there) == planned
    assert psds.digest(event) != planned
