"""One event from its upload to its map in GraceDB, with a real dispatcher and real BAYESTAR on a real batch system."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from gwbatch.config.profile import GraceDBSettings
from gwbatch.config.resources import example_event
from gwbatch.demo.pipelines import Trigger, upload, with_far
from gwbatch.demo.processes import DemoProcesses
from gwbatch.gracedb import make_client
from gwbatch.ledger import Ledger
from gwbatch.mdc import shifted
from tests.clusters.waiting import until

MAP = "bayestar.multiorder.fits"
POLICY = f"""[annotation]
superevent_when = []
[annotation.made_for]
"{MAP}" = ["cbc"]
"mchirp_source.json" = []
"""


def localize_one(folder: Path, site: str, settings: Sequence[str]) -> str:
    """Have an event localized, and return the host that did it.

    Parameters
    ----------
    folder : Path
        Folder of the sandbox and of the dispatcher's state.
    """
    folder.mkdir()
    (folder / "policy.toml").write_text(POLICY)
    stage = DemoProcesses(folder / "stage", site=site, policies=[folder / "policy.toml"], settings=settings)
    with stage, closing(Ledger(stage.state / "ledger.sqlite")) as ledger:
        client = make_client(GraceDBSettings(stage.addresses["gracedb"], "none"))
        content = with_far(shifted(example_event("short").read_bytes(), 1.2e9), 1e-9)
        graceid = upload(client, Trigger("gstlal", "bns_hlv", 1e-9), content)
        jobs = "SELECT state, reason, host FROM jobs WHERE kind = 'localize'"
        until(
            lambda: MAP in [one["filename"] for one in client.files(graceid).json()["files"]], 300,
            lambda: list(map(dict, ledger.read(jobs))),
        )  # fmt: skip
        (job,) = ledger.read(jobs)
        return str(job["host"])
