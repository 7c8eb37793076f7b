"""A fake Slurm: executables for PATH that hang, fail, or print nothing or garbage.  The test plays the cluster."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

COMMANDS = ("sbatch", "squeue", "scontrol", "scancel", "sinfo", "sacct")


class FakeSlurm:
    """A cluster in a folder that the test and the executables share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"

    def install(self, *, accounting: bool = False) -> FakeSlurm:
        """Write the executables."""
        self.bin.mkdir(parents=True, exist_ok=True)
        root = Path(__file__).parents[2]
        for name in COMMANDS[: None if accounting else -1]:
            script = self.bin / name
            script.write_text(
                f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
                f"from tests.fakes.slurm import main\nmain({str(self.folder)!r}, {name!r}, sys.argv[1:])\n"
            )
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        (self.folder / "cluster.json").write_text(
            json.dumps({"next": 1, "jobs": {}, "nodes": [], "accounted": {}, "calls": [], "environment": {}})
        )
        (self.folder / "behaviour.json").write_text("{}")
        return self

    def behave(self, **modes: str) -> None:
        """Set the modes of commands, such as ``squeue="hang"``.

        The modes are ``hang``, ``fail``, ``empty``, ``garbage``, ``refuse``, and for sbatch also ``lose``.
        """
        new = self.folder / ".behaviour.new"
        new.write_text(json.dumps(modes))
        new.replace(self.folder / "behaviour.json")

    def mode(self, command: str) -> str:
        """Return the mode of a command."""
        return str(json.loads((self.folder / "behaviour.json").read_text()).get(command, ""))

    @contextmanager
    def cluster(self) -> Iterator[dict[str, Any]]:
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            value = json.loads((self.folder / "cluster.json").read_text())
            yield value
            (self.folder / "cluster.json").write_text(json.dumps(value))

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        with self.cluster() as cluster:
            return dict(cluster["jobs"])

    def calls(self, command: str) -> int:
        with self.cluster() as cluster:
            return sum(call[0] == command for call in cluster["calls"])

    def set(self, job: str, state: str, reason: str = "None", nodes: str = "n1", exit_code: str = "0:0") -> None:
        """Put a job into a state."""
        with self.cluster() as cluster:
            cluster["jobs"][job].update(state=state, reason=reason, nodes=nodes, exit=exit_code)

    def have_nodes(self, *nodes: str) -> None:
        """Have these nodes, each as sinfo tells it: ``n1|main*|idle``."""
        with self.cluster() as cluster:
            cluster["nodes"] = nodes

    def forget(self, job: str, *, accounted: bool = False) -> None:
        """Lose a job, as slurmctld does after MinJobAge, or after a crash."""
        with self.cluster() as cluster:
            gone = cluster["jobs"].pop(job)
            if accounted:
                cluster["accounted"][job] = gone


def main(folder: str, command: str, arguments: list[str]) -> None:
    """Act as one of the executables."""
    fake = FakeSlurm(Path(folder))
    with fake.cluster() as cluster:
        cluster["calls"].append([command, arguments])
    mode = fake.mode(command)
    match mode:
        case "hang":
            hang(lambda: fake.mode(command) == "hang")
        case "fail":
            sys.exit(f"{command}: error: Unable to contact slurm controller (connect failure)")
        case "refuse":
            sys.exit("sbatch: error: Batch job submission failed: Invalid account or account/partition combination")
        case "empty":
            return
        case "garbage":
            print("%% \x00 Segmentation fault")
            return
    do = {
        "sbatch": _submit, "squeue": _queue, "scontrol": _control, "scancel": _cancel, "sinfo": _nodes,
        "sacct": _account,
    }  # fmt: skip
    do[command](fake, arguments, mode)


def hang(on: Callable[[], bool]) -> NoReturn:
    """Hang while `on` is true, for at most 120 s and no longer than the test itself lives."""
    parent, end = os.getppid(), time.monotonic() + 120
    while os.getppid() == parent and time.monotonic() < end and on():
        time.sleep(0.1)
    sys.exit(1)


def _submit(fake: FakeSlurm, arguments: list[str], mode: str) -> None:
    assert arguments == ["--parsable", "--export=ALL"]
    script = sys.stdin.read()
    directory = next(iter(re.findall(r"^#SBATCH --chdir=(.*)$", script, re.MULTILINE)), "")
    comment = next(iter(re.findall(r"^#SBATCH --comment=(.*)$", script, re.MULTILINE)), "")
    with fake.cluster() as cluster:
        job = str(cluster["next"])
        cluster["next"] += 1
        (comment,) = shlex.split(comment)
        cluster["jobs"][job] = {
            "state": "PENDING", "reason": "Priority", "nodes": "", "comment": comment, "exit": "0:0",
            "directory": directory,
        }  # fmt: skip
        cluster["environment"] = dict(os.environ)
    if mode == "lose":
        sys.exit("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    print(job)


def _queue(fake: FakeSlurm, arguments: list[str], _mode: str) -> None:
    assert "SQUEUE_PARTITION" not in os.environ
    assert "--states=all" in arguments
    assert any(argument.startswith("--user=") for argument in arguments)
    print("JOBID|STATE|REASON|CPUS|NODELIST|WORK_DIR|COMMENT")
    for job, one in fake.jobs.items():
        print(f"{job}|{one['state']}|{one['reason']}|8|{one['nodes']}|{one.get('directory', '')}|{one['comment']}")


def _control(fake: FakeSlurm, arguments: list[str], _mode: str) -> None:
    if arguments == ["--version"]:
        print("slurm-wlm 22.05.8")
        return
    job, jobs = arguments[-1], fake.jobs
    if job.isdecimal() and job not in jobs:
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    if arguments[0] == "release":
        fake.set(job, "PENDING", "None", "")
        return
    for number, one in jobs.items():
        if job in (number, "--oneliner"):
            print(
                f"JobId={number} JobName=gwbatch Comment={one['comment']} JobState={one['state']} "
                f"Reason={one['reason']} ExitCode={one['exit']} NodeList={one['nodes'] or '(null)'} NumCPUs=8 "
                f"WorkDir={one.get('directory', '')}"
            )
    if not jobs:
        print("No jobs in the system")


def _cancel(fake: FakeSlurm, arguments: list[str], _mode: str) -> None:
    job = arguments[-1]
    if job not in fake.jobs:
        sys.exit(f"scancel: error: Kill job error on job id {job}: Invalid job id specified")
    fake.set(job, "CANCELLED", exit_code="0:15")


def _nodes(fake: FakeSlurm, arguments: list[str], _mode: str) -> None:
    assert arguments == ["--Node", "--format=%N|%P|%T"]
    with fake.cluster() as cluster:
        print("NODELIST|PARTITION|STATE", *cluster["nodes"], sep="\n")


def _account(fake: FakeSlurm, arguments: list[str], _mode: str) -> None:
    with fake.cluster() as cluster:
        job = arguments[arguments.index("-j") + 1]
        one = cluster["accounted"].get(job)
    if one:
        print(f"{job}|{one['state']}|{one['exit']}|{one['nodes']}|{one.get('directory', '')}")
