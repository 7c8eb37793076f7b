"""What Slurm's words mean."""

from __future__ import annotations

import pytest

from gwbatch.errors import ConfigError
from gwbatch.model import JobState, Remedy
from gwbatch.schedulers.slurm.controller import in_pyslurms_words
from gwbatch.schedulers.slurm.states import Row, meaning

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
    ("", "", JobState.UNKNOWN, "nobody here knows"),
    ("HIBERNATING", "None", JobState.UNKNOWN, "HIBERNATING"),
]


@pytest.mark.parametrize(("word", "reason", "state", "told"), MEANINGS)
def test_every_word_has_a_meaning(word: str, reason: str, state: JobState, told: str) -> None:
    found, words, _ = meaning(Row("1", word, reason))
    assert found is state
    assert told in words


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [("JobHeldUser", Remedy.WAIT), ("JobHeldAdmin", Remedy.WAIT), ("JobHoldMaxRequeue", Remedy.RELEASE)],
)
def test_what_a_person_holds_is_left_to_that_person(reason: str, remedy: Remedy) -> None:
    assert meaning(Row("1", "PENDING", reason))[2] is remedy


def test_a_failure_tells_its_code_or_signal() -> None:
    assert meaning(Row("1", "FAILED", "NonZeroExitCode", exit_code=3, signal=0))[1] == "exit code 3"
    assert meaning(Row("1", "FAILED", "None", exit_code=0, signal=9))[1] == "killed by signal 9"
    assert meaning(Row("1", "FAILED", "NonZeroExitCode"))[1] == "ended with a failure"


def test_a_batch_script_in_pyslurms_words() -> None:
    options = ["--comment='a b'", "--exclusive", "--no-requeue", "--mem=0", "--nice=5"]
    script = "#!/bin/bash\n" + "".join(f"#SBATCH {option}\n" for option in options)
    assert in_pyslurms_words(script) == {
        "comment": "a b", "resource_sharing": "exclusive", "is_requeueable": False, "memory_per_node": "0", "nice": 5,
    }  # fmt: skip


def test_an_option_without_a_word_in_pyslurm_is_refused() -> None:
    with pytest.raises(ConfigError, match="--gpus"):
        in_pyslurms_words("#SBATCH --gpus=1\n")
