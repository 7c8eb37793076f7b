"""A workflow as a DAG for DAGMan, from ``dags/workflow.dag``."""

from __future__ import annotations

import tempfile

from gwbatch.jobs.workflow import BAD_INPUT, SKIP
from gwbatch.schedulers.htcondor.scheduler import description
from gwbatch.schedulers.interpreter import interpreter
from gwbatch.schedulers.templates import render
from gwbatch.schedulers.workflow import IDENTITY, Plan, Workflow


def write_dag(plan: Plan) -> Workflow:
    """Write the DAG, and a submit file in the directory of every node."""
    folder, settings = plan.folder, plan.profile.scheduler
    for request in plan.requests.values():
        text = description(request, settings, folder / "events.log", IDENTITY)
        (request.directory / "node.sub").write_text(text)
    below_temporary = folder.is_relative_to(tempfile.gettempdir())
    (folder / "dagman.config").write_text(render("dagman.config", strict=not below_temporary))
    values = {"nodes": plan.nodes, "folder": folder, "retries": plan.attempts - 1, "skip": SKIP, "bad_input": BAD_INPUT}
    dag = folder / "workflow.dag"
    dag.write_text(render("workflow.dag", python=interpreter(settings), **values))
    return Workflow(dag, "condor_submit_dag")
