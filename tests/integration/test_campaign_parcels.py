"""Campaigns on nodes that do not see the campaign's folder, with processes of this machine as the batch system."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from gwbatch import children
from gwbatch.campaigns import parcels
from gwbatch.campaigns.chunks import Chunk, Chunks
from gwbatch.campaigns.dealer import FAILURES_IN_A_ROW
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.owning import Ending
from gwbatch.campaigns.parcels import OUTCOMES, Returned
from gwbatch.campaigns.planning import plan
from gwbatch.campaigns.running import owned
from gwbatch.campaigns.sending import send
from gwbatch.campaigns.settings import Science
from gwbatch.campaigns.submission import Submission
from gwbatch.campaigns.table import counts, reading
from gwbatch.campaigns.tasks import Outcome, Task
from gwbatch.config.campaign import NodeSettings
from gwbatch.config.resources import example_event
from gwbatch.errors import BadInput, ConfigError
from gwbatch.jobs.result import sha256
from gwbatch.schedulers.base import SchedulerBusy, SchedulerError
from gwbatch.schedulers.campaign import Parcel
from tests.campaign_products import SLEEP, results, sleepers, whole

TWO: dict[str, int] = {"nodes": 2, "cores": 1}
pytestmark = pytest.mark.timeout(120)


class Nodes:
    """A batch system that runs each job in a folder of its own, with only the parcel in it."""

    def __init__(self, scratch: Path, on_send: Callable[[int, Parcel], None] = lambda _number, _parcel: None) -> None:
        self.scratch, self.on_send = scratch, on_send
        self.running: dict[str, tuple[Parcel, subprocess.Popen[bytes]]] = {}
        self.sent: list[str] = []
        self.taken_back: list[str] = []
        self.states: dict[str, str] = {}  # of jobs that are in the queue and do not run
        self.avoided: list[Sequence[str]] = []

    def send(self, parcel: Parcel) -> str:
        self.sent.append(parcel.name)
        self.avoided.append(parcel.avoid)
        self.on_send(len(self.sent), parcel)
        if parcel.name in self.states:
            return parcel.name
        place = self.scratch / parcel.name
        place.mkdir(parents=True)
        shutil.copy(parcel.parcel, place)
        words = children.python("gwbatch", "campaign", "parcel", "parcel.zip", "result.zip")
        self.running[parcel.name] = (
            parcel,
            subprocess.Popen([*words, "--set", "campaign.node.processes=2"], cwd=place),
        )
        return parcel.name

    def parcels(self, folder: Path) -> Mapping[str, str]:
        for name, (parcel, process) in list(self.running.items()):
            if process.poll() is not None:
                result = self.scratch / name / "result.zip"
                if result.exists():
                    shutil.copy(result, parcel.result)
                del self.running[name]
        return dict.fromkeys(self.running, "running") | self.states

    def take_back(self, folder: Path, name: str) -> None:
        self.taken_back.append(name)
        if self.states.pop(name, None) is None:
            self.running.pop(name)[1].kill()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gwbatch.campaigns.sending.ASK_EVERY", 0.2)


def test_events_come_back_from_nodes_that_do_not_see_the_folder(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.01] * 20)
    nodes = Nodes(tmp_path / "nodes")
    assert send(folder, nodes, **TWO) is Ending.OVER
    assert results(folder) == whole(20)
    assert [folder.file(SLEEP, event, ".txt").read_text() for event in range(20)] == [str(one) for one in range(20)]
    assert not list(folder.parcels.iterdir())
    assert Chunks(folder.chunks).is_empty
    assert json.loads(folder.status.read_bytes())["ended"]


def test_parcels_that_are_lost_damaged_or_refused_go_out_again(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.01] * 12)

    def harm(number: int, parcel: Parcel) -> None:
        if number == 1:
            parcel.parcel.write_bytes(b"not a ZIP")  # the job fails and returns nothing
        if number == 2:
            raise SchedulerBusy("no answer")

    nodes = Nodes(tmp_path / "nodes", harm)
    assert send(folder, nodes, **TWO) is Ending.OVER
    assert results(folder) == whole(12)
    assert len(nodes.sent) == len(set(nodes.sent)) > 4


def test_a_parcel_that_is_refused_for_good_ends_the_sender_and_loses_nothing(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.01] * 4)

    def refuse(_number: int, _parcel: Parcel) -> None:
        raise SchedulerError("Cannot submit: no such accounting group.")

    with pytest.raises(SchedulerError, match="no such accounting group"):
        send(folder, Nodes(tmp_path / "nodes", refuse), **TWO)
    assert send(folder, Nodes(tmp_path / "nodes"), **TWO) is Ending.OVER
    assert results(folder) == whole(4)


def test_a_parcel_that_is_sent_without_an_answer_is_not_sent_twice(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.01] * 12)

    class Mute(Nodes):
        def send(self, parcel: Parcel) -> str:
            name = super().send(parcel)
            if len(self.sent) == 1:
                raise SchedulerBusy("The reply was lost.")
            return name

    nodes = Mute(tmp_path / "nodes")
    assert send(folder, nodes, **TWO) is Ending.OVER
    assert results(folder) == whole(12)
    assert not nodes.taken_back
    with reading(folder.table) as connection:
        holders = {row[0] for row in connection.execute("SELECT holder FROM events")}
    assert holders == set(nodes.sent)


def test_a_full_disk_delays_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sleepers(tmp_path / "c", [0.01] * 12)
    full = iter([True, False, True])

    def sync_or_fail(path: Path) -> None:
        if next(full, False):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("gwbatch.campaigns.parcels.sync", sync_or_fail)
    nodes = Nodes(tmp_path / "nodes")
    assert send(folder, nodes, **TWO) is Ending.OVER
    assert next(full, None) is None
    assert results(folder) == whole(12)


@pytest.mark.parametrize("state", ["held", "waiting"])
def test_what_a_parcel_held_that_cannot_run_is_done_elsewhere(tmp_path: Path, state: str) -> None:
    """A held parcel is taken back at once, and one that waits is taken back when the campaign stops."""
    folder = sleepers(tmp_path / "c", [0.01] * 12)

    def keep(number: int, parcel: Parcel) -> None:
        if number == 1:
            nodes.states[parcel.name] = state
            if state == "waiting":
                folder.stop.touch()

    nodes = Nodes(tmp_path / "nodes", keep)
    if state == "waiting":
        assert send(folder, nodes, **TWO) is Ending.STOPPED
        folder.stop.unlink()
    assert send(folder, nodes, **TWO) is Ending.OVER
    assert nodes.taken_back == nodes.sent[:1]
    assert results(folder) == whole(12)


def test_a_node_where_everything_fails_gets_no_more_parcels(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.01] * 200)

    class OneIsBad(Nodes):
        spoiled = False

        def parcels(self, folder: Path) -> Mapping[str, str]:
            """Make the first long parcel that returns after another was taken in look as if everything had failed."""
            states = super().parcels(folder)
            places = [folder / "parcels" / name for name in self.sent]
            for place in places:
                result = place / "result.zip"
                if not self.spoiled and result.exists() and not all(other.exists() for other in places):
                    self.spoiled = self.spoil(result)
            return states

        @staticmethod
        def spoil(result: Path) -> bool:
            with zipfile.ZipFile(result) as archive:
                did = msgspec.json.decode(archive.read(OUTCOMES), type=Returned)
            if len(did.outcomes) < FAILURES_IN_A_ROW:
                return False
            failed = [Outcome(one.id, "failed", "no library") for one in did.outcomes]
            with zipfile.ZipFile(result, "w") as archive:
                archive.writestr(OUTCOMES, msgspec.json.encode(Returned(did.chunk, "bad", 2, failed)))
            return True

    nodes = OneIsBad(tmp_path / "nodes")
    assert send(folder, nodes, **TWO) is Ending.OVER
    assert nodes.spoiled
    assert results(folder) == whole(200)
    assert nodes.avoided[0] == []
    assert nodes.avoided[-1] == ["bad"]
    with reading(folder.table) as connection:
        assert connection.execute("SELECT max(attempts) FROM events").fetchone()[0] == 0


class TwoHosts(Nodes):
    """Parcels return from hosts in turn; on one that is at fault, everything fails."""

    def __init__(self, scratch: Path, bad: Sequence[str] = ()) -> None:
        super().__init__(scratch)
        self.bad, self.seen, self.hosts = bad, set[str](), itertools.cycle(["first", "second"])

    def parcels(self, folder: Path) -> Mapping[str, str]:
        states = super().parcels(folder)
        for result in sorted((folder / "parcels").glob("*/result.zip")):
            if result.parent.name not in self.seen:
                self.seen.add(result.parent.name)
                avoided = self.avoided[self.sent.index(result.parent.name)]
                assert set(avoided) < {"first", "second"}, "no host is left"
                host = next(host for host in self.hosts if host not in avoided)
                self.came_from(host, result)
        return states

    def came_from(self, host: str, result: Path) -> None:
        with zipfile.ZipFile(result) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        did = msgspec.json.decode(files[OUTCOMES], type=Returned)
        outcomes = [Outcome(one.id, "failed", "no library") for one in did.outcomes]
        did = msgspec.structs.replace(did, host=host, outcomes=outcomes if host in self.bad else did.outcomes)
        with zipfile.ZipFile(result, "w") as archive:
            for name, content in {**files, OUTCOMES: msgspec.json.encode(did)}.items():
                archive.writestr(name, content)


def test_failures_on_a_host_count_over_short_parcels_and_the_next_sender_avoids_it_too(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.01] * 120)
    nodes = TwoHosts(tmp_path / "nodes", bad=["first"])

    def leave(_: object) -> None:
        if nodes.avoided[-1:] == [["first"]] and nodes.running:
            os.kill(os.getpid(), signal.SIGTERM)

    assert send(folder, nodes, **TWO, on_progress=leave) is Ending.STOPPED
    with reading(folder.table) as connection:
        assert connection.execute("SELECT name FROM nodes WHERE at_fault IS NOT NULL").fetchall()[0][0] == "first"
    known = len(nodes.sent)
    assert nodes.running, "parcels are still out"
    assert send(folder, nodes, **TWO) is Ending.OVER
    assert results(folder) == whole(120)
    assert all("first" in avoided for avoided in nodes.avoided[known : known + 1])


def test_events_that_fail_everywhere_do_not_exclude_one_host_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are set aside, and at least one host is left for the rest."""
    monkeypatch.setattr("gwbatch.campaigns.sending.FAILURES_IN_A_ROW", 4)
    folder = sleepers(tmp_path / "c", [0.01] * 36, {event: {"segfault": 1} for event in range(24, 36)})
    assert send(folder, TwoHosts(tmp_path / "nodes"), **TWO) is Ending.OVER
    with reading(folder.table) as connection:
        assert counts(connection) == {"done": 24, "set aside": 12}


