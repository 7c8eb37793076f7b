"""Products of events: what gwbatch makes itself, what it takes over from pipelines, and that nothing is doubled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gwbatch.config.resources import demo_event
from gwbatch.demo.pipelines import with_far
from gwbatch.model import JobRequest
from tests.integration.rig import MAP, Rig, well, write_result

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


def upload(rig: Rig, pipeline: str = "gstlal", search: str = "AllSky", far: float = 1e-9) -> str:
    """Upload a coincidence, and nothing else."""
    content = with_far(demo_event("bns_hlv").read_bytes(), far)
    made = rig.server.client.create_event("CBC", pipeline, "coinc.xml", search=search, filecontents=content)
    return str(made.json()["graceid"])


def bring(rig: Rig, graceid: str, filename: str, content: Any, comment: str = "by the pipeline") -> None:
    """Upload a file as a pipeline does."""
    content = content if isinstance(content, bytes) else json.dumps(content)
    rig.server.client.write_log(graceid, comment, filename=filename, filecontents=content)


def labels(rig: Rig, graceid: str) -> set[str]:
    return set(rig.server.client.event(graceid).json()["labels"])


def parameters(rig: Rig, key: str) -> dict[str, Any]:
    (row,) = rig.ledger.read("SELECT request FROM jobs WHERE key = ?", (key,))
    return dict(json.loads(row["request"])["parameters"])


def test_an_event_completes_through_our_own_em_bright(rig: Rig) -> None:
    rig.with_annotation(made_for=OURS)
    graceid = upload(rig)
    rig.settle()
    bring(rig, graceid, "gstlal.p_astro.json", {"BNS": 1.0})
    rig.settle()
    assert labels(rig, graceid) == {"SKYMAP_READY", "EMBRIGHT_READY", "PASTRO_READY"}
    (superevent,) = rig.superevents()
    assert {"SKYMAP_READY", "EMBRIGHT_READY", "PASTRO_READY", "SIGNIF_LOCKED"} <= set(superevent["labels"])
    files = rig.files(superevent["superevent_id"])
    wanted = ("em_bright.json", "em_bright.png", "gstlal.p_astro.json", "gstlal.p_astro.png")
    assert {f"{name},0" for name in wanted} <= {*files}
    assert all(name.endswith(",0") for name in files)
    comments = rig.logs(superevent["superevent_id"])
    for what in ("Localization", "Source properties", "Source classification"):
        assert f"{what} copied from {graceid}" in comments
    assert "source properties" in rig.logs(graceid)
    used = parameters(rig, f"{graceid}/em-bright")
    assert (used["mass1"], used["mass2"]) == pytest.approx((1.4758154, 1.25622))
    assert (rig.dead(), set(rig.states("jobs").values())) == ([], {"DONE"})


def test_em_bright_is_made_only_for_mock_data_unless_the_policy_says_more(rig: Rig) -> None:
    real, mock = upload(rig), upload(rig, search="MDC")
    rig.settle()
    jobs = rig.states("jobs")
    assert f"{real}/em-bright" not in jobs
    assert f"{mock}/em-bright" in jobs


def test_p_astro_is_made_for_the_three_kinds_that_nobody_else_classifies(rig: Rig) -> None:
    made = {
        (pipeline, search): upload(rig, pipeline, search)
        for pipeline in ("gstlal", "pycbc", "spiir")
        for search in ("AllSky", "EarlyWarning", "MDC")
    }
    rig.settle()
    jobs = rig.states("jobs")
    ours = {kind for kind, graceid in made.items() if f"{graceid}/p-astro" in jobs}
    assert ours == {("gstlal", "MDC"), ("pycbc", "EarlyWarning"), ("spiir", "EarlyWarning")}
    for pipeline, search in ours:
        graceid = made[pipeline, search]
        assert f"{pipeline}.p_astro.json,0" in rig.files(graceid)
        assert "PASTRO_READY" in labels(rig, graceid)
    used = parameters(rig, f"{made['pycbc', 'EarlyWarning']}/p-astro")
    assert (used["far"], used["instruments"]) == (1e-9, ["H1", "L1", "V1"])


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_pipelines_own_em_bright_takes_the_place_of_ours(rig: Rig, when: str) -> None:
    rig.with_annotation(made_for=OURS)
    graceid = upload(rig)
    if when == "before":
        bring(rig, graceid, "em_bright.json", {"HasNS": 0.25})
    elif when == "during":
        rig.carry()
        rig.step()
        bring(rig, graceid, "em_bright.json", {"HasNS": 0.25})
    rig.settle()
    if when == "after":
        bring(rig, graceid, "em_bright.json", {"HasNS": 0.25})
        rig.settle()
    bring(rig, graceid, "gstlal.p_astro.json", {"BNS": 1.0})
    rig.settle()
    (superevent,) = rig.superevents()
    assert rig.server.client.files(superevent["superevent_id"], "em_bright.json").json() == {"HasNS": 0.25}
    copies = [name for name in rig.files(superevent["superevent_id"]) if name.startswith("em_bright.json")]
    assert copies == ["em_bright.json,0"], "the superevent was completed by the one that came last"
    assert set(rig.states("effects").values()) == {"done"}


def test_a_superevent_gets_the_version_that_the_ledger_knows(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody uploads another version, and the alert about it is late."""
    alerts_after = rig.server.store.alerts_after
    late: list[tuple[str, bytes]] = []

    def without_another(seq: int) -> Any:
        for number, topic, payload in alerts_after(seq):
            if "by another" in payload:
                late.append((topic, payload.encode()))
            else:
                yield number, topic, payload

    monkeypatch.setattr(rig.server.store, "alerts_after", lambda seq: list(without_another(seq)))
    graceid = upload(rig)
    bring(rig, graceid, "gstlal.p_astro.json", {"BNS": 1.0})
    bring(rig, graceid, "em_bright.json", {"HasNS": 0.25})
    bring(rig, graceid, "em_bright.json", {"HasNS": 0.75}, "by another")
    rig.settle()
    (superevent,) = rig.superevents()
    sid = superevent["superevent_id"]
    assert rig.server.client.files(sid, "em_bright.json").json() == {"HasNS": 0.25}
    rig.deliver(*late[0], rig.clock.now())
    rig.settle()
    assert rig.server.client.files(sid, "em_bright.json").json() == {"HasNS": 0.75}
    assert "em_bright.json,1" in rig.files(sid)


