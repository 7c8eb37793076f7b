"""Products of events: those that gwbatch makes and those that it takes over from pipelines, without duplicates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gwbatch.config.resources import example_event
from gwbatch.demo.pipelines import with_far
from gwbatch.model import JobRequest
from tests.integration.harness import MAP, Harness, well, write_result

CWB = """\
nevent:     1
ndim:       2
ifo:        H1 L1
time:       1029975254.50 1029975254.51
rho:        9.1 8.0
likelihood: 180.0
duration:   0.05 0.05
frequency:  120.0 120.0
bandwidth:  64.0 64.0
#significance based on the last day
0.1 {far} 0.1
"""
OURS = {"em_bright.json": ["cbc", "burst.cwb.bbh"], "p_astro.json": [], "mchirp_source.json": []}


def upload(harness: Harness, pipeline: str = "gstlal", search: str = "AllSky", far: float = 1e-9) -> str:
    """Upload a coincidence, and nothing else."""
    content = with_far(example_event("bns_hlv").read_bytes(), far)
    made = harness.server.client.create_event("CBC", pipeline, "coinc.xml", search=search, filecontents=content)
    return str(made.json()["graceid"])


def bring(harness: Harness, graceid: str, filename: str, content: Any, comment: str = "by the pipeline") -> None:
    """Upload a file as a pipeline does."""
    content = content if isinstance(content, bytes) else json.dumps(content)
    harness.server.client.write_log(graceid, comment, filename=filename, filecontents=content)


def labels(harness: Harness, graceid: str) -> set[str]:
    return set(harness.server.client.event(graceid).json()["labels"])


def parameters(harness: Harness, key: str) -> dict[str, Any]:
    (row,) = harness.ledger.read("SELECT request FROM jobs WHERE key = ?", (key,))
    return dict(json.loads(row["request"])["parameters"])


def test_an_event_completes_through_our_own_em_bright(harness: Harness) -> None:
    harness.with_annotation(made_for=OURS)
    graceid = upload(harness)
    harness.settle()
    bring(harness, graceid, "gstlal.p_astro.json", {"BNS": 1.0})
    harness.settle()
    assert labels(harness, graceid) == {"SKYMAP_READY", "EMBRIGHT_READY", "PASTRO_READY"}
    (superevent,) = harness.superevents()
    assert {"SKYMAP_READY", "EMBRIGHT_READY", "PASTRO_READY", "SIGNIF_LOCKED"} <= set(superevent["labels"])
    files = harness.files(superevent["superevent_id"])
    wanted = ("em_bright.json", "em_bright.png", "gstlal.p_astro.json", "gstlal.p_astro.png")
    assert {f"{name},0" for name in wanted} <= {*files}
    assert all(name.endswith(",0") for name in files)
    comments = harness.logs(superevent["superevent_id"])
    for what in ("Localization", "Source properties", "Source classification"):
        assert f"{what} copied from {graceid}" in comments
    assert "source properties" in harness.logs(graceid)
    used = parameters(harness, f"{graceid}/em-bright")
    assert (used["mass1"], used["mass2"]) == pytest.approx((1.4758154, 1.25622))
    assert (harness.dead(), set(harness.states("jobs").values())) == ([], {"DONE"})


def test_em_bright_is_made_only_for_mock_data_unless_the_policy_says_more(harness: Harness) -> None:
    real, mock = upload(harness), upload(harness, search="MDC")
    harness.settle()
    jobs = harness.states("jobs")
    assert f"{real}/em-bright" not in jobs
    assert f"{mock}/em-bright" in jobs


def test_p_astro_is_made_for_the_three_kinds_that_nobody_else_classifies(harness: Harness) -> None:
    made = {
        (pipeline, search): upload(harness, pipeline, search)
        for pipeline in ("gstlal", "pycbc", "spiir")
        for search in ("AllSky", "EarlyWarning", "MDC")
    }
    harness.settle()
    jobs = harness.states("jobs")
    ours = {kind for kind, graceid in made.items() if f"{graceid}/p-astro" in jobs}
    assert ours == {("gstlal", "MDC"), ("pycbc", "EarlyWarning"), ("spiir", "EarlyWarning")}
    for pipeline, search in ours:
        graceid = made[pipeline, search]
        assert f"{pipeline}.p_astro.json,0" in harness.files(graceid)
        assert "PASTRO_READY" in labels(harness, graceid)
    used = parameters(harness, f"{made['pycbc', 'EarlyWarning']}/p-astro")
    assert (used["far"], used["instruments"]) == (1e-9, ["H1", "L1", "V1"])


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_pipelines_own_em_bright_takes_the_place_of_ours(harness: Harness, when: str) -> None:
    harness.with_annotation(made_for=OURS)
    graceid = upload(harness)
    if when == "before":
        bring(harness, graceid, "em_bright.json", {"HasNS": 0.25})
    elif when == "during":
        harness.carry()
        harness.step()
        bring(harness, graceid, "em_bright.json", {"HasNS": 0.25})
    harness.settle()
    if when == "after":
        bring(harness, graceid, "em_bright.json", {"HasNS": 0.25})
        harness.settle()
    bring(harness, graceid, "gstlal.p_astro.json", {"BNS": 1.0})
    harness.settle()
    (superevent,) = harness.superevents()
    assert harness.server.client.files(superevent["superevent_id"], "em_bright.json").json() == {"HasNS": 0.25}
    copies = [name for name in harness.files(superevent["superevent_id"]) if name.startswith("em_bright.json")]
    assert copies == ["em_bright.json,0"], "the superevent was completed by the one that came last"
    assert set(harness.states("effects").values()) == {"done"}


def test_a_superevent_gets_the_version_that_the_ledger_knows(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody uploads another version, and the alert about it arrives late."""
    alerts_after = harness.server.store.alerts_after
    late: list[tuple[str, bytes]] = []

    def without_another(seq: int) -> Any:
        for number, topic, payload in alerts_after(seq):
            if "by another" in payload:
                late.append((topic, payload.encode()))
            else:
                yield number, topic, payload

    monkeypatch.setattr(harness.server.store, "alerts_after", lambda seq: list(without_another(seq)))
    graceid = upload(harness)
    bring(harness, graceid, "gstlal.p_astro.json", {"BNS": 1.0})
    bring(harness, graceid, "em_bright.json", {"HasNS": 0.25})
    bring(harness, graceid, "em_bright.json", {"HasNS": 0.75}, "by another")
    harness.settle()
    (superevent,) = harness.superevents()
    sid = superevent["superevent_id"]
    assert harness.server.client.files(sid, "em_bright.json").json() == {"HasNS": 0.25}
    harness.deliver(*late[0], harness.clock.now())
    harness.settle()
    assert harness.server.client.files(sid, "em_bright.json").json() == {"HasNS": 0.75}
    assert "em_bright.json,1" in harness.files(sid)


