"""The sentence that explains why one event is preferred over another, which must follow the ranking."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwbatch.config.policy import load_policy
from gwbatch.superevents import parse_event
from gwbatch.superevents.explained import why_not
from gwbatch.superevents.ranking import preference
from tests import alerts

POLICY = load_policy()

events = st.builds(
    lambda group, pipeline, search, far, snr, ifos, labels, offline: parse_event(
        alerts.event(
            far=far, group=group, pipeline=pipeline, search=search, snr=snr, ifos=ifos, labels=labels, offline=offline
        )
    ),
    st.sampled_from(["CBC", "Burst"]),
    st.sampled_from(["gstlal", "pycbc", "spiir", "CWB", "oLIB", "aframe"]),
    st.sampled_from(["AllSky", "EarlyWarning", "SSM", "BBH", "MDC"]),
    st.sampled_from([None, 1e-15, 1e-9, 1e-7, 1e-5, 1e-3]),
    st.sampled_from([4.0, 12.0, 12.5]),
    st.sampled_from(["H1", "H1,L1", "H1,L1,V1"]),
    st.lists(st.sampled_from([*alerts.COMPLETE, "INJ", "RAVEN_ALERT"]), unique=True),
    st.booleans(),
)
PLACES = (
    ("missing", "never completes"), ("injection", "offline"), ("significant",), ("injection", "offline"),
    ("any alert",), ("ranks below",), ("fewer detectors",), ("SNR", "false alarm rate is higher"),
)  # fmt: skip


@given(events, events)
def test_the_sentence_follows_the_first_difference(one: Any, other: Any) -> None:
    said, own, others = why_not(one, other, POLICY), preference(one, POLICY), preference(other, POLICY)
    if own == others:
        assert "came first" in said
    elif own > others:
        assert "chosen manually" in said
    else:
        place = next(place for place in range(len(own)) if own[place] != others[place])
        assert any(word in said for word in PLACES[place]), (place, said)
        assert "-1" not in said


@pytest.mark.parametrize(
    ("weaker", "text"),
    [
        ({"labels": ["PASTRO_READY"]}, "it is not complete: EMBRIGHT_READY, SKYMAP_READY missing"),
        ({"far": 1e-3}, "its false alarm rate is above the threshold for significant alerts"),
        ({"ifos": "H1"}, "fewer detectors count (1, not 2)"),
        ({"snr": 9.0}, "its SNR is lower (9.0, not 10.0)"),
        ({}, "it ranks like G2, which came first"),
        ({"snr": 11.0}, "it ranks above G2, which was chosen manually or by the server"),
    ],
)
def test_in_words(weaker: dict[str, Any], text: str) -> None:
    plain = {"labels": alerts.COMPLETE, "far": 1e-12}
    one = parse_event(alerts.event("G1", **{**plain, **weaker}))
    assert why_not(one, parse_event(alerts.event("G2", **plain)), POLICY) == text
