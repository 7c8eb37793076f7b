"""Parsing of every mission's notices into one form; malformed or hostile ones are refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwbatch.config.policy import load_policy
from gwbatch.errors import BadInput
from gwbatch.external import Notice, Trigger, ignored, parse_notice, vetoes
from gwbatch.external import merge_notices as combine_with
from gwbatch.external.skymap import sigma
from gwbatch.external.voevent import VOEvent, write_voevent
from gwbatch.gpstime import gps_of
from tests.notices import FERMI, GUANO, fermi, guano, voevent

RULES = load_policy().external
CORPUS = Path(__file__).parents[1] / "data" / "notices"


@pytest.mark.parametrize("path", sorted((CORPUS / "found").iterdir()), ids=lambda path: path.name)
def test_what_fuzzing_found_is_refused(path: Path) -> None:
    with pytest.raises(BadInput):
        parse_notice(path.stem, path.read_bytes())


def test_grb_170817a() -> None:
    notice = parse_notice(FERMI, fermi(Most_Likely_Index=4, Most_Likely_Prob=99, Trig_Timescale=0.256))
    assert (notice.observatory, notice.trigger_id, notice.search) == ("Fermi", "524666471", "GRB")
    assert notice.time == pytest.approx(1187008884.47)
    assert (notice.ra, notice.dec, sigma(notice, RULES)) == (172.0, -34.8, 17.45)
    assert notice.duration == 0.256
    assert vetoes(notice, RULES) == ()
    assert not notice.test


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"Most_Likely_Index": 10}, "most likely source 10"), ({"Most_Likely_Prob": 49}, "at 49 %"),
        ({"StarTrack_Lost_Lock": "true"}, "StarTrack_Lost_Lock"), ({"Def_NOT_a_GRB": "true"}, "Def_NOT_a_GRB"),
    ],
)  # fmt: skip
def test_what_is_no_burst_says_why(params: dict[str, object], reason: str) -> None:
    notice = parse_notice(FERMI, fermi(**params))
    assert reason in vetoes(notice, RULES)[0]


def test_an_alert_has_no_position_yet() -> None:
    notice = parse_notice(FERMI, voevent(Packet_Type=110, TrigID=1, position=(0.0, 0.0, 0.0)))
    assert (notice.ra, vetoes(notice, RULES)) == (None, ("no position yet",))


@pytest.mark.parametrize(("reliability", "dropped"), [(4, True), (5, False)])
def test_an_unreliable_notice_is_dropped(reliability: int, dropped: bool) -> None:
    assert bool(ignored(parse_notice(FERMI, fermi(Reliability=reliability)), RULES)) is dropped


@pytest.mark.parametrize(
    ("ivorn", "params", "group", "observatory", "trigger", "search"),
    [
        ("ivo://nasa.gsfc.gcn/SWIFT#BAT_GRB_Pos_1", {"Packet_Type": 61, "TrigID": 7}, "", "Swift", "7", "GRB"),
        ("ivo://nasa.gsfc.gcn/Fermi#GBM_SubThresh_1", {"Packet_Type": 131, "Trans_Num": 9}, "", "Fermi", "9", "SubGRB"),
        ("ivo://nasa.gsfc.gcn/SNEWS#Event", {"Packet_Type": 149, "TrigID": 3}, "", "SNEWS", "3", "Supernova"),
        (
            "ivo://org.svom/fsc#sb1", {"Packet_Type": 202},
            "<Group name='Svom_Identifiers'><Param name='Burst_Id' value='sb24'/></Group>", "SVOM", "sb24", "GRB",
        ),
    ],
)  # fmt: skip
def test_every_mission_has_its_ways(
    ivorn: str, params: dict[str, object], group: str, observatory: str, trigger: str, search: str
) -> None:
    notice = parse_notice(FERMI, voevent(ivorn, group=group, **params))  # type: ignore[arg-type]
    assert (notice.observatory, notice.trigger_id, notice.search) == (observatory, trigger, search)
    assert not ignored(notice, RULES)


def test_svom_counts_with_its_position_only() -> None:
    group = "<Group name='Svom_Identifiers'><Param name='Burst_Id' value='sb24'/></Group>"
    assert ignored(parse_notice(FERMI, voevent("ivo://org.svom/fsc#1", group=group, Packet_Type=201)), RULES)


def test_a_test_is_told_from_an_observation() -> None:
    assert parse_notice(FERMI, voevent(role="test", Packet_Type=115, TrigID=1)).test
    assert parse_notice(GUANO, guano(alert_tense="test")).test


def test_retractions_are_honoured() -> None:
    assert parse_notice(FERMI, voevent("ivo://x/SNEWS#E", Packet_Type=149, TrigID=3, Retraction="true")).retracted
    assert parse_notice(FERMI, voevent("ivo://x/SNEWS#E", Packet_Type=164, TrigID=3)).retracted
    assert parse_notice(GUANO, guano(alert_type="retraction")).retracted


@pytest.mark.parametrize("identity", ["694215995", ["694215995"], 694215995])
@pytest.mark.parametrize("mission", ["Swift", "SWIFT"])
@pytest.mark.parametrize("time", ["2022-12-31T21:46:05.13Z", "2022-12-31T21:46:05.13", "2022-12-31 21:46:05.13+00:00"])
def test_json_notices_vary(identity: Any, mission: str | None, time: str) -> None:
    notice = parse_notice(GUANO, guano(id=identity, mission=mission, trigger_time=time))
    assert (notice.trigger_id, notice.search, notice.far) == ("694215995", "SubGRBTargeted", 1e-5)
    assert notice.time == gps_of("2022-12-31T21:46:05.13") + 0.256 / 2


def test_a_radius_that_contains_90_per_cent_becomes_one_sigma() -> None:
    notice = parse_notice(GUANO, guano(ra=1.0, dec=2.0, ra_dec_error=0.5))
    assert sigma(notice, RULES) == pytest.approx(0.5 / 2.1460, rel=1e-4)
    ellipse = parse_notice(GUANO, guano(ra=1.0, dec=2.0, ra_dec_error=[0.5, 0.6, 0], containment_probability=0.68))
    assert sigma(ellipse, RULES) == pytest.approx(0.6 / 1.5096, rel=1e-3)


def test_guano_on_somebody_elses_burst_is_a_burst() -> None:
    assert parse_notice(GUANO, guano(follow_up_type="GRB")).search == "GRB"


@pytest.mark.parametrize(
    "topic",
    ["gcn.notices.icecube.gold_bronze_track_alerts", "gcn.notices.chime.frb", "gcn.notices.einstein_probe.wxt.alert"],
)
def test_the_published_examples_are_read(topic: str) -> None:
    notice = parse_notice(topic, (CORPUS / f"{topic}.json").read_bytes())
    assert notice.trigger_id
    assert notice.ra is not None


BAD: list[tuple[str, bytes | dict[str, Any]]] = [
    (FERMI, b""), (FERMI, b"<"), (FERMI, b"\x00" * 100), (FERMI, fermi()[:200]),
    (FERMI, b"<!DOCTYPE a [<!ENTITY b 'c'><!ENTITY d '&b;&b;&b;'>]><a>&d;</a>"),
    (FERMI, b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>"),
    (FERMI, b"<a>" + b"x" * (17 * 2**20) + b"</a>"),
    (FERMI, voevent("ivo://nasa.gsfc.gcn/UNHEARD_OF#1", Packet_Type=115, TrigID=1)),
    (FERMI, voevent(Packet_Type=115)), (FERMI, voevent(time="yesterday", Packet_Type=115, TrigID=1)),
    (FERMI, fermi(Most_Likely_Prob="many")), (FERMI, fermi(Most_Likely_Index="nan")),
    (FERMI, voevent(position=(400.0, 0.0, 1.0), Packet_Type=115, TrigID=1)),
    (FERMI, voevent(position=(1.0, -91.0, 1.0), Packet_Type=115, TrigID=1)),
    (FERMI, fermi(Trig_Timescale=-1)), (FERMI, fermi(Trig_Timescale="inf")),
    (GUANO, b"{"), (GUANO, b"[]"), (GUANO, b"[" * 100_000), (GUANO, guano(id=[])), (GUANO, guano(id=None)),
    (GUANO, guano(id={"a": 1})), (GUANO, guano(trigger_time=None)), (GUANO, guano(mission="Hubble")),
    (GUANO, guano(ra="here")), (GUANO, guano(ra=True, dec=1)), (GUANO, guano(far=-1)),
    (GUANO, guano(ra=1, dec=1, ra_dec_error=1, containment_probability=1)), (GUANO, guano(alert_type="odd")),
    ("gcn.notices.unheard_of", guano(mission=None, instrument=None)),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BAD)))
def test_what_cannot_be_meant_is_refused(number: int) -> None:
    topic, payload = BAD[number]
    with pytest.raises(BadInput):
        parse_notice(topic, payload)


KEYS = sorted(guano(ra=1, dec=1, ra_dec_error=1))


@settings(max_examples=300, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=12,
))  # fmt: skip
def test_any_json_is_read_or_refused(value: Any) -> None:
    payload = {**guano(), **value} if isinstance(value, dict) else value
    try:
        notice = parse_notice(GUANO, json.dumps(payload).encode())
    except BadInput:
        return
    assert notice.trigger_id
    json.dumps(asdict(notice), allow_nan=False)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_xml_is_read_or_refused(data: st.DataObject) -> None:
    document = bytearray(fermi(Most_Likely_Index=4, Most_Likely_Prob=90, Reliability=8))
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(document) - 1))
        document[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    try:
        notice = parse_notice(FERMI, bytes(document))
    except BadInput:
        return
    json.dumps(asdict(notice), allow_nan=False)


# ---- one trigger from its notices -------------------------------------------------------------------------

STAGES = [
    ("a", fermi(110)), ("b", fermi(111, Most_Likely_Index=5)), ("c", fermi(112, Most_Likely_Index=4)),
    ("d", fermi(115)), ("f", fermi(115, Reliability=2)),
    ("e", voevent("ivo://x/Fermi#GBM_SubThresh_1", Packet_Type=131, TrigID=524666471)),
]  # fmt: skip


def merge_notices(notices: Iterable[tuple[str, Notice]]) -> Trigger | None:
    return combine_with(notices, RULES)


@given(st.lists(st.sampled_from(STAGES), min_size=1), st.randoms())
def test_the_order_of_notices_and_doubles_change_nothing(notices: list[tuple[str, bytes]], random: Any) -> None:
    read = [(content, parse_notice(FERMI, payload)) for content, payload in notices]
    shuffled = read * 2
    random.shuffle(shuffled)
    assert merge_notices(shuffled) == merge_notices(dict(read).items())


def trigger(*stages: str) -> Any:
    read = {content: parse_notice(FERMI, payload) for content, payload in STAGES}
    return merge_notices((stage, read[stage]) for stage in stages)


def test_the_latest_stage_counts_and_lifts_not_grb() -> None:
    assert not trigger("a").is_burst
    assert not trigger("a", "b").is_burst
    assert trigger("a", "b", "c").is_burst
    assert trigger("d", "c", "b", "a").best_notice == "d"


def test_a_sub_threshold_notice_never_degrades_a_burst() -> None:
    assert trigger("a", "e").notice.search == "GRB"
    assert trigger("e").notice.search == "SubGRB"


def test_a_notice_that_is_dropped_makes_no_trigger() -> None:
    assert trigger("f") is None
    assert trigger("f", "d").best_notice == "d"


def test_a_retraction_stays_whatever_comes_after() -> None:
    gone = Notice("SNEWS", "3", "SNEWS", 11, 1.0, search="Supernova", retracted=True)
    later = Notice("SNEWS", "3", "SNEWS", 1, 1.0, search="Supernova")
    for order in ([gone, later], [later, gone]):
        made = merge_notices((str(one.retracted), one) for one in order)
        assert made is not None
        assert made.retracted
        assert not made.is_burst
        assert made.notice is later  # its time and position still stand


def test_a_notice_that_we_write_is_read_as_it_was_meant() -> None:
    content = write_voevent(
        "ivo://nasa.gsfc.gcn/Fermi#GBM_Fin_Pos", "Fermi (simulated)", 1187008884.5, (172.25, -34.8, 17.45),
        {"Packet_Type": 115, "TrigID": "42", "Trig_Timescale": 0.256},
    )  # fmt: skip
    assert VOEvent(content).topic == "gcn.classic.voevent.FERMI_GBM_FIN_POS"
    notice = parse_notice("", content)
    assert (notice.observatory, notice.trigger_id, notice.time) == ("Fermi", "42", 1187008884.5)
    assert (notice.ra, notice.dec, notice.radius, notice.duration) == (172.25, -34.8, 17.45, 0.256)
