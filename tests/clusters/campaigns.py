"""Tests of campaigns for every real batch system."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gwbatch import children
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.table import counts, reading
from gwbatch.config.resources import example_event
from gwbatch.model import JobState
from tests.campaign_products import results, sleepers, whole
from tests.clusters.bench import SchedulerBench
from tests.clusters.waiting import until

INJECTIONS = Path(__file__).parents[1] / "data" / "injections-short.xml.gz"


def gwbatch(*words: object, code: int = 0) -> Any:
    """Run a campaign command, and return the JSON that it prints."""
    done = subprocess.run(
        children.python("gwbatch", "campaign", *map(str, words), "--json"), capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def done(folder: Folder) -> int:
    """Return the number of events that are done."""
    with reading(folder.table) as connection:
        return counts(connection)["done"]


class CampaignPlays:
    """Tests for each batch system, which the options in ``site`` select; ``evict`` evicts one running job."""

    nodes: int

    def test_workers_localize_real_events(self, tmp_path: Path, site: list[str]) -> None:
        folder = Folder(tmp_path / "c")
        gwbatch("plan", INJECTIONS, example_event("short"), "-o", folder.path, "--products", "map,stats")
        made = gwbatch("submit", folder.path, "--nodes", 2, *site)
        assert made["jobs"]
        assert gwbatch("submit", folder.path, "--nodes", 2, *site, code=4) is None
        until(lambda: done(folder) == 3, 300, lambda: gwbatch("status", folder.path))
        assert gwbatch("stats", folder.path)["events"] == 3
        assert gwbatch("verify", folder.path)["faults"] == []

    def test_a_worker_that_is_sent_away_costs_nothing_but_time(
        self, tmp_path: Path, site: list[str], evict: Callable[[Folder], None]
    ) -> None:
        folder = sleepers(tmp_path / "c", [0.5] * 80)
        gwbatch("submit", folder.path, "--nodes", 2, "--cores", 2, *site)
        until(lambda: gwbatch("status", folder.path)["workers"], 90)
        until(lambda: any(beat["done"] > 2 for beat in gwbatch("status", folder.path)["workers"]), 90)
        evict(folder)
        until(lambda: done(folder) == 80, 200, lambda: gwbatch("status", folder.path))
        assert results(folder) == whole(80)

    def test_an_alert_does_not_wait_for_a_campaign(
        self, tmp_path: Path, site: list[str], alerts: SchedulerBench, queue: Callable[[Folder], Mapping[str, str]]
    ) -> None:
        """A localization starts although a campaign has every node, and the campaign continues afterwards."""
        folder = sleepers(tmp_path / "c", [0.5] * 160)
        gwbatch("submit", folder.path, "--nodes", self.nodes, "--cores", 2, *site)
        until(lambda: list(queue(folder).values()).count("running") == self.nodes, 90, lambda: queue(folder))
        until(lambda: len(gwbatch("status", folder.path)["workers"]) == self.nodes, 90)
        began = time.monotonic()
        request = alerts.submit(1.0)
        alerts.until(request, JobState.DONE)
        print(f"the whole-node job was done {time.monotonic() - began:.1f} s after it was submitted")
        assert gwbatch("status", folder.path)["left"]
        until(lambda: done(folder) == 160, 200, lambda: gwbatch("status", folder.path))
        assert results(folder) == whole(160)

    def test_a_campaign_that_was_stopped_is_resumed(
        self, tmp_path: Path, site: list[str], queue: Callable[[Folder], Any]
    ) -> None:
        folder = sleepers(tmp_path / "c", [0.5] * 40)
        gwbatch("submit", folder.path, "--nodes", 1, "--cores", 2, *site)
        until(lambda: any(beat["done"] for beat in gwbatch("status", folder.path)["workers"]), 90)
        subprocess.run(children.python("gwbatch", "campaign", "stop", str(folder.path)), check=True)
        until(lambda: not queue(folder), 60)
        assert 0 < done(folder) < 40
        gwbatch("resume", folder.path)
        until(lambda: done(folder) == 40, 120, lambda: gwbatch("status", folder.path))
        assert results(folder) == whole(40)
