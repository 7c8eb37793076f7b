"""The sandbox: the client's own test suite, alerts as GraceDB publishes them, and state kept across restarts."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from ligo.gracedb.exceptions import HTTPError

from gwbatch.config.profile import GraceDBSettings
from gwbatch.config.resources import example_event
from gwbatch.gracedb import make_client
from gwbatch.simulation.server import Server

# These contradict test_deprecated.py of the same suite, so no server can pass both.
IMPOSSIBLE = {
    "test_emobservations.py::test_emobservations[event]",
    "test_emobservations.py::test_emobservations[superevent]",
    "test_update_grbevent.py::test_update_grbevent",
}


class Running:
    """``gwbatch sandbox`` as a process."""

    def __init__(self, state: Path) -> None:
        command = [sys.executable, "-m", "gwbatch", "sandbox", "--port", "0", "--state", str(state), "--group", "g"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        self.addresses: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.client = make_client(GraceDBSettings(self.addresses["gracedb"], "none"))

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=20)

    def alerts(self, topic: str, count: int) -> list[tuple[int, dict[str, Any]]]:
        """Return the first `count` alerts on a topic, with their offsets."""
        consumer = Consumer(
            {"bootstrap.servers": self.addresses["kafka"], "group.id": "test", "enable.auto.commit": False}
        )
        consumer.assign([TopicPartition(f"g.{topic}", 0, 0)])
        found: list[tuple[int, dict[str, Any]]] = []
        deadline = time.monotonic() + 20
        while len(found) < count and time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                found.append((message.offset(), json.loads(message.value())))
        consumer.close()
        return found


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "sandbox")
    yield running
    if running.process.poll() is None:
        running.kill()


def upload(sandbox: Running, pipeline: str = "gstlal") -> str:
    content = example_event("nsbh_hl").read_bytes()
    made = sandbox.client.create_event("CBC", pipeline, "coinc.xml", search="AllSky", filecontents=content)
    return str(made.json()["graceid"])


def test_the_clients_own_suite_passes(sandbox: Running) -> None:
    environment = {**os.environ, "TEST_SERVICE": sandbox.addresses["gracedb"], "TEST_REPLAY_ID": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", "-c", os.devnull]
    command += ["--rootdir", "/", "--pyargs", "ligo.gracedb.test.integration"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    failed = {
        line.split("integration/")[1].split(" - ")[0] for line in run.stdout.splitlines() if line.startswith("FAILED")
    }
    assert failed == IMPOSSIBLE, run.stdout[-3000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed is not None
    assert int(passed[1]) >= 101


def test_the_suites_notice_tests_pass_when_let_run(sandbox: Running) -> None:
    """The suite skips them only for the sake of other servers."""
    program = f"""
import os, sys
os.environ["TEST_SERVICE"] = {sandbox.addresses["gracedb"]!r}
import pytest
class Unskip:
    def pytest_collection_modifyitems(self, items):
        for item in items:
            item.own_markers = [m for m in item.own_markers if m.name != "skip"]
            parent = item.getparent(pytest.Module)
            parent.own_markers = [m for m in parent.own_markers if m.name != "skip"]
