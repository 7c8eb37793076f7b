"""A finished job whose node has a wrong clock, as the job watcher takes it in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gwbatch.jobs import result
from gwbatch.model import JobRequest
from gwbatch.simulation.server import Server
from tests.integration.harness import Harness, well
from tests.integration.test_event_products import upload


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_ledger_gets_possible_times(tmp_path: Path, server: Server, hours: int) -> None:
    def work(request: JobRequest) -> None:
        well(request)
        path = request.directory / result.NAME
        began = harness.clock.now() + 3600.0 * hours
        result.write_json(path, {**json.loads(path.read_text()), "started": began, "finished": began + 7.0})

    harness = Harness(tmp_path / "h", server, work=work)
    upload(harness)
    harness.settle()
    found = harness.ledger.read("SELECT created, started, finished FROM jobs WHERE state = 'DONE'")
    assert found
    for job in found:
        assert job["finished"] - job["started"] == pytest.approx(7.0)
        assert job["finished"] <= harness.clock.now()
        assert job["started"] == pytest.approx(job["created"], abs=60.0)
