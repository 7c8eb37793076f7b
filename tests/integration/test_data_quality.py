"""The quality of the data in the chain of alerts, from real frame files to labels and notices."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import gwframe
import numpy as np
import pytest

from gwbatch import circulars
from gwbatch.executors.notices.producer import forget_publishers
from tests.integration.alert_rig import AlertRig, draft_quickly
from tests.integration.brokers import BrokerProcess
from tests.integration.rig import Server

GPS = 1029975254  # the simulated events' second
GOOD, BAD, INJECTED = 0b11111100011, 0b11111100010, 0b11110100011
PRELIMINARY = ("PRELIMINARY", True)
STATE = {"H1": "H1:GDS-CALIB_STATE_VECTOR", "L1": "L1:GDS-CALIB_STATE_VECTOR", "V1": "V1:DQ_ANALYSIS_STATE_VECTOR"}


@pytest.fixture(name="rig")
def _rig(
    tmp_path: Path, server: Server, brokers: dict[str, BrokerProcess], monkeypatch: pytest.MonkeyPatch
) -> Iterator[AlertRig]:
    monkeypatch.setattr(circulars, "draft", draft_quickly)
    made = AlertRig(tmp_path / "state", server, brokers)
    made.set_alerts(frames={detector: f"{tmp_path}/frames/{detector}/*.gwf" for detector in STATE})
    yield made
    made.ledger.close()
    forget_publishers()


def frames(folder: Path, *leave_out: str, fap: float = 0.9, **states: int) -> None:
    """Frames of a minute around the event, one a second, as they come with low latency."""
    for detector, channel in STATE.items():
        if detector in leave_out:
            continue
        place = folder / "frames" / detector
        place.mkdir(parents=True)
        for second in range(GPS - 10, GPS + 10):
            state = states.get(detector, GOOD) if second == GPS else GOOD
            channels = {
                channel: np.full(16, state, np.uint32),
                f"{detector}:IDQ-OK_OVL_10_2048": np.ones(16, np.float32),
                f"{detector}:IDQ-FAP_OVL_10_2048": np.full(16, fap, np.float32),
            }
            rates = dict.fromkeys(channels, 16.0)
            gwframe.write(
                place / f"{detector[0]}-{detector}_llhoft-{second}-1.gwf",
                channels,
                start=float(second),
                sample_rate=rates,
            )


def labels(rig: AlertRig) -> set[str]:
    return set(rig.superevent()["labels"])


def test_good_data_are_labelled_and_announced(rig: AlertRig, tmp_path: Path) -> None:
    frames(tmp_path)
    rig.upload()
    rig.settle(5)
    assert rig.kinds() == [PRELIMINARY]
    assert "DQOK" in labels(rig)
    assert not {"DQV", "INJ"} & labels(rig)
    said = "\n".join(map(str, rig.logs(rig.sid)))
    assert "Data quality is good." in said
    assert "No hardware injection found." in said
    assert "<td>H1:GDS-CALIB_STATE_VECTOR</td><td>HOFT_OK</td><td>pass</td>" in said
    found = json.loads(rig.server.client.files(rig.sid, "gwbatch-detchar.json").read())
    assert found["state"] == "pass"


@pytest.mark.parametrize(("state", "label"), [(BAD, "DQV"), (INJECTED, "INJ")])
def test_bad_data_and_injections_stop_the_notice(rig: AlertRig, tmp_path: Path, state: int, label: str) -> None:
    frames(tmp_path, L1=state)
    rig.upload()
    rig.settle(5)
    assert rig.kinds() == []
    assert rig.reasons() == [f"blocked by the label {label}"]
    assert label in labels(rig)
    assert not {"DQV", "DQOK"} <= labels(rig)


def test_a_person_who_clears_the_data_has_the_notice_sent(rig: AlertRig, tmp_path: Path) -> None:
    frames(tmp_path, H1=BAD)
    rig.upload()
    rig.settle(5)
    assert rig.kinds() == []
    rig.server.client.remove_label(rig.sid, "DQV")
    rig.settle(5)
    assert rig.kinds() == [PRELIMINARY]


def test_frames_that_never_come_delay_the_notice_for_a_bounded_time(rig: AlertRig, tmp_path: Path) -> None:
    frames(tmp_path, "L1")
    rig.upload()
    rig.wait(15)
    assert rig.notices() == [("preliminary", "planned")]
    rig.wait(20)
    assert rig.kinds() == [PRELIMINARY]
    assert not {"DQV", "DQOK", "INJ"} & labels(rig)
    assert any("Data quality is unknown." in str(comment) for comment in rig.logs(rig.sid))


def test_frames_that_come_late_are_waited_for(rig: AlertRig, tmp_path: Path) -> None:
    rig.upload()
    rig.wait(5)
    assert rig.kinds() == []
    frames(tmp_path)
    rig.wait(4)
    assert rig.kinds() == [PRELIMINARY]
    assert "DQOK" in labels(rig)


def test_a_dry_run_looks_and_writes_nothing(rig: AlertRig, tmp_path: Path) -> None:
    frames(tmp_path, H1=BAD)
    rig.set_alerts(dry_run=True, frames=rig.profile.alerts.frames)
    rig.upload()
    rig.settle(5)
    assert rig.reasons() == ["blocked by the label DQV"]
    assert "DQV" not in labels(rig)


# ---- an archive --------------------------------------------------------------------------------------------


@pytest.fixture(name="archive")
def _archive(tmp_path: Path) -> Iterator[Any]:
    """A server that speaks as GWDataFind does, about the files below a folder."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.asked.append(self.path)  # type: ignore[attr-defined]
            found = re.match(r"/api/v1/gwf/(\w)/(\w+)/(\d+),(\d+)/file\.json", self.path)
            listed = sorted(tmp_path.glob("archive/*.gwf")) if found is not None else []
            names = [f"file://localhost{path}" for path in listed if path.name.startswith(f"{found[1]}-{found[2]}-")]  # type: ignore[index]
            body = json.dumps(names).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.asked = []  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_data_that_have_left_the_folders_are_found_in_the_archive(rig: AlertRig, tmp_path: Path, archive: Any) -> None:
    frames(tmp_path, "V1", H1=BAD)
    (tmp_path / "archive").mkdir()
    for path in sorted(tmp_path.glob("frames/*/*.gwf")):
        detector = path.parent.name
        path.rename(tmp_path / "archive" / path.name.replace(f"{detector}_llhoft", f"{detector}_HOFT_C00"))
    rig.set_alerts(frame_server=f"http://127.0.0.1:{archive.server_port}")
    rig.upload()
    rig.settle(30)
    assert "DQV" in labels(rig)
    assert rig.kinds() == []
    assert any("/gwf/H/H1_HOFT_C00/" in path for path in archive.asked)
    assert not rig.dead()


def test_a_server_that_is_away_leaves_the_state_unknown(rig: AlertRig) -> None:
    rig.set_alerts(frame_server="http://127.0.0.1:9")
    rig.upload()
    rig.settle(40)
    assert rig.kinds() == [PRELIMINARY]
    assert not {"DQV", "DQOK"} & labels(rig)
    assert not rig.dead()
