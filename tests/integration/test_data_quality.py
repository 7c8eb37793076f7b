"""Data quality in the alert chain, from real frame files to labels and notices."""

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
from tests.integration.alert_harness import AlertHarness, draft_quickly
from tests.integration.brokers import BrokerProcess
from tests.integration.harness import Server

GPS = 1029975254  # s; the second of the simulated events
GOOD, BAD, INJECTED = 0b11111100011, 0b11111100010, 0b11110100011
PRELIMINARY = ("PRELIMINARY", True)
STATE = {"H1": "H1:GDS-CALIB_STATE_VECTOR", "L1": "L1:GDS-CALIB_STATE_VECTOR", "V1": "V1:DQ_ANALYSIS_STATE_VECTOR"}


@pytest.fixture(name="harness")
def _harness(
    tmp_path: Path, server: Server, brokers: dict[str, BrokerProcess], monkeypatch: pytest.MonkeyPatch
) -> Iterator[AlertHarness]:
    monkeypatch.setattr(circulars, "draft", draft_quickly)
    made = AlertHarness(tmp_path / "state", server, brokers)
    made.set_alerts(frames={detector: f"{tmp_path}/frames/{detector}/*.gwf" for detector in STATE})
    yield made
    made.ledger.close()
    forget_publishers()


def frames(folder: Path, *leave_out: str, fap: float = 0.9, **states: int) -> None:
    """Write 20 s of one-second frames around the event, like those that arrive with low latency."""
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


def labels(harness: AlertHarness) -> set[str]:
    return set(harness.superevent()["labels"])


def test_good_data_are_labelled_and_announced(harness: AlertHarness, tmp_path: Path) -> None:
    frames(tmp_path)
    harness.upload()
    harness.settle(5)
    assert harness.kinds() == [PRELIMINARY]
    assert "DQOK" in labels(harness)
    assert not {"DQV", "INJ"} & labels(harness)
    said = "\n".join(map(str, harness.logs(harness.sid)))
    assert "Data quality is good." in said
    assert "No hardware injection found." in said
    assert "<td>H1:GDS-CALIB_STATE_VECTOR</td><td>HOFT_OK</td><td>pass</td>" in said
    found = json.loads(harness.server.client.files(harness.sid, "gwbatch-detchar.json").read())
    assert found["state"] == "pass"


@pytest.mark.parametrize(("state", "label"), [(BAD, "DQV"), (INJECTED, "INJ")])
def test_bad_data_and_injections_stop_the_notice(harness: AlertHarness, tmp_path: Path, state: int, label: str) -> None:
    frames(tmp_path, L1=state)
    harness.upload()
    harness.settle(5)
    assert harness.kinds() == []
    assert harness.reasons() == [f"blocked by the label {label}"]
    assert label in labels(harness)
    assert not {"DQV", "DQOK"} <= labels(harness)


def test_a_person_who_clears_the_data_has_the_notice_sent(harness: AlertHarness, tmp_path: Path) -> None:
    frames(tmp_path, H1=BAD)
    harness.upload()
    harness.settle(5)
    assert harness.kinds() == []
    harness.server.client.remove_label(harness.sid, "DQV")
    harness.settle(5)
    assert harness.kinds() == [PRELIMINARY]


def test_frames_that_never_come_delay_the_notice_for_a_bounded_time(harness: AlertHarness, tmp_path: Path) -> None:
    frames(tmp_path, "L1")
    harness.upload()
    harness.wait(15)
    assert harness.notices() == [("preliminary", "planned")]
    harness.wait(20)
    assert harness.kinds() == [PRELIMINARY]
    assert not {"DQV", "DQOK", "INJ"} & labels(harness)
    assert any("Data quality is unknown." in str(comment) for comment in harness.logs(harness.sid))


def test_frames_that_come_late_are_waited_for(harness: AlertHarness, tmp_path: Path) -> None:
    harness.upload()
    harness.wait(5)
    assert harness.kinds() == []
    frames(tmp_path)
    harness.wait(4)
    assert harness.kinds() == [PRELIMINARY]
    assert "DQOK" in labels(harness)


def test_a_dry_run_looks_and_writes_nothing(harness: AlertHarness, tmp_path: Path) -> None:
    frames(tmp_path, H1=BAD)
    harness.set_alerts(dry_run=True, frames=harness.profile.alerts.frames)
    harness.upload()
    harness.settle(5)
    assert harness.reasons() == ["blocked by the label DQV"]
    assert "DQV" not in labels(harness)


# ---- an archive --------------------------------------------------------------------------------------------


@pytest.fixture(name="archive")
def _archive(tmp_path: Path) -> Iterator[Any]:
    """Run a server that answers like GWDataFind, for the files in the folder ``archive``."""

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
            """Log nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.asked = []  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_data_that_have_left_the_folders_are_found_in_the_archive(
    harness: AlertHarness, tmp_path: Path, archive: Any
) -> None:
    frames(tmp_path, "V1", H1=BAD)
    (tmp_path / "archive").mkdir()
    for path in sorted(tmp_path.glob("frames/*/*.gwf")):
        detector = path.parent.name
        path.rename(tmp_path / "archive" / path.name.replace(f"{detector}_llhoft", f"{detector}_HOFT_C00"))
    harness.set_alerts(frame_server=f"http://127.0.0.1:{archive.server_port}")
    harness.upload()
    harness.settle(30)
    assert "DQV" in labels(harness)
    assert harness.kinds() == []
    assert any("/gwf/H/H1_HOFT_C00/" in path for path in archive.asked)
    assert not harness.dead()


def test_a_server_that_is_away_leaves_the_state_unknown(harness: AlertHarness) -> None:
    harness.set_alerts(frame_server="http://127.0.0.1:9")
    harness.upload()
    harness.settle(40)
    assert harness.kinds() == [PRELIMINARY]
    assert not {"DQV", "DQOK"} & labels(harness)
    assert not harness.dead()
