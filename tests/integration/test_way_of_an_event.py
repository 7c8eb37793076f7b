"""From the alert to the labelled superevent, against the real GraceDB contract and a scripted batch system."""

from __future__ import annotations

import json
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
from gwbatch.ledger import jobs
from gwbatch.model import JobRequest, JobState
from gwbatch.schedulers.simulated import Step
from tests.integration.rig import MAP, Rig, well, write_result

COMPLETE = {"PASTRO_READY", "EMBRIGHT_READY", "SKYMAP_READY"}
LABELS = {"ADVREQ", "EM_READY", "SIGNIF_LOCKED", "LOW_SIGNIF_LOCKED", *COMPLETE}
PICTURES = ["em_bright.png", "p_astro.png"]
PLOTS = ["bayestar.coherence.png", "bayestar.fits.gz", "bayestar.html", "bayestar.png", "bayestar.volume.png"]


def test_an_event_becomes_a_labelled_superevent_with_products(rig: Rig) -> None:
    graceid = rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    assert superevent["gw_events"] == [graceid]
    assert superevent["preferred_event"] == graceid
    assert set(superevent["labels"]) == LABELS
    assert set(rig.server.client.event(graceid).json()["labels"]) == COMPLETE
    wanted = sorted([MAP, "em_bright.json", "p_astro.json", "mchirp_source.json", *PICTURES, *PLOTS])
    assert rig.files(superevent["superevent_id"]) == [f"{name},0" for name in wanted]
    assert set(rig.states("effects").values()) == {"done"}
    assert set(rig.states("jobs").values()) == {"DONE"}
    assert rig.dead() == []


def test_uploads_carry_the_fields_tags_and_comments(rig: Rig) -> None:
    graceid = rig.upload()
    rig.settle()
    (entry,) = [e for e in rig.server.client.logs(graceid).json()["logs"] if e["filename"] == MAP]
    assert (entry["comment"], set(entry["tag_names"])) == ("sky localization complete", {"sky_loc", "public"})


def test_sky_maps_go_ahead_of_plots_and_significant_events_ahead_of_others(rig: Rig) -> None:
    rig.upload(far=1e-5)
    rig.upload("pycbc", far=1e-9)
    rig.settle()
    priority = {r["key"]: r["priority"] for r in rig.ledger.read("SELECT * FROM jobs")}
    less, more = priority["G0001/localize"], priority["G0002/localize"]
    assert more > less
    assert more > max(value for key, value in priority.items() if "plot" in key)


def test_an_insignificant_superevent_is_not_plotted(rig: Rig) -> None:
    rig.upload(far=2.7e-4)
    rig.settle()
    assert [s["labels"] for s in rig.superevents()] == [["EM_READY"]]
    assert list(rig.states("jobs")) == ["G0001/localize", "G0001/mchirp-source"]


def test_products_left_out_by_the_policy_are_not_made(rig: Rig) -> None:
    rig.with_annotation(leave_out=["bayestar.volume.png", "bayestar.coherence.png"])
    rig.upload()
    rig.settle()
    made = {"localize", "mchirp-source", "fits-header", "plot-allsky", "flatten", "plot-p-astro", "plot-em-bright"}
    assert {key.split("/")[1] for key in rig.states("jobs")} == made


def test_a_flat_map_has_no_volume(rig: Rig) -> None:
    rig.scheduler.work = lambda request: write_result(request, {"has_distances": False, "has_coherence": False})
    rig.upload()
    rig.settle()
    made = {"localize", "mchirp-source", "fits-header", "plot-allsky", "flatten", "plot-p-astro", "plot-em-bright"}
    assert {key.split("/")[1] for key in rig.states("jobs")} == made


def test_a_psd_uploaded_beside_the_coincidence_starts_another_localization(rig: Rig) -> None:
    """The one without a PSD fails for good; the one with it is made from both files."""

    def work(request: JobRequest) -> None:
        if "psd.xml.gz" in request.inputs:
            well(request)
        else:
            write_result(request, error={"type": "BadInput", "message": "no PSD", "retryable": False})

    rig.scheduler.work = work
    graceid = rig.upload()
    rig.settle()
    assert rig.states("jobs") == {f"{graceid}/localize": "FAILED"}
    assert "localize failed after 1 attempt(s): no PSD" in rig.logs(graceid)
    rig.server.client.write_log(graceid, "PSD", filename="psd.xml.gz", filecontents=b"psd")
    rig.settle()
    assert "SKYMAP_READY" in rig.server.client.event(graceid).json()["labels"]
    assert f"{MAP},0" in rig.files(graceid)


