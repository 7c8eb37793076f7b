"""HTCondor's event log with missing, duplicate, late or truncated events or garbage, rotated, or absent."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwbatch.clock import Clock, ManualClock
from gwbatch.model import JobState, Remedy
from gwbatch.schedulers.htcondor.event_log import GARBAGE, EventLog
from gwbatch.schedulers.htcondor.events import complete, parse

LOG = (Path(__file__).parents[1] / "data" / "condor_events.log").read_bytes()


def event(number: int, text: str, *body: str, job: str = "1.0", stamp: str = "2026-11-22 14:01:26") -> bytes:
    cluster, proc = job.split(".")
    lines = [
        f"{number:03d} ({int(cluster):03d}.{int(proc):03d}.000) {stamp} {text}",
        *(f"\t{line}" for line in body),
        "...",
    ]
    return ("\n".join(lines) + "\n").encode()


SUBMIT = event(0, "Job submitted from host: <127.0.0.1:1>", "gwbatch G1/localize/1")
EXECUTE = event(1, "Job executing on host: <10.0.0.1:1>", "SlotName: slot1_1@node7", "Cpus = 16")
EVICTED = event(4, "Job was evicted.", "(0) CPU times")
DONE = event(5, "Job terminated.", "(1) Normal termination (return value 0)")
KILLED = event(5, "Job terminated.", "(0) Abnormal termination (signal 9)")
HELD = event(12, "Job was held.", "Error from slot1_1@node7: Transfer input files failure", "Code 13 Subcode 2")
RELEASED = event(13, "Job was released.", "via condor_release (by user x)")
ABORTED = event(9, "Job was aborted.", "via condor_rm (by user x)")
DISCONNECTED = event(22, "Job disconnected, attempting to reconnect", "Socket between submit and execute hosts closed")
RECONNECTED = event(23, "Job reconnected to slot1@node7")
RECONNECT_FAILED = event(24, "Job reconnection failed", "Job not found at execution machine")
SHADOW = event(7, "Shadow exception!", "Error from slot1: STARTER failed")
SUSPENDED, UNSUSPENDED = event(10, "Job was suspended."), event(11, "Job was unsuspended.")
COPY = event(0, "Job submitted from host: <127.0.0.1:1>", "gwbatch G1/localize/1", job="2.0")


def earlier(one: bytes) -> bytes:
    """Return the event with a time before all others."""
    return one.replace(b"14:01:26", b"14:01:20")


def copied(one: bytes) -> bytes:
    """Return the event as one of the second copy of the job."""
    return one.replace(b"(001.000.000)", b"(002.000.000)")


def followed(path: Path, data: bytes, clock: Clock | None = None) -> EventLog:
    path.write_bytes(data)
    event_log = EventLog(path, clock)
    event_log.read()
    return event_log


def state(event_log: EventLog, key: str = "G1/localize/1") -> JobState | None:
    track = event_log.records.current(key)
    return None if track is None else track.state


def test_the_log_of_a_real_pool_is_read_whole() -> None:
    events = list(parse(LOG))
    assert complete(LOG) == len(LOG)
    assert [one.number for one in events] == [0, 40, 40, 1, 6, 40, 40, 5]
    assert {one.job for one in events} == {"1.0"}
    assert events[0].body == ("gwbatch G1/localize/1",)


def test_the_log_of_a_real_pool_says_how_the_job_went(tmp_path: Path) -> None:
    track = followed(tmp_path / "log", LOG).records.current("G1/localize/1")
    assert track is not None
    report = track.report()
    assert (report.state, report.native_id, report.exit_code, report.cores) == (JobState.DONE, "1.0", 0, 2)
    assert report.host == "127-0-0-1.localdomain"
    assert report.started is not None
    assert report.finished is not None
    assert report.finished - report.started == 1


@pytest.mark.parametrize(
    ("stamp", "there"),
    [
        ("2026-11-22 14:01:26", True), ("11/22 14:01:26", True), ("2026-11-22T14:01:26.123Z", True),
        ("2026-11-22T14:01:26+01:00", True), ("2026-13-45 14:01:26", False), ("02/30 14:01:26", False),
    ],
)  # fmt: skip
def test_times_of_every_version_are_understood(stamp: str, there: bool) -> None:
    assert bool(list(parse(event(1, "Job executing", stamp=stamp)))) is there


def test_a_time_without_a_zone_is_local() -> None:
    (found,) = parse(event(1, "Job executing", stamp="2026-11-22 14:01:26"))
    assert found.time == time.mktime(time.strptime("2026-11-22 14:01:26", "%Y-%m-%d %H:%M:%S"))


STORIES = {
    "submitted": (SUBMIT, JobState.QUEUED),
    "running": (SUBMIT + EXECUTE, JobState.RUNNING),
    "done": (SUBMIT + EXECUTE + DONE, JobState.DONE),
    "done without having been seen to start": (SUBMIT + DONE, JobState.DONE),
    "doubled": (SUBMIT * 2 + EXECUTE * 2 + DONE * 2, JobState.DONE),
    "late start": (SUBMIT + DONE + EXECUTE, JobState.DONE),
    "late submission": (SUBMIT + EXECUTE + SUBMIT, JobState.RUNNING),
    "killed": (SUBMIT + EXECUTE + KILLED, JobState.FAILED),
    "held": (SUBMIT + HELD, JobState.HELD),
    "released": (SUBMIT + HELD + RELEASED, JobState.QUEUED),
    "evicted": (SUBMIT + EXECUTE + EVICTED, JobState.QUEUED),
    "evicted and started again": (SUBMIT + EXECUTE + EVICTED + EXECUTE, JobState.RUNNING),
    "aborted": (SUBMIT + EXECUTE + ABORTED, JobState.FAILED),
    "disconnected": (SUBMIT + EXECUTE + DISCONNECTED, JobState.RUNNING),
    "reconnected": (SUBMIT + EXECUTE + DISCONNECTED + RECONNECTED, JobState.RUNNING),
    "reconnection failed": (SUBMIT + EXECUTE + DISCONNECTED + RECONNECT_FAILED, JobState.QUEUED),
    "shadow failed": (SUBMIT + EXECUTE + SHADOW, JobState.QUEUED),
    "suspended": (SUBMIT + EXECUTE + SUSPENDED, JobState.RUNNING),
    "an older hold told late": (SUBMIT + EXECUTE + earlier(HELD), JobState.RUNNING),
    "an older eviction told late": (SUBMIT + EXECUTE + earlier(EVICTED), JobState.RUNNING),
    "a second copy in the log": (SUBMIT + EXECUTE + COPY + copied(ABORTED), JobState.RUNNING),
    "a second copy that runs too": (SUBMIT + EXECUTE + COPY + copied(EXECUTE) + copied(DONE), JobState.RUNNING),
    "an event that nobody knows": (SUBMIT + EXECUTE + event(99, "Something new."), JobState.RUNNING),
    "an event of a job that is not ours": (SUBMIT + event(5, "Job terminated.", job="77.0"), JobState.QUEUED),
}


@pytest.mark.parametrize("name", STORIES)
def test_events_add_up(name: str, tmp_path: Path) -> None:
    story, end = STORIES[name]
    assert state(followed(tmp_path / "log", story)) is end


def test_reasons_are_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    def reason(story: bytes) -> str:
        track = followed(tmp_path_factory.mktemp("log") / "log", story).records.current("G1/localize/1")
        assert track is not None
        return track.report().reason

    assert "Transfer input files failure (code 13)" in reason(SUBMIT + HELD)
    assert "evicted from node7" in reason(SUBMIT + EXECUTE + EVICTED)
    assert "signal 9" in reason(SUBMIT + EXECUTE + KILLED)
    assert "via condor_rm (by user x)" in reason(SUBMIT + ABORTED)
    assert "Socket between" in reason(SUBMIT + EXECUTE + DISCONNECTED)
    assert reason(SUBMIT + EXECUTE + DISCONNECTED + RECONNECTED) == ""
    assert reason(SUBMIT + EXECUTE + SUSPENDED + UNSUSPENDED) == ""


@pytest.mark.parametrize(
    ("code", "remedy"), [(13, Remedy.RELEASE), (1, Remedy.WAIT), (26, Remedy.GIVE_UP), (34, Remedy.FAIL)]
)
def test_what_helps_depends_on_the_code(code: int, remedy: Remedy, tmp_path: Path) -> None:
    held = event(12, "Job was held.", "words", f"Code {code} Subcode 0")
    track = followed(tmp_path / "log", SUBMIT + held).records.current("G1/localize/1")
    assert track is not None
    assert track.report().remedy is remedy


def test_garbage_between_events_is_passed_over(tmp_path: Path) -> None:
    garbage = b"\x00\xff\x00 %% not an event\n"
    assert (
        state(followed(tmp_path / "log", garbage + SUBMIT + garbage + EXECUTE + garbage + b"...\n" + DONE))
        is JobState.DONE
    )


def test_an_event_whose_end_is_cut_off_ends_where_the_next_begins(tmp_path: Path) -> None:
    cut = EXECUTE[: EXECUTE.index(b"Cpus")]
    assert state(followed(tmp_path / "log", SUBMIT + cut + DONE)) is JobState.DONE


def test_endless_garbage_does_not_stop_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "log"
    event_log = followed(path, b"x" * (GARBAGE + 1))
    with path.open("ab") as stream:
        stream.write(b"\n" + SUBMIT)
    event_log.read()
    assert state(event_log) is JobState.QUEUED


def test_an_event_that_is_being_written_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    event_log = followed(path, SUBMIT + DONE[:20])
    assert state(event_log) is JobState.QUEUED
    with path.open("ab") as stream:
        stream.write(DONE[20:])
    event_log.read()
    assert state(event_log) is JobState.DONE


def test_a_log_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    event_log = EventLog(tmp_path / "log")
    event_log.read()
    (tmp_path / "log").write_bytes(SUBMIT)
    event_log.read()
    assert state(event_log) is JobState.QUEUED


def test_a_log_that_was_rotated_goes_on_in_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    event_log = followed(path, SUBMIT)
    with path.open("ab") as stream:
        stream.write(EXECUTE)
    path.rename(tmp_path / "log.1")
    path.write_bytes(DONE)
    event_log.read()
    assert state(event_log) is JobState.DONE


def test_a_log_that_was_cut_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    event_log = followed(path, SUBMIT + EXECUTE + EVICTED)
    path.write_bytes(DONE)
    event_log.read()
    assert state(event_log) is JobState.DONE


def test_a_log_that_was_removed_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    event_log = followed(path, SUBMIT + EXECUTE)
    path.unlink()
    event_log.read()
    assert state(event_log) is JobState.RUNNING


def test_a_cluster_number_of_another_pool_is_another_job(tmp_path: Path) -> None:
    other = event(0, "Job submitted", "gwbatch G2/localize/1")
    event_log = followed(tmp_path / "log", SUBMIT + EXECUTE + other + KILLED)
    assert state(event_log, "G2/localize/1") is JobState.FAILED
    assert state(event_log) is None  # the other job's failure is not attributed to it


def test_the_position_is_kept_and_nothing_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    event_log = followed(path, SUBMIT + EXECUTE)
    event_log.close()
    with path.open("r+b") as stream:
        stream.write(b"#" * len(SUBMIT))  # already read, so it no longer matters
    again = EventLog(path)
    again.read()
    assert state(again) is JobState.RUNNING
    with path.open("ab") as stream:
        stream.write(DONE)
    again.read()
    assert state(again) is JobState.DONE


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"tracks": [{"state": "ODD"}], "inode": 1, "offset": 5}', b"\xff"]
)
def test_a_damaged_memory_is_made_again_from_the_log(damage: bytes, tmp_path: Path) -> None:
    followed(tmp_path / "log", SUBMIT + EXECUTE).close()
    (tmp_path / "followed.json").write_bytes(damage)
    event_log = EventLog(tmp_path / "log")
    event_log.read()
    assert state(event_log) is JobState.RUNNING


def test_what_an_earlier_version_knew_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    followed(path, SUBMIT).close()
    memory = json.loads((tmp_path / "followed.json").read_text())
    first = {
        "key": "G9/localize/1", "job": "7.0", "state": "HELD", "reason": "No space left", "code": 13, "host": "n1",
        "cores": 8, "started": 5.0, "finished": None, "exit_code": None, "directory": "/jobs/9", "told": 6.0,
        "seen": time.time(),
    }  # fmt: skip
    path.with_name("followed.json").write_text(json.dumps({**memory, "version": 1, "tracks": [first]}))
    again = EventLog(path).records.current("G9/localize/1")
    assert again is not None
    report = again.report()
    assert (report.native_id, report.state, report.remedy) == ("7.0", JobState.HELD, Remedy.RELEASE)
    assert report.reason == "held: No space left (code 13)"


@pytest.mark.parametrize(("end", "expected"), [(DONE, JobState.DONE), (ABORTED, JobState.FAILED)])
def test_an_end_counts_though_the_clock_of_the_submit_host_was_set_back(
    end: bytes, expected: JobState, tmp_path: Path
) -> None:
    event_log = followed(tmp_path / "log", SUBMIT + EXECUTE + end.replace(b"14:01:26", b"13:01:40"))
    assert state(event_log) is expected


def test_ended_jobs_are_forgotten_in_the_end(tmp_path: Path) -> None:
    clock = ManualClock()
    event_log = followed(tmp_path / "log", SUBMIT + DONE, clock)
    event_log.records.forget_all_but([])
    assert state(event_log) is JobState.DONE  # the end may not have been recorded in the ledger yet
    clock.advance(3600)
    event_log.records.forget_all_but(["G1/localize/1"])
    assert state(event_log) is JobState.DONE
    event_log.records.forget_all_but([])
    assert state(event_log) is None


EVENTS = [SUBMIT, EXECUTE, EVICTED, HELD, RELEASED, DISCONNECTED, RECONNECTED, RECONNECT_FAILED, SHADOW, SUSPENDED]


@settings(max_examples=150, deadline=None)
@given(
    story=st.lists(st.sampled_from([*EVENTS, b"garbage\n", b"\x00\x01...\n"]), max_size=12),
    cuts=st.lists(st.integers(0, 3000), max_size=4),
)
def test_however_the_log_arrives_it_comes_to_the_same(
    story: list[bytes], cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("log")
    data = SUBMIT + b"".join(story) + DONE
    whole = followed(folder / "whole", data)
    path = folder / "parts"
    event_log = EventLog(path)
    begin = 0
    for cut in [*sorted(cuts), len(data)]:
        with path.open("ab") as stream:
            stream.write(data[begin:cut])
        begin = max(begin, cut)
        event_log.read()
        event_log.close()
        event_log = EventLog(path)  # as after a restart of the dispatcher
    assert state(event_log) is state(whole) is JobState.DONE