def test_our_own_upload_is_not_taken_for_a_pipelines(harness: Harness) -> None:
    harness.with_annotation(made_for=OURS)
    graceid = upload(harness)
    harness.settle()
    (row,) = harness.ledger.read("SELECT path FROM products WHERE subject = ? AND name = 'em_bright.json'", (graceid,))
    assert row["path"] is not None


def test_an_alert_without_masses_is_answered_from_the_file(harness: Harness) -> None:
    harness.with_annotation(made_for=OURS)
    graceid = upload(harness)
    for _, topic, payload in harness.server.store.alerts_after(0):
        alert = json.loads(payload)
        if alert["alert_type"] == "new":
            alert["object"]["extra_attributes"].pop("SingleInspiral")
            harness.deliver(topic, json.dumps(alert).encode(), harness.clock.now())
    harness.step()
    (row,) = harness.ledger.read("SELECT request FROM jobs WHERE key = ?", (f"{graceid}/em-bright",))
    request = json.loads(row["request"])
    assert request["inputs"] == {"coinc.xml": {"gracedb": [graceid, "coinc.xml"]}}
    assert "mass1" not in request["parameters"]


def test_the_chirp_mass_follows_the_map_and_is_copied(harness: Harness) -> None:
    graceid = harness.upload()
    harness.settle()
    assert "mchirp_source.json,0" in harness.files(graceid)
    (superevent,) = harness.superevents()
    assert "mchirp_source.json,0" in harness.files(superevent["superevent_id"])
    directory = Path(harness.ledger.read("SELECT directory FROM jobs WHERE kind = 'mchirp-source'")[0]["directory"])
    assert (directory / MAP).read_text() == f"localize of {graceid}/localize/1"


def test_a_bursts_map_is_taken_over_and_drawn_under_its_own_name(harness: Harness) -> None:
    """The contents of the pipeline's map are unknown until a job has read its headers."""

    def work(request: JobRequest) -> None:
        if request.kind == "fits-header":
            write_result(request, {"has_distances": True, "has_coherence": False})
        else:
            well(request)

    harness.scheduler.work = work
    made = harness.server.client.create_event(
        "Burst", "CWB", "trigger.txt", search="AllSky", filecontents=CWB.format(far=1e-10)
    )
    graceid = str(made.json()["graceid"])
    bring(harness, graceid, "cwb.multiorder.fits", b"a map")
    harness.settle()
    assert labels(harness, graceid) == {"SKYMAP_READY"}
    (superevent,) = harness.superevents()
    expected = ["cwb.fits.gz", "cwb.html", "cwb.multiorder.fits", "cwb.png", "cwb.volume.png"]
    assert harness.files(superevent["superevent_id"]) == [f"{name},0" for name in expected]
    assert {"SKYMAP_READY", "SIGNIF_LOCKED"} <= set(superevent["labels"])
    assert f"Localization copied from {graceid}" in harness.logs(superevent["superevent_id"])
    assert (harness.dead(), set(harness.states("jobs").values())) == ([], {"DONE"})


