"""``gwbatch dag write`` for superevents in GraceDB, and the scripts that run around a workflow's nodes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gwbatch.jobs import result
from gwbatch.jobs.workflow import BAD_INPUT, SKIP, collect, post, pre
from tests.integration.harness import Harness

SITE = ["--site", "htcondor-generic", "--set", "gracedb.auth=none", "--json"]


def write(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "gwbatch", "dag", "write", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def superevent(harness: Harness) -> str:
    harness.upload()
    harness.settle(3.0)
    (found,) = harness.superevents()
    return str(found["superevent_id"])


def test_a_superevent_becomes_a_workflow_of_its_preferred_event(
    harness: Harness, superevent: str, tmp_path: Path
) -> None:
    folder = tmp_path / "flow"
    where = ["--set", f"gracedb.url={harness.server.url}"]
    code, told, errors = write(superevent, "-o", str(folder), *SITE, *where)
    assert code == 0, errors
    nodes = json.loads(told)["nodes"]
    assert nodes[0] == f"{superevent}.localize"
    assert {name.partition(".")[2] for name in nodes} == {
        "localize", "em-bright", "mchirp-source", "fits-header", "plot-allsky", "flatten", "plot-volume",
        "plot-coherence", "plot-em-bright",
    }  # fmt: skip
    preferred = harness.superevents()[0]["preferred_event"]
    content = harness.server.client.files(preferred, "coinc.xml").read()
    assert (folder / "inputs" / superevent / "coinc.xml").read_bytes() == content


def test_a_superevent_that_gracedb_does_not_have_is_one_plain_sentence(harness: Harness, tmp_path: Path) -> None:
    where = ["--set", f"gracedb.url={harness.server.url}"]
    code, _, errors = write("S240422ed", "-o", str(tmp_path / "flow"), *SITE, *where)
    assert code != 0
    assert "Traceback" not in errors
    assert errors.startswith("Error: ")


def test_a_superevent_without_a_server_names_the_remedy(tmp_path: Path) -> None:
    code, _, errors = write("S240422ed", "-o", str(tmp_path / "flow"), *SITE)
    assert code == 2
    assert "gracedb.url" in errors


# ---- around a node ----------------------------------------------------------------------------------------

MAP = "bayestar.multiorder.fits"


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    """Write a workflow of a sky map and a plot that is made only if the map has distances."""
    nodes = {
        "a.localize": {
            "key": "a/localize/dag", "subject": "a", "given": ["coinc.xml"], "parents": {}, "output": MAP,
            "only_if": None,
        },
        "a.plot": {
            "key": "a/plot/dag", "subject": "a", "given": [], "parents": {"a.localize": MAP}, "output": "p.png",
            "only_if": "has_distances",
        },
    }  # fmt: skip
    (tmp_path / "workflow.json").write_text(json.dumps({"version": 1, "nodes": nodes}))
    for name in nodes:
        (tmp_path / "nodes" / name).mkdir(parents=True)
    (tmp_path / "inputs" / "a").mkdir(parents=True)
    (tmp_path / "inputs" / "a" / "coinc.xml").write_text("coincidence")
    return tmp_path


def end(flow: Path, name: str, facts: dict[str, bool] | None = None, error: dict[str, object] | None = None) -> None:
    """Write what a job leaves behind."""
    node = json.loads((flow / "workflow.json").read_text())["nodes"][name]
    directory = flow / "nodes" / name
    outputs = {}
    if error is None:
        (directory / node["output"]).write_text("made")
        outputs = {node["output"]: {"sha256": result.sha256(directory / node["output"])}}
    value = {"key": node["key"], "error": error, "outputs": outputs, "facts": facts or {}}
    result.write_json(directory / "result.json", value)


def test_inputs_are_brought_results_checked_products_collected(flow: Path) -> None:
    assert pre(flow, "a.localize") == 0
    assert (flow / "nodes/a.localize/coinc.xml").read_text() == "coincidence"
    end(flow, "a.localize", {"has_distances": True})
    assert post(flow, "a.localize") == 0
    assert pre(flow, "a.plot") == 0
    assert (flow / "nodes/a.plot" / MAP).read_text() == "made"
    end(flow, "a.plot")
    assert collect(flow) == 0
    assert (flow / "products/a/p.png").read_text() == "made"


def test_what_is_there_already_is_not_made_again(flow: Path) -> None:
    end(flow, "a.localize")
    assert pre(flow, "a.localize") == SKIP
    (flow / "nodes/a.localize" / MAP).write_text("damaged")
    assert pre(flow, "a.localize") == 0


def test_what_makes_no_sense_for_the_map_is_skipped_until_it_does(flow: Path) -> None:
    end(flow, "a.localize", {"has_distances": False})
    assert pre(flow, "a.plot") == SKIP
    assert collect(flow) == 0
    assert json.loads((flow / "summary.json").read_text())["nodes"]["a.plot"]["state"] == "SKIPPED"
    end(flow, "a.localize", {"has_distances": True})
    assert pre(flow, "a.plot") == 0
    end(flow, "a.plot")
    assert collect(flow) == 0
    assert json.loads((flow / "summary.json").read_text())["nodes"]["a.plot"]["state"] == "DONE"


@pytest.mark.parametrize(("retryable", "code"), [(True, 1), (False, BAD_INPUT)])
def test_what_failed_says_whether_another_try_makes_sense(retryable: bool, code: int, flow: Path) -> None:
    end(flow, "a.localize", error={"message": "no good", "retryable": retryable})
    assert post(flow, "a.localize") == code
    assert collect(flow) == 1
    summary = json.loads((flow / "summary.json").read_text())
    assert summary["failed"] == ["a.localize", "a.plot"]
    assert summary["nodes"]["a.localize"]["reason"] == "no good"


def test_a_node_that_left_nothing_has_failed(flow: Path) -> None:
    assert post(flow, "a.localize") == 1
    assert "there is no complete result.json" in (flow / "nodes/a.localize/complaint").read_text()
