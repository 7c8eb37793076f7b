"""Steps around the nodes of a workflow: fetching inputs, checking results, collecting products.

DAGMan's scripts or Slurm's job script call ``python -m gwbatch.jobs.workflow pre|post|collect FOLDER [NODE]``.
``FOLDER/workflow.json`` describes the nodes, and each has a job directory ``nodes/NODE``.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from gwbatch.jobs.result import NAME, fault, read_result, write_json

PLAN = "workflow.json"
SKIP = 86  # exit code of `pre` for a node that has nothing to do
FAILED = 1
BAD_INPUT = 3


def pre(folder: Path, name: str) -> int:
    """Fetch a node's inputs; return `SKIP` when its product exists already or makes no sense for this sky map."""
    node = _plan(folder)[name]
    directory = folder / "nodes" / name
    if check_result(directory, node) is None:
        return SKIP
    for stale in (NAME, "skipped"):
        (directory / stale).unlink(missing_ok=True)
    for parent, file in node["parents"].items():
        made = folder / "nodes" / parent
        result = json.loads((made / NAME).read_text())
        if node["only_if"] and not result.get("facts", {}).get(node["only_if"]):
            (directory / "skipped").write_text(f"not applicable to this sky map ({node['only_if']} is false)\n")
            return SKIP
        shutil.copyfile(made / file, directory / file)
    for file in node["given"]:
        shutil.copyfile(folder / "inputs" / node["subject"] / file, directory / file)
    return 0


def post(folder: Path, name: str) -> int:
    """Check a node's result.json; return `BAD_INPUT` when a retry would fail the same way."""
    node = _plan(folder)[name]
    directory = folder / "nodes" / name
    wrong = check_result(directory, node)
    if wrong is None:
        (directory / "complaint").unlink(missing_ok=True)
        return 0
    (directory / "complaint").write_text(wrong + "\n")
    print(f"{name}: {wrong}", file=sys.stderr)
    error = (read_result(directory, node["key"]) or {}).get("error") or {}
    return FAILED if error.get("retryable", True) else BAD_INPUT


def collect(folder: Path) -> int:
    """Gather the products under ``products/``, and record in ``summary.json`` how every node ended."""
    nodes: dict[str, Any] = {}
    for name, node in _plan(folder).items():
        directory = folder / "nodes" / name
        if (directory / "skipped").exists():
            nodes[name] = {"state": "SKIPPED", "reason": (directory / "skipped").read_text().strip()}
            continue
        wrong = check_result(directory, node)
        if wrong is not None:
            nodes[name] = {"state": "FAILED", "reason": wrong}
            continue
        place = folder / "products" / node["subject"] / node["output"]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(directory / node["output"], place)
        result = read_result(directory, node["key"]) or {}
        kept = {key: result.get(key) for key in ("host", "cores", "run_seconds", "facts")}
        nodes[name] = {"state": "DONE", "product": str(place.relative_to(folder)), **kept}
    failed = sorted(name for name, node in nodes.items() if node["state"] == "FAILED")
    write_json(folder / "summary.json", {"version": 1, "failed": failed, "nodes": nodes})
    return FAILED if failed else 0


def check_result(directory: Path, node: dict[str, Any]) -> str | None:
    """Return why a node's product cannot be used, or None."""
    result = read_result(directory, node["key"])
    if result is None:
        return f"there is no complete {NAME}; see {directory / 'stderr'}"
    return fault(directory, result)


def _plan(folder: Path) -> dict[str, dict[str, Any]]:
    plan = json.loads((folder / PLAN).read_text())
    return dict(plan["nodes"])


def main(arguments: list[str]) -> int:
    """Run one of the steps and return its exit code."""
    step, folder, *names = arguments
    if step == "collect":
        return collect(Path(folder))
    return {"pre": pre, "post": post}[step](Path(folder), names[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
