"""A fake HTCondor: executables for PATH that can hang, fail, lose a reply, or print nothing or garbage.

It complements the tests on a real pool with what such a pool does not do on demand.  The test plays the pool: it
starts, ends, holds or loses jobs, and sets how each command behaves.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.slurm import hang

COMMANDS = ("condor_submit", "condor_q", "condor_rm", "condor_release", "condor_hold", "condor_status")
NUMBERS = {"IDLE": 1, "RUNNING": 2, "REMOVED": 3, "COMPLETED": 4, "HELD": 5}


class FakeCondor:
    """A pool in a folder that the test and the executables share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"

    def install(self) -> FakeCondor:
        """Write the executables."""
        self.bin.mkdir(parents=True, exist_ok=True)
        for name in COMMANDS:
            script = self.bin / name
            root = Path(__file__).parents[2]
            script.write_text(
                f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
                f"from tests.fakes.condor import main\nmain({str(self.folder)!r}, {name!r}, sys.argv[1:])\n"
            )
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        (self.folder / "pool.json").write_text(
            json.dumps({"next": 1, "jobs": {}, "slots": [], "history": [], "calls": []})
        )
        (self.folder / "behaviour.json").write_text("{}")
        return self

    def behave(self, **modes: str) -> None:
        """Set how commands behave from now on, such as ``condor_q="hang"``; without arguments all behave normally.

        The modes are ``hang``, ``fail``, ``refuse``, ``empty`` (nothing printed, exit code 0), ``garbage``, and for
        submissions ``lose`` (the job is accepted, but the reply is lost).
        """
        new = self.folder / ".behaviour.new"
        new.write_text(json.dumps(modes))
        new.replace(self.folder / "behaviour.json")

    def mode(self, command: str) -> str:
        """Return the mode of a command."""
        return str(json.loads((self.folder / "behaviour.json").read_text()).get(command, ""))

    @contextmanager
    def pool(self) -> Iterator[dict[str, Any]]:
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            value = json.loads((self.folder / "pool.json").read_text())
            yield value
            (self.folder / "pool.json").write_text(json.dumps(value))

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """The queue."""
        with self.pool() as pool:
            return dict(pool["jobs"])

    def calls(self, command: str) -> int:
        """Return how often a command was called."""
        with self.pool() as pool:
            return sum(call[0] == command for call in pool["calls"])

    # ---- what the pool does with a job -------------------------------------------------------------------

    def start(self, job: str, host: str = "node1") -> None:
        self._set(job, "RUNNING", RemoteHost=f"slot1@{host}")
        self.event(job, 1, "Job executing on host: <10.0.0.1:9618?alias=x>", f"SlotName: slot1@{host}", "Cpus = 8")

    def end(self, job: str, code: int = 0, *, silently: bool = False) -> None:
        ad = self._leave(job, {"JobStatus": 4, "ExitCode": code, "ExitBySignal": False})
        if not silently:
            self.event(job, 5, "Job terminated.", f"(1) Normal termination (return value {code})", ad=ad)

    def hold(self, job: str, code: int, reason: str) -> None:
        self._set(job, "HELD", HoldReason=reason, HoldReasonCode=code)
        self.event(job, 12, "Job was held.", reason, f"Code {code} Subcode 0")

    def vanish(self, job: str) -> None:
        with self.pool() as pool:
            del pool["jobs"][job]

    def event(self, job: str, number: int, text: str, *body: str, ad: dict[str, Any] | None = None) -> None:
        """Write an event to the job's event log."""
        with self.pool() as pool:
            log = (ad or pool["jobs"].get(job) or {}).get("UserLog") or pool["log"]
        cluster, proc = job.split(".")
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        lines = [
            f"{number:03d} ({int(cluster):03d}.{int(proc):03d}.000) {stamp} {text}",
            *(f"\t{line}" for line in body),
        ]
        with Path(log).open("a") as stream:
            stream.write("\n".join([*lines, "...", ""]))

    def _set(self, job: str, state: str, **attributes: Any) -> None:
        with self.pool() as pool:
            pool["jobs"][job].update(JobStatus=NUMBERS[state], EnteredCurrentStatus=time.time(), **attributes)

    def _leave(self, job: str, attributes: dict[str, Any]) -> dict[str, Any]:
        with self.pool() as pool:
            ad = {**pool["jobs"].pop(job), **attributes, "EnteredCurrentStatus": time.time()}
            pool["history"].append(ad)
        return ad