def test_our_own_upload_is_not_taken_for_a_pipelines(rig: Rig) -> None:
    rig.with_annotation(made_for=OURS)
    graceid = upload(rig)
    rig.settle()
    (row,) = rig.ledger.read("SELECT path FROM products WHERE subject = ? AND name = 'em_bright.json'", (graceid,))
    assert row["path"] is not None


def test_an_alert_without_masses_is_answered_from_the_file(rig: Rig) -> None:
    rig.with_annotation(made_for=OURS)
    graceid = upload(rig)
    for _, topic, payload in rig.server.store.alerts_after(0):
        alert = json.loads(payload)
        if alert["alert_type"] == "new":
            alert["object"]["extra_attributes"].pop("SingleInspiral")
            rig.deliver(topic, json.dumps(alert).encode(), rig.clock.now())
    rig.step()
    (row,) = rig.ledger.read("SELECT request FROM jobs WHERE key = ?", (f"{graceid}/em-bright",))
    request = json.loads(row["request"])
    assert request["inputs"] == {"coinc.xml": {"gracedb": [graceid, "coinc.xml"]}}
    assert "mass1" not in request["parameters"]


def test_the_chirp_mass_follows_the_map_and_is_copied(rig: Rig) -> None:
    graceid = rig.upload()
    rig.settle()
    assert "mchirp_source.json,0" in rig.files(graceid)
    (superevent,) = rig.superevents()
    assert "mchirp_source.json,0" in rig.files(superevent["superevent_id"])
    directory = Path(rig.ledger.read("SELECT directory FROM jobs WHERE kind = 'mchirp-source'")[0]["directory"])
    assert (directory / MAP).read_text() == f"localize of {graceid}/localize/1"


def test_a_bursts_map_is_taken_over_and_drawn_under_its_own_name(rig: Rig) -> None:
    """The pipeline brings a map of which nobody knows what it holds until the headers have been read."""

    def work(request: JobRequest) -> None:
        if request.kind == "fits-header":
            write_result(request, {"has_distances": True, "has_coherence": False})
        else:
            well(request)

    rig.scheduler.work = work
    made = rig.server.client.create_event(
        "Burst", "CWB", "trigger.txt", search="AllSky", filecontents=CWB.format(far=1e-10)
    )
    graceid = str(made.json()["graceid"])
    bring(rig, graceid, "cwb.multiorder.fits", b"a map")
    rig.settle()
    assert labels(rig, graceid) == {"SKYMAP_READY"}
    (superevent,) = rig.superevents()
    expected = ["cwb.fits.gz", "cwb.html", "cwb.multiorder.fits", "cwb.png", "cwb.volume.png"]
    assert rig.files(superevent["superevent_id"]) == [f"{name},0" for name in expected]
    assert {"SKYMAP_READY", "SIGNIF_LOCKED"} <= set(superevent["labels"])
    assert f"Localization copied from {graceid}" in rig.logs(superevent["superevent_id"])
    assert (rig.dead(), set(rig.states("jobs").values())) == ([], {"DONE"})


