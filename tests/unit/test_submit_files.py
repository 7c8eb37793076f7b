"""Every rendered submit description, DAG and deployment, compared with golden files.

After an intended change, rewrite them with ``GWBATCH_WRITE_GOLDEN=1 pytest tests/unit/test_submit_files.py``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gwbatch.annotation import workflow
from gwbatch.annotation.workflow import Node
from gwbatch.config.policy import load_policy
from gwbatch.config.profile import Profile, load_site
from gwbatch.config.resources import example_event
from gwbatch.errors import ConfigError
from gwbatch.model import JobRequest
from gwbatch.schedulers import make_workflow_writer
from gwbatch.schedulers.htcondor import description
from gwbatch.schedulers.htcondor.deployment import DAGDeployment
from gwbatch.schedulers.htcondor.schedd import CommandSchedd
from gwbatch.schedulers.slurm import batch_script
from gwbatch.schedulers.slurm.controller import CommandController
from gwbatch.schedulers.slurm.deployment import SlurmDeployment
from gwbatch.schedulers.templates import job_script, render
from gwbatch.schedulers.workflow import prepare_workflow

GOLDEN = Path(__file__).parents[1] / "golden"
FILLED = [
    "gracedb.url=https://gracedb-playground.ligo.org/api/",
    "scheduler.accounting_group=igwn.dev.o4.cbc.pe.bayestar",
    "scheduler.accounting_user=albert.einstein",
    "scheduler.python=/opt/gwbatch/bin/python",
]
SLURM = [
    "gracedb.url=https://gracedb-playground.ligo.org/api/",
    "scheduler.account=oz016",
    "scheduler.job_directory=/fred/oz016/gwbatch",
    "scheduler.python=/opt/gwbatch/bin/python",
    "scheduler.environment.GREETING='hello; it is'",
]


def golden(name: str, text: str, **places: Path) -> None:
    """Compare with a golden file, in which placeholders stand for the paths of this machine."""
    for placeholder, path in {**places, "job_sh": job_script()}.items():
        text = text.replace(str(path), f"<{placeholder}>")
    path = GOLDEN / name
    if os.environ.get("GWBATCH_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def request_for(profile: Profile, queue: str, **changes: Any) -> JobRequest:
    kind = "localize" if queue == "openmp" else "plot-allsky"
    request = JobRequest(
        f"G487/{kind}/1", kind, queue, Path("/state/jobs/G487") / kind / "1", ("job.json", "coinc.xml"),
        ("bayestar.multiorder.fits", "result.json"), profile.resources(queue), 1100,
    )  # fmt: skip
    return replace(request, **changes)


def described(profile: Profile, request: JobRequest) -> str:
    return description(request, profile.scheduler, Path("/state/htcondor/events.log"), "0123abcd")


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAL_DATA_PATH", raising=False)


def written(folder: Path, nodes: Sequence[Node], profile: Profile) -> Path:
    write = make_workflow_writer(profile)
    return write(prepare_workflow(folder, nodes, {"bns": {"coinc.xml": example_event("short")}}, profile, 3)).path


@pytest.mark.parametrize("queue", ["openmp", "general"])
@pytest.mark.parametrize("site", ["htcondor-generic", "ligo-cit", "ligo-lho", "ligo-llo"])
def test_submit_descriptions(site: str, queue: str) -> None:
    profile = load_site(site, FILLED).profile
    golden(f"{site}.{queue}.sub", described(profile, request_for(profile, queue)))


@pytest.mark.parametrize("queue", ["openmp", "general"])
@pytest.mark.parametrize("site", ["slurm-generic", "ozstar", "hawk"])
def test_batch_scripts(site: str, queue: str) -> None:
    profile = load_site(site, SLURM).profile
    request = request_for(profile, queue, avoid=("n3",) if site == "hawk" else ())
    golden(f"{site}.{queue}.sbatch", batch_script(request, profile.scheduler, f"gwbatch:0123abcd:{request.key}"))


def pilot_of(profile: Profile) -> JobRequest:
    return request_for(profile, "openmp", kind="standby", resources=profile.pilot_resources("openmp"), priority=-100)


def test_a_pilot_that_other_work_may_preempt() -> None:
    pool = load_site("ligo-cit", [*FILLED, "standby.openmp.batch.nice_user=true"]).profile
    golden("pilot.sub", described(pool, pilot_of(pool)))
    cluster = load_site("ozstar", [*SLURM, 'standby.openmp.batch.partition="preemptible"']).profile
    golden("pilot.sbatch", batch_script(pilot_of(cluster), cluster.scheduler, "gwbatch:0123abcd:standby/openmp/1"))


def test_a_workflow_for_slurm(tmp_path: Path) -> None:
    profile = load_site("ozstar", SLURM).profile
    nodes = list(workflow("bns", {"coinc.xml"}, load_policy().annotation))
    folder = tmp_path / "flow"
    script = written(folder, nodes, profile)
    name = re.findall(r"gwbatch-[0-9a-f]{8}", script.read_text())[0]  # depends on the folder
    golden("workflow.sh", script.read_text().replace(name, "gwbatch-NAME"), folder=folder)
    golden(
        "workflow.collect.sbatch", (folder / "collect.sbatch").read_text().replace(name, "gwbatch-NAME"), folder=folder
    )
    node = (folder / "nodes/bns.plot-allsky/node.sbatch").read_text().replace(name, "gwbatch-NAME")
    golden("workflow.node.sbatch", node, folder=folder)


def test_a_deployment_on_slurm(tmp_path: Path) -> None:
    resident = ["resident_node=john1", "resident_time_limit=86400", "resident_qos=long"]
    settings = load_site("ozstar", [*SLURM, *(f"scheduler.{one}" for one in resident)]).profile.scheduler
    options = {"dispatcher": ["--site", "ozstar", "--set", 'a.b="it is"'], "console": ["--port", "8765"]}
    files = SlurmDeployment(tmp_path, options, settings, CommandController(1.0)).files()
    golden("gwbatch.sbatch", "".join(files.values()), state=tmp_path, python=Path(sys.executable))
    assert not (tmp_path / "deploy").exists()


def test_a_deployment_on_slurm_needs_to_know_its_node(tmp_path: Path) -> None:
    settings = load_site("ozstar", SLURM).profile.scheduler
    with pytest.raises(ConfigError, match=r"scheduler\.resident_node=NODE"):
        SlurmDeployment(tmp_path, {}, settings, CommandController(1.0)).files()


def test_a_job_that_avoids_nodes_with_an_environment_that_needs_quotes() -> None:
    settings = [*FILLED, "scheduler.keep_claim_idle=60", "queues.openmp.untouched_node=true"]
    profile = load_site("htcondor-generic", settings).profile
    environment = {"A": 'it\'s "quoted" and $(dangerous)', "LAL_DATA_PATH": "/cvmfs/a b"}
    profile = msgspec.structs.replace(
        profile, scheduler=msgspec.structs.replace(profile.scheduler, environment=environment)
    )
    golden("avoiding.openmp.sub", described(profile, request_for(profile, "openmp", avoid=("node1", "node2"))))


def test_a_workflow(tmp_path: Path) -> None:
    profile = load_site("htcondor-generic", FILLED).profile
    nodes = list(workflow("bns", {"coinc.xml"}, load_policy().annotation))
    folder = tmp_path / "flow"
    dag = written(folder, nodes, profile)
    golden("workflow.dag", dag.read_text(), folder=folder)
    golden("workflow.node.sub", (folder / "nodes/bns.plot-allsky/node.sub").read_text(), folder=folder)
    golden("workflow.json", (folder / "workflow.json").read_text())


def test_a_deployment(tmp_path: Path) -> None:
    options = {"dispatcher": ["--site", "ligo-cit", "--set", 'a.b="it is"'], "console": ["--port", "8765"]}
    settings = load_site("ligo-cit", FILLED).profile.scheduler
    deployment = DAGDeployment(tmp_path, options, settings, CommandSchedd(1.0))
    text = "".join(f"---- {path.name}\n{text}" for path, text in sorted(deployment.files().items()))
    golden("deployment", text + " ".join(deployment.command()) + "\n", state=tmp_path, python=Path(sys.executable))


def test_a_dollar_in_a_value_is_no_macro() -> None:
    profile = load_site("htcondor-generic", [*FILLED, "scheduler.accounting_user=a$(HOME)"]).profile
    text = description(request_for(profile, "openmp"), profile.scheduler, Path("/st$(HOME)ate/events.log"), "id")
    assert "accounting_group_user = a$(DOLLAR)(HOME)" in text
    assert "log = /st$(DOLLAR)(HOME)ate/events.log" in text


def test_a_value_with_a_line_break_cannot_add_a_statement() -> None:
    profile = load_site("htcondor-generic", FILLED).profile
    settings = msgspec.structs.replace(profile.scheduler, accounting_user="x\nqueue 1000")
    with pytest.raises(ConfigError, match="control character"):
        description(request_for(profile, "openmp"), settings, Path("/log"), "id")


@pytest.mark.parametrize("name", ["two words.xml", "a,b.xml"])
def test_a_file_name_that_cannot_be_transferred_is_refused(name: str) -> None:
    profile = load_site("htcondor-generic", FILLED).profile
    with pytest.raises(ConfigError, match="Cannot transfer"):
        described(profile, request_for(profile, "openmp", inputs=("job.json", name)))


@pytest.mark.parametrize("name", ["BEARER_TOKEN", "X509_USER_PROXY", "GCN_CLIENT_SECRET", "MY_PASSWORD"])
@pytest.mark.parametrize("how", ["forward", "environment"])
def test_a_credential_is_never_sent_to_a_node(name: str, how: str) -> None:
    profile = load_site("htcondor-generic", FILLED).profile
    scheduler = msgspec.structs.replace(profile.scheduler, **{how: [name] if how == "forward" else {name: "x"}})
    profile = msgspec.structs.replace(profile, scheduler=scheduler)
    with pytest.raises(ConfigError, match="looks like a credential"):
        described(profile, request_for(profile, "openmp"))


@pytest.mark.parametrize("site", ["ligo-cit", "ligo-lho", "ligo-llo"])
def test_a_profile_that_is_not_filled_in_is_refused_with_the_remedy(site: str) -> None:
    with pytest.raises(
        ConfigError, match=r"gracedb\.url, scheduler\.accounting_group.*--set scheduler\.accounting_group="
    ):
        load_site(site).profile.require_complete()
    load_site(site, FILLED).profile.require_complete()


def test_no_profile_charges_production() -> None:
    for path in (Path(__file__).parents[2] / "site-configs").glob("*.toml"):
        assert not re.search(r'^accounting_group = "[^"]+"', path.read_text(), re.MULTILINE), path


@pytest.mark.parametrize("site", ["ozstar", "hawk"])
def test_a_slurm_profile_that_is_not_filled_in_is_refused(site: str) -> None:
    with pytest.raises(ConfigError, match=r"gracedb\.url, scheduler\.account, scheduler\.job_directory are empty"):
        load_site(site).profile.require_complete()
    load_site(site, SLURM).profile.require_complete()


def test_an_accounting_group_is_asked_for_where_the_site_wants_one() -> None:
    profile = load_site("htcondor-generic", ["scheduler.accounting_required=true"]).profile
    with pytest.raises(ConfigError, match=r"scheduler\.accounting_group is empty"):
        profile.require_complete()


def test_a_template_that_asks_for_what_is_not_there_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gwbatch.schedulers import templates

    (tmp_path / "odd.sub").write_text("x = {{ nobody.knows }}")
    monkeypatch.setattr(templates, "resource_directory", lambda name: tmp_path)
    templates._environment.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"Cannot fill in the template odd\.sub"):
            render("odd.sub")
    finally:
        templates._environment.cache_clear()
