"""The alert chain as a table: for every start and every condition, the exact notices, labels and files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gwbatch.config.resources import example_event
from gwbatch.demo.pipelines import with_far
from gwbatch.handlers.messages import Prefer
from gwbatch.ledger.messages import send_message
from tests.integration.alert_harness import AlertHarness
from tests.integration.brokers import BrokerProcess
from tests.integration.test_alert_chain import LESS_SIGNIFICANT, _without_gracedb

LESS, PRELIMINARY, WARNING = "less", "preliminary", "warning"
EM_BRIGHT, P_ASTRO = {"HasNS": 1.0, "HasRemnant": 1.0}, {"BNS": 0.9, "Terrestrial": 0.1}
FAR = {LESS: LESS_SIGNIFICANT, PRELIMINARY: 1e-9, WARNING: 1e-9}
SENT = {LESS: {"LOW_SIGNIF_PRELIM_SENT"}, PRELIMINARY: {"GCN_PRELIM_SENT"}, WARNING: set[str]()}
STARTS = [LESS, PRELIMINARY, WARNING]
WORDS = {
    ("PRELIMINARY", False): "less", ("PRELIMINARY", True): "prelim", ("EARLYWARNING", True): "ew",
    ("INITIAL", True): "initial", ("INITIAL", False): "initial (less)", ("RETRACTION", None): "retraction",
}  # fmt: skip

TABLE = {
    # condition:                  less-significant       preliminary               early warning
    "nothing else":              ("less less",           "prelim prelim",          "ew"),
    "em_bright never comes":     ("less less",           "prelim prelim",          "ew"),
    "em_bright comes late":      ("less less",           "prelim prelim",          "ew"),
    "DQV from the start":        ("",                    "",                       ""),
    "DQV in between":            ("less",                "prelim",                 "ew"),
    "DQV, taken away again":     ("less less",           "prelim prelim",          "ew"),
    "INJ from the start":        ("",                    "",                       ""),
    "INJ in between":            ("less",                "prelim",                 "ew"),
    "ADVOK in between":          ("less initial (less)", "prelim initial",         "ew initial"),
    "ADVNO in between":          ("less retraction",     "prelim retraction",      "ew retraction"),
    "ADVNO, and INJ":            ("less retraction",     "prelim retraction",      "ew retraction"),
    "another preferred event":   ("less less",           "prelim prelim",          "ew"),
    "both brokers down":         ("less less",           "prelim prelim",          "ew"),
    "one broker down":           ("less less",           "prelim prelim",          "ew"),
    "GraceDB down in between":   ("less less",           "prelim prelim",          "ew"),
    "no notices in GraceDB":     ("less less",           "prelim prelim",          "ew"),
}  # fmt: skip


def upload(
    harness: AlertHarness, start: str, em_bright: bool, far: float | None = None, pipeline: str = "gstlal"
) -> str:
    """Act as a search pipeline: upload an event, and return its ID."""
    content = with_far(example_event("bns_hlv").read_bytes(), far or FAR[start])
    search, marks = ("EarlyWarning", ["EARLY_WARNING"]) if start == WARNING else ("AllSky", [])
    client = harness.server.client
    made = client.create_event("CBC", pipeline, "coinc.xml", search=search, filecontents=content, labels=marks)
    graceid = str(made.json()["graceid"])
    bring(harness, graceid, f"{pipeline}.p_astro.json", P_ASTRO)
    if em_bright:
        bring(harness, graceid, "em_bright.json", EM_BRIGHT)
    return graceid


def bring(harness: AlertHarness, graceid: str, name: str, value: dict[str, float]) -> None:
    harness.server.client.write_log(graceid, "of the pipeline", filename=name, filecontents=json.dumps(value))


@contextmanager
def circumstances(
    condition: str, harness: AlertHarness, brokers: dict[str, BrokerProcess], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Set up what holds from the start, and bring the brokers back in the end."""
    down = {"both brokers down": ["gcn", "scimma"], "one broker down": ["scimma"]}.get(condition, [])
    if condition == "no notices in GraceDB":

        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("This GraceDB server does not advertise notice endpoints")

        harness.settle(0.5)
        monkeypatch.setattr(harness.runtime.gracedb().client, "create_notice", refuse)
    for name in down:
        brokers[name].do(b"!down")
    try:
        yield
    finally:
        for name in down:
            brokers[name].do(b"!up")