def main(folder: str, command: str, arguments: list[str]) -> None:
    """Act as one of the executables."""
    fake = FakeCondor(Path(folder))
    with fake.pool() as pool:
        pool["calls"].append([command, arguments])
    mode = fake.mode(command)
    match mode:
        case "hang":
            hang(lambda: fake.mode(command) == "hang")
        case "fail":
            sys.exit(
                "ERROR: Failed to connect to local queue manager\nCEDAR:6001:Failed to connect to <127.0.0.1:9618>"
            )
        case "refuse":
            sys.exit("ERROR: Failed to create job ad: Parse error in expression")
        case "empty":
            return
        case "garbage":
            print("%% \x00 Segmentation fault")
            return
    {"condor_submit": _submit, "condor_q": _queue, "condor_status": _slots}.get(command, _act)(
        fake, command, arguments, mode
    )


def _slots(fake: FakeCondor, _command: str, arguments: list[str], _mode: str) -> None:
    with fake.pool() as pool:
        pool["asked"] = arguments[arguments.index("-constraint") + 1]
        print(json.dumps(pool["slots"]) if pool["slots"] else "")  # condor_status prints nothing for no slot


def _submit(fake: FakeCondor, _command: str, _arguments: list[str], mode: str) -> None:
    text = sys.stdin.read()
    value = lambda name: re.search(rf"^\+?{name} = \"?(.*?)\"?$", text, re.MULTILINE)[1]  # noqa: E731
    with fake.pool() as pool:
        job = f"{pool['next']}.0"
        log = value("log")
        pool["jobs"][job] = {
            "ClusterId": pool["next"], "ProcId": 0, "JobStatus": 1, "GwbatchKey": value("GwbatchKey"),
            "GwbatchDispatcher": value("GwbatchDispatcher"), "UserLog": log, "EnteredCurrentStatus": time.time(),
        }  # fmt: skip
        pool["next"] += 1
        pool["log"] = log
    fake.event(job, 0, "Job submitted from host: <127.0.0.1:9618>", value("submit_event_notes"))
    if mode == "lose":
        os.kill(os.getpid(), 9)
    print(f"{job} - {job}")


def _chosen(ads: list[dict[str, Any]], arguments: list[str]) -> list[dict[str, Any]]:
    """Return the ads that match a constraint of equalities joined by && and ||."""
    if "-constraint" not in arguments:
        return ads
    expression = arguments[arguments.index("-constraint") + 1]
    python = expression.replace("&&", " and ").replace("||", " or ")
    return [ad for ad in ads if eval(python, {"__builtins__": {}}, _Ad(ad))]


class _Ad(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        return None


def _queue(fake: FakeCondor, _command: str, arguments: list[str], _mode: str) -> None:
    jobs = list(fake.jobs.values())
    if "-totals" in arguments:
        print(f"Total for all users: {len(jobs)} jobs; 0 completed")
    elif chosen := _chosen(jobs, arguments):
        print(json.dumps(chosen))


def _act(fake: FakeCondor, command: str, arguments: list[str], _mode: str) -> None:
    for ad in _chosen(list(fake.jobs.values()), arguments):
        job = f"{ad['ClusterId']}.{ad['ProcId']}"
        if command == "condor_rm":
            fake._leave(job, {"JobStatus": 3, "RemoveReason": "via condor_rm"})
            fake.event(job, 9, "Job was aborted.", "via condor_rm (by user x)", ad=ad)
        elif command == "condor_release":
            fake._set(job, "IDLE")
            fake.event(job, 13, "Job was released.", "via condor_release")
        else:
            fake.hold(job, 1, "via condor_hold")
