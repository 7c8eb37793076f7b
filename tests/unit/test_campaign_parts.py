"""The parts of a campaign: settings, cost, lease, use of a node, batch jobs, chunks and packing."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from pathlib import Path

import msgspec
import pytest

from gwbatch.campaigns import chunks as chunk_files
from gwbatch.campaigns import lease
from gwbatch.campaigns.chunks import GIVEN_UP_AFTER, SINGLE_AFTER, Beat, Chunk, Chunks
from gwbatch.campaigns.cost import predict, samples
from gwbatch.campaigns.folder import Folder, write
from gwbatch.campaigns.lease import Owner
from gwbatch.campaigns.node import share
from gwbatch.campaigns.packing import faults, open_map, pack
from gwbatch.campaigns.products import in_order
from gwbatch.campaigns.ranks import check_size, choose_library
from gwbatch.campaigns.settings import science_from
from gwbatch.campaigns.table import Settled, Table, counts, reading
from gwbatch.campaigns.tasks import Outcome, Task
from gwbatch.campaigns.working import tend
from gwbatch.config.campaign import CampaignSite, NodeSettings
from gwbatch.config.profile import load_site
from gwbatch.errors import AlreadyRunning, BadInput, ConfigError, LeaseLost
from gwbatch.schedulers import make_campaign_jobs
from gwbatch.schedulers.campaign import Wish
from gwbatch.schedulers.slurm.campaign import launcher
from tests.campaign_products import SLEEP, results, sleepers, whole

# ---- settings --------------------------------------------------------------------------------------------------


def test_settings_are_laid_over_the_defaults() -> None:
    science = science_from(["f_low=20", "contours=50,90", "rescale_loglikelihood=1", "cosmology=true"])
    assert (science.f_low, science.contours, science.rescale_loglikelihood) == (20.0, [50.0, 90.0], 1.0)
    assert science.cosmology is True


@pytest.mark.parametrize("text", ["f_low", "nonsense=1", "f_low=low", "contours=50,200"])
def test_settings_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="Cannot"):
        science_from([text])


def test_products_come_after_what_they_need() -> None:
    assert [one.name for one in in_order(["stats"])] == ["map", "stats"]
    with pytest.raises(ConfigError, match="Cannot make 'mapp'"):
        in_order(["mapp"])


def test_a_folder_that_is_no_campaign_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no campaign\.json"):
        Folder(tmp_path).settings()
    (tmp_path / "campaign.json").write_text('{"key": "k", "products": [], "version": 99}')
    with pytest.raises(BadInput, match="version 99"):
        Folder(tmp_path).settings()


# ---- cost ------------------------------------------------------------------------------------------------------


def test_two_near_detectors_need_fewer_samples_than_three_far_ones() -> None:
    hanford, livingston = (-2161414.9, -3834695.2, 4600350.2), (-74276.0, -5496283.7, 3224257.0)
    virgo = (4546374.1, 842989.7, 4378576.9)
    two = samples([hanford, livingston], [10, 10], 8192, 10_000)
    three = samples([hanford, livingston, virgo], [10, 10, 10], 8192, 10_000)
    assert 150 < two < 200
    assert 350 < three < 500
    assert samples([hanford, livingston], [10, 10], 8192, 31) == 31
    assert predict(400) == pytest.approx(37.2, abs=0.1)


# ---- the lease -------------------------------------------------------------------------------------------------


def test_a_second_owner_on_this_machine_is_refused_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "owner.json"
    held = lease.take(path, 0)
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        lease.take(path, 0)
    held.release()
    assert lease.take(path, 0).number == held.number + 1
    owner = lease.read(path)
    assert owner is not None
    write(path, msgspec.structs.replace(owner, start="another process"))
    assert lease.take(path, 0).number == held.number + 2


def test_an_owner_on_another_node_lives_as_long_as_its_number_grows(tmp_path: Path) -> None:
    path = tmp_path / "owner.json"
    write(path, Owner(4, "elsewhere", 1, "x", "17", 3))
    waited: list[Owner] = []
    assert lease.take(path, 0, patience=0.2, on_wait=waited.append).number == 5
    assert [owner.host for owner in waited] == ["elsewhere"]


def test_an_owner_that_beats_keeps_the_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "owner.json"
    owner = Owner(4, "elsewhere", 1, "x", "17", 3)
    write(path, owner)

    def beat(_seconds: float) -> None:
        write(path, msgspec.structs.replace(owner, beat=4))

    monkeypatch.setattr("time.sleep", beat)
    with pytest.raises(AlreadyRunning, match="batch job 17"):
        lease.take(path, 0, patience=5.0)


def test_who_cannot_wait_takes_an_owner_elsewhere_for_alive(tmp_path: Path) -> None:
    path = tmp_path / "owner.json"
    write(path, Owner(4, "elsewhere", 1, "x", ""))
    with pytest.raises(AlreadyRunning):
        lease.take(path, 0, patience=None)


def test_an_owner_that_was_replaced_finds_out(tmp_path: Path) -> None:
    path = tmp_path / "owner.json"
    held = lease.take(path, 0)
    write(path, Owner(held.number + 1, "elsewhere", 1, "x", ""))
    with pytest.raises(LeaseLost):
        held.beat()


def test_of_two_newcomers_one_has_the_number(tmp_path: Path) -> None:
    path = tmp_path / "owner.json"
    me = Owner(1, socket.gethostname(), os.getpid(), lease.start_of(os.getpid()), "")
    write(tmp_path / ".owner-000000001", me)
    with pytest.raises(AlreadyRunning, match="just started on it"):
        lease.take(path, 0)


def test_a_newcomer_that_died_at_once_keeps_the_number_from_nobody(tmp_path: Path) -> None:
    path = tmp_path / "owner.json"
    write(tmp_path / ".owner-000000001", Owner(1, socket.gethostname(), os.getpid(), "another process", ""))
    write(tmp_path / ".owner-000000002", Owner(2, "elsewhere", 1, "x", ""))
    held = lease.take(path, 0, patience=0.2)
    assert held.number == 3
    assert [mark.name for mark in tmp_path.glob(".owner-*")] == [".owner-000000003"]


def test_an_owner_elsewhere_that_lets_go_is_not_taken_for_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "owner.json"
    owner = Owner(4, "elsewhere", 1, "x", "")
    write(path, owner)
    monkeypatch.setattr("time.sleep", lambda _: write(path, msgspec.structs.replace(owner, pid=0)))
    assert lease.take(path, 0, patience=5.0).number == 5


# ---- nodes -----------------------------------------------------------------------------------------------------


def test_a_node_has_a_process_for_each_core_as_far_as_its_memory_goes() -> None:
    assert share(NodeSettings(), ["map"], 48, 100_000).size == 48
    assert share(NodeSettings(), ["map", "volume-stats"], 48, 32_000).size == 18
    assert share(NodeSettings(threads=4), ["map"], 48, 0).size == 12
    assert share(NodeSettings(processes=3), ["map"], 48, 1000)[:2] == (3, 1)
    assert share(NodeSettings(), ["map"], 1, 100).size == 1


@pytest.mark.parametrize("name", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"])
def test_a_launcher_that_does_not_fit_is_refused(name: str) -> None:
    check_size(3, {name: "3"})
    check_size(1, {})
    with pytest.raises(ConfigError, match="are incompatible"):
        check_size(1, {name: "3"})


def test_what_started_the_ranks_counts_and_not_the_allocation() -> None:
    check_size(2, {"PMI_SIZE": "2", "SLURM_NTASKS": "8"})


@pytest.mark.parametrize(
    ("environment", "is_open_mpi"),
    [
        ({}, False),
        ({"PMI_RANK": "0", "PMIX_RANK": "0"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"PMIX_RANK": "0"}, True),
        ({"PMIX_RANK": "0", "MPI4PY_LIBMPI": "/opt/libmpi.so"}, False),
        ({"PMIX_RANK": "0", "MPI4PY_MPIABI": "mpich"}, False),
    ],
)
def test_open_mpi_is_preferred_where_the_launcher_speaks_pmix(environment: dict[str, str], is_open_mpi: bool) -> None:
    """A library that the user has chosen stays."""
    changed = dict(environment)
    choose_library(changed)
    assert (changed != environment) is is_open_mpi
    assert ("libmpi.so.40" in changed.get("MPI4PY_LIBMPI", "")) is is_open_mpi


def test_the_launcher_is_the_one_beside_the_interpreter_or_the_sites(tmp_path: Path) -> None:
    (tmp_path / "mpiexec").touch()
    assert launcher("auto", str(tmp_path / "python")) == [str(tmp_path / "mpiexec"), "-ppn", "1"]
    assert launcher("auto", str(tmp_path / "else" / "python"))[0] == "srun"
    assert launcher("srun --mpi=pmi2", "python") == ["srun", "--mpi=pmi2"]


def test_a_site_that_cannot_be_meant_is_refused() -> None:
    for wrong in ({"time_limit": 1.0}, {"launcher": " "}, {"min_cores": 0}, {"node": {"threads": 0}}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, CampaignSite)


# ---- batch jobs ------------------------------------------------------------------------------------------------


def described(site: str, *settings: str, mpi: bool = False) -> str:
    """Return what would be submitted, without a batch system."""
    batch = make_campaign_jobs(load_site(site, settings).profile)
    return batch.description(Wish(Path("/shared/my-campaign"), 3, mpi, ["--site", site]))


def test_workers_on_htcondor_come_after_all_else_and_leave_at_once() -> None:
    text = described("htcondor-generic", "campaign.min_cores=16")
    for line in (
        "nice_user = true", "priority = -20", "+MaxJobRetirementTime = 0", 'request_cpus = TARGET.Cpus',
        '+GwbatchCampaign = "/shared/my-campaign"', "initialdir = /shared/my-campaign",
        'requirements = TARGET.Cpus >= 16 && (TARGET.SlotType =!= "Dynamic" || 2 * TARGET.Cpus > TARGET.TotalCpus) '
        "&& TARGET.Cpus == TARGET.TotalSlotCpus",
        'arguments = "-P -m gwbatch campaign work /shared/my-campaign --site htcondor-generic"',
    ):  # fmt: skip
        assert line in text
    with pytest.raises(ConfigError, match="without --mpi"):
        described("htcondor-generic", mpi=True)


def test_workers_on_slurm_are_an_array_that_may_be_requeued() -> None:
    text = described("slurm-generic", "campaign.partition=low", "campaign.qos=scavenger")
    for line in (
        "--array=1-3", "--requeue", "--exclusive", "--nice=1000", "--partition=low", "--qos=scavenger",
        "--signal=B:USR1@60", "--time=24:00:00",
    ):  # fmt: skip
        assert f"#SBATCH {line}" in text
    assert "-m gwbatch campaign work /shared/my-campaign --site slurm-generic &" in text


def test_an_mpi_program_on_slurm_has_a_rank_a_node() -> None:
    text = described("slurm-generic", "campaign.launcher=srun --mpi=pmi2", mpi=True)
    for line in ("#SBATCH --nodes=3", "#SBATCH --ntasks-per-node=1", "srun --mpi=pmi2 "):
        assert line in text
    assert "--array" not in text
    assert "-m gwbatch campaign run /shared/my-campaign --mpi --site slurm-generic &" in text


def test_a_site_without_a_batch_system_is_refused() -> None:
    with pytest.raises(ConfigError, match="Cannot submit a campaign to the site local, which runs jobs on this"):
        described("local")


# ---- chunks ----------------------------------------------------------------------------------------------------


def laid(folder: Folder, *, at_least: int = 1) -> tuple[Chunks, Table]:
    found, table = Chunks(folder.chunks), Table(folder.table, 1)
    found.make()
    found.lay(table, [SLEEP], 1, "000001", at_least)
    return found, table


def worked_at(chunk: Chunk) -> list[Outcome]:
    return [Outcome(task.id, "done", "", {SLEEP: {"value": task.id**2}}, 1, 1, 1, "h") for task in chunk.tasks]


def claimed(found: Chunks, worker: str) -> Chunk:
    chunk = found.claim(worker)
    assert chunk is not None
    return chunk


def test_every_event_is_in_one_chunk_and_every_chunk_with_one_worker(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [100.0] * 12)
    found, table = laid(folder)
    taken = []
    while (chunk := found.claim(f"w{len(taken)}")) is not None:
        taken.append(chunk)
    assert sorted(task.id for chunk in taken for task in chunk.tasks) == list(range(12))
    assert len(taken) > 3
    for number, chunk in enumerate(taken):
        found.note(f"w{number}", chunk, worked_at(chunk))
        found.hand_in(f"w{number}", chunk.file)
    assert found.collect(table) == 12
    assert results(folder) == whole(12)
    assert found.is_empty


def test_what_a_dead_worker_had_done_is_kept_and_the_rest_goes_to_another(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [10.0] * 4)
    found, table = laid(folder)
    chunk = claimed(found, "dead")
    done, rest = worked_at(chunk)[:3], chunk.tasks[3]
    found.note("dead", chunk, done)
    with (found.taken / "dead" / f"{chunk.file.removesuffix('.json')}.part").open("ab") as stream:
        stream.write(b'{"id": 3, "how": "do')  # killed while writing
    found.bury("dead")
    again = claimed(found, "alive")
    assert (again.tasks, again.generation) == ([rest], 1)
    assert found.collect(table) == 3


def test_a_chunk_that_is_handed_in_twice_counts_once(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [10.0] * 2)
    found, table = laid(folder)
    chunk = claimed(found, "w")
    failed = [Outcome(task.id, "failed", "no") for task in chunk.tasks]
    found.note("w", chunk, failed)
    copy = (found.taken / "w" / chunk.file).read_bytes(), (found.taken / "w" / f"{chunk.name}.0.part").read_bytes()
    found.hand_in("w", chunk.file)
    assert found.collect(table) == 2
    (found.taken / "w" / chunk.file).write_bytes(copy[0])
    (found.taken / "w" / f"{chunk.name}.0.part").write_bytes(copy[1])
    found.bury("w")
    assert found.collect(table) == 0
    assert {attempts for _, attempts, _ in table.tasks([0, 1], [SLEEP]).values()} == {1}


def test_a_chunk_that_ends_its_workers_is_taken_apart_then_given_up(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [10.0] * 3)
    found, table = laid(folder)
    for _ in range(SINGLE_AFTER):
        claimed(found, "w")
        found.bury("w")
    singles = [claimed(found, f"w{number}") for number in range(3)]
    assert [len(chunk.tasks) for chunk in singles] == [1, 1, 1]
    for number, chunk in enumerate(singles[1:], start=1):
        found.note(f"w{number}", chunk, worked_at(chunk))
        found.hand_in(f"w{number}", chunk.file)
    found.bury("w0")
    for _ in range(GIVEN_UP_AFTER - SINGLE_AFTER):
        claimed(found, "w")
        found.bury("w")
    assert found.claim("w") is None
    found.collect(table)
    with reading(folder.table) as connection:
        assert counts(connection) == {"done": 2, "waiting": 1}
        (attempts,) = connection.execute("SELECT attempts FROM events WHERE state = 'waiting'").fetchone()
    assert attempts == 1


def test_what_failed_is_dealt_again_by_whoever_tends(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [10.0] * 2)
    found, table = laid(folder)
    chunk = claimed(found, "w")
    found.note("w", chunk, [worked_at(chunk)[0], Outcome(chunk.tasks[1].id, "failed", "no")])
    found.hand_in("w", chunk.file)
    assert tend(found, table, [SLEEP], 1, "000002")
    again = claimed(found, "w")
    assert [task.id for task in again.tasks] == [chunk.tasks[1].id]
    found.note("w", again, [Outcome(again.tasks[0].id, "failed", "no")])
    found.hand_in("w", again.file)
    assert tend(found, table, [SLEEP], 1, "000003")
    last = claimed(found, "w")
    assert last.tasks[0].alone


def test_leaving_in_good_order_is_no_loss(tmp_path: Path) -> None:
    """A worker that is evicted hands in its chunk. Only one that vanishes may have been killed by an event."""
    folder = sleepers(tmp_path / "c", [10.0] * 3)
    found, _ = laid(folder)
    for number in range(3 * GIVEN_UP_AFTER):
        chunk = claimed(found, "w")
        assert (len(chunk.tasks), chunk.generation, chunk.losses) == (3, number, 0)
        found.hand_in("w", chunk.file)


def test_a_chunk_that_cannot_be_read_costs_nothing(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [10.0] * 2)
    found, table = laid(folder)
    (path,) = found.todo.iterdir()
    path.write_bytes(b"\0" * 50)
    assert found.claim("w") is None
    (found.done / "x.0.json").write_bytes(b"\0")
    assert tend(found, table, [SLEEP], 1, "000002")
    assert len(claimed(found, "w").tasks) == 2


def test_an_owner_that_is_killed_while_it_deals_loses_nothing(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [10.0] * 2)
    table, found = Table(folder.table, 1), Chunks(folder.chunks)
    found.make()
    table.write({0: "000001-000000", 1: "000001-000000"}, [], {})  # marked as dealt, but no chunk file written
    assert tend(found, table, [SLEEP], 1, "000002")
    assert len(claimed(found, "w").tasks) == 2


def test_a_chunk_that_got_lost_is_made_good(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [10.0] * 2)
    found, table = laid(folder)
    for path in found.todo.iterdir():
        path.unlink()
    assert tend(found, table, [SLEEP], 1, "000002")
    assert len(claimed(found, "w").tasks) == 2


def test_a_worker_is_gone_when_its_process_is(tmp_path: Path) -> None:
    found = Chunks(tmp_path)
    found.make()
    me = Beat("me", socket.gethostname(), os.getpid(), lease.start_of(os.getpid()), "", 1)
    write(found.workers / "me.json", me)
    assert found.is_gone("me") is False
    write(found.workers / "me.json", msgspec.structs.replace(me, start="another process"))
    assert found.is_gone("me") is True
    assert found.is_gone("nobody") is True


def test_a_worker_elsewhere_is_gone_when_its_number_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Chunks(tmp_path)
    found.make()
    beat = Beat("w", "elsewhere", 1, "x", "", 1, beat=7)
    write(found.workers / "w.json", beat)
    assert found.is_gone("w") is None
    write(found.workers / "w.json", msgspec.structs.replace(beat, beat=8))
    assert found.is_gone("w") is False
    assert found.is_gone("w") is None
    later = time.monotonic() + chunk_files.DEAD_AFTER
    monkeypatch.setattr("time.monotonic", lambda: later)
    assert found.is_gone("w") is True


def test_taking_over_from_workers_waits_for_nobody_who_is_gone_and_refuses_the_living(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [10.0] * 8)
    found, table = laid(folder, at_least=4)
    chunk = claimed(found, "dead")
    found.note("dead", chunk, worked_at(chunk)[:1])
    chunk_files.recall(folder, table)
    with reading(folder.table) as connection:
        assert counts(connection) == {"done": 1, "waiting": 7}
    found.lay(table, [SLEEP], 1, "000002", 4)
    claimed(found, "me")
    todo = sorted(path.name for path in found.todo.iterdir())
    me = Beat("me", socket.gethostname(), os.getpid(), lease.start_of(os.getpid()), "", 1)
    write(found.workers / "me.json", me)
    with pytest.raises(AlreadyRunning, match="1 workers are working on it"):
        chunk_files.recall(folder, table)
    assert sorted(path.name for path in found.todo.iterdir()) == todo != []


# ---- packing ---------------------------------------------------------------------------------------------------


def with_map(folder: Folder, event: int, content: bytes) -> Settled:
    """Write the map of an event, and return its entry for the table."""
    path = folder.file("map", event, ".fits")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    facts = {"map": {"sha256": hashlib.sha256(content).hexdigest()}}
    return Settled(Outcome(event, "done", "", facts), "done", 0, 0, "n", 0.0)


def test_a_map_that_was_made_again_after_packing_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [1.0] * 2)
    table = Table(folder.table, 1)
    table.write({}, [with_map(folder, 0, b"zero"), with_map(folder, 1, b"one")], {})
    assert pack(folder) == {"maps-000.zip": 2}
    assert not folder.file("map", 1, ".fits").exists()
    assert faults(folder) == {}
    archive = folder.packed / "maps-000.zip"
    archive.write_bytes(archive.read_bytes().replace(b"one", b"0ne"))
    assert list(faults(folder)) == [1]
    table.again([1])
    assert pack(folder) == {}  # a block is not packed while one of its maps must be made again
    table.write({}, [with_map(folder, 1, b"one again")], {})
    assert faults(folder) == {}
    assert pack(folder) == {"maps-000.zip": 2}
    assert faults(folder) == {}
    source = open_map(folder, 1)
    assert not isinstance(source, Path)
    assert source.getvalue() == b"one again"


def test_a_map_that_is_damaged_is_not_packed(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [1.0])
    Table(folder.table, 1).write({}, [with_map(folder, 0, b"zero")], {})
    folder.file("map", 0, ".fits").write_bytes(b"other")
    with pytest.raises(BadInput, match="has changed since it was made"):
        pack(folder)
    folder.file("map", 0, ".fits").unlink()
    with pytest.raises(BadInput, match="is missing"):
        pack(folder)
    assert not list(folder.packed.glob("*.zip"))


def test_a_task_survives_the_journey() -> None:
    task = Task(3, "/a/b.xml", "ff", 7, ["map"], 12.5, {"ra": 1.0}, alone=True)
    assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task
