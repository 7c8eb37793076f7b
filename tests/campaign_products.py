"""A plug-in for tests of campaigns: a product that needs no science and can be made to fail."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.campaigns.folder import Folder, write
from gwbatch.campaigns.products import Work, product
from gwbatch.campaigns.settings import CampaignSettings
from gwbatch.campaigns.table import EventRow, create
from gwbatch.errors import BadInput

ROOT = Path(__file__).parents[1]
SLEEP = "sleep"
TRACE = "GWBATCH_TEST_TRACE"  # environment variable with a file that lists every event each time it is done


@product(SLEEP)
def sleep(work: Work) -> Mapping[str, Any]:
    """Sleep for the predicted time, unless the event's truth asks for a failure."""
    fate = work.task.truth or {}
    if "segfault" in fate:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "exit" in fate:
        os._exit(int(fate["exit"]))
    if "memory" in fate:
        _ = bytearray(int(fate["memory"]) * 2**20)
    if "leaves_a_draft" in fate:
        work.draft(SLEEP, ".txt").write_text("half of")
        os.kill(os.getpid(), signal.SIGKILL)
    if "bad" in fate:
        raise BadInput("it cannot be localized")
    if "unless_alone" in fate and not work.task.alone:
        raise RuntimeError("it wants to be alone")
    if socket.gethostname() == f"node{fate.get('fails_on_node', 0.0):g}":
        raise RuntimeError("this node is at fault")
    if "counts_threads" in fate:
        return {"value": int(os.environ["OMP_NUM_THREADS"])}
    time.sleep(work.task.predicted)
    draft = work.draft(SLEEP, ".txt")
    draft.write_text(str(work.task.id))
    draft.rename(work.file(SLEEP, ".txt"))
    if (trace := os.environ.get(TRACE)) is not None:
        with Path(trace).open("a") as stream:
            stream.write(f"{work.task.id}\n")
    return {"value": work.task.id**2}


def sleepers(
    path: Path, times: Iterable[float], fates: Mapping[int, dict[str, float]] | None = None, detectors: str = "H1,L1"
) -> Folder:
    """Make a campaign of events that take the given times (s)."""
    folder = Folder(path)
    folder.path.mkdir(parents=True)
    rows = (
        EventRow(number, f"e{number}", 1, number, detectors, 300, seconds, None, None, (fates or {}).get(number))
        for number, seconds in enumerate(times)
    )
    create(folder.table, "key", [("none", "")], rows, {})
    write(
        folder.settings_file,
        CampaignSettings("key", [SLEEP], plugins=["tests.campaign_products"], plugin_folders=[str(ROOT)]),
    )
    return folder


def results(folder: Folder) -> list[tuple[Any, ...]]:
    """Return the results, which must not depend on how often the campaign was interrupted."""
    from gwbatch.campaigns.table import reading

    with reading(folder.table) as connection:
        rows = connection.execute("SELECT id, state, facts FROM events ORDER BY id").fetchall()
    return [(row["id"], row["state"], json.loads(row["facts"] or "{}")) for row in rows]


def whole(number: int) -> list[tuple[Any, ...]]:
    """Return what `results` gives when all `number` events are done."""
    return [(event, "done", {SLEEP: {"value": event**2}}) for event in range(number)]


def owner(folder: Folder) -> dict[str, Any]:
    """Return the record of the campaign's owner."""
    found: dict[str, Any] = msgspec.json.decode(folder.owner.read_bytes())
    return found
