"""The slots of an HTCondor pool, as its collector lists them."""

from __future__ import annotations

import json
import shutil

from gwbatch.config.profile import Profile
from gwbatch.schedulers.base import SchedulerBusy
from gwbatch.schedulers.pool import Pool
from gwbatch.schedulers.timeouts import CommandRunner, last_line

# A slot that has the machine to itself: a partitionable one, or the only static one.
WHOLE = 'SlotType =!= "Dynamic" && BackfillSlot =!= True && TotalSlotCpus >= TotalCpus'


def ask_collector(profile: Profile) -> Pool | None:
    """Return the slots that are whole nodes and match the requirements of a queue, or None without condor_status."""
    if shutil.which("condor_status") is None:
        return None
    wanted = {one.requirements.replace("TARGET.", "") for one in profile.queues.values()}
    matching = " || ".join(f"({one})" for one in sorted(wanted)) if wanted and "" not in wanted else "True"
    code, output, errors = CommandRunner("HTCondor", profile.scheduler.patience).run(
        "condor_status", "-json", "-attributes", "Name,State,Cpus,TotalSlotCpus",
        "-constraint", f"{WHOLE} && ({matching})",
    )  # fmt: skip
    if code != 0:
        raise SchedulerBusy(f"condor_status failed: {last_line(errors or output)}.")
    try:
        slots = json.loads(output.strip() or "[]")  # it prints nothing when there are none
        in_service = [slot for slot in slots if slot["State"] not in ("Owner", "Drained", "Delete")]
        free = [one for one in in_service if one["State"] == "Unclaimed" and one["Cpus"] == one["TotalSlotCpus"]]
    except (ValueError, KeyError, TypeError):
        raise SchedulerBusy(f"condor_status did not return a list of slots: {output[:80]!r}.") from None
    return Pool(nodes=len(in_service), free=len(free))