arguments = ["-q", "-W", "ignore", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", "/", "--pyargs"]
sys.exit(pytest.main([*arguments, "ligo.gracedb.test.integration.test_notices"], plugins=[Unskip()]))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "2 passed" in run.stdout, run.stdout[-3000:]


def test_alerts_go_out_as_gracedb_sends_them(sandbox: Running) -> None:
    graceid = upload(sandbox)
    sandbox.client.write_log(graceid, "hello", filename="a.json", filecontents="{}", tag_name=["x"])
    sandbox.client.write_label(graceid, "DQV")
    made = sandbox.client.create_superevent(1.0, 2.0, 3.0, graceid, category="P").json()
    sandbox.client.write_label(made["superevent_id"], "EM_READY")
    kinds = ["new", "log", "label_added", "selected_as_preferred"]
    for topic in ("cbc_gstlal", "cbc_gstlal_allsky"):
        assert [alert["alert_type"] for _, alert in sandbox.alerts(topic, 4)] == kinds
    (_, new), (_, log), (_, label), _ = sandbox.alerts("cbc_gstlal", 4)
    assert new["uid"] == new["object"]["graceid"] == graceid
    assert (log["data"]["filename"], log["data"]["file_version"], log["data"]["tag_names"]) == ("a.json", 0, ["x"])
    assert label["data"]["name"] == "DQV"
    assert label["object"]["labels"] == ["DQV"]
    assert [alert["alert_type"] for _, alert in sandbox.alerts("superevent", 2)] == ["new", "label_added"]


def test_alerts_name_the_server_alike_however_a_client_calls_it(sandbox: Running) -> None:
    other = sandbox.addresses["gracedb"].replace("127.0.0.1", "localhost")
    client = make_client(GraceDBSettings(other, "none"))
    made = client.create_event("CBC", "gstlal", "coinc.xml", filecontents=example_event("nsbh_hl").read_bytes()).json()
    assert made["links"]["self"].startswith(other)
    ((_, alert),) = sandbox.alerts("cbc_gstlal", 1)
    assert alert["object"]["links"]["self"].startswith(sandbox.addresses["gracedb"])


def test_killed_and_started_again_it_knows_everything_and_its_alerts_keep_their_offsets(
    sandbox: Running, tmp_path: Path
) -> None:
    graceid = upload(sandbox)
    sandbox.client.write_label(graceid, "DQV")
    before = sandbox.alerts("cbc_gstlal", 2)
    sandbox.kill()
    again = Running(tmp_path / "sandbox")
    assert again.client.event(graceid).json()["labels"] == ["DQV"]
    assert again.client.files(graceid, "coinc.xml").read() == example_event("nsbh_hl").read_bytes()
    assert again.alerts("cbc_gstlal", 2) == before
    assert upload(again, "pycbc") == "G0002"
    again.kill(signal.SIGTERM)


def test_an_upload_that_is_no_event_warns_and_alerts_nobody(sandbox: Running) -> None:
    made = sandbox.client.create_event("CBC", "gstlal", "coinc.xml", filecontents=b"not xml").json()
    assert made["gpstime"] is None
    assert made["warnings"][0].startswith("Problem scanning data. No alert issued")
    upload(sandbox)
    assert [alert["uid"] for _, alert in sandbox.alerts("cbc_gstlal", 1)] == ["G0002"]


def test_no_answer_waits_for_a_delayed_acknowledgement(server: Server) -> None:
    """Headers and content are two writes, and Nagle's algorithm would hold back the second for 40 ms."""
    server.client.ping()
    sockets = [one.transport.get_extra_info("socket") for one in server._server.server_state.connections]  # type: ignore[union-attr]
    assert sockets
    assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets)


def test_errors_are_the_bytes_that_clients_compare(sandbox: Running) -> None:
    graceid = upload(sandbox)
    sid = sandbox.client.create_superevent(1.0, 2.0, 3.0, graceid, category="P").json()["superevent_id"]
    sandbox.client.write_label(sid, "EM_READY")
    for call, said in (
        (lambda: sandbox.client.write_label(sid, "EM_READY"), f"Label EM_READY already applied to superevent {sid}"),
        (lambda: sandbox.client.update_superevent(sid, t_0=2.0), "Request would not modify the superevent"),
        (
            lambda: sandbox.client.create_superevent(1.0, 2.0, 3.0, graceid),
            f"Event {graceid} is already assigned to a superevent",
        ),
    ):
        with pytest.raises(Exception) as caught:
            call()
        assert caught.value.response.content == json.dumps({"error": said}).encode()


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("G0001", 1),
        ("group: CBC pipeline: gstlal", 1),
        ("gstlal pycbc", 2),
        ("far < 1e-5", 2),
        ("far < 1e-30", 0),
        ("label: DQV", 1),
        ("1029975254 .. 1029975255", 2),
        ("1 .. 2", 0),
        ("group: CBC Burst", 2),
    ],
)
def test_text_queries(sandbox: Running, query: str, count: int) -> None:
    sandbox.client.write_label(upload(sandbox), "DQV")
    upload(sandbox, "pycbc")
    assert sandbox.client.num_events(query) == len(list(sandbox.client.events(query))) == count


def test_nonsense_is_refused_and_the_server_lives_on(sandbox: Running) -> None:
    import requests

    base = sandbox.addresses["gracedb"]
    for method, path, status in (
        ("GET", "events/G9999", 404),
        ("GET", "events/G9999/files/..%2f..%2fetc%2fpasswd", 404),
        ("POST", "events/", 400),
        ("DELETE", "events/", 405),
        ("GET", "events/?query=%22%3A%3A", 400),
        ("POST", "superevents/", 400),
        ("GET", "superevents/S000101a/", 404),
    ):
        assert requests.request(method, base + path, timeout=10).status_code == status, (method, path)
    assert sandbox.client.ping().status_code == 200


