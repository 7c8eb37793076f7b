"""Writing a workflow into a folder: its inputs, a job directory for every node, and what submits it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from gwbatch.annotation.workflow import Node
from gwbatch.config.profile import Profile
from gwbatch.errors import ConfigError
from gwbatch.jobs.catalogue import queue_of
from gwbatch.jobs.directory import REQUEST, write_request
from gwbatch.jobs.result import NAME, write_json
from gwbatch.jobs.workflow import BAD_INPUT, PLAN, SKIP
from gwbatch.model import JobRequest
from gwbatch.schedulers.interpreter import interpreter
from gwbatch.schedulers.templates import render

IDENTITY = "dag"  # of jobs that belong to no dispatcher


def write_workflow(
    folder: Path,
    nodes: Sequence[Node],
    inputs: Mapping[str, Mapping[str, Path]],
    profile: Profile,
    attempts: int,
) -> Path:
    """Make `folder` a ready workflow; returns the file to submit.

    Parameters
    ----------
    inputs : mapping
        For each subject its given files, by the name that the nodes know them by.
    attempts : int
        How often a node is tried.

    Raises
    ------
    ConfigError
        When the folder holds something already, or the site profile is not complete.
    """
    profile.require_complete("scheduler.")
    folder = folder.absolute()
    if any(character.isspace() for character in str(folder)):
        raise ConfigError(f"{folder} has a space in it, which DAGMan's scripts cannot have; choose another -o.")
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; choose another -o.")
    for subject, files in inputs.items():
        (folder / "inputs" / subject).mkdir(parents=True)
        for name, source in files.items():
            shutil.copyfile(source, folder / "inputs" / subject / name)
    requests = {node.name: _job_directory(folder, node, profile) for node in nodes}
    write_json(folder / PLAN, {"version": 1, "nodes": {node.name: _planned(node) for node in nodes}})
    write = _write_script if profile.scheduler.kind == "slurm" else _write_dag
    return write(folder, nodes, requests, profile, attempts)


def _job_directory(folder: Path, node: Node, profile: Profile) -> JobRequest:
    directory = folder / "nodes" / node.name
    directory.mkdir(parents=True)
    inputs = (*node.given, *node.parents.values())
    write_request(directory, _key(node), node.product.job, inputs, node.product.name, node.parameters, profile)
    queue = queue_of(node.product.job)
    return JobRequest(
        _key(node), node.product.job, queue, directory, (REQUEST, *inputs), (node.product.name, NAME),
        profile.resources(queue), node.priority,
    )  # fmt: skip


def _key(node: Node) -> str:
    return f"{node.subject}/{node.product.key_part}/dag"


def _planned(node: Node) -> dict[str, object]:
    return {
        "key": _key(node),
        "subject": node.subject,
        "given": node.given,
        "parents": node.parents,
        "output": node.product.name,
        "only_if": node.product.only_if,
    }


def _write_dag(
    folder: Path, nodes: Sequence[Node], requests: Mapping[str, JobRequest], profile: Profile, attempts: int
) -> Path:
    from gwbatch.schedulers.htcondor import description

    for node in nodes:
        text = description(requests[node.name], profile.scheduler, folder / "events.log", IDENTITY)
        (requests[node.name].directory / "node.sub").write_text(text)
    dag = folder / "workflow.dag"
    below_temporary = folder.is_relative_to(tempfile.gettempdir())
    (folder / "dagman.config").write_text(render("dagman.config", strict=not below_temporary))
    values = {"nodes": nodes, "folder": folder, "retries": attempts - 1, "skip": SKIP, "bad_input": BAD_INPUT}
    dag.write_text(render("workflow.dag", python=interpreter(profile.scheduler), **values))
    return dag


def _write_script(
    folder: Path, nodes: Sequence[Node], requests: Mapping[str, JobRequest], profile: Profile, attempts: int
) -> Path:
    from gwbatch.schedulers.slurm import batch_script

    job_name = f"gwbatch-{sha256(str(folder).encode()).hexdigest()[:8]}"  # of this workflow's jobs and no others
    for node in nodes:
        around = {"folder": folder, "name": node.name, "attempts": attempts, "job_name": job_name}
        text = batch_script(requests[node.name], profile.scheduler, f"gwbatch:{IDENTITY}:{node.name}", around)
        (requests[node.name].directory / "node.sbatch").write_text(text)
    settings, general = profile.scheduler, profile.resources("general")
    placement = {
        "partition": general.partition or settings.partition,
        "account": settings.account,
        "qos": general.qos,
        "reservation": general.reservation,
    }
    common = {"folder": folder, "job_name": job_name, "placement": placement, "python": interpreter(settings)}
    (folder / "collect.sbatch").write_text(render("collect.sbatch", **common))
    script = folder / "workflow.sh"
    variables = {node.name: f"node{number}" for number, node in enumerate(nodes, 1)}
    script.write_text(render("workflow.sh", nodes=nodes, variables=variables, **common))
    script.chmod(0o755)
    return script
