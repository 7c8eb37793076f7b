"""Child processes, which must import nothing from the current folder or from the shell's PYTHONPATH."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gwbatch import children
from gwbatch.config.profile import Resources
from gwbatch.model import JobRequest, JobState
from gwbatch.schedulers.local import LocalScheduler
from tests.unit.test_local_scheduler import wait

ROOT = Path(__file__).parents[2]
HOSTILE = "import os, pathlib\npathlib.Path(os.environ['TRAP']).write_text(__file__)\n"


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder of modules that write a file when imported, name it in PYTHONPATH, and return that file."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in ("click", "gwbatch", "json", "msgspec", "sitecustomize", "confluent_kafka", "logging"):
        (folder / f"{name}.py").write_text(HOSTILE)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    return tmp_path / "sprung"


def test_a_child_imports_installed_code_only(trap: Path) -> None:
    done = subprocess.run(
        children.python("gwbatch", "--version"), env=children.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not trap.exists()
    # The trap works:
    subprocess.run([sys.executable, "-m", "gwbatch", "--version"], capture_output=True, check=False)
    assert trap.exists()


def test_a_local_job_imports_installed_code_only(trap: Path, tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "json.py").write_text(HOSTILE)
    scheduler = LocalScheduler(tmp_path / "index", environment={"TRAP": str(trap)})
    scheduler.submit(JobRequest("a", "k", "general", tmp_path / "job", resources=Resources(cores=1)))
    wait(scheduler, "a", JobState.FAILED)  # there is no job.json
    assert "job.json" in (tmp_path / "job" / "stderr").read_text()
    assert not trap.exists()


def test_the_dispatchers_listeners_import_installed_code_only(trap: Path, tmp_path: Path) -> None:
    gwbatch = Path(sys.executable).parent / "gwbatch"  # the script, as an operator types it
    spool = tmp_path / "spool"
    spool.mkdir()
    settings = ["listeners.s.kind=spool", f"listeners.s.directory={spool}"]
    command = [str(gwbatch), "run", "--state", str(tmp_path / "state")]
    command += [word for setting in settings for word in ("--set", setting)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "listener s started" in line:
            break
    (spool / "a.xml").write_bytes(b"<x/>")
    for _ in range(600):
        if (spool / "refused" / "a.xml").exists():
            break
        assert process.poll() is None
        os.sched_yield()
        subprocess.run(["sleep", "0.05"], check=True)
    process.terminate()
    process.communicate(timeout=60)
    assert (spool / "refused" / "a.xml").exists()
    assert not trap.exists()


@pytest.mark.parametrize(
    "path", sorted([*(ROOT / "submit").iterdir(), *(ROOT / "dags").iterdir()]), ids=lambda p: p.name
)
def test_every_template_that_starts_python_says_so(path: Path) -> None:
    text = path.read_text()
    for line in text.splitlines():
        if re.search(r"-m gwbatch", line):
            # The site profile sets a job's environment; everything else inherits a shell's.
            assert ("-P -m gwbatch" if path.name == "job.sh" else "-P -E -m gwbatch") in line, line
    assert "PYTHONPATH" not in text.replace("unset PYTHONPATH", "")


def test_nothing_in_the_package_starts_python_another_way() -> None:
    for path in (ROOT / "gwbatch").rglob("*.py"):
        if path.name != "children.py":
            assert not re.search(r'"-m",|sys\.executable,\s*"-', path.read_text()), path