def test_nothing_that_is_sent_breaks_the_server_for_the_next(sandbox: Running, tmp_path: Path) -> None:
    """Alerts too large for the broker, bad numbers and files without events are refused or kept, and do no harm."""
    graceid = upload(sandbox)
    client = sandbox.client
    client.write_log(graceid, "x" * 5_000_000)
    sid = client.create_superevent(1.0, 2.0, 3.0, graceid, category="P").json()["superevent_id"]
    for value in ("nan", "inf", "1e300", "abc"):
        with pytest.raises(Exception, match="400"):
            client.update_superevent(sid, t_start=value)
    wrong = [
        b'{"gpstime": 1, "far": "abc"}',
        b'{"gpstime": 1, "far": NaN}',
        b"[" * 5000,
        b"<LIGO_LW><Table Name='coinc_inspiral:table'/></LIGO_LW>",
        b"<LIGO_LW><Table><Column/></Table></LIGO_LW>",
        b"",
    ]
    for content in wrong:
        assert client.create_event("Burst", "MLy", "x.json", filecontents=content or " ").json()["gpstime"] is None
    for query in ("graceid < 5", "labels < 3", "far = 1e-9", "submitter < 3"):
        assert client.num_events(query) >= 0
    for name in ("coinc.xml,²", "coinc.xml,99999999999999999999999"):
        with pytest.raises(Exception, match="404"):
            client.files(graceid, name)
    assert client.event(graceid).json()["gpstime"] is not None
    assert [s["superevent_id"] for s in client.superevents("category: Production")] == [sid]
    sandbox.kill()
    again = Running(tmp_path / "sandbox")
    assert again.client.event(graceid).json()["superevent"] == sid
    again.kill()


def test_signoffs_and_their_labels(sandbox: Running) -> None:
    client = sandbox.client
    sid = client.create_superevent(1.0, 2.0, 3.0, upload(sandbox), category="P").json()["superevent_id"]
    with pytest.raises(Exception, match="400"):
        client.write_label(sid, "ADVOK")
    with pytest.raises(Exception, match="400"):
        client.create_signoff(sid, "ADV", "OK", "not asked for")
    client.write_label(sid, "ADVREQ")
    client.create_signoff(sid, "ADV", "OK", "good")
    assert client.superevent(sid).json()["labels"] == ["ADVOK"]
    said = "The 'ADVREQ' label cannot be applied to request a signoff because a related signoff already exists."
    with pytest.raises(Exception) as caught:
        client.write_label(sid, "ADVREQ")
    assert caught.value.response.json() == {"error": said}
    client.write_label(sid, "H1OPS")


def test_a_log_with_a_bad_label_is_kept_and_the_label_refused(sandbox: Running) -> None:
    import requests

    graceid = upload(sandbox)
    place = f"{sandbox.addresses['gracedb']}events/{graceid}/log/"
    assert requests.post(place, data={"comment": "kept", "label": "NO_SUCH"}, timeout=10).status_code == 400
    assert "kept" in [entry["comment"] for entry in sandbox.client.logs(graceid).json()["logs"]]


def test_queries_by_creation_and_order(sandbox: Running) -> None:
    first, second = upload(sandbox), upload(sandbox, "pycbc")
    assert sandbox.client.num_events("created: 2020-01-01 .. 2999-01-01") == 2
    assert sandbox.client.num_events("created: 1999-01-01 .. 2000-01-01") == 0
    for order, expected in (("graceid", [first, second]), ("-graceid", [second, first])):
        found = sandbox.client.events("gstlal pycbc", orderby=order)
        assert [event["graceid"] for event in found] == expected


def notice(superevent: str, **changes: object) -> bytes:
    value = {
        "alert_type": "RETRACTION", "time_created": "2026-01-01T00:00:00Z", "superevent_id": superevent, "event": None,
        "external_coinc": None, "urls": {"gracedb": "https://gracedb.example.org/superevents/S/view/"}, **changes,
    }  # fmt: skip
    return json.dumps(value).encode()


def test_a_notice_is_checked_against_the_public_schema(sandbox: Running) -> None:
    client = sandbox.client
    event = upload(sandbox)
    name = client.create_superevent(1, 2, 3, event).json()["superevent_id"]
    assert client.create_notice(name, "a.json", filecontents=notice(name)).status_code == 201
    for changes in ({"event": {"far": "often"}}, {"urls": None}, {"time_created": 5}):
        with pytest.raises(HTTPError) as refused:
            client.create_notice(name, "a.json", filecontents=notice(name, **changes))
        assert "is not a valid notice: $" in refused.value.response.text


@pytest.mark.parametrize("label", ["DQOK", "SOG_READY"])
def test_the_labels_of_data_quality_and_speed_of_gravity_exist(sandbox: Running, label: str) -> None:
    client = sandbox.client
    event = upload(sandbox)
    name = client.create_superevent(1, 2, 3, event).json()["superevent_id"]
    assert client.write_label(name, label).status_code == 201
