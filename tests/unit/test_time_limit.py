"""Jobs near their time limit, which end themselves and say why on any batch system."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest

from gwbatch import children
from gwbatch.jobs.result import NAME
from gwbatch.jobs.runner import EXIT_DONE, EXIT_FAILED, WARN_AT
from gwbatch.jobs.spec import REQUEST
from tests.clusters.bench import ROOT


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    request = {
        "key": "G1/nap/1", "kind": "nap", "inputs": [], "output": "rested.txt", "parameters": {"seconds": 60},
        "plugins": ["tests.clusters.sleep_jobs"], "plugin_folders": [str(ROOT)],
    }  # fmt: skip
    (tmp_path / REQUEST).write_text(json.dumps(request))
    return tmp_path


def execute(directory: Path, **environment: str) -> CompletedProcess[str]:
    return run(
        children.python("gwbatch.jobs.runner", str(directory)),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize("seconds", [-5.0, 1.0])
def test_a_job_ends_itself_and_says_why(directory: Path, seconds: float) -> None:
    done = execute(directory, **{WARN_AT: str(time.time() + seconds)})
    assert done.returncode == EXIT_FAILED
    assert "the time limit is near" in done.stderr
    result = json.loads((directory / NAME).read_text())
    assert result["error"]["retryable"]
    assert "time limit near" in result["error"]["message"]
    assert result["outputs"] == {}


def test_a_job_that_swallows_the_first_request_to_end_is_asked_again(directory: Path) -> None:
    request = json.loads((directory / REQUEST).read_text())
    (directory / REQUEST).write_text(json.dumps({**request, "kind": "stubborn-nap"}))
    assert execute(directory, **{WARN_AT: str(time.time() + 1.0)}).returncode == EXIT_FAILED
    assert "asked the job to end" in json.loads((directory / NAME).read_text())["error"]["message"]


def test_a_plug_in_that_the_node_lacks_is_named_in_the_result(directory: Path) -> None:
    request = json.loads((directory / REQUEST).read_text())
    (directory / REQUEST).write_text(json.dumps({**request, "plugins": ["nowhere_to_be_found"]}))
    assert execute(directory).returncode == EXIT_FAILED
    error = json.loads((directory / NAME).read_text())["error"]
    assert error["retryable"]
    assert "Cannot import the plug-in 'nowhere_to_be_found'" in error["message"]


def test_a_limit_that_is_far_does_not_disturb(directory: Path) -> None:
    request = json.loads((directory / REQUEST).read_text())
    (directory / REQUEST).write_text(json.dumps({**request, "parameters": {"seconds": 0}}))
    done = execute(directory, **{WARN_AT: str(time.time() + 3600)})
    assert done.returncode == EXIT_DONE, done.stderr
    assert json.loads((directory / NAME).read_text())["error"] is None
