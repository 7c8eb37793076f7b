"""Workflow folders: the inputs, a job directory for every node, and the file to submit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gwbatch.annotation.workflow import Node
from gwbatch.config.profile import Profile
from gwbatch.errors import ConfigError
from gwbatch.jobs.catalogue import queue_of
from gwbatch.jobs.result import NAME, write_json
from gwbatch.jobs.spec import REQUEST, write_request
from gwbatch.jobs.workflow import PLAN
from gwbatch.model import JobRequest

IDENTITY = "dag"  # stands for the dispatcher ID in jobs that belong to no dispatcher


@dataclass(frozen=True)
class Plan:
    """A workflow whose job directories are ready.

    Attributes
    ----------
    folder : Path
        Absolute path of the workflow.
    requests : mapping of str to JobRequest
        The requests, by node name.
    attempts : int
        Maximum number of attempts per node.
    """

    folder: Path
    nodes: Sequence[Node]
    requests: Mapping[str, JobRequest]
    profile: Profile
    attempts: int


@dataclass(frozen=True)
class Workflow:
    """A written workflow.

    Attributes
    ----------
    path : Path
        The file to submit.
    command : str
        The command that submits it.
    """

    path: Path
    command: str


def prepare_workflow(
    folder: Path,
    nodes: Sequence[Node],
    inputs: Mapping[str, Mapping[str, Path]],
    profile: Profile,
    attempts: int,
) -> Plan:
    """Fill `folder` with the inputs and job directories of a workflow.

    Parameters
    ----------
    inputs : mapping
        For each subject, its given files by the names that the nodes use.
    attempts : int
        Maximum number of attempts per node.

    Raises
    ------
    ConfigError
        When the folder is not empty or has a space in its path, or the site profile is incomplete.
    """
    profile.require_complete("scheduler.")
    folder = folder.absolute()
    if any(character.isspace() for character in str(folder)):
        raise ConfigError(f"Cannot use {folder}: DAGMan's scripts do not allow spaces in paths. Choose another -o.")
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"Cannot write a workflow to {folder}: it is not empty. Choose another -o.")
    for subject, files in inputs.items():
        (folder / "inputs" / subject).mkdir(parents=True)
        for name, source in files.items():
            shutil.copyfile(source, folder / "inputs" / subject / name)
    requests = {node.name: _job_directory(folder, node, profile) for node in nodes}
    write_json(folder / PLAN, {"version": 1, "nodes": {node.name: _planned(node) for node in nodes}})
    return Plan(folder, nodes, requests, profile, attempts)


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