def test_a_result_that_arrives_torn_is_not_taken_in(tmp_path: Path) -> None:
    torn = tmp_path / "result.zip"
    chunk = Chunk("c", 0, [])
    with zipfile.ZipFile(torn, "w") as archive:
        archive.writestr(OUTCOMES, json.dumps({"chunk": "c.0.json", "host": "n", "processes": 1, "outcomes": []}))
    assert parcels.returned(torn, chunk) == Returned("c.0.json", "n", 1, [])
    assert parcels.returned(torn, Chunk("other", 0, [])) is None
    torn.write_bytes(torn.read_bytes()[:-10])
    assert parcels.returned(torn, chunk) is None
    assert parcels.returned(tmp_path / "missing.zip", chunk) is None


def test_files_outside_the_campaign_are_never_written(tmp_path: Path) -> None:
    folder, result = Folder(tmp_path / "c"), tmp_path / "result.zip"
    with zipfile.ZipFile(result, "w") as archive:
        for name in ("files/map/../../../7.fits", "../7.fits", "campaign.json", "files/map/000/8.fits"):
            archive.writestr(name, "evil")
        archive.writestr("files/map/000/7.fits", "good")
    parcels.unpack(result, folder, [7], tmp_path / "c" / "drafts")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"result.zip", "c/files/map/000/7.fits"}