def test_a_burst_of_two_black_holes_gets_its_properties_from_its_chirp_mass(harness: Harness) -> None:
    harness.with_annotation(made_for={**OURS, "mchirp_source.json": ["burst.cwb.bbh"]})
    content = CWB.format(far=1e-9)
    made = harness.server.client.create_event("Burst", "CWB", "trigger.txt", search="BBH", filecontents=content)
    graceid = str(made.json()["graceid"])
    harness.settle()
    used = parameters(harness, f"{graceid}/em-bright")
    assert used["mass1"] == used["mass2"] == pytest.approx(30 * 2**0.2), "cWB reports no chirp mass here"
    told = f"mchirp:     21.5\n{content}"
    heavier = harness.server.client.create_event("Burst", "CWB", "trigger.txt", search="BBH", filecontents=told)
    harness.settle()
    used = parameters(harness, f"{heavier.json()['graceid']}/em-bright")
    assert used["mass1"] == used["mass2"] == pytest.approx(21.5 * 2**0.2)
    bring(harness, graceid, "cwb.multiorder.fits", b"a map")
    harness.settle()
    assert parameters(harness, f"{graceid}/mchirp-source")["group"] == "burst"
    assert labels(harness, graceid) == {"EMBRIGHT_READY", "SKYMAP_READY"}


AFRAME = {"gpstime": 1029975254.5, "far": 1e-9, "ifos": ["H1", "L1"]}
SAMPLES = "posterior_samples.hdf5"


def inputs(harness: Harness, key: str) -> dict[str, Any]:
    (row,) = harness.ledger.read("SELECT request FROM jobs WHERE key = ?", (key,))
    return dict(json.loads(row["request"])["inputs"])


def test_an_event_of_aframe_completes_through_its_posterior_samples(harness: Harness) -> None:
    harness.with_annotation(made_for={**OURS, "mchirp_source.json": ["cbc"]})
    made = harness.server.client.create_event(
        "CBC", "aframe", "event.json", search="AllSky", filecontents=json.dumps(AFRAME)
    )
    graceid = str(made.json()["graceid"])
    harness.settle()
    assert harness.states("jobs") == {}, "aframe has no template"
    bring(harness, graceid, "amplfi.multiorder.fits", b"a map")
    bring(harness, graceid, "aframe.p_astro.json", {"BBH": 1.0})
    harness.settle()
    bring(harness, graceid, f"amplfi.{SAMPLES}", b"samples")
    harness.settle()
    assert inputs(harness, f"{graceid}/em-bright/amplfi.0") == {SAMPLES: {"gracedb": [graceid, f"amplfi.{SAMPLES},0"]}}
    assert inputs(harness, f"{graceid}/mchirp-source/amplfi.0") == {
        SAMPLES: {"gracedb": [graceid, f"amplfi.{SAMPLES},0"]}
    }
    assert labels(harness, graceid) == {"SKYMAP_READY", "EMBRIGHT_READY", "PASTRO_READY"}
    (superevent,) = harness.superevents()
    assert {"em_bright.json,0", "mchirp_source.json,0", "amplfi.png,0"} <= {*harness.files(superevent["superevent_id"])}
    assert {"SIGNIF_LOCKED", "EMBRIGHT_READY"} <= set(superevent["labels"])
    bring(harness, graceid, f"amplfi.{SAMPLES}", b"better samples")
    harness.settle()
    assert "em_bright.json,1" in harness.files(superevent["superevent_id"])
    assert (harness.dead(), set(harness.states("jobs").values())) == ([], {"DONE"})