def test_a_burst_of_two_black_holes_gets_its_properties_from_its_chirp_mass(rig: Rig) -> None:
    rig.with_annotation(made_for={**OURS, "mchirp_source.json": ["burst.cwb.bbh"]})
    content = CWB.format(far=1e-9)
    made = rig.server.client.create_event("Burst", "CWB", "trigger.txt", search="BBH", filecontents=content)
    graceid = str(made.json()["graceid"])
    rig.settle()
    used = parameters(rig, f"{graceid}/em-bright")
    assert used["mass1"] == used["mass2"] == pytest.approx(30 * 2**0.2), "cWB reports no chirp mass here"
    told = f"mchirp:     21.5\n{content}"
    heavier = rig.server.client.create_event("Burst", "CWB", "trigger.txt", search="BBH", filecontents=told)
    rig.settle()
    used = parameters(rig, f"{heavier.json()['graceid']}/em-bright")
    assert used["mass1"] == used["mass2"] == pytest.approx(21.5 * 2**0.2)
    bring(rig, graceid, "cwb.multiorder.fits", b"a map")
    rig.settle()
    assert parameters(rig, f"{graceid}/mchirp-source")["group"] == "burst"
    assert labels(rig, graceid) == {"EMBRIGHT_READY", "SKYMAP_READY"}


AFRAME = {"gpstime": 1029975254.5, "far": 1e-9, "ifos": ["H1", "L1"]}
SAMPLES = "posterior_samples.hdf5"


def inputs(rig: Rig, key: str) -> dict[str, Any]:
    (row,) = rig.ledger.read("SELECT request FROM jobs WHERE key = ?", (key,))
    return dict(json.loads(row["request"])["inputs"])


def test_an_event_of_aframe_completes_through_its_posterior_samples(rig: Rig) -> None:
    rig.with_annotation(made_for={**OURS, "mchirp_source.json": ["cbc"]})
    made = rig.server.client.create_event(
        "CBC", "aframe", "event.json", search="AllSky", filecontents=json.dumps(AFRAME)
    )
    graceid = str(made.json()["graceid"])
    rig.settle()
    assert rig.states("jobs") == {}, "aframe has no template"
    bring(rig, graceid, "amplfi.multiorder.fits", b"a map")
    bring(rig, graceid, "aframe.p_astro.json", {"BBH": 1.0})
    rig.settle()
    bring(rig, graceid, f"amplfi.{SAMPLES}", b"samples")
    rig.settle()
    assert inputs(rig, f"{graceid}/em-bright/amplfi.0") == {SAMPLES: {"gracedb": [graceid, f"amplfi.{SAMPLES},0"]}}
    assert inputs(rig, f"{graceid}/mchirp-source/amplfi.0") == {SAMPLES: {"gracedb": [graceid, f"amplfi.{SAMPLES},0"]}}
    assert labels(rig, graceid) == {"SKYMAP_READY", "EMBRIGHT_READY", "PASTRO_READY"}
    (superevent,) = rig.superevents()
    assert {"em_bright.json,0", "mchirp_source.json,0", "amplfi.png,0"} <= {*rig.files(superevent["superevent_id"])}
    assert {"SIGNIF_LOCKED", "EMBRIGHT_READY"} <= set(superevent["labels"])
    bring(rig, graceid, f"amplfi.{SAMPLES}", b"better samples")
    rig.settle()
    assert "em_bright.json,1" in rig.files(superevent["superevent_id"])
    assert (rig.dead(), set(rig.states("jobs").values())) == ([], {"DONE"})