def test_poison_is_set_aside_and_the_rest_is_done(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.01] * 10, {3: {"segfault": 1}, 4: {"bad": 1}})
    assert send(folder, Nodes(tmp_path / "nodes"), **TWO) is Ending.OVER
    with reading(folder.table) as connection:
        assert counts(connection) == {"done": 8, "set aside": 2}
        reasons = dict(connection.execute("SELECT id, reason FROM events WHERE state = 'set aside'").fetchall())
    assert "SIGSEGV" in reasons[3]
    assert "cannot be localized" in reasons[4]


@pytest.mark.parametrize("at", ["claimed", "sent", "unpacked", "handed_in"])
def test_a_sender_that_is_killed_loses_nothing(tmp_path: Path, at: str) -> None:
    folder = sleepers(tmp_path / "c", [0.01] * 12)
    script = (
        "import sys; from pathlib import Path; from gwbatch.campaigns import sending; sending.ASK_EVERY = 0.2\n"
        "from tests.integration.test_campaign_parcels import Nodes, TWO\n"
        "from gwbatch.campaigns.folder import Folder\n"
        "sending.send(Folder(Path(sys.argv[1])), Nodes(Path(sys.argv[2])), **TWO)"
    )
    words = [*children.python("gwbatch")[:1], "-c", script, str(folder.path), str(tmp_path / "first")]
    environment = {**os.environ, "GWBATCH_KILL_AT": f"campaign.parcel.{at}:2"}
    root = Path(__file__).parents[2]
    done = subprocess.run(words, env={**environment, "PYTHONPATH": str(root)}, cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    # The next sender has a queue of its own, which is empty.
    assert send(folder, Nodes(tmp_path / "second"), **TWO) is Ending.OVER
    assert results(folder) == whole(12)


def test_parcels_still_out_are_taken_over_by_the_next_sender(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.3] * 8)
    nodes = Nodes(tmp_path / "nodes")

    def leave(_: object) -> None:
        if nodes.running:
            os.kill(os.getpid(), signal.SIGTERM)

    assert send(folder, nodes, **TWO, on_progress=leave) is Ending.STOPPED
    out = set(nodes.running)
    assert out
    assert send(folder, nodes, **TWO) is Ending.OVER
    assert results(folder) == whole(8)
    assert not nodes.taken_back
    with reading(folder.table) as connection:
        assert connection.execute("SELECT sum(interruptions) FROM events").fetchone()[0] == 0