@pytest.mark.parametrize("filename", ["cWB.fits.gz", "cwb.fits"])
def test_a_map_of_a_single_resolution_becomes_a_multi_order_one(harness: Harness, filename: str) -> None:
    made = harness.server.client.create_event(
        "Burst", "CWB", "trigger.txt", search="AllSky", filecontents=CWB.format(far=1e-10)
    )
    graceid = str(made.json()["graceid"])
    bring(harness, graceid, filename, b"a flat map")
    harness.settle()
    assert inputs(harness, f"{graceid}/multi-order") == {"flat.fits": {"gracedb": [graceid, f"{filename},0"]}}
    assert labels(harness, graceid) == {"SKYMAP_READY"}
    assert "cwb.multiorder.fits,0" in harness.files(graceid)
    (superevent,) = harness.superevents()
    sid = superevent["superevent_id"]
    assert {"cwb.multiorder.fits,0", "cwb.png,0", "cwb.html,0", "cwb.fits.gz,0"} <= {*harness.files(sid)}
    bring(harness, graceid, "cwb.multiorder.fits", b"the pipeline's own")
    harness.settle()
    assert harness.server.client.files(sid, "cwb.multiorder.fits").read() == b"the pipeline's own"
    bring(harness, graceid, filename, b"another flat map")
    harness.settle()
    assert harness.server.client.files(sid, "cwb.multiorder.fits").read() == b"the pipeline's own"
    assert (harness.dead(), set(harness.states("jobs").values())) == ([], {"DONE"})


def test_posterior_samples_of_a_superevent_become_a_map_and_properties_for_those_who_decide(harness: Harness) -> None:
    harness.with_annotation(made_for={**OURS, "samples.em_bright.json": ["cbc"]})
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    sid = superevent["superevent_id"]
    before = set(harness.files(sid))
    harness.server.client.write_log(sid, "PE", filename=f"Bilby.{SAMPLES}", filecontents=b"samples", tag_name=["pe"])
    harness.settle()
    new = set(harness.files(sid)) - before - {f"Bilby.{SAMPLES},0"}
    made = ("em_bright.json", "em_bright.png", "fits.gz", "html", "multiorder.fits", "png", "volume.png")
    assert new == {"mchirp_source_PE.json,0", *(f"Bilby.{name},0" for name in made)}
    tags = {entry["filename"]: set(entry["tag_names"]) for entry in harness.server.client.logs(sid).json()["logs"]}
    assert tags["Bilby.em_bright.json"] == {"pe"}
    assert tags["Bilby.multiorder.fits"] == {"pe", "sky_loc"}
    # The samples of another analysis start the same eight jobs again.
    jobs = harness.states("jobs")
    harness.server.client.write_log(sid, "PE", filename=f"RapidPE.{SAMPLES}", filecontents=b"more", tag_name=["pe"])
    harness.settle()
    assert "RapidPE.multiorder.fits,0" in harness.files(sid)
    assert len(harness.states("jobs")) == len(jobs) + 8
    assert (harness.dead(), set(harness.states("jobs").values())) == ([], {"DONE"})


def test_nothing_is_made_of_samples_for_events_that_the_policy_leaves_to_others(harness: Harness) -> None:
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    sid = superevent["superevent_id"]
    harness.server.client.write_log(sid, "PE", filename=f"Bilby.{SAMPLES}", filecontents=b"samples")
    harness.settle()
    files = harness.files(sid)
    assert "Bilby.multiorder.fits,0" in files
    assert "Bilby.em_bright.json,0" not in files


def test_status_says_how_a_product_was_made(harness: Harness) -> None:
    from gwbatch.cli.status import render
    from gwbatch.reports.status import report

    def work(request: JobRequest) -> None:
        write_result(request, {"method": "point-estimate"} if request.kind == "em-bright" else None)

    harness.scheduler.work = work
    harness.with_annotation(made_for=OURS)
    graceid = upload(harness)
    harness.settle()
    bring(harness, graceid, "gstlal.p_astro.json", {"BNS": 1.0})
    harness.settle()
    found = report(harness.ledger, harness.clock.now())
    assert found["superevents"][0]["methods"] == {"em_bright.json": "point-estimate"}
    console = Console(width=200)
    with console.capture() as shown:
        console.print(render(found))
    assert "em_bright.json (point-estimate)" in " ".join(shown.get().split())


def test_a_map_that_is_made_before_the_superevent_lane_has_seen_its_event_is_followed_by_all(harness: Harness) -> None:
    """A pilot localizes within a second, while a lane may lag behind, for example after a restart."""
    graceid = upload(harness)
    superevents, others = harness.lanes[0], harness.lanes[1:]
    harness.lanes = others
    harness.settle(10)
    assert harness.states("jobs")[f"{graceid}/localize"] == "DONE"
    assert f"{graceid}/mchirp-source" not in harness.states("jobs")
    harness.lanes = [superevents, *others]
    harness.settle(10)
    assert harness.states("jobs")[f"{graceid}/mchirp-source"] == "DONE"
    assert "mchirp_source.json,0" in harness.files(graceid)
    assert (harness.dead(), set(harness.states("jobs").values())) == ([], {"DONE"})
