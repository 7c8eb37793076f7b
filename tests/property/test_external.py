"""Independence of the final state from the order, number and transport of notices and alerts."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gwbatch.config.policy import load_policy
from gwbatch.dispatcher.replay import replay
from gwbatch.gpstime import gps_to_utc
from tests import alerts
from tests.notices import GUANO, guano, voevent

T = 1187008882.0
RULES = load_policy()
# An announcement cannot be withdrawn, so it depends on the order of arrival. Only SNEWS is announced without sky maps,
# so a limit of zero rules out announcements here.
POLICY = msgspec.structs.replace(RULES, external=msgspec.structs.replace(RULES.external, supernova_far=0.0))


def utc(offset: float) -> str:
    return gps_to_utc(T + offset).strftime("%Y-%m-%dT%H:%M:%S.%f")


def line(topic: str, payload: Any) -> bytes:
    if isinstance(payload, bytes):
        return json.dumps({"topic": topic, "payload_base64": base64.b64encode(payload).decode()}).encode()
    return json.dumps({"topic": topic, "payload": payload}).encode()


offsets = st.floats(-30, 30).map(lambda value: round(value, 2))
percent = st.sampled_from([None, 40, 90])


@st.composite
def fermi_lines(draw: st.DrawFn) -> bytes:
    packet, name = draw(
        st.sampled_from([(110, "ALERT"), (111, "FLT_POS"), (112, "GND_POS"), (115, "FIN_POS"), (131, "SUBTHRESH")])
    )
    params = {"Packet_Type": packet, "TrigID": draw(st.sampled_from([1, 2]))}
    if (probability := draw(percent)) is not None:
        params["Most_Likely_Prob"] = probability
    if draw(st.booleans()):
        params["Reliability"] = draw(st.sampled_from([3, 8]))
    ivorn = f"ivo://nasa.gsfc.gcn/Fermi#GBM_{'SubThresh' if packet == 131 else name}"
    role = draw(st.sampled_from(["observation"] * 4 + ["test"]))
    notice = voevent(ivorn, role, utc(draw(offsets)), **params)  # type: ignore[arg-type]
    return line(f"gcn.classic.voevent.FERMI_GBM_{name}", notice)


@st.composite
def guano_lines(draw: st.DrawFn) -> bytes:
    changes: dict[str, Any] = {"trigger_time": utc(draw(offsets)) + "Z", "id": [draw(st.sampled_from(["1", "9"]))]}
    changes["alert_type"] = draw(st.sampled_from(["initial", "update", "retraction"]))
    changes["far"] = draw(st.sampled_from([1e-5, 1e-4]))
    changes["follow_up_type"] = draw(st.sampled_from(["GW", "GRB"]))
    return line(GUANO, guano(**changes))


@st.composite
def snews_lines(draw: st.DrawFn) -> bytes:
    params = {"Packet_Type": 149, "TrigID": 7}
    if draw(st.booleans()):
        params["Retraction"] = "true"  # type: ignore[assignment]
    return line("gcn.classic.voevent.SNEWS", voevent("ivo://gcn/SNEWS#1", time=utc(draw(offsets)), **params))  # type: ignore[arg-type]


@st.composite
def superevent_lines(draw: st.DrawFn) -> list[bytes]:
    """Draw events of one or more superevents, in their order of arrival."""
    found = []
    for number in range(draw(st.integers(1, 4))):
        group, pipeline = draw(st.sampled_from([("CBC", "gstlal"), ("CBC", "pycbc"), ("Burst", "CWB")]))
        data = alerts.event(
            f"G{number}", T + draw(offsets), draw(st.sampled_from([1e-9, 1e-6, 1e-5])), group=group, pipeline=pipeline,
            snr=draw(st.floats(8, 20)),
        )  # fmt: skip
        found.append(line(alerts.topic(data), alerts.new(data)))
    return found


def shuffled(draw: Any, ordered: list[bytes], others: list[bytes]) -> list[bytes]:
    """Mix the others, in any order and once or twice each, between the lines that keep their order."""
    several = [one for one in others for _ in range(draw(st.integers(1, 2)))]
    places = draw(st.permutations([None] * len(ordered) + several))
    following = iter(ordered)
    return [next(following) if one is None else one for one in places]


def final(lines: list[bytes]) -> dict[str, Any]:
    state = json.loads(list(replay(lines, POLICY))[-1])
    state["final"] = [{**one, "labels": sorted(one["labels"])} for one in state["final"]]
    return dict(state)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_order_of_arrival_does_not_matter(data: st.DataObject) -> None:
    ordered = data.draw(superevent_lines())
    kinds = st.one_of(fermi_lines(), fermi_lines(), guano_lines(), snews_lines())
    others = data.draw(st.lists(kinds, min_size=1, max_size=5))
    assert final([*ordered, *others]) == final(shuffled(data.draw, ordered, others))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_is_announced_is_announced_once_and_no_test(data: st.DataObject) -> None:
    ordered = data.draw(superevent_lines())
    others = data.draw(st.lists(snews_lines(), min_size=1, max_size=3))
    said = [json.loads(one) for one in replay(shuffled(data.draw, ordered, others), RULES)]
    announced = [one for one in said if one.get("action") == "raven_alert"]
    assert len(announced) == len({one["superevent"] for one in announced})
    for one in announced:
        assert said.index(one) > next(
            number
            for number, other in enumerate(said)
            if other.get("action") == "coincidence" and other["superevent"] == one["superevent"]
        )


def test_grb_170817a() -> None:
    """In the public record, the gravitational waves precede the gamma rays by two seconds."""
    gw = alerts.event("G298048", 1187008882.43, 3.5e-13, snr=32.4, ifos="H1,L1,V1")
    notice = voevent(
        Packet_Type=111, TrigID=524666471, Most_Likely_Index=4, Most_Likely_Prob=90, time="2017-08-17T12:41:06.47"
    )
    said = [json.loads(one) for one in replay(
        [line("gcn.classic.voevent.FERMI_GBM_FLT_POS", notice), line("cbc_gstlal", alerts.new(gw))], RULES
    )]  # fmt: skip
    (match,) = (one for one in said if one.get("action") == "coincidence")
    assert (match["superevent"], match["external"]) == ("S@G298048", "E@Fermi-524666471")
    assert abs(match["dt"] + 2.04) < 1e-6
    assert match["far_time"] == 6 * 325 / (365 * 86400.0) * 3.5e-13
    assert match["far_spacetime"] is None  # a replay computes no maps
    assert "EM_COINC" in said[-1]["final"][0]["labels"]
    assert said[-1]["external"][0]["superevent"] == "S@G298048"
