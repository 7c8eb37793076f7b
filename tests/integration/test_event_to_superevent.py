"""The path from an alert to a labelled superevent, against the real GraceDB contract and a scripted batch system."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from matplotlib.image import imread

from gwbatch.cli import cli
from gwbatch.executors.gracedb import write_label
from gwbatch.gracedb import GraceDBUnreachable
from gwbatch.ledger import Ledger, jobs
from gwbatch.model import JobRequest, JobState
from gwbatch.schedulers.simulated import Step
from tests.integration.harness import MAP, Harness, well, write_result

COMPLETE = {"PASTRO_READY", "EMBRIGHT_READY", "SKYMAP_READY"}
LABELS = {"ADVREQ", "EM_READY", "SIGNIF_LOCKED", "LOW_SIGNIF_LOCKED", *COMPLETE}
PICTURES = ["em_bright.png", "p_astro.png"]
PLOTS = ["bayestar.coherence.png", "bayestar.fits.gz", "bayestar.html", "bayestar.png", "bayestar.volume.png"]


def test_an_event_becomes_a_labelled_superevent_with_products(harness: Harness) -> None:
    graceid = harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert superevent["gw_events"] == [graceid]
    assert superevent["preferred_event"] == graceid
    assert set(superevent["labels"]) == LABELS
    assert set(harness.server.client.event(graceid).json()["labels"]) == COMPLETE
    wanted = sorted([MAP, "em_bright.json", "p_astro.json", "mchirp_source.json", *PICTURES, *PLOTS])
    assert harness.files(superevent["superevent_id"]) == [f"{name},0" for name in wanted]
    assert set(harness.states("effects").values()) == {"done"}
    assert set(harness.states("jobs").values()) == {"DONE"}
    assert harness.dead() == []


def test_uploads_carry_the_fields_tags_and_comments(harness: Harness) -> None:
    graceid = harness.upload()
    harness.settle()
    (entry,) = [e for e in harness.server.client.logs(graceid).json()["logs"] if e["filename"] == MAP]
    assert (entry["comment"], set(entry["tag_names"])) == ("sky localization complete", {"sky_loc", "public"})


def test_sky_maps_go_ahead_of_plots_and_significant_events_ahead_of_others(harness: Harness) -> None:
    harness.upload(far=1e-5)
    harness.upload("pycbc", far=1e-9)
    harness.settle()
    priority = {r["key"]: r["priority"] for r in harness.ledger.read("SELECT * FROM jobs")}
    less, more = priority["G0001/localize"], priority["G0002/localize"]
    assert more > less
    assert more > max(value for key, value in priority.items() if "plot" in key)


def test_an_insignificant_superevent_is_not_plotted(harness: Harness) -> None:
    harness.upload(far=2.7e-4)
    harness.settle()
    assert [s["labels"] for s in harness.superevents()] == [["EM_READY"]]
    assert list(harness.states("jobs")) == ["G0001/localize", "G0001/mchirp-source"]


def test_products_left_out_by_the_policy_are_not_made(harness: Harness) -> None:
    harness.with_annotation(leave_out=["bayestar.volume.png", "bayestar.coherence.png"])
    harness.upload()
    harness.settle()
    made = {"localize", "mchirp-source", "fits-header", "plot-allsky", "flatten", "plot-p-astro", "plot-em-bright"}
    assert {key.split("/")[1] for key in harness.states("jobs")} == made


def test_a_flat_map_has_no_volume(harness: Harness) -> None:
    harness.scheduler.work = lambda request: write_result(request, {"has_distances": False, "has_coherence": False})
    harness.upload()
    harness.settle()
    made = {"localize", "mchirp-source", "fits-header", "plot-allsky", "flatten", "plot-p-astro", "plot-em-bright"}
    assert {key.split("/")[1] for key in harness.states("jobs")} == made


def test_a_psd_uploaded_beside_the_coincidence_starts_another_localization(harness: Harness) -> None:
    """The localization without a PSD fails permanently; the next one uses both files."""

    def work(request: JobRequest) -> None:
        if "psd.xml.gz" in request.inputs:
            well(request)
        else:
            write_result(request, error={"type": "BadInput", "message": "no PSD", "retryable": False})

    harness.scheduler.work = work
    graceid = harness.upload()
    harness.settle()
    assert harness.states("jobs") == {f"{graceid}/localize": "FAILED"}
    assert "localize failed after 1 attempt(s): no PSD" in harness.logs(graceid)
    harness.server.client.write_log(graceid, "PSD", filename="psd.xml.gz", filecontents=b"psd")
    harness.settle()
    assert "SKYMAP_READY" in harness.server.client.event(graceid).json()["labels"]
    assert f"{MAP},0" in harness.files(graceid)


def test_a_psd_that_comes_while_the_first_try_runs_is_used_when_that_fails(harness: Harness) -> None:
    def work(request: JobRequest) -> None:
        error = {"type": "BadInput", "message": "no PSD", "retryable": False}
        write_result(request, {"has_distances": True}, None if "psd.xml.gz" in request.inputs else error)

    harness.scheduler.work = work
    graceid = harness.upload()
    harness.server.client.write_log(graceid, "PSD", filename="psd.xml.gz", filecontents=b"psd")
    harness.settle()
    assert harness.states("jobs")[f"{graceid}/localize"] == "FAILED"
    assert harness.states("jobs")[f"{graceid}/localize/psd"] == "DONE"


def test_a_psd_beside_a_coincidence_that_has_one_changes_nothing(harness: Harness) -> None:
    graceid = harness.upload()
    harness.server.client.write_log(graceid, "PSD", filename="psd.xml.gz", filecontents=b"psd")
    harness.settle()
    assert not any(key.startswith(f"{graceid}/localize/") for key in harness.states("jobs"))


def test_sky_maps_of_anybody_go_ahead_of_all_plots() -> None:
    from gwbatch.annotation import Scope, job_priority, products_of

    plots = [job_priority(product, True) for product in products_of(Scope.SUPEREVENT)]
    maps = [product for product in products_of(Scope.EVENT, Scope.PAIR) if "fits" in product.name]
    assert min(job_priority(product, False) for product in maps) > max(plots)


def test_gracedb_down_for_an_hour_loses_nothing_and_keeps_the_order(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.settle(1.0)
    graceid = harness.upload()
    harness.carry()
    client = harness.runtime.gracedb().client
    real = client.request

    def down(*args: Any, **kwargs: Any) -> Any:
        raise requests.ConnectionError("connection refused")

    monkeypatch.setattr(client, "request", down)
    harness.settle(3600.0)
    assert harness.superevents() == []
    assert harness.states("effects")[f"S@{graceid}/create"] == "ready"
    assert harness.dead() == []
    while harness.step():
        pass
    assert is_quiet(harness), "effects that wait for another one keep the workers busy"
    monkeypatch.setattr(client, "request", real)
    harness.settle(300.0)
    assert set(harness.superevents()[0]["labels"]) == LABELS
    assert set(harness.states("effects").values()) == {"done"}


def is_quiet(harness: Harness) -> bool:
    """Return whether a worker finds nothing to do without a write transaction."""
    with closing(Ledger(harness.ledger.path)) as other, other.transaction():
        return not harness.worker.step()


class LostReply(BaseException):
    """The process dies before the reply arrives."""


@dataclass
class Loser:
    """A client method that lets every request through but loses the first reply to each kind of write."""

    client: Any
    lost: list[str]
    how: str

    def __call__(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        reply = type(self.client).request(self.client, method, url, *args, **kwargs)
        place = f"{method} {url.split('/api/')[1].rstrip('/').split('/')[-1]}"
        if method == "GET" or place in self.lost:
            return reply
        self.lost.append(place)
        if self.how == "timeout":
            raise requests.ReadTimeout("the answer did not come in time")
        raise LostReply


@pytest.mark.parametrize("how", ["timeout", "crash"])
def test_a_lost_reply_to_any_write_repeats_nothing(harness: Harness, how: str) -> None:
    """GraceDB executes the first write of each kind, but the reply is lost. Nothing may exist twice."""
    lost: list[str] = []
    harness.runtime.gracedb().client.request = Loser(harness.runtime.gracedb().client, lost, how)
    graceid = harness.upload()
    other = harness.upload("pycbc", far=3e-9)
    for _ in range(100):
        try:
            harness.settle(5.0)
        except LostReply:
            harness.restart()
            harness.runtime.gracedb().client.request = Loser(harness.runtime.gracedb().client, lost, how)
    assert {"POST superevents", "POST events", "POST labels", "POST logs", "POST log"} <= set(lost)
    (superevent,) = harness.superevents()
    assert superevent["gw_events"] == [graceid, other]
    assert set(superevent["labels"]) == LABELS
    for name in (superevent["superevent_id"], graceid, other):
        assert all(file.endswith(",0") for file in harness.files(name)), "no second version of anything"
    assert set(harness.states("effects").values()) == {"done"}


def test_two_superevents_of_one_event_cannot_be(harness: Harness) -> None:
    """If somebody else was faster, gwbatch adopts the superevent that already contains the event."""
    graceid = harness.upload(nature=False)
    harness.carry()
    other = harness.server.client.create_superevent(1e9, 1e9 + 1, 1e9 + 2, graceid, category="P").json()[
        "superevent_id"
    ]
    harness.settle()
    assert [s["superevent_id"] for s in harness.superevents()] == [other]
    (row,) = harness.ledger.read("SELECT * FROM superevents")
    assert (row["key"], row["graceid"]) == (f"S@{graceid}", other)


def test_an_advocates_answer_is_not_asked_for_again(harness: Harness) -> None:
    harness.upload(nature=False)
    harness.settle()
    sid = harness.superevents()[0]["superevent_id"]
    harness.server.client.create_signoff(sid, "ADV", "OK", "good")
    harness.settle()
    harness.upload("pycbc")
    harness.settle()
    labels = harness.superevents()[0]["labels"]
    assert "ADVOK" in labels
    assert "ADVREQ" not in labels
    assert harness.dead() == []


def test_the_significant_lock_selects_the_preferred_event_again(harness: Harness) -> None:
    """A less significant event locks the superevent first. A significant one becomes preferred with its own lock."""
    less = harness.upload(far=1e-6)
    harness.settle()
    assert harness.superevents()[0]["preferred_event"] == less
    more = harness.upload("pycbc", far=1e-9)
    harness.settle()
    (superevent,) = harness.superevents()
    assert superevent["preferred_event"] == more
    sid = superevent["superevent_id"]
    assert f"{MAP},1" in harness.files(sid), "the products follow the preferred event"
    newest = harness.server.client.files(sid, MAP).read().decode()
    assert newest == f"localize of {more}/localize/1"


def test_somebody_elses_preferred_event_is_taken_over(harness: Harness) -> None:
    first, second = harness.upload(), harness.upload("pycbc", far=3e-9)
    harness.settle()
    sid = harness.superevents()[0]["superevent_id"]
    harness.server.client.update_superevent(sid, preferred_event=second)
    harness.settle()
    (row,) = harness.ledger.read("SELECT preferred FROM superevents")
    assert row["preferred"] == second != first
    assert harness.superevents()[0]["preferred_event"] == second


def test_alerts_of_another_server_are_refused_with_a_warning(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.upload(nature=False)
    (_, topic, payload) = harness.server.store.alerts_after(0)[0]
    alert = json.loads(payload)
    alert["object"]["links"]["self"] = "https://gracedb-elsewhere.example.org/api/events/G0001"
    alert["object"]["graceid"] = alert["uid"] = "G9999"
    harness.server.store.add_alert(topic, alert)
    harness.settle()
    assert [s["gw_events"] for s in harness.superevents()] == [["G0001"]]
    (decision,) = harness.ledger.read("SELECT reason FROM decisions WHERE reason LIKE '%another%'")
    assert "gracedb-elsewhere.example.org" in decision["reason"]
    assert "refused an alert about G9999" in caplog.text


# ---- jobs that do not end well --------------------------------------------------------------------------------


def test_a_job_that_fails_for_the_machines_sake_is_tried_again(harness: Harness) -> None:
    failures = [1, 2]

    def work(request: JobRequest) -> None:
        if request.kind == "localize" and failures:
            failures.pop()  # leaves no result.json behind
        else:
            well(request)

    harness.scheduler.work = work
    graceid = harness.upload()
    harness.settle(60.0)
    row = harness.ledger.read("SELECT attempt, state FROM jobs WHERE key = ?", (f"{graceid}/localize",))[0]
    assert (row["attempt"], row["state"]) == (3, "DONE")


def test_a_job_that_always_fails_is_given_up_loudly(harness: Harness) -> None:
    harness.scheduler.work = lambda request: None
    graceid = harness.upload()
    harness.settle(60.0)
    row = harness.ledger.read("SELECT * FROM jobs")[0]
    assert (row["attempt"], row["state"], row["reason"]) == (3, "FAILED", "ended without a result.json")
    assert any("localize failed after 3 attempt(s)" in line for line in harness.logs(graceid))


def test_a_damaged_output_is_not_taken(harness: Harness) -> None:
    def work(request: JobRequest) -> None:
        well(request)
        if request.key.endswith("localize/1"):
            (request.directory / MAP).write_text("cut short")

    harness.scheduler.work = work
    graceid = harness.upload()
    harness.settle(60.0)
    assert harness.ledger.read("SELECT attempt FROM jobs WHERE key = ?", (f"{graceid}/localize",))[0]["attempt"] == 2
    assert harness.server.client.files(graceid, MAP).read().decode() == f"localize of {graceid}/localize/2"


def test_silence_of_the_batch_system_ends_nothing(harness: Harness) -> None:
    harness.scheduler.script = lambda request: (Step(0, JobState.RUNNING), Step(45, JobState.DONE))
    graceid = harness.upload()
    harness.settle(1.0)
    harness.scheduler.reachable = False
    harness.settle(2000.0)  # far beyond every deadline
    assert harness.states("jobs")[f"{graceid}/localize"] == "UNKNOWN"
    harness.scheduler.reachable = True
    harness.settle(30.0)
    assert harness.states("jobs")[f"{graceid}/localize"] == "DONE"
    assert harness.scheduler.submissions.count(f"{graceid}/localize/1") == 1


def test_a_lost_reply_to_a_submission_does_not_submit_twice(harness: Harness) -> None:
    harness.scheduler.lose_replies = 1
    graceid = harness.upload()
    harness.settle(60.0)
    assert harness.scheduler.submissions.count(f"{graceid}/localize/1") == 1
    assert harness.states("jobs")[f"{graceid}/localize"] == "DONE"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_error_that_nobody_expected_loses_no_submission_and_doubles_none(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    errors, submit = [AttributeError("module 'sys' has no attribute 'warnoptions'")], harness.scheduler.submit

    def stumble(request: JobRequest) -> str:
        if errors and moment == "before":
            raise errors.pop()
        native_id = submit(request)
        if errors:
            raise errors.pop()
        return native_id

    monkeypatch.setattr(harness.scheduler, "submit", stumble)
    graceid = harness.upload()
    harness.settle(60.0)
    assert not errors
    assert harness.scheduler.submissions.count(f"{graceid}/localize/1") == 1
    assert harness.states("jobs")[f"{graceid}/localize"] == "DONE"


def test_a_forgotten_job_is_lost_and_submitted_again_once(harness: Harness) -> None:
    harness.scheduler.script = lambda request: (
        Step(0, JobState.QUEUED),
        Step(60, JobState.RUNNING),
        Step(61, JobState.DONE),
    )
    graceid = harness.upload()
    harness.settle(2.0)
    harness.scheduler.forget(f"{graceid}/localize/1")
    harness.settle(150.0)
    ours = [key for key in harness.scheduler.submissions if key.startswith(f"{graceid}/localize")]
    assert ours == [f"{graceid}/localize/1", f"{graceid}/localize/2"]
    assert harness.states("jobs")[f"{graceid}/localize"] == "DONE"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (JobState.QUEUED, "queued for more than 100 s"),
        (JobState.RUNNING, "running for more than 50 s"),
        (JobState.HELD, "held for more than 20 s (bad luck)"),
    ],
)
def test_every_phase_has_a_deadline(harness: Harness, state: JobState, words: str) -> None:
    harness.scheduler.script = lambda request: (Step(0, state, "bad luck" if state is JobState.HELD else ""),)
    harness.with_annotation(max_attempts=1)
    harness.upload()
    harness.settle(130.0)
    (row,) = harness.ledger.read("SELECT state, reason FROM jobs")
    assert (row["state"], row["reason"]) == ("FAILED", words)


def test_a_missing_input_fails_the_job_in_words(harness: Harness) -> None:
    graceid = harness.upload(nature=False)
    harness.server.store._db.execute("DELETE FROM files")
    harness.settle()
    (row,) = harness.ledger.read("SELECT state, reason FROM jobs")
    assert row["state"] == "FAILED"
    assert f"download coinc.xml of {graceid}" in row["reason"]


def test_the_jobs_environment_is_not_the_ledgers(harness: Harness) -> None:
    """A job directory holds only files: the request, the inputs and the outputs, and nothing from the ledger."""
    graceid = harness.upload()
    harness.settle()
    job = jobs.get(harness.ledger.connection, f"{graceid}/localize")
    assert job is not None
    assert job.directory is not None
    from pathlib import Path

    assert sorted(path.name for path in Path(job.directory).iterdir()) == [MAP, "coinc.xml", "job.json", "result.json"]


def test_an_unreachable_server_says_so_in_words(harness: Harness) -> None:
    harness.server.stop()
    with pytest.raises(GraceDBUnreachable, match="did not answer to label G1 DQV"):
        write_label("G1", "DQV", harness.runtime.gracedb())


def test_a_trigger_of_the_far_future_is_a_dead_letter(harness: Harness) -> None:
    from gwbatch.config.resources import example_event

    content = example_event("bns_hlv").read_bytes().replace(b",1029975254,", b",1929975254,")
    harness.upload(nature=False, content=content)
    harness.settle()
    assert any("far in the future" in reason for reason in harness.dead())
    assert harness.superevents() == []


def test_where_the_time_of_a_superevent_went_is_drawn(harness: Harness, tmp_path: Path) -> None:
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    state, picture = str(harness.ledger.path.parent), tmp_path / "timeline.png"
    arguments = ["superevent", "show", superevent["superevent_id"], "--state", state, "--picture"]
    done = CliRunner().invoke(cli, [*arguments, str(picture)])
    assert done.exit_code == 0, done.output
    rows = 8 + len({row["kind"] for row in harness.ledger.read("SELECT kind FROM effects")})
    assert imread(picture).shape[0] > 200 * 0.24 * rows
    failed = CliRunner().invoke(cli, [*arguments, "/nowhere/timeline.png"])
    assert "Cannot write /nowhere/timeline.png: No such file or directory" in str(failed.exception)