def begin(harness: AlertHarness, start: str, condition: str) -> str:
    """Upload an event, do what happens before the first notice can go out, and return the event's ID."""
    vetoed = condition.endswith("from the start")
    graceid = upload(harness, start, em_bright=not (condition.startswith("em_bright") or vetoed))
    if condition == "em_bright comes late":
        harness.server.client.write_label(graceid, "EMBRIGHT_READY")
        harness.wait(4)
        bring(harness, graceid, "em_bright.json", EM_BRIGHT)
    elif condition == "em_bright never comes":
        harness.server.client.write_label(graceid, "EMBRIGHT_READY")
    elif vetoed:
        harness.settle(2)
        harness.server.client.write_label(harness.sid, condition.partition(" ")[0])
        harness.settle(1)
        bring(harness, graceid, "em_bright.json", EM_BRIGHT)
    return graceid


def between(harness: AlertHarness, start: str, condition: str) -> None:
    """Do what happens between the first notice and the next."""
    client = harness.server.client
    for label in ("DQV", "INJ"):
        if condition in (f"{label} in between", f"{label}, taken away again", f"ADVNO, and {label}"):
            client.write_label(harness.sid, label)
    if condition.startswith(("ADVOK", "ADVNO")):
        if start == LESS:
            client.write_label(harness.sid, "ADVREQ")  # GraceDB accepts a signoff only where one is requested
        client.create_signoff(harness.sid, "ADV", "OK" if condition.startswith("ADVOK") else "NO", "")
    if condition == "another preferred event":
        other = upload(harness, start, em_bright=True, far=FAR[start] * 1.5, pipeline="pycbc")
        harness.settle(5)
        with harness.ledger.transaction() as tx:
            key = harness.ledger.read("SELECT key FROM superevents")[0]["key"]
            send_message(tx, Prefer(key, other, by="me"), harness.clock.now())
    if condition == "GraceDB down in between":
        harness.profile = _without_gracedb(harness)
        harness.restart()


@pytest.mark.parametrize("condition", TABLE)
@pytest.mark.parametrize("start", STARTS)
def test_the_table(
    harness: AlertHarness,
    brokers: dict[str, BrokerProcess],
    monkeypatch: pytest.MonkeyPatch,
    start: str,
    condition: str,
) -> None:
    wanted = TABLE[condition][STARTS.index(start)]
    pause = 4 if "broker" in condition else 60  # each attempt on a broker that is down takes 1 s of real time
    with circumstances(condition, harness, brokers, monkeypatch):
        begin(harness, start, condition)
        harness.settle(pause)
        if condition == "one broker down":
            assert words(harness, "gcn") == wanted.split(" ")[:1]
        between(harness, start, condition)
        harness.settle(pause)
        if condition == "DQV, taken away again":
            harness.server.client.remove_label(harness.sid, "DQV")
        harness.settle(pause)
    harness.settle(360)
    assert " ".join(words(harness, "gcn")) == " ".join(words(harness, "scimma")) == wanted
    check_what_is_said(harness, start, condition, wanted)


def words(harness: AlertHarness, broker: str) -> list[str]:
    return [WORDS[what] for what in harness.kinds(broker)]


def check_what_is_said(harness: AlertHarness, start: str, condition: str, wanted: str) -> None:
    """Check that labels, stored notices and files match the notices that were sent."""
    if condition == "GraceDB down in between":
        return  # GraceDB is still down, and has missed the rest
    sid, notices = harness.sid, [one for one in wanted.replace("initial (less)", "initial").split(" ") if one]
    labels = set(harness.superevent()["labels"])
    assert labels & {"LOW_SIGNIF_PRELIM_SENT", "GCN_PRELIM_SENT"} == (SENT[start] if notices else set())
    stored = [one["notice_type"] for one in harness.server.client.notices(sid).json()["notices"]]
    names = {"less": "PR", "prelim": "PR", "ew": "EW", "initial": "IN", "retraction": "RE"}
    assert stored == ([] if condition == "no notices in GraceDB" else [names[one] for one in notices])
    types = {"less": "preliminary", "prelim": "preliminary", "ew": "earlywarning"}
    ours = [name for name in harness.files(sid) if name.startswith(f"{sid}-") and name[len(sid) + 1].isalpha()]
    files = {name.rpartition(",")[0] for name in ours}
    assert files == {f"{sid}-{types.get(one, one)}.{form}" for one in notices for form in ("json", "avro")}
    first = harness.received("gcn")[:1]
    if first:
        expected = {} if condition == "em_bright never comes" else EM_BRIGHT
        assert first[0].notice["event"]["properties"] == expected
    if len(notices) < len(TABLE["nothing else"][STARTS.index(start)].split(" ")):
        (label, *_) = condition.split(" ")
        assert f"blocked by the label {label}" in harness.reasons()


@pytest.fixture(name="harness")
def _harness(alerting: AlertHarness) -> AlertHarness:
    return alerting