@pytest.mark.parametrize("filename", ["cWB.fits.gz", "cwb.fits"])
def test_a_map_of_a_single_resolution_becomes_a_multi_order_one(rig: Rig, filename: str) -> None:
    made = rig.server.client.create_event(
        "Burst", "CWB", "trigger.txt", search="AllSky", filecontents=CWB.format(far=1e-10)
    )
    graceid = str(made.json()["graceid"])
    bring(rig, graceid, filename, b"a flat map")
    rig.settle()
    assert inputs(rig, f"{graceid}/multi-order") == {"flat.fits": {"gracedb": [graceid, f"{filename},0"]}}
    assert labels(rig, graceid) == {"SKYMAP_READY"}
    assert "cwb.multiorder.fits,0" in rig.files(graceid)
    (superevent,) = rig.superevents()
    sid = superevent["superevent_id"]
    assert {"cwb.multiorder.fits,0", "cwb.png,0", "cwb.html,0", "cwb.fits.gz,0"} <= {*rig.files(sid)}
    bring(rig, graceid, "cwb.multiorder.fits", b"the pipeline's own")
    rig.settle()
    assert rig.server.client.files(sid, "cwb.multiorder.fits").read() == b"the pipeline's own"
    bring(rig, graceid, filename, b"another flat map")
    rig.settle()
    assert rig.server.client.files(sid, "cwb.multiorder.fits").read() == b"the pipeline's own"
    assert (rig.dead(), set(rig.states("jobs").values())) == ([], {"DONE"})


def test_posterior_samples_of_a_superevent_become_a_map_and_properties_for_those_who_decide(rig: Rig) -> None:
    rig.with_annotation(made_for={**OURS, "samples.em_bright.json": ["cbc"]})
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    sid = superevent["superevent_id"]
    before = set(rig.files(sid))
    rig.server.client.write_log(sid, "PE", filename=f"Bilby.{SAMPLES}", filecontents=b"samples", tag_name=["pe"])
    rig.settle()
    new = set(rig.files(sid)) - before - {f"Bilby.{SAMPLES},0"}
    made = ("em_bright.json", "em_bright.png", "fits.gz", "html", "multiorder.fits", "png", "volume.png")
    assert new == {"mchirp_source_PE.json,0", *(f"Bilby.{name},0" for name in made)}
    tags = {entry["filename"]: set(entry["tag_names"]) for entry in rig.server.client.logs(sid).json()["logs"]}
    assert tags["Bilby.em_bright.json"] == {"pe"}
    assert tags["Bilby.multiorder.fits"] == {"pe", "sky_loc"}
    # Another analysis is another version; the same file a second time is nothing new.
    jobs = rig.states("jobs")
    rig.server.client.write_log(sid, "PE", filename=f"RapidPE.{SAMPLES}", filecontents=b"more", tag_name=["pe"])
    rig.settle()
    assert "RapidPE.multiorder.fits,0" in rig.files(sid)
    assert len(rig.states("jobs")) == len(jobs) + 8
    assert (rig.dead(), set(rig.states("jobs").values())) == ([], {"DONE"})


def test_nothing_is_made_of_samples_for_events_that_the_policy_leaves_to_others(rig: Rig) -> None:
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    sid = superevent["superevent_id"]
    rig.server.client.write_log(sid, "PE", filename=f"Bilby.{SAMPLES}", filecontents=b"samples")
    rig.settle()
    files = rig.files(sid)
    assert "Bilby.multiorder.fits,0" in files
    assert "Bilby.em_bright.json,0" not in files


def test_status_says_how_a_product_was_made(rig: Rig) -> None:
    from gwbatch.cli.status import render
    from gwbatch.reports.status import report

    def work(request: JobRequest) -> None:
        write_result(request, {"method": "point-estimate"} if request.kind == "em-bright" else None)

    rig.scheduler.work = work
    rig.with_annotation(made_for=OURS)
    graceid = upload(rig)
    rig.settle()
    bring(rig, graceid, "gstlal.p_astro.json", {"BNS": 1.0})
    rig.settle()
    found = report(rig.ledger, rig.clock.now())
    assert found["superevents"][0]["methods"] == {"em_bright.json": "point-estimate"}
    console = Console(width=200)
    with console.capture() as shown:
        console.print(render(found))
    assert "em_bright.json (point-estimate)" in " ".join(shown.get().split())


def test_a_map_that_is_made_before_the_superevent_lane_has_seen_its_event_is_followed_by_all(rig: Rig) -> None:
    """A pilot localizes within a second, and a lane may be behind, as after a restart."""
    graceid = upload(rig)
    superevents, others = rig.lanes[0], rig.lanes[1:]
    rig.lanes = others
    rig.settle(10)
    assert rig.states("jobs")[f"{graceid}/localize"] == "DONE"
    assert f"{graceid}/mchirp-source" not in rig.states("jobs")
    rig.lanes = [superevents, *others]
    rig.settle(10)
    assert rig.states("jobs")[f"{graceid}/mchirp-source"] == "DONE"
    assert "mchirp_source.json,0" in rig.files(graceid)
    assert (rig.dead(), set(rig.states("jobs").values())) == ([], {"DONE"})
