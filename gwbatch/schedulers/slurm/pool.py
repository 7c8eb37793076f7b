"""The nodes of a Slurm cluster, as sinfo lists them."""

from __future__ import annotations

import shutil

from gwbatch.config.profile import Profile
from gwbatch.schedulers.base import SchedulerBusy
from gwbatch.schedulers.environment import plain_environment
from gwbatch.schedulers.pool import Pool
from gwbatch.schedulers.timeouts import CommandRunner, last_line

IN_SERVICE = frozenset({"allocated", "completing", "idle", "mixed", "mixed-", "planned"})
CAN_START = "~#"  # marks of a node that is switched off and of one that is starting; Slurm starts them for a job


def ask_sinfo(profile: Profile) -> Pool | None:
    """Return the nodes in the partitions of the profile's queues, or None if there is no sinfo."""
    if shutil.which("sinfo") is None:
        return None
    wanted = {one.partition or profile.scheduler.partition for one in profile.queues.values()}
    wanted = wanted or {profile.scheduler.partition}
    code, output, errors = CommandRunner("Slurm", profile.scheduler.patience).run(
        "sinfo", "--Node", "--format=%N|%P|%T", environment=plain_environment()
    )
    header, *lines = output.splitlines() or [""]
    if code != 0 or not header.startswith("NODELIST|"):
        raise SchedulerBusy(f"sinfo failed: {last_line(errors or output)}.")
    states: dict[str, str] = {}
    for node, partition, state in (line.strip().split("|") for line in lines if line.count("|") == 2):
        is_default = partition.endswith("*")
        if partition.rstrip("*") in wanted or (is_default and "" in wanted):
            states[node] = state.rstrip(CAN_START)
    usable = [state for state in states.values() if state in IN_SERVICE]
    return Pool(nodes=len(usable), free=usable.count("idle"))
