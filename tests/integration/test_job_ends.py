"""Ends of job attempts, each of which is one message, and waiting jobs, each with a submission of its own."""

from __future__ import annotations

import time

import pytest

from gwbatch.errors import BadInput
from gwbatch.executors.registry import retry_dead
from gwbatch.ledger import jobs
from gwbatch.model import JobRequest, JobState
from gwbatch.schedulers.base import SchedulerError
from tests.integration.harness import Harness, well, write_result


def localize(harness: Harness) -> jobs.Job:
    found = jobs.get(harness.ledger.connection, "G0001/localize")
    assert found is not None
    return found


def refuse_submissions(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make the batch system refuse localizations until the returned list is emptied."""
    reasons, submit = ["no such account"], harness.scheduler.submit

    def refuse(request: JobRequest) -> str:
        if reasons and request.kind == "localize":
            raise SchedulerError(reasons[0])
        return submit(request)

    monkeypatch.setattr(harness.scheduler, "submit", refuse)
    return reasons


def test_the_second_end_of_one_attempt_is_handled_too(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The submission is refused, retried and refused again. Attempt 1 ends twice, and both handlers see each end."""
    reasons = refuse_submissions(harness, monkeypatch)
    graceid = harness.upload()
    harness.settle()
    assert localize(harness).state is JobState.FAILED
    with harness.ledger.transaction() as tx:
        assert retry_dead(tx) == 1
    harness.settle()
    ends = harness.ledger.read("SELECT count(*) AS n FROM messages WHERE topic = 'job.ended'")[0]["n"]
    decided = harness.ledger.read(
        "SELECT count(*) AS n FROM handled WHERE digest IN (SELECT digest FROM messages WHERE topic = 'job.ended')"
    )[0]["n"]
    assert ends == 2
    assert decided == 4  # two handlers for each end
    reasons.clear()
    with harness.ledger.transaction() as tx:
        assert retry_dead(tx) == 1
    harness.settle()
    assert localize(harness).state is JobState.DONE
    assert "bayestar.multiorder.fits,0" in harness.files(graceid)  # the third end is a success


def test_a_retried_job_that_fails_in_the_same_way_is_tried_again(harness: Harness) -> None:
    """The second failure looks like the first but must not be mistaken for it."""
    failing = {"localize": 4}

    def work(request: JobRequest) -> None:
        if failing.get(request.kind, 0) > 0:
            failing[request.kind] -= 1
            write_result(request, error={"message": "node broke", "retryable": True})
        else:
            well(request)

    harness.scheduler.work = work
    graceid = harness.upload()
    harness.settle(60)
    assert localize(harness).state is JobState.FAILED
    assert localize(harness).attempt == 3
    with harness.ledger.transaction() as tx:
        jobs.try_again(tx, localize(harness), time.time())
    harness.settle(60)
    with harness.ledger.transaction() as tx:
        jobs.try_again(tx, localize(harness), time.time())
    harness.settle(60)
    assert localize(harness).state is JobState.DONE
    assert "bayestar.multiorder.fits,0" in harness.files(graceid)


def test_a_dead_submission_of_an_earlier_attempt_revives_no_job(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = refuse_submissions(harness, monkeypatch)
    harness.upload()
    harness.settle()
    job = localize(harness)
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
    with harness.ledger.transaction() as tx:
        jobs.try_again(tx, job, time.time())  # gwbatch jobs retry
    harness.settle()
    assert (localize(harness).state, localize(harness).attempt) == (JobState.FAILED, 2)
    first = harness.ledger.read("SELECT key FROM effects WHERE key LIKE '%/submit/1'")[0]["key"]
    with harness.ledger.transaction() as tx:
        retry_dead(tx, first)  # gwbatch deadletter retry, with the key of the wrong submission
    harness.settle()
    assert localize(harness).state is JobState.FAILED  # not stuck in WAITING
    reasons.clear()
    with harness.ledger.transaction() as tx:
        retry_dead(tx)
    harness.settle()
    assert localize(harness).state is JobState.DONE


def test_a_reader_of_maps_that_fails_oddly_ends_no_worker(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise BadInput("odd")

    monkeypatch.setattr("gwbatch.gracedb.GraceDB.download", explode)
    harness.upload()
    harness.settle()
    assert localize(harness).state is JobState.FAILED
