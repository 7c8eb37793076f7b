"""The nodes of a Slurm cluster, as sinfo lists them."""

from __future__ import annotations

import shutil

from gwbatch.config.profile import Profile
from gwbatch.schedulers.base import SchedulerBusy
from gwbatch.schedulers.environment import plain_environment
from gwbatch.schedulers.pool import Pool
from gwbatch.schedulers.timeouts import CommandRunner, last_line

IN_SERVICE = frozenset({"allocated", "completing", "idle", "mixed", "planned"})


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
    for line in lines:
        node, partition, state = line.strip().split("|")
        is_default = partition.endswith("*")
        if partition.rstrip("*") in wanted or (is_default and "" in wanted):
            states[node] = state
    usable = [_bare(state) for state in states.values() if _bare(state) in IN_SERVICE]
    return Pool(nodes=len(usable), free=usable.count("idle"))


def _bare(state: str) -> str:
    """Return a state without the marks of nodes that boot or sleep; the mark of one that does not answer stays."""
    return state.rstrip("~#@^%+-")
