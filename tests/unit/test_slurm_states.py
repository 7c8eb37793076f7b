"""Interpretation of Slurm's job states, reasons and refusals."""

from __future__ import annotations

import pytest

from gwbatch.model import JobState, Remedy
from gwbatch.schedulers.slurm.controller import refusal
from gwbatch.schedulers.slurm.states import Row, interpret

MEANINGS = [
    ("PENDING", "Resources", JobState.QUEUED, "Resources"),
    ("PENDING", "ReqNodeNotAvail, UnavailableNodes:n1", JobState.QUEUED, "UnavailableNodes"),
    ("PENDING", "BeginTime", JobState.QUEUED, "BeginTime"),
    ("PENDING", "JobHeldUser", JobState.HELD, "JobHeldUser"),
    ("PENDING", "JobHoldMaxRequeue", JobState.HELD, "JobHoldMaxRequeue"),
    ("REQUEUED", "None", JobState.QUEUED, ""),
    ("REQUEUE_HOLD", "None", JobState.HELD, "REQUEUE_HOLD"),
    ("CONFIGURING", "None", JobState.QUEUED, ""),
    ("RUNNING", "None", JobState.RUNNING, ""),
    ("COMPLETING", "None", JobState.RUNNING, ""),
    ("SUSPENDED", "None", JobState.RUNNING, "suspended"),
    ("COMPLETED", "None", JobState.DONE, ""),
    ("NODE_FAIL", "NodeDown", JobState.FAILED, "its node failed"),
    ("PREEMPTED", "None", JobState.FAILED, "preempted"),
    ("TIMEOUT", "TimeLimit", JobState.FAILED, "time limit"),
    ("OUT_OF_MEMORY", "OutOfMemory", JobState.FAILED, "memory"),
    ("CANCELLED by 0", "None", JobState.FAILED, "cancelled"),
    ("CANCELLED+", "None", JobState.FAILED, "cancelled"),
    ("BOOT_FAIL", "None", JobState.FAILED, "booted"),
    ("DEADLINE", "None", JobState.FAILED, "deadline"),
    ("", "", JobState.UNKNOWN, "unrecognized Slurm state"),
    ("HIBERNATING", "None", JobState.UNKNOWN, "HIBERNATING"),
]


@pytest.mark.parametrize(("word", "reason", "state", "told"), MEANINGS)
def test_every_word_has_a_meaning(word: str, reason: str, state: JobState, told: str) -> None:
    found, words, _ = interpret(Row("1", word, reason))
    assert found is state
    assert told in words


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [("JobHeldUser", Remedy.WAIT), ("JobHeldAdmin", Remedy.WAIT), ("JobHoldMaxRequeue", Remedy.RELEASE)],
)
def test_what_a_person_holds_is_left_to_that_person(reason: str, remedy: Remedy) -> None:
    assert interpret(Row("1", "PENDING", reason))[2] is remedy


def test_a_failure_tells_its_code_or_signal() -> None:
    assert interpret(Row("1", "FAILED", "NonZeroExitCode", exit_code=3, signal=0))[1] == "exit code 3"
    assert interpret(Row("1", "FAILED", "None", exit_code=0, signal=9))[1] == "killed by signal 9"
    assert interpret(Row("1", "FAILED", "NonZeroExitCode"))[1] == "ended with a failure"


@pytest.mark.parametrize(
    ("text", "for_good"),
    [
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
            True,
        ),
        ("sbatch: error: invalid partition specified: nope", True),
        ("sbatch: error: Batch job submission failed: Invalid feature specification", True),
        ("sbatch: error: Batch job submission failed: Invalid qos specification", True),
        ("sbatch: error: Batch job submission failed: Requested reservation is invalid", True),
        ("sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit)", False),
        ("sbatch: error: Batch job submission failed: Required partition not available (inactive or drain)", False),
        ("sbatch: error: Batch job submission failed: Requested node configuration is not available", False),
        ("sbatch: error: Batch job submission failed: Access/permission denied", False),
        ("sbatch: error: Batch job submission failed: Invalid authentication credential", False),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", False),
        ("", False),
    ],
)
def test_only_what_nobody_can_wait_out_is_refused_for_good(text: str, for_good: bool) -> None:
    assert refusal(text).transient is not for_good