def test_a_stop_waits_for_the_running_parcels_and_sends_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gwbatch.campaigns.owning.LOOK_FOR_STOP", 0.0)
    folder = sleepers(tmp_path / "c", [0.2] * 40)
    nodes = Nodes(tmp_path / "nodes", lambda number, _: folder.stop.touch() if number == 2 else None)
    assert send(folder, nodes, **TWO) is Ending.STOPPED
    assert len(nodes.sent) == 2
    with reading(folder.table) as connection:
        assert 0 < counts(connection)["done"] < 40
    folder.stop.unlink()
    assert send(folder, nodes, **TWO) is Ending.OVER
    assert results(folder) == whole(40)


def test_sigterm_on_a_node_returns_what_is_finished(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.05, 60.0])
    with owned(folder) as (_, table):
        tasks = [task for task, _, _ in table.tasks([0, 1], [SLEEP]).values()]
    parcel, result = tmp_path / "parcel.zip", tmp_path / "result.zip"
    chunk = Chunk("c", 0, tasks)
    parcels.pack(folder.settings(), chunk, parcel)
    words = children.python("gwbatch", "campaign", "parcel", str(parcel), str(result))
    with subprocess.Popen([*words, "--set", "campaign.node.processes=2"]) as process:
        made = tmp_path / ".result.zip.work" / "files" / SLEEP / "000" / "0.txt"
        end = time.monotonic() + 60
        while not made.exists() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
    did = parcels.returned(result, chunk)
    assert did is not None
    assert [(one.id, one.how) for one in did.outcomes] == [(0, "done")]


