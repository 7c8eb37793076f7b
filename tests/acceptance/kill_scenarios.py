"""A play that uploads triggers to a sandbox, kills the dispatcher or not, and describes GraceDB's final state."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from gwbatch import children
from gwbatch.config.policy import load_policy
from gwbatch.config.profile import GraceDBSettings
from gwbatch.demo import observatories
from gwbatch.demo.pipelines import Trigger, upload
from gwbatch.demo.processes import DemoProcesses
from gwbatch.demo.verdict import pending_work, unfinished
from gwbatch.gracedb import make_client
from gwbatch.ledger import Ledger

POLICY = load_policy()
IMPROVING = ("coincidence_far.json", "combined-ext.", "overlap_integral.")
ROOT = Path(__file__).parents[2]
STARTING = threading.Lock()  # held while a dispatcher starts, so that no fault hits it then

# Two pipelines' triggers of one source, the second of which always becomes preferred, and another event.
TRIGGERS = (Trigger("pycbc", "bns_hlv", 2.7e-4), Trigger("gstlal", "bns_hlv", 1e-9), Trigger("MBTA", "bbh_hlv", 2e-6))


class Behind(DemoProcesses):
    """Demo processes whose broker may have a proxy in front of it."""

    stand_before: Callable[[str], str] | None = None

    def start_sandbox(self) -> None:
        super().start_sandbox()
        if self.stand_before is not None:
            self.addresses["kafka"] = self.stand_before(self.addresses["kafka"])


def play(
    folder: Path,
    environment: dict[str, str],
    site: str = "local",
    settings: Sequence[str] = (),
    patience: float = 120.0,
    policy: str = "",
    before: Callable[[Ledger], object] = lambda _: None,
    lost_after: int | None = None,
    during: Callable[[DemoProcesses], None] = lambda _: None,
    stand_before: Callable[[str], str] | None = None,
) -> dict[str, Any]:
    """Upload everything, restart the dispatcher whenever it was killed, and describe what GraceDB holds.

    `policy` is added to the play's own, and `before` is called before the first trigger. With `lost_after`, a backup
    is taken after that many effects, and at the end the state directory is deleted and restored.
    `during` disturbs the stage in a thread, and the play does not end before it. `stand_before` takes the broker's
    address and returns the one that all clients use.
    """
    settings = ['plugins=["tests.acceptance.fast_jobs"]', f'plugin_folders=["{ROOT}"]', *settings]
    fast = folder / "policy.toml"
    folder.mkdir()
    fast.write_text(
        '[annotation]\nleave_out = ["bayestar.coherence.png"]\n[annotation.made_for]\n"em_bright.json" = ["cbc"]\n'
        + policy
    )
    stage = Behind(folder, site=site, policies=[fast], settings=settings, environment=environment)
    stage.stand_before = stand_before
    with stage:
        client = make_client(GraceDBSettings(stage.addresses["gracedb"], "none"))
        ledger = Ledger(stage.state / "ledger.sqlite")
        before(ledger)
        disturber = threading.Thread(target=during, args=(stage,), daemon=True)
        disturber.start()
        for trigger in TRIGGERS:
            upload(client, trigger)
        while stage.dispatcher.poll() is None and len(ledger.read("SELECT 1 FROM events")) < len(TRIGGERS):
            time.sleep(0.02)  # so that the preferred event does not depend on the notice
        observatories.send(stage.addresses["kafka"], observatories.burst(client.event("G0001").json()["gpstime"]))
        if lost_after is not None:
            back_up(stage, ledger, lost_after)
        killed = settle(stage, ledger, patience, disturber)
        if lost_after is not None:
            ledger.close()
            ledger = lose_and_restore(stage)
            settle(stage, ledger, patience)
        if "GWBATCH_KILL_AT" in environment and not environment["GWBATCH_KILL_AT"].startswith("listener"):
            assert killed, "the marked point was never reached"
        state = describe(client)
        assert list(unfinished(ledger)) == []
        ledger.close()
        return state


def back_up(stage: DemoProcesses, ledger: Ledger, effects: int) -> None:
    while ledger.read("SELECT count(*) AS n FROM effects WHERE state = 'done'")[0]["n"] < effects:
        time.sleep(0.02)
    command = children.python("gwbatch", "backup", str(stage.folder / "copy.sqlite"), "--state", str(stage.state))
    subprocess.run(command, check=True, capture_output=True)


def lose_and_restore(stage: DemoProcesses) -> Ledger:
    """Kill the dispatcher and delete its state, then start a new dispatcher from the backup."""
    dispatcher = psutil.Process(stage.dispatcher.pid)
    dispatcher.suspend()
    lost = [dispatcher, *dispatcher.children(recursive=True)]
    for process in lost:
        process.kill()
    stage.dispatcher.wait()
    _, alive = psutil.wait_procs(lost, 10)
    assert not alive, alive
    shutil.rmtree(stage.state)
    command = children.python("gwbatch", "restore", str(stage.folder / "copy.sqlite"), "--state", str(stage.state))
    subprocess.run(command, check=True, capture_output=True)
    stage.start_dispatcher()
    return Ledger(stage.state / "ledger.sqlite")


def settle(stage: DemoProcesses, ledger: Ledger, patience: float, disturber: threading.Thread | None = None) -> int:
    """Wait until all work and the disturber have ended, and return how often the dispatcher was killed."""
    killed, quiet_since, deadline = 0, None, time.monotonic() + patience
    while time.monotonic() < deadline:
        if stage.dispatcher.poll() is not None:
            assert stage.dispatcher.returncode == -signal.SIGKILL, (stage.folder / "dispatcher.log").read_text()
            killed += 1
            with STARTING:
                stage.start_dispatcher()
        heard = ledger.read("SELECT 1 FROM events UNION ALL SELECT 1 FROM external_events")
        if len(heard) < len(TRIGGERS) + 1 or pending_work(stage, ledger, POLICY):
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > 0.3 and not (disturber is not None and disturber.is_alive()):
            return killed
        time.sleep(0.05)
    raise AssertionError(
        f"not over: {list(unfinished(ledger))}\n{(stage.folder / 'dispatcher.log').read_text()[-5000:]}"
    )


def describe(client: Any) -> dict[str, Any]:
    """Return everything that matters in GraceDB, keyed by subject and independent of when it was written."""
    state: dict[str, Any] = {}
    for superevent in client.superevents("category: Production"):
        key = f"superevent of {superevent['preferred_event']}"
        wanted = ("category", "t_start", "t_0", "t_end", "preferred_event", "em_events", "em_type", "time_coinc_far")
        state[key] = {name: superevent[name] for name in wanted}
        state[key] |= {"events": sorted(superevent["gw_events"]), "labels": sorted(superevent["labels"])}
        state[key] |= annotations(client, superevent["superevent_id"])
    for event in client.events():
        state[event["graceid"]] = {"labels": sorted(event["labels"]), **annotations(client, event["graceid"])}
    return state


def annotations(client: Any, name: str) -> dict[str, Any]:
    """Return files and logs; of products that improve in a varying number of steps, only the newest version."""
    listed = [entry["filename"] for entry in client.files(name).json()["files"]]
    files = sorted(file for file in listed if "," not in file or not file.startswith(IMPROVING))
    logs = [log for log in client.logs(name).json()["logs"] if not str(log["filename"]).startswith(IMPROVING)]
    far = "coincidence_far.json"
    return {
        "files": files,
        "coincidence": client.files(name, far).json() if far in listed else None,
        "logs": Counter((log["comment"], log["filename"], tuple(sorted(log["tag_names"]))) for log in logs),
    }


def compare(state: dict[str, Any], expected: dict[str, Any]) -> None:
    """Assert that two states are equal, or say what differs."""
    assert state.keys() == expected.keys()
    for name, one in state.items():
        for aspect, value in one.items():
            other = expected[name][aspect]
            assert value == other, f"{name}, {aspect}:\n{value}\nexpected:\n{other}"
