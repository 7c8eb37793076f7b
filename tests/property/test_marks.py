"""Notices marked as tests or mocks, which must never lead to a production event, coincidence or announcement."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gwbatch.config.policy import load_policy
from gwbatch.dispatcher.replay import replay
from tests import alerts
from tests.notices import guano, voevent
from tests.property.test_external import T, line, utc

RULES = load_policy()
# A replay makes no sky maps, and only SNEWS is announced without one. Here it may have any FAR up to 1 Hz.
POLICY = msgspec.structs.replace(RULES, external=msgspec.structs.replace(RULES.external, supernova_far=1.0))
MARKS: list[dict[str, Any]] = [
    {"alert_tense": tense} for tense in ("test", "TEST", "injection", "planned", "Commanded", "mock", "anything")
]
MARKS += [{"alert_type": kind} for kind in ("test", "injected", "INJECTED", "Commanded")]
MARKS += [
    {"is_mdc": True},
    {"id": ["MDC-test_event"]},
    {"id": ["7", "mdc-TEST_event1"]},
    {"ivorn": "ivo://x/MDC-test_event"},
]
XML_MARKS: list[dict[str, Any]] = [
    {"role": "test"}, {"role": "Test"}, {"role": "utility"}, {"TrigID": 123456}, {"TrigID": "MDC-test_event7"},
    {"ivorn": "ivo://gcn/SNEWS#MDC-Test_Event"},
]  # fmt: skip


@st.composite
def marked(draw: st.DrawFn) -> bytes:
    """Draw a notice near the superevent in time, with one to three marks among its fields."""
    after = draw(st.floats(-5, 5).map(lambda value: round(value, 2)))
    if draw(st.booleans()):
        marks = {
            name: value
            for mark in draw(st.lists(st.sampled_from(MARKS), min_size=1, max_size=3))
            for name, value in mark.items()
        }
        mission, instrument = draw(st.sampled_from([("Swift", "BAT-GUANO"), ("Fermi", "GBM"), ("IceCube", "IC86")]))
        notice = guano(
            **{"mission": mission, "instrument": instrument, "trigger_time": utc(after), "ra": 1.0, "dec": 2.0, **marks}
        )
        return line("gcn.notices.anything", notice)
    marks = {
        name: value
        for mark in draw(st.lists(st.sampled_from(XML_MARKS), min_size=1, max_size=3))
        for name, value in mark.items()
    }
    values = {"ivorn": "ivo://gcn/SNEWS#1", "Packet_Type": 149, "TrigID": 7, "time": utc(after), **marks}
    return line("gcn.classic.voevent.SNEWS", voevent(**values))


def real(after: float) -> bytes:
    return line("gcn.classic.voevent.SNEWS", voevent("ivo://gcn/SNEWS#1", time=utc(after), Packet_Type=149, TrigID=7))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_mark_is_ever_lost(data: st.DataObject) -> None:
    event = alerts.event("G1", T, 1e-9, group="Burst", pipeline="CWB", snr=12.0)
    lines = [line(alerts.topic(event), alerts.new(event)), *data.draw(st.lists(marked(), min_size=1, max_size=4))]
    with_real = data.draw(st.booleans())
    lines += [real(1.0)] if with_real else []
    said = [json.loads(one) for one in replay(data.draw(st.permutations(lines)), POLICY)]
    externals = {one["external"]: one for one in said[-1].get("external", [])}
    production = {key for key in externals if not key.startswith(("E@SNEWS.", "E@Swift.", "E@Fermi.", "E@IceCube."))}
    assert production == ({"E@SNEWS-7"} if with_real else set())
    for decision in said:
        if decision.get("action") in ("coincidence", "raven_alert"):
            assert decision["external"] in production
    assert ("RAVEN_ALERT" in said[-1]["final"][0]["labels"]) is with_real
    for key, one in externals.items():
        assert key in production or "superevent" not in one
