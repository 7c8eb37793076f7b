"""The superevent manager, compared with a plain model of the rules on random streams of alerts."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gwbatch.config.policy import load_policy
from gwbatch.dispatcher.replay import replay
from tests import alerts

POLICY = load_policy()
COMPLETE = {"PASTRO_READY", "EMBRIGHT_READY", "SKYMAP_READY"}
DAY = 86400.0
NEEDED = {
    ("cbc", "allsky"): COMPLETE,
    ("cbc", "earlywarning"): COMPLETE,
    ("cbc", "mdc"): COMPLETE,
    ("cbc", "ssm"): {"EMBRIGHT_READY", "SKYMAP_READY"},
    ("burst", "allsky"): {"SKYMAP_READY"},
}
SIGNIFICANT = {
    ("cbc", "allsky"): (1 / (30 * DAY), 7),
    ("cbc", "earlywarning"): (1 / (30 * DAY), 4),
    ("cbc", "mdc"): (1 / (30 * DAY), 7),
    ("cbc", "ssm"): (1 / (365 * DAY), 3),
    ("burst", "allsky"): (1 / (365 * DAY), 3),
    ("burst", "bbh"): (1 / (30 * DAY), 7),
}
LESS = {("cbc", "allsky"), ("burst", "allsky"), ("burst", "bbh")}
RANK = {
    ("cbc", "allsky"): 2,
    ("cbc", "earlywarning"): 1,
    ("cbc", "ssm"): 1,
    ("cbc", "mdc"): 1,
    ("burst", "allsky"): 0,
    ("burst", "bbh"): 0,
    ("burst", "mdc"): 0,
}


def kind(e: dict[str, Any]) -> tuple[str, str]:
    return e["group"].lower(), (e["search"] or "").lower()


def needed(e: dict[str, Any]) -> set[str] | None:
    return COMPLETE if kind(e) == ("burst", "bbh") and e["pipeline"] == "CWB" else NEEDED.get(kind(e))


def complete(e: dict[str, Any]) -> bool:
    return needed(e) is not None and needed(e) <= set(e["labels"])


def publishable(e: dict[str, Any]) -> tuple[bool, bool]:
    raven = "RAVEN_ALERT" in e["labels"] and kind(e) in SIGNIFICANT  # an unlisted kind is never publishable
    threshold, trials = SIGNIFICANT.get(kind(e), (-math.inf, 1))
    significant = trials * e["far"] <= threshold or raven
    less = significant or (kind(e) in LESS and 8 * e["far"] <= 2 / DAY * 8)
    return significant, less


def rank(e: dict[str, Any]) -> tuple[Any, ...]:
    ok = not e["offline"] and "INJ" not in e["labels"]
    significant, less = publishable(e)
    aframe = e["pipeline"] == "aframe" and kind(e) == ("cbc", "allsky")
    group_rank = 0 if aframe else RANK.get(kind(e), -1)
    if kind(e)[0] == "cbc" and not aframe:
        ifos = len(e["instruments"].split(","))
        strength = e["extra_attributes"].get("CoincInspiral", {}).get("snr", 0.0)
    else:
        ifos, strength = -1, -e["far"]
    return complete(e), ok, significant, ok, less, group_rank, ifos, strength


class Model:
    """A model of the rules that uses only lists and loops."""

    def __init__(self) -> None:
        self.superevents: list[dict[str, Any]] = []
        self.events: dict[str, dict[str, Any]] = {}

    def alert(self, alert: dict[str, Any]) -> None:
        e, name = alert["object"], alert["data"].get("name")
        known = self.events.get(e["graceid"])
        counts = "K1" not in e["instruments"].split(",") and e["far"] is not None and e["far"] <= 1 / 3600
        if counts and alert["alert_type"] == "label_added":
            counts = name == "RAVEN_ALERT" or (name in (needed(e) or ()) and complete(e))
        if known is not None or counts:
            labels = list(dict.fromkeys([*(known["labels"] if known else []), *e["labels"]]))
            if known is not None and alert["alert_type"] == "new":
                labels = known["labels"]
            self.events[e["graceid"]] = {**e, "labels": labels}
        if counts:
            self.decide(alert["alert_type"], e)

    def decide(self, alert_type: str, e: dict[str, Any]) -> None:
        mine = next((s for s in self.superevents if e["graceid"] in s["events"]), None)
        category = "mdc" if kind(e)[1] == "mdc" else "test" if kind(e)[0] == "test" else "production"
        half = self.half_width(e)
        if mine is not None and alert_type == "new":
            return
        if mine is None:
            for s in self.superevents:
                near = s["category"] == category and abs(s["t_0"] - e["gpstime"]) <= 100
                if near and e["gpstime"] + half > s["t_start"] and e["gpstime"] - half < s["t_end"]:
                    mine = s
                    s["events"].append(e["graceid"])
                    s["t_start"] = min(s["t_start"], e["gpstime"] - half)
                    s["t_end"] = max(s["t_end"], e["gpstime"] + half)
                    break
            else:
                mine = {
                    "category": category,
                    "t_start": e["gpstime"] - half,
                    "t_0": e["gpstime"],
                    "t_end": e["gpstime"] + half,
                    "preferred": e["graceid"],
                    "events": [e["graceid"]],
                    "labels": [],
                }
                self.superevents.append(mine)
        preferred = mine["preferred"]
        locked = "LOW_SIGNIF_LOCKED" in mine["labels"]
        if e["graceid"] != preferred and not locked and rank(e) > rank(self.events[preferred]):
            mine["preferred"], mine["t_0"] = e["graceid"], e["gpstime"]
        self.label(mine, e)

    @staticmethod
    def half_width(e: dict[str, Any]) -> float:
        return 4 * e["extra_attributes"]["MultiBurst"]["duration"] if e["pipeline"] == "CWB" else 1.0

    @staticmethod
    def label(s: dict[str, Any], e: dict[str, Any]) -> None:
        significant, less = publishable(e)
        ok = not e["offline"] and "INJ" not in e["labels"]
        labels = ["EM_READY"] if complete(e) else []
        if ok and significant:
            labels.append("ADVREQ")
            if complete(e):
                labels.append("EARLY_WARNING" if "EARLY_WARNING" in e["labels"] else "SIGNIF_LOCKED")
        if ok and less and complete(e):
            labels.append("LOW_SIGNIF_LOCKED")
        s["labels"] += [label for label in labels if label not in s["labels"]]


kinds = st.sampled_from(
    [
        ("CBC", "gstlal", "AllSky"),
        ("CBC", "pycbc", "AllSky"),
        ("CBC", "gstlal", "EarlyWarning"),
        ("CBC", "gstlal", "SSM"),
        ("CBC", "gstlal", "MDC"),
        ("CBC", "aframe", "AllSky"),
        ("CBC", "aframe", "SSM"),
        ("Burst", "MLy", "BBH"),
        ("CBC", "spiir", "LowMass"),
        ("Burst", "CWB", "AllSky"),
        ("Burst", "CWB", "BBH"),
        ("Burst", "MLy", None),
    ]
)
fars = st.sampled_from([1e-12, 1e-9, 5e-8, 5.5e-8, 1e-6, 2.3e-5, 1e-4, 1 / 3600, 1e-3, None])


@st.composite
def streams(draw: st.DrawFn) -> list[dict[str, Any]]:
    events = []
    for number in range(draw(st.integers(1, 7))):
        group, pipeline, search = draw(kinds)
        data = alerts.event(
            f"G{number}",
            1e9 + draw(st.sampled_from([0, 0.5, 1.5, 1.9, 2.0, 2.1, 3.5, 60, 99, 101])),
            draw(fars),
            group=group,
            pipeline=pipeline,
            search=search,
            snr=draw(st.sampled_from([5.0, 8.0, 12.0])),
            ifos=draw(st.sampled_from(["H1", "H1,L1", "H1,L1,V1", "H1,K1"])),
            labels=draw(st.sampled_from([[], ["EARLY_WARNING"], ["INJ"]])),
        )
        data["offline"] = draw(st.booleans()) and draw(st.booleans())
        if pipeline == "aframe":
            data["extra_attributes"] = {}
        if pipeline == "CWB":
            data["extra_attributes"] = {"MultiBurst": {"snr": 7.0, "duration": draw(st.sampled_from([0.01, 0.4]))}}
        events.append(data)
    stream = []
    for _ in range(draw(st.integers(1, 25))):
        data = draw(st.sampled_from(events))
        name = draw(st.sampled_from(["", "", *sorted(COMPLETE), *sorted(COMPLETE), "RAVEN_ALERT", "DQV", "INJ"]))
        alert = alerts.label_added(data, name) if name else alerts.new(data)
        if name:
            data["labels"] = alert["object"]["labels"]
        stream.append(json.loads(json.dumps(alert)))
    return stream


@settings(max_examples=400, deadline=None)
@given(streams())
def test_decides_like_the_plain_model(stream: list[dict[str, Any]]) -> None:
    model = Model()
    lines = []
    seen = set()
    for alert in stream:
        line = json.dumps({"topic": alerts.topic(alert["object"]), "payload": alert}, sort_keys=True)
        lines.append(line.encode())
        if line not in seen:
            seen.add(line)
            model.alert(alert)
    final = json.loads(list(replay(lines, POLICY))[-1])["final"]
    assert (
        [{name: s[name] for name in model.superevents[0]} for s in final] == model.superevents
        if final
        else (model.superevents == [])
    )


@settings(max_examples=100, deadline=None)
@given(streams(), st.data())
def test_a_repeated_alert_changes_nothing(stream: list[dict[str, Any]], data: st.DataObject) -> None:
    lines = [json.dumps({"topic": alerts.topic(a["object"]), "payload": a}).encode() for a in stream]
    doubled = []
    for line in lines:
        doubled += [line] * data.draw(st.integers(1, 3))
    assert list(replay(lines, POLICY))[-1] == list(replay(doubled, POLICY))[-1]


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "object",
                        "graceid",
                        "far",
                        "gpstime",
                        "group",
                        "pipeline",
                        "search",
                        "labels",
                        "alert_type",
                        "data",
                        "name",
                        "extra_attributes",
                        "CoincInspiral",
                        "snr",
                        "superevent",
                        "superevent_id",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
    )
)
def test_no_payload_whatsoever_crashes_the_manager(payload: Any) -> None:
    lines = [json.dumps({"topic": topic, "payload": payload}).encode() for topic in ("cbc_gstlal", "superevent", "x")]
    good = alerts.event("G7")
    lines.append(json.dumps({"topic": "cbc_gstlal", "payload": alerts.new(good)}).encode())
    final = json.loads(list(replay(lines, POLICY))[-1])["final"]
    assert [s["preferred"] for s in final if s["preferred"] == "G7"] == ["G7"]