def test_a_parcel_that_comes_with_what_another_node_finished_gets_the_rest_done(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.01] * 6, {5: {"segfault": 1}})
    with owned(folder) as (_, table):
        tasks = [task for task, _, _ in table.tasks(range(6), [SLEEP]).values()]
    parcel, result = tmp_path / "parcel.zip", tmp_path / "result.zip"
    parcels.pack(folder.settings(), Chunk("c", 0, tasks[:3]), parcel)
    first = parcels.work(parcel, result, NodeSettings(processes=1))
    whole = Chunk("c", 0, tasks)
    parcels.pack(folder.settings(), whole, parcel)
    did = parcels.work(parcel, result, NodeSettings(processes=1))
    assert did == parcels.returned(result, whole)
    assert (did.kept, did.outcomes[:3]) == (3, first.outcomes)
    assert [(one.id, one.how) for one in did.own] == [(3, "done"), (4, "done"), (5, "died")]
    assert did.held > first.held > 0
    parcels.unpack(result, folder, range(6), folder.unfinished)
    assert [folder.file(SLEEP, event, ".txt").read_text() for event in range(5)] == list("01234")


def test_what_came_with_a_parcel_from_another_chunk_or_torn_is_not_kept(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [0.01] * 2)
    with owned(folder) as (_, table):
        tasks = [task for task, _, _ in table.tasks(range(2), [SLEEP]).values()]
    parcel, result = tmp_path / "parcel.zip", tmp_path / "result.zip"
    parcels.pack(folder.settings(), Chunk("other", 0, tasks), parcel)
    parcels.work(parcel, result, NodeSettings(processes=1))
    parcels.pack(folder.settings(), Chunk("c", 0, tasks), parcel)

    def again() -> Returned:
        return parcels.work(parcel, result, NodeSettings(processes=1))

    assert (again().kept, again().kept) == (0, 2)
    result.write_bytes(result.read_bytes()[:-10])
    assert again().kept == 0


def test_a_parcel_needs_neither_the_campaign_nor_the_event_files(tmp_path: Path) -> None:
    event = tmp_path / "coinc.xml"
    shutil.copy(example_event("short"), event)
    folder = Folder(tmp_path / "c")
    plan([event], folder, ["map", "stats"], Science())
    with owned(folder) as (_, table):
        (number, _, _), *_ = table.waiting()
        tasks = [task for task, _, _ in table.tasks([number], ["map", "stats"]).values()]
    chunk = Chunk("c", 0, tasks)
    parcels.pack(folder.settings(), chunk, tmp_path / "parcel.zip")
    shutil.rmtree(folder.path)
    event.unlink()
    did = parcels.work(tmp_path / "parcel.zip", tmp_path / "result.zip", NodeSettings(processes=1))
    assert [(one.how, one.reason) for one in did.outcomes] == [("done", "")]
    parcels.unpack(tmp_path / "result.zip", folder, [number], folder.unfinished)
    facts = did.outcomes[0].facts
    assert sha256(folder.file("map", number, ".fits")) == facts["map"]["sha256"]
    assert facts["stats"]["area(90)"] > 0


def test_a_parcel_holds_the_psds_that_an_event_file_names(tmp_path: Path) -> None:
    event = tmp_path / "coinc.xml"
    event.write_text(
        '0,"bayestar","--reference-psd","lstring","psd.xml"\n0,"x","--reference-psd","lstring","../no.xml"'
    )
    (tmp_path / "psd.xml").write_text("psd")
    folder = sleepers(tmp_path / "c", [0.01])
    parcels.pack(folder.settings(), Chunk("c", 0, [Task(0, str(event), "", 0, [])]), tmp_path / "parcel.zip")
    with zipfile.ZipFile(tmp_path / "parcel.zip") as archive:
        names = [name for name in archive.namelist() if name.startswith("events/")]
    assert names == ["events/0/coinc.xml", "events/0/psd.xml"]


def test_a_batch_system_that_does_not_move_files_refuses_to_send_parcels() -> None:
    wanted = Submission("slurm-generic", ["campaign.shared_folder=false"], 1, False, 1)
    with pytest.raises(ConfigError, match="does not move files"):
        wanted.batch_system()


def test_a_damaged_parcel_is_refused_with_a_plain_sentence(tmp_path: Path) -> None:
    (tmp_path / "parcel.zip").write_text("half")
    with pytest.raises(BadInput, match="Cannot read the parcel"):
        parcels.work(tmp_path / "parcel.zip", tmp_path / "result.zip", NodeSettings())