def test_a_psd_that_comes_while_the_first_try_runs_is_used_when_that_fails(rig: Rig) -> None:
    def work(request: JobRequest) -> None:
        error = {"type": "BadInput", "message": "no PSD", "retryable": False}
        write_result(request, {"has_distances": True}, None if "psd.xml.gz" in request.inputs else error)

    rig.scheduler.work = work
    graceid = rig.upload()
    rig.server.client.write_log(graceid, "PSD", filename="psd.xml.gz", filecontents=b"psd")
    rig.settle()
    assert rig.states("jobs")[f"{graceid}/localize"] == "FAILED"
    assert rig.states("jobs")[f"{graceid}/localize/psd"] == "DONE"


def test_a_psd_beside_a_coincidence_that_has_one_changes_nothing(rig: Rig) -> None:
    graceid = rig.upload()
    rig.server.client.write_log(graceid, "PSD", filename="psd.xml.gz", filecontents=b"psd")
    rig.settle()
    assert not any(key.startswith(f"{graceid}/localize/") for key in rig.states("jobs"))


def test_sky_maps_of_anybody_go_ahead_of_all_plots() -> None:
    from gwbatch.annotation import Scope, job_priority, products_of

    plots = [job_priority(product, True) for product in products_of(Scope.SUPEREVENT)]
    maps = [product for product in products_of(Scope.EVENT, Scope.PAIR) if "fits" in product.name]
    assert min(job_priority(product, False) for product in maps) > max(plots)


