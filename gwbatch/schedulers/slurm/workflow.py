"""A workflow as a shell script that submits jobs with dependencies, from ``dags/workflow.sh``."""

from __future__ import annotations

from hashlib import sha256

from gwbatch.schedulers.interpreter import interpreter
from gwbatch.schedulers.slurm.scheduler import batch_script
from gwbatch.schedulers.templates import render
from gwbatch.schedulers.workflow import IDENTITY, Plan, Workflow


def write_script(plan: Plan) -> Workflow:
    """Write the script, and a batch script in the directory of every node."""
    folder, settings, general = plan.folder, plan.profile.scheduler, plan.profile.resources("general")
    job_name = f"gwbatch-{sha256(str(folder).encode()).hexdigest()[:8]}"  # unique to this workflow's jobs
    for node in plan.nodes:
        request = plan.requests[node.name]
        around = {"folder": folder, "name": node.name, "attempts": plan.attempts, "job_name": job_name}
        text = batch_script(request, settings, f"gwbatch:{IDENTITY}:{node.name}", around)
        (request.directory / "node.sbatch").write_text(text)
    placement = {
        "partition": general.partition or settings.partition,
        "account": settings.account,
        "qos": general.qos,
        "reservation": general.reservation,
    }
    common = {"folder": folder, "job_name": job_name, "placement": placement, "python": interpreter(settings)}
    (folder / "collect.sbatch").write_text(render("collect.sbatch", **common))
    script = folder / "workflow.sh"
    variables = {node.name: f"node{number}" for number, node in enumerate(plan.nodes, 1)}
    script.write_text(render("workflow.sh", nodes=plan.nodes, variables=variables, **common))
    script.chmod(0o755)
    return Workflow(script, "bash")
