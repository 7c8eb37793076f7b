"""Operator commands: preferring another event, and retrying, releasing or cancelling a job."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from gwbatch.cli import cli
from gwbatch.errors import ConfigError
from gwbatch.ledger import Ledger, jobs
from gwbatch.model import JobState, JobStatus
from gwbatch.schedulers.simulated import WELL, Step
from tests.integration.harness import Harness


def gwbatch(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def first_goes(harness: Harness, key: str, state: JobState, reason: str) -> None:
    """Set the outcome of one attempt; all others succeed."""
    harness.scheduler.script = lambda request: (Step(0, state, reason),) if request.key == key else WELL


def test_somebody_prefers_another_event(harness: Harness) -> None:
    first, second = harness.upload("gstlal", far=1e-9), harness.upload("pycbc", far=1e-8)
    harness.settle()
    (superevent,) = harness.superevents()
    other = second if superevent["preferred_event"] == first else first
    done = gwbatch("superevent", "prefer", superevent["superevent_id"], other, "--state", str(harness.folder))
    assert done.exit_code == 0, done.output
    harness.settle()
    (superevent,) = harness.superevents()
    assert superevent["preferred_event"] == other
    shown = json.loads(gwbatch("superevent", "show", "S@G0001", "--state", str(harness.folder), "--json").output)
    assert any("ordered by" in entry["text"] for entry in shown["timeline"])
    assert {member["graceid"] for member in shown["members"]} == {first, second}
    refused = gwbatch("superevent", "prefer", "S@G0001", "G9", "--state", str(harness.folder))
    assert isinstance(refused.exception, ConfigError)


def test_a_failed_job_is_tried_again_by_order(harness: Harness) -> None:
    first_goes(harness, "G0001/localize/1", JobState.FAILED, "the node caught fire")
    harness.with_annotation(max_attempts=1)
    harness.upload()
    harness.settle()
    assert harness.states("jobs") == {"G0001/localize": "FAILED"}
    done = gwbatch("jobs", "retry", "G0001/localize", "--state", str(harness.folder))
    assert done.exit_code == 0, done.output
    harness.settle()
    assert harness.states("jobs")["G0001/localize"] == "DONE"
    assert isinstance(gwbatch("jobs", "retry", "G0001/localize", "--state", str(harness.folder)).exception, ConfigError)


def test_annotate_tries_again_what_failed(harness: Harness) -> None:
    first_goes(harness, "S@G0001/plot-allsky/G0001.0/1", JobState.FAILED, "the node caught fire")
    harness.with_annotation(max_attempts=1)
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert gwbatch("superevent", "annotate", "S@G0001", "--state", str(harness.folder)).exit_code == 0
    harness.settle()
    assert set(harness.states("jobs").values()) == {"DONE"}
    assert "bayestar.png,0" in harness.files(superevent["superevent_id"])


def test_a_job_is_cancelled_and_a_held_one_released(harness: Harness) -> None:
    first_goes(harness, "G0001/localize/1", JobState.HELD, "somebody held it")
    harness.upload()
    harness.settle(5)
    assert harness.states("jobs") == {"G0001/localize": "HELD"}
    assert gwbatch("jobs", "release", "G0001/localize", "--state", str(harness.folder)).exit_code == 0
    harness.settle(2)
    assert harness.ledger.read("SELECT releases FROM jobs")[0][0] == 1
    assert gwbatch("jobs", "cancel", "G0001/localize", "--state", str(harness.folder)).exit_code == 0
    harness.settle(5)
    assert harness.states("jobs") == {"G0001/localize": "CANCELLED"}
    assert harness.dead() == []
    shown = json.loads(gwbatch("jobs", "show", "G0001/localize", "--state", str(harness.folder), "--json").output)
    assert shown["reason"] == "cancelled by an operator"


def test_a_cancelled_job_does_not_come_alive_again(ledger: Ledger) -> None:
    """Neither a submission in progress nor an outdated report from the watcher revives it."""
    with ledger.transaction() as tx:
        jobs.plan(tx, "G1/a", "a", "general", "G1", {}, 0, 1.0)
        job = jobs.get(tx, "G1/a")
        assert job is not None
        assert jobs.report(tx, job, JobStatus("G1/a/1", JobState.CANCELLED), None, 1.0)
        jobs.submitted(tx, job, "local", "1", "/nowhere", 1.0)
        assert not jobs.report(tx, job, JobStatus("G1/a/1", JobState.RUNNING), None, 1.0)
        found = jobs.get(tx, "G1/a")
    assert found is not None
    assert found.state is JobState.CANCELLED