def test_gracedb_down_for_an_hour_loses_nothing_and_keeps_the_order(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.settle(1.0)
    graceid = rig.upload()
    rig.carry()
    client = rig.runtime.gracedb().client
    real = client.request

    def down(*args: Any, **kwargs: Any) -> Any:
        raise requests.ConnectionError("connection refused")

    monkeypatch.setattr(client, "request", down)
    rig.settle(3600.0)
    assert rig.superevents() == []
    assert rig.states("effects")[f"S@{graceid}/create"] == "ready"
    assert rig.dead() == []
    monkeypatch.setattr(client, "request", real)
    rig.settle(300.0)
    assert set(rig.superevents()[0]["labels"]) == LABELS
    assert set(rig.states("effects").values()) == {"done"}


class LostReply(BaseException):
    """The process dies with the reply on its way."""


@dataclass
class Loser:
    """Lets a request through and loses its reply, once for each kind of request."""

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
def test_a_lost_reply_to_any_write_repeats_nothing(rig: Rig, how: str) -> None:
    """The other side took every first request of its kind; we never heard. Nothing may be there twice."""
    lost: list[str] = []
    rig.runtime.gracedb().client.request = Loser(rig.runtime.gracedb().client, lost, how)
    graceid = rig.upload()
    other = rig.upload("pycbc", far=3e-9)
    for _ in range(100):
        try:
            rig.settle(5.0)
        except LostReply:
            rig.restart()
            rig.runtime.gracedb().client.request = Loser(rig.runtime.gracedb().client, lost, how)
    assert {"POST superevents", "POST events", "POST labels", "POST logs", "POST log"} <= set(lost)
    (superevent,) = rig.superevents()
    assert superevent["gw_events"] == [graceid, other]
    assert set(superevent["labels"]) == LABELS
    for name in (superevent["superevent_id"], graceid, other):
        assert all(file.endswith(",0") for file in rig.files(name)), "no second version of anything"
    assert set(rig.states("effects").values()) == {"done"}


def test_two_superevents_of_one_event_cannot_be(rig: Rig) -> None:
    """Somebody else was faster: we adopt the superevent that the event is in."""
    graceid = rig.upload(nature=False)
    rig.carry()
    other = rig.server.client.create_superevent(1e9, 1e9 + 1, 1e9 + 2, graceid, category="P").json()["superevent_id"]
    rig.settle()
    assert [s["superevent_id"] for s in rig.superevents()] == [other]
    (row,) = rig.ledger.read("SELECT * FROM superevents")
    assert (row["key"], row["graceid"]) == (f"S@{graceid}", other)


def test_an_advocates_answer_is_not_asked_for_again(rig: Rig) -> None:
    rig.upload(nature=False)
    rig.settle()
    sid = rig.superevents()[0]["superevent_id"]
    rig.server.client.create_signoff(sid, "ADV", "OK", "good")
    rig.settle()
    rig.upload("pycbc")
    rig.settle()
    labels = rig.superevents()[0]["labels"]
    assert "ADVOK" in labels
    assert "ADVREQ" not in labels
    assert rig.dead() == []


def test_the_significant_lock_selects_the_preferred_event_again(rig: Rig) -> None:
    """A less significant event locked first; the significant one that follows takes over with its lock."""
    less = rig.upload(far=1e-6)
    rig.settle()
    assert rig.superevents()[0]["preferred_event"] == less
    more = rig.upload("pycbc", far=1e-9)
    rig.settle()
    (superevent,) = rig.superevents()
    assert superevent["preferred_event"] == more
    sid = superevent["superevent_id"]
    assert f"{MAP},1" in rig.files(sid), "the products follow the preferred event"
    newest = rig.server.client.files(sid, MAP).read().decode()
    assert newest == f"localize of {more}/localize/1"


def test_somebody_elses_preferred_event_is_taken_over(rig: Rig) -> None:
    first, second = rig.upload(), rig.upload("pycbc", far=3e-9)
    rig.settle()
    sid = rig.superevents()[0]["superevent_id"]
    rig.server.client.update_superevent(sid, preferred_event=second)
    rig.settle()
    (row,) = rig.ledger.read("SELECT preferred FROM superevents")
    assert row["preferred"] == second != first
    assert rig.superevents()[0]["preferred_event"] == second


def test_alerts_of_another_server_are_refused_with_a_warning(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.upload(nature=False)
    (_, topic, payload) = rig.server.store.alerts_after(0)[0]
    alert = json.loads(payload)
    alert["object"]["links"]["self"] = "https://gracedb-elsewhere.example.org/api/events/G0001"
    alert["object"]["graceid"] = alert["uid"] = "G9999"
    rig.server.store.add_alert(topic, alert)
    rig.settle()
    assert [s["gw_events"] for s in rig.superevents()] == [["G0001"]]
    (decision,) = rig.ledger.read("SELECT reason FROM decisions WHERE reason LIKE '%another%'")
    assert "gracedb-elsewhere.example.org" in decision["reason"]
    assert "refused an alert about G9999" in caplog.text


# ---- jobs that do not end well --------------------------------------------------------------------------------


def test_a_job_that_fails_for_the_machines_sake_is_tried_again(rig: Rig) -> None:
    failures = [1, 2]

    def work(request: JobRequest) -> None:
        if request.kind == "localize" and failures:
            failures.pop()  # leaves no result.json behind
        else:
            well(request)

    rig.scheduler.work = work
    graceid = rig.upload()
    rig.settle(60.0)
    row = rig.ledger.read("SELECT attempt, state FROM jobs WHERE key = ?", (f"{graceid}/localize",))[0]
    assert (row["attempt"], row["state"]) == (3, "DONE")


def test_a_job_that_always_fails_is_given_up_loudly(rig: Rig) -> None:
    rig.scheduler.work = lambda request: None
    graceid = rig.upload()
    rig.settle(60.0)
    row = rig.ledger.read("SELECT * FROM jobs")[0]
    assert (row["attempt"], row["state"], row["reason"]) == (3, "FAILED", "ended without a result.json")
    assert any("localize failed after 3 attempt(s)" in line for line in rig.logs(graceid))


def test_a_damaged_output_is_not_taken(rig: Rig) -> None:
    def work(request: JobRequest) -> None:
        well(request)
        if request.key.endswith("localize/1"):
            (request.directory / MAP).write_text("cut short")

    rig.scheduler.work = work
    graceid = rig.upload()
    rig.settle(60.0)
    assert rig.ledger.read("SELECT attempt FROM jobs WHERE key = ?", (f"{graceid}/localize",))[0]["attempt"] == 2
    assert rig.server.client.files(graceid, MAP).read().decode() == f"localize of {graceid}/localize/2"


def test_silence_of_the_batch_system_ends_nothing(rig: Rig) -> None:
    rig.scheduler.script = lambda request: (Step(0, JobState.RUNNING), Step(45, JobState.DONE))
    graceid = rig.upload()
    rig.settle(1.0)
    rig.scheduler.reachable = False
    rig.settle(2000.0)  # far beyond every deadline
    assert rig.states("jobs")[f"{graceid}/localize"] == "UNKNOWN"
    rig.scheduler.reachable = True
    rig.settle(30.0)
    assert rig.states("jobs")[f"{graceid}/localize"] == "DONE"
    assert rig.scheduler.submissions.count(f"{graceid}/localize/1") == 1


def test_a_lost_reply_to_a_submission_does_not_submit_twice(rig: Rig) -> None:
    rig.scheduler.lose_replies = 1
    graceid = rig.upload()
    rig.settle(60.0)
    assert rig.scheduler.submissions.count(f"{graceid}/localize/1") == 1
    assert rig.states("jobs")[f"{graceid}/localize"] == "DONE"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_error_that_nobody_expected_loses_no_submission_and_doubles_none(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    errors, submit = [AttributeError("module 'sys' has no attribute 'warnoptions'")], rig.scheduler.submit

    def stumble(request: JobRequest) -> str:
        if errors and moment == "before":
            raise errors.pop()
        native_id = submit(request)
        if errors:
            raise errors.pop()
        return native_id

    monkeypatch.setattr(rig.scheduler, "submit", stumble)
    graceid = rig.upload()
    rig.settle(60.0)
    assert not errors
    assert rig.scheduler.submissions.count(f"{graceid}/localize/1") == 1
    assert rig.states("jobs")[f"{graceid}/localize"] == "DONE"


def test_a_forgotten_job_is_lost_and_submitted_again_once(rig: Rig) -> None:
    rig.scheduler.script = lambda request: (
        Step(0, JobState.QUEUED),
        Step(60, JobState.RUNNING),
        Step(61, JobState.DONE),
    )
    graceid = rig.upload()
    rig.settle(2.0)
    rig.scheduler.forget(f"{graceid}/localize/1")
    rig.settle(150.0)
    ours = [key for key in rig.scheduler.submissions if key.startswith(f"{graceid}/localize")]
    assert ours == [f"{graceid}/localize/1", f"{graceid}/localize/2"]
    assert rig.states("jobs")[f"{graceid}/localize"] == "DONE"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (JobState.QUEUED, "queued for more than 100 s"),
        (JobState.RUNNING, "running for more than 50 s"),
        (JobState.HELD, "held for more than 20 s (bad luck)"),
    ],
)
def test_every_phase_has_a_deadline(rig: Rig, state: JobState, words: str) -> None:
    rig.scheduler.script = lambda request: (Step(0, state, "bad luck" if state is JobState.HELD else ""),)
    rig.with_annotation(max_attempts=1)
    rig.upload()
    rig.settle(130.0)
    (row,) = rig.ledger.read("SELECT state, reason FROM jobs")
    assert (row["state"], row["reason"]) == ("FAILED", words)


def test_a_missing_input_fails_the_job_in_words(rig: Rig) -> None:
    graceid = rig.upload(nature=False)
    rig.server.store._db.execute("DELETE FROM files")
    rig.settle()
    (row,) = rig.ledger.read("SELECT state, reason FROM jobs")
    assert row["state"] == "FAILED"
    assert f"download coinc.xml of {graceid}" in row["reason"]


def test_the_jobs_environment_is_not_the_ledgers(rig: Rig) -> None:
    """A job directory holds files only: the request, the inputs, nothing of ours."""
    graceid = rig.upload()
    rig.settle()
    job = jobs.get(rig.ledger.connection, f"{graceid}/localize")
    assert job is not None
    assert job.directory is not None
    from pathlib import Path

    assert sorted(path.name for path in Path(job.directory).iterdir()) == [MAP, "coinc.xml", "job.json", "result.json"]


def test_an_unreachable_server_says_so_in_words(rig: Rig) -> None:
    rig.server.stop()
    with pytest.raises(GraceDBUnreachable, match="did not answer to label G1 DQV"):
        write_label("G1", "DQV", rig.runtime.gracedb())


def test_a_trigger_of_the_far_future_is_a_dead_letter(rig: Rig) -> None:
    from gwbatch.config.resources import demo_event

    content = demo_event("bns_hlv").read_bytes().replace(b",1029975254,", b",1929975254,")
    rig.upload(nature=False, content=content)
    rig.settle()
    assert any("far in the future" in reason for reason in rig.dead())
    assert rig.superevents() == []


def test_where_the_time_of_a_superevent_went_is_drawn(rig: Rig, tmp_path: Path) -> None:
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    state, picture = str(rig.ledger.path.parent), tmp_path / "timeline.png"
    arguments = ["superevent", "show", superevent["superevent_id"], "--state", state, "--picture"]
    done = CliRunner().invoke(cli, [*arguments, str(picture)])
    assert done.exit_code == 0, done.output
    rows = 8 + len({row["kind"] for row in rig.ledger.read("SELECT kind FROM effects")})
    assert imread(picture).shape[0] > 200 * 0.24 * rows
    failed = CliRunner().invoke(cli, [*arguments, "/nowhere/timeline.png"])
    assert "Cannot write /nowhere/timeline.png: No such file or directory" in str(failed.exception)
