"""A fake Grid Engine: executables for PATH that fail, lose replies and forget jobs.  The test plays the cell."""

from __future__ import annotations

import fcntl
import json
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMANDS = ("qsub", "qstat", "qdel", "qmod", "qrls", "qacct")
SILENT = 'error: unable to send message to qmaster using port 6444 on host "localhost": got send error'


class FakeGridEngine:
    """A cell in a folder that the test and the executables share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"

    def install(self) -> FakeGridEngine:
        """Write the executables."""
        self.bin.mkdir(parents=True, exist_ok=True)
        root = Path(__file__).parents[2]
        for name in COMMANDS:
            script = self.bin / name
            script.write_text(
                f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
                f"from tests.fakes.gridengine import main\nmain({str(self.folder)!r}, {name!r}, sys.argv[1:])\n"
            )
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        (self.folder / "cell.json").write_text(json.dumps({"next": 1, "jobs": {}, "accounted": {}}))
        self.behave()
        return self

    def behave(self, **modes: str) -> None:
        """Set how commands behave, such as ``qstat="fail"`` or ``qsub="lose"``; without arguments, all succeed."""
        new = self.folder / ".behaviour.new"
        new.write_text(json.dumps(modes))
        new.replace(self.folder / "behaviour.json")

    @contextmanager
    def cell(self) -> Iterator[dict[str, Any]]:
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            value = json.loads((self.folder / "cell.json").read_text())
            yield value
            (self.folder / "cell.json").write_text(json.dumps(value))

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """The jobs that wait or run."""
        with self.cell() as cell:
            return dict(cell["jobs"])

    def set(self, job: str, letters: str) -> None:
        """Put a job into a state."""
        with self.cell() as cell:
            cell["jobs"][job]["letters"] = letters

    def end(self, job: str, failed: str = "0", exit_status: int = 0) -> None:
        """Let a job end."""
        with self.cell() as cell:
            cell["accounted"][job] = {**cell["jobs"].pop(job), "failed": failed, "exit_status": exit_status}

    def forget(self, job: str) -> None:
        """Lose a job, as a cell does when its spool is lost."""
        with self.cell() as cell:
            del cell["jobs"][job]


def main(folder: str, command: str, arguments: list[str]) -> None:
    """Act as one of the executables."""
    fake = FakeGridEngine(Path(folder))
    mode = json.loads((fake.folder / "behaviour.json").read_text()).get(command, "")
    if mode == "fail":
        sys.exit(SILENT)
    match command:
        case "qsub":
            _submit(fake, mode)
        case "qstat":
            _list(fake, arguments)
        case "qacct":
            _account(fake, arguments[-1])
        case "qdel":
            _delete(fake, arguments[-1])
        case _:
            _change(fake, command, arguments[-1])


def _submit(fake: FakeGridEngine, mode: str) -> None:
    (name,) = re.findall(r"^#\$ -N (\S+)$", sys.stdin.read(), re.MULTILINE)
    with fake.cell() as cell:
        job = str(cell["next"])
        cell["next"] += 1
        cell["jobs"][job] = {"name": name, "letters": "qw"}
    if mode == "lose":
        sys.exit(f"Unable to run job: {SILENT}\nExiting.")
    print(job)


def _list(fake: FakeGridEngine, arguments: list[str]) -> None:
    if "-j" in arguments:
        trouble = "<QIM_message>error: can&apos;t chdir to /nowhere: No such file or directory</QIM_message>"
        print(f"<?xml version='1.0'?>\n<detailed_job_info>{trouble}</detailed_job_info>")
        return
    rows: dict[bool, str] = {True: "", False: ""}
    for job, one in fake.jobs.items():
        there = "r" in one["letters"]
        rows[there] += (
            f"<job_list><JB_job_number>{job}</JB_job_number><JB_name>{one['name'][:10]}</JB_name>"
            f"<state>{one['letters']}</state><queue_name>{'main@n1' if there else ''}</queue_name>"
            f"<full_job_name>{one['name']}</full_job_name></job_list>"
        )
    print(
        f"<?xml version='1.0'?>\n<job_info><queue_info>{rows[True]}</queue_info>"
        f"<job_info>{rows[False]}</job_info></job_info>"
    )


def _account(fake: FakeGridEngine, job: str) -> None:
    with fake.cell() as cell:
        one = cell["accounted"].get(job)
    if one is None:
        sys.exit(f"error: job id {job} not found")
    print("=" * 62)
    for name, value in {"hostname": "n1", "jobname": one["name"], **one}.items():
        print(f"{name:12s} {value}")


def _delete(fake: FakeGridEngine, job: str) -> None:
    one = fake.jobs.get(job)
    if one is None:
        print(f'denied: job "{job}" does not exist')
        sys.exit(1)
    if "r" in one["letters"]:
        print(f"root has registered the job {job} for deletion")
        fake.end(job, "100 : assumedly after job", 137)
    else:
        print(f"root has deleted job {job}")
        fake.forget(job)


def _change(fake: FakeGridEngine, command: str, job: str) -> None:
    if job not in fake.jobs:
        print(f'denied: job "{job}" does not exist')
        sys.exit(3)
    if command == "qrls":
        print(f"modified hold of job {job}")
    fake.set(job, "qw")
