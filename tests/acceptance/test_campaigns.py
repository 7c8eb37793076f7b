"""Campaigns as real processes: on one machine, as MPI ranks and as workers, with kills at the worst moments."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gwbatch import children
from gwbatch.campaigns.chunks import Chunks
from gwbatch.campaigns.crew import Crew
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.products import load
from gwbatch.campaigns.running import owned
from gwbatch.campaigns.table import counts, reading
from gwbatch.campaigns.tasks import Task
from tests.campaign_products import SLEEP, results, sleepers, whole

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

MPIEXEC = Path(sys.executable).parent / "mpiexec"
OPEN_MPI = {  # settings that it needs as root, on fewer cores than ranks, and on loopback only
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo",
}  # fmt: skip
LIBRARIES = ["mpich", "openmpi"]
TWO = ("--set", "campaign.node.processes=2")
KILLS = int(os.environ.get("GWBATCH_CAMPAIGN_KILLS", "2"))  # of each kind
DEADLINE = 120.0  # s


def command(verb: str, folder: Folder, *words: str) -> list[str]:
    return children.python("gwbatch", "campaign", verb, str(folder.path), *words)


def mpi(folder: Folder, ranks: int = 3, library: str = "mpich") -> list[str]:
    launcher = str(MPIEXEC) if library == "mpich" else "mpiexec.openmpi"
    if shutil.which(launcher) is None and "GWBATCH_NEEDS_OPENMPI" not in os.environ:
        pytest.skip(f"{launcher} is missing")
    return [launcher, "-n", str(ranks), *command("run", folder, "--mpi", *TWO)]


def call(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=DEADLINE, env=children.environment(environment)
    )


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start commands in their own sessions, and kill what is left of them at the end."""
    started: list[subprocess.Popen[str]] = []

    def run(words: list[str], **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env=children.environment(environment),
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        for left in [process.pid, *(one.pid for one in of_session(process.pid))]:
            try:
                os.kill(left, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.communicate()


def of_session(session: int) -> list[psutil.Process]:
    return [one for one in psutil.process_iter() if session_of(one.pid) == session]


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def at_work(folder: Folder, module: str = "gwbatch.campaigns.child") -> list[psutil.Process]:
    """Return the live processes of a module that work on a campaign."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if module in words and process.status() != psutil.STATUS_ZOMBIE and belongs(process, folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def belongs(process: psutil.Process, folder: Folder) -> bool:
    """Tell whether a process works on a campaign, by its arguments or, for a science process, by its log file."""
    if str(folder.path) in process.cmdline():
        return True
    return Path(f"/proc/{process.pid}/fd/2").readlink().is_relative_to(folder.path)


def ranks(folder: Folder) -> list[psutil.Process]:
    found = at_work(folder, "gwbatch")
    return sorted(
        (one for one in found if "--mpi" in one.cmdline() and "python" in one.name() and rank_of(one) is not None),
        key=lambda one: int(rank_of(one) or 0),
    )


def rank_of(process: psutil.Process) -> str | None:
    environment = process.environ()
    return environment.get("PMI_RANK") or environment.get("OMPI_COMM_WORLD_RANK")


def wait(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            found = condition()
        except (psutil.Error, OSError, IndexError):
            found = None
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def done(folder: Folder) -> int:
    with reading(folder.table) as connection:
        return counts(connection)["done"]


def lay_chunks(folder: Folder, at_least: int) -> None:
    found = Chunks(folder.chunks)
    found.make()
    with owned(folder) as (held, table):
        found.lay(table, [SLEEP], 2, f"{held.number:06d}", at_least)


# ---- without kills ---------------------------------------------------------------------------------------------


def test_poison_is_set_aside_and_all_else_is_done(tmp_path: Path) -> None:
    fates = {3: {"segfault": 1.0}, 5: {"exit": 7.0}, 8: {"bad": 1.0}, 11: {"memory": 4000.0}, 13: {"unless_alone": 1.0}}
    folder = sleepers(tmp_path / "c", [0.02] * 30, fates)
    ended = call(command("run", folder, *TWO))
    assert ended.returncode == 1, ended.stderr
    found = {event: state for event, state, _ in results(folder)}
    aside = {event for event, state in found.items() if state == "set aside"}
    # The large event may succeed once it has all of the machine's memory to itself.
    assert {3, 5, 8} <= aside <= {3, 5, 8, 11}
    assert {event for event, state in found.items() if state == "done"} == set(range(30)) - aside
    told = json.loads(call(command("status", folder, "--json")).stdout)
    reasons = {one["id"]: one["reason"] for one in told["failed"]}
    assert "SIGSEGV" in reasons[3]
    assert "exit code 7" in reasons[5]
    assert reasons[8] == "it cannot be localized"
    assert call(command("retry", folder, "8")).stdout.startswith("1 events are waiting again")


@pytest.mark.parametrize("library", LIBRARIES)
def test_ranks_of_mpi_do_what_one_machine_does(tmp_path: Path, library: str) -> None:
    fates = {3: {"segfault": 1.0}, 8: {"bad": 1.0}}
    folder = sleepers(tmp_path / "c", [0.05] * 60, fates)
    ended = call(mpi(folder, library=library), **OPEN_MPI)
    assert ended.returncode == 1, ended.stderr
    assert "58 events done, 2 set aside, 0 left." in ended.stdout
    with reading(folder.table) as connection:
        names = {row["name"] for row in connection.execute("SELECT name FROM nodes WHERE events > 0")}
    assert len(names) == 3
    assert not at_work(folder)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_workers_share_chunks_and_write_the_table_themselves(tmp_path: Path, start: Any, number: int) -> None:
    """This includes events that fail and are dealt again just as all other workers leave."""
    folder = sleepers(tmp_path / "c", [0.05] * 60, {event: {"unless_alone": 1.0} for event in (7, 33, 59)})
    lay_chunks(folder, 10)
    workers = [start(command("work", folder, *TWO)) for _ in range(number)]
    for worker in workers:
        assert worker.wait(DEADLINE) == 0, worker.stdout.read()
    assert results(folder) == whole(60)


def test_a_second_run_is_refused_and_status_shows_the_first(tmp_path: Path, start: Any) -> None:
    folder = sleepers(tmp_path / "c", [0.2] * 200)
    first = start(command("run", folder, *TWO))
    wait(lambda: done(folder), "the first event")
    second = call(command("run", folder))
    assert second.returncode == 4
    assert f"process {first.pid}" in second.stderr
    told = json.loads(call(command("status", folder, "--json")).stdout)
    assert told["live"]["processes"] == 2
    assert not told["live"]["ended"]


@pytest.mark.parametrize("how", ["ctrl-c", "stop", "terminated"])
def test_it_stops_cleanly_and_goes_on(tmp_path: Path, start: Any, how: str) -> None:
    folder = sleepers(tmp_path / "c", [0.2] * 60)
    running = start(command("run", folder, *TWO))
    wait(lambda: done(folder), "the first event")
    if how == "stop":
        assert call(command("stop", folder)).returncode == 0
    else:
        running.send_signal(signal.SIGINT if how == "ctrl-c" else signal.SIGTERM)
    assert running.wait(DEADLINE) == 1
    assert not at_work(folder)
    with reading(folder.table) as connection:
        found = counts(connection)
        (interrupted,) = connection.execute("SELECT sum(interruptions) FROM events").fetchone()
    assert found["dealt"] == 0
    assert 0 < found["done"] < 60
    assert interrupted == 0
    assert call(command("run", folder, *TWO)).returncode == 0
    assert results(folder) == whole(60)


@pytest.mark.parametrize("library", LIBRARIES)
def test_ranks_stop_cleanly_too(tmp_path: Path, start: Any, library: str) -> None:
    folder = sleepers(tmp_path / "c", [0.2] * 240)
    running = start(mpi(folder, library=library), **OPEN_MPI)
    wait(lambda: done(folder), "the first event")
    assert call(command("stop", folder)).returncode == 0
    assert running.wait(DEADLINE) == 1, running.stdout.read()
    assert not at_work(folder)
    with reading(folder.table) as connection:
        assert counts(connection)["dealt"] == 0


def test_a_launcher_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.1])
    mpich = str(MPIEXEC.parent.parent / "lib" / "libmpi.so.12")
    ended = call(command("run", folder, "--mpi"), OMPI_COMM_WORLD_SIZE="3", MPI4PY_LIBMPI=mpich)
    assert ended.returncode == 2
    assert "the launcher has started that many (OMPI_COMM_WORLD_SIZE), but each sees 1" in ended.stderr
    assert results(folder) == [(0, "waiting", {})]


def test_without_an_mpi_library_it_says_what_to_do(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.1])
    ended = call(command("run", folder, "--mpi"), MPI4PY_LIBMPI="/nowhere/libmpi.so", MPI4PY_MPIABI="mpich")
    assert ended.returncode == 2
    assert "Cannot start MPI" in ended.stderr
    assert call(command("run", folder)).returncode == 0


def test_an_event_in_two_chunks_is_done_once(tmp_path: Path) -> None:
    """An owner that is killed while dealing leaves such a state behind."""
    folder = sleepers(tmp_path / "c", [0.2] * 12)
    lay_chunks(folder, 4)
    for path in list((folder.chunks / "todo").iterdir()):
        chunk = json.loads(path.read_text())
        copy = {**chunk, "name": f"copy-{chunk['name']}"}
        (path.parent / f"copy-{path.name}").write_text(json.dumps(copy))
    ended = call(command("work", folder, *TWO))
    assert ended.returncode == 0, ended.stderr
    assert results(folder) == whole(12)


def test_ranks_are_refused_while_somebody_else_works(tmp_path: Path, start: Any) -> None:
    folder = sleepers(tmp_path / "c", [0.2] * 200)
    start(command("run", folder, *TWO))
    wait(lambda: done(folder), "the first event")
    ended = call(mpi(folder))
    assert ended.returncode == 4
    assert "Cannot work on" in ended.stderr


def test_a_rank_that_cannot_go_on_ends_the_whole_program(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.05] * 40)
    folder.logs.mkdir()
    (folder.logs / f"{socket.gethostname()}-1").touch()  # where rank 1 creates its folder
    ended = call(mpi(folder))
    assert ended.returncode not in (0, None)
    assert "FileExistsError" in ended.stderr
    wait(lambda: not at_work(folder) and not ranks(folder), "the end of all ranks")
    assert call(command("run", folder, *TWO)).returncode == 0
    assert results(folder) == whole(40)


def test_an_event_has_the_threads_of_idle_processes(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [20.0], {0: {"counts_threads": 1}})
    assert call(command("run", folder, "--set", "campaign.node.processes=3")).returncode == 0
    assert results(folder) == [(0, "done", {SLEEP: {"value": 3}})]


# ---- kills -----------------------------------------------------------------------------------------------------


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    """This covers drafts of an earlier owner on any node, and of this owner's science processes."""
    folder = sleepers(tmp_path / "c", [0.02] * 4, {2: {"leaves_a_draft": 1}})
    left = folder.unfinished / "another-node-7" / "4711-sleep-3.txt"
    left.parent.mkdir(parents=True)
    left.write_text("half of")
    crew = Crew(folder, load(folder), [SLEEP], "here", size=1)
    task = Task(2, "none", "", 2, [SLEEP], 0.02, {"leaves_a_draft": 1})
    crew.give(task)
    wait(lambda: [outcome.how for outcome in crew.poll()] == ["died"], "the death of a science process")
    assert [path for path in folder.unfinished.rglob("*") if path.is_file()] == [left]
    crew.close()
    assert call(command("run", folder, *TWO)).returncode == 1
    assert not [path for path in folder.unfinished.rglob("*") if path.is_file()]


def test_an_owner_is_killed_as_it_begins(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.02] * 4)
    ended = call(command("run", folder, *TWO), GWBATCH_KILL_AT="campaign.lease.numbered:1")
    assert ended.returncode == -signal.SIGKILL
    assert call(command("run", folder, *TWO)).returncode == 0
    assert results(folder) == whole(4)


@pytest.mark.parametrize("point", ["made:3", "before_answer:3", "after_answer:3"])
def test_a_science_process_is_killed_around_its_answer(tmp_path: Path, point: str) -> None:
    folder = sleepers(tmp_path / "c", [0.02] * 20)
    ended = call(command("run", folder, *TWO), GWBATCH_KILL_AT=f"campaign.child.{point}@{tmp_path}/killed")
    assert (tmp_path / "killed").exists()
    assert ended.returncode == 0, ended.stderr
    assert results(folder) == whole(20)


OF_MPI = ["rank", "rank 0", "mpiexec"]


@pytest.mark.parametrize(("whom", "library"), [("owner", ""), ("child", ""), *itertools.product(OF_MPI, LIBRARIES)])
def test_kills_at_random_moments_leave_the_same_table(tmp_path: Path, start: Any, whom: str, library: str) -> None:
    """Whichever process is killed, another run ends with the same results, and no process is left behind."""
    generator = random.Random(whom)
    events = 40 + 30 * KILLS
    folder = sleepers(tmp_path / "c", [0.2] * events)
    for _ in range(KILLS):
        before = done(folder)
        words = mpi(folder, library=library) if library else command("run", folder, *TWO)
        running = start(words, **OPEN_MPI)
        wait(lambda before=before: done(folder) > before + 4, "some events")
        time.sleep(generator.uniform(0, 0.3))
        victim = {
            "owner": lambda pid=running.pid: psutil.Process(pid),
            "child": lambda: generator.choice(at_work(folder)),
            "rank": lambda: ranks(folder)[1],
            "rank 0": lambda: ranks(folder)[0],
            "mpiexec": lambda pid=running.pid: psutil.Process(pid),
        }[whom]
        wait(lambda victim=victim: victim().kill() or True, whom)
        if whom == "child":
            assert running.wait(DEADLINE) == 0, running.stdout.read()
            break
        running.wait(DEADLINE)
        wait(lambda: not at_work(folder) and not ranks(folder), "the end of all that were left")
    if whom != "child":
        last = call(command("run", folder, *TWO))
        assert last.returncode == 0, last.stderr
    assert results(folder) == whole(events)
    assert not [path for path in folder.unfinished.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "point",
    [
        "worker.claimed:2",
        "worker.noted:5",
        "chunk.reported:1",
        "chunk.put_back:1",
        "chunk.collected:1",
        "chunks.laid:1",
    ],
)
def test_a_worker_is_killed_and_the_others_do_its_part(tmp_path: Path, start: Any, point: str) -> None:
    folder = sleepers(tmp_path / "c", [0.05] * 60, {7: {"unless_alone": 1.0}})
    lay_chunks(folder, 10)
    kill = f"campaign.{point}@{tmp_path}/killed"
    workers = [start(command("work", folder, *TWO), GWBATCH_KILL_AT=kill) for _ in range(2)]
    codes = sorted(worker.wait(DEADLINE) for worker in workers)
    assert (tmp_path / "killed").exists()
    assert codes == [-signal.SIGKILL, 0]
    if results(folder) != whole(60):  # the killed worker was the last one
        assert call(command("run", folder, *TWO)).returncode == 0
    assert results(folder) == whole(60)
    with reading(folder.table) as connection:
        assert counts(connection) == {"done": 60}


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_many_kills_of_anybody_leave_the_same_table(tmp_path: Path, start: Any) -> None:
    """``GWBATCH_SOAK_KILLS`` is the number of kills. After each, the campaign continues in a random way."""
    generator = random.Random(18)
    kills = int(os.environ.get("GWBATCH_SOAK_KILLS", "50"))
    folder = sleepers(tmp_path / "c", [0.2] * (20 * kills))
    chunks = Chunks(folder.chunks)
    victims: dict[str, list[Callable[[int], psutil.Process]]] = {
        "run": [psutil.Process, lambda _: generator.choice(at_work(folder))],
        "mpi": [psutil.Process, lambda _: generator.choice(ranks(folder)), lambda _: generator.choice(at_work(folder))],
        "work": [psutil.Process, lambda _: generator.choice(at_work(folder))],
    }
    for number in range(kills):
        how = generator.choice(list(victims))
        before = progress_of(folder)
        if how == "work" and not chunks.has_work:
            lay_chunks(folder, 40)
        running = start(mpi(folder) if how == "mpi" else command(how, folder, *TWO))
        wait(lambda before=before: progress_of(folder) > before, f"progress before kill {number} ({how})")
        time.sleep(generator.uniform(0, 0.5))
        victim = generator.choice(victims[how])
        wait(lambda victim=victim, pid=running.pid: victim(pid).kill() or True, how)
        if running.poll() is None:
            running.send_signal(signal.SIGTERM)  # only a science process was killed, so the rest must be stopped too
        running.wait(DEADLINE)
        wait(lambda: not at_work(folder) and not ranks(folder), "the end of all that were left")
    last = call(command("run", folder, *TWO))
    assert last.returncode == 0, last.stderr
    assert results(folder) == whole(20 * kills)


def progress_of(folder: Folder) -> int:
    """Return how many events are done, in the table or in the workers' notes."""
    noted = sum(path.read_bytes().count(b"\n") for path in folder.chunks.rglob("*.part"))
    return done(folder) + noted
