"""A table of each mission's kinds of notices and what each must be read as.

The notices follow GCN's published schemas and examples. Another mission takes a few more lines.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from gwbatch.config.policy import load_policy
from gwbatch.errors import BadInput
from gwbatch.external import Notice, ignored, parse_notice, vetoes
from gwbatch.external.skymap import model, sigma
from gwbatch.gpstime import gps_of
from tests.notices import FERMI, voevent

RULES = load_policy().external
UTC = "2026-03-01T12:00:00"
T = gps_of(UTC)
SCHEMA = "https://gcn.nasa.gov/schema/v4.2.0/gcn/notices/"
SVOM_ID = "<Group name='Svom_Identifiers'><Param name='Burst_Id' value='sb26030100'/></Group>"


class Want(NamedTuple):
    """The expected result: identity in GraceDB, time after `T` in s, 1-sigma radius in deg, and part of the veto."""

    observatory: str
    search: str
    group: str
    trigger_id: str
    after: float = 0.0
    sigma: float | None = None
    veto: str = ""


def classic(ivorn: str, packet: int, **more: Any) -> bytes:
    group, role = more.pop("group", ""), more.pop("role", "observation")
    position = more.pop("position", (100.0, 20.0, 3.0))
    params = {"Packet_Type": packet, **({} if group else {"TrigID": 7}), **more}
    return voevent(f"ivo://{ivorn}", role, UTC, position, group, **params)


def json_notice(**values: Any) -> dict[str, Any]:
    base = {"trigger_time": f"{UTC}Z", "alert_tense": "current", "alert_type": "initial", "ra": 100.0, "dec": 20.0}
    return {name: value for name, value in {**base, **values}.items() if value is not None}


def gbm(subtype: str, **values: Any) -> dict[str, Any]:
    known = {"mission": "Fermi", "instrument": "GBM", "id": ["7", "bn260301500"], "subtype": subtype}
    return json_notice(**{**known, "ra_dec_error": 3.0, "containment_probability": 0.68, **values})


def guano(**values: Any) -> dict[str, Any]:
    known = {"mission": "Swift", "instrument": "BAT-GUANO", "id": ["7"], "rate_duration": 2.0, "far": 1e-5}
    return json_notice(**{**known, "follow_up_type": "GW", **values})


def targeted(**values: Any) -> dict[str, Any]:
    known = {"mission": "Fermi", "instrument": "GBM-Targeted", "id": ["7"], "rate_duration": 4.0, "far": 1e-5}
    return json_notice(**{**known, "classification": {"SHORT": 0.9, "LONG": 0.1}, **values})


def icecube(**values: Any) -> dict[str, Any]:
    known = {"mission": "IceCube", "instrument": "IC86", "id": ["1_2"], "ra_dec_error": 1.0, "p_astro": 0.6}
    return json_notice(**{**known, "far": 1e-7, **values})


def chime(**values: Any) -> dict[str, Any]:
    known = {"$schema": f"{SCHEMA}chime/frb.schema.json", "id": "4273", "importance": 0.98, "alert_tense": None}
    return json_notice(**{**known, "ra_dec_error": [0.3, 0.2, 0], **values})


def svom(**values: Any) -> dict[str, Any]:
    return json_notice(
        **{"mission": "SVOM", "instrument": "ECLAIRs", "id": "sb26030100", "ra_dec_error": 0.2, **values}
    )


def wxt(**values: Any) -> dict[str, Any]:
    return json_notice(**{"instrument": "WXT", "id": ["0170"], "ra_dec_error": 0.1, "alert_tense": None, **values})


GBM_VOEVENT, BAT_VOEVENT = "nasa.gsfc.gcn/Fermi#GBM_2026", "nasa.gsfc.gcn/SWIFT#BAT_2026"
ONE, NINETY, SIXTY_EIGHT = 1.0, 2.145966, 1.509592  # radius over sigma
GOLDEN: dict[str, tuple[bytes | dict[str, Any], Want]] = {
    # ---- VOEvents
    "Fermi alert": (classic(GBM_VOEVENT, 110), Want("Fermi", "GRB", "External", "7", veto="no position yet")),
    "Fermi flight": (classic(GBM_VOEVENT, 111), Want("Fermi", "GRB", "External", "7", 0, 3.0)),
    "Fermi ground, solar flare": (
        classic(GBM_VOEVENT, 112, Most_Likely_Index=3), Want("Fermi", "GRB", "External", "7", veto="most likely source 3")),
    "Fermi final, unsure": (
        classic(GBM_VOEVENT, 115, Most_Likely_Index=4, Most_Likely_Prob=49),
        Want("Fermi", "GRB", "External", "7", veto="at 49 %")),
    "Fermi final, not a burst": (
        classic(GBM_VOEVENT, 115, Def_NOT_a_GRB="true"), Want("Fermi", "GRB", "External", "7", veto="Def_NOT_a_GRB")),
    "Fermi sub-threshold": (
        classic("nasa.gsfc.gcn/Fermi#GBM_SubThresh_1", 131, Reliability=7), Want("Fermi", "SubGRB", "External", "7", 0, 3.0)),
    "Fermi test": (classic(GBM_VOEVENT, 115, role="test"), Want("Fermi", "GRB", "Test", "7", 0, 3.0)),
    "Fermi test, role in capitals": (classic(GBM_VOEVENT, 115, role="TEST"), Want("Fermi", "GRB", "Test", "7", 0, 3.0)),
    "Fermi test notice type": (classic(GBM_VOEVENT, 119), Want("Fermi", "GRB", "Test", "7", 0, 3.0)),
    "Fermi mock": (classic(GBM_VOEVENT, 115, TrigID=123456), Want("Fermi", "MDC", "External", "123456", 0, 3.0)),
    "Fermi mock by ivorn": (
        classic("nasa.gsfc.gcn/Fermi#MDC-test_event1", 115), Want("Fermi", "MDC", "External", "7", 0, 3.0)),
    "Swift position": (classic(BAT_VOEVENT, 61), Want("Swift", "GRB", "External", "7", 0, 3.0 / NINETY)),
    "Swift lost lock": (
        classic(BAT_VOEVENT, 61, StarTrack_Lost_Lock="true"),
        Want("Swift", "GRB", "External", "7", veto="StarTrack_Lost_Lock")),
    "Swift, a point": (
        classic(BAT_VOEVENT, 61, position=(100.0, 20.0, 0.05)), Want("Swift", "GRB", "External", "7", 0, 0.08)),
    "SNEWS": (
        classic("gcn/SNEWS#1", 149, position=None), Want("SNEWS", "Supernova", "External", "7")),
    "SNEWS retraction": (
        classic("gcn/SNEWS#1", 149, position=None, Retraction="true"),
        Want("SNEWS", "Supernova", "External", "7", veto="retracted")),
    "SVOM": (classic("org.svom/fsc#1", 202, group=SVOM_ID), Want("SVOM", "GRB", "External", "sb26030100", 0, 3.0)),
    # ---- JSON, Fermi
    "Fermi JSON alert": (
        gbm("INITIAL_ALERT", ra=None, dec=None), Want("Fermi", "GRB", "External", "7_bn260301500", veto="no position yet")),
    "Fermi JSON alert as GCN once misspelt it": (
        gbm("", notice_subtype="INITAL_ALERT"), Want("Fermi", "GRB", "External", "7_bn260301500", veto="no position yet")),
    "Fermi JSON alert by type alone": (
        gbm("", mission=None, instrument=None, notice_type="FERMI_GBM_ALERT"),
        Want("Fermi", "GRB", "External", "7_bn260301500", veto="no position yet")),
    "Fermi JSON ground by type": (
        gbm("", notice_type="FERMI_GBM_GROUND_POS"), Want("Fermi", "GRB", "External", "7_bn260301500", 0, 3.0 / SIXTY_EIGHT)),
    "Fermi JSON sub-threshold by type": (
        gbm("", notice_type="FERMI_GBM_SUBTHRESHOLD"),
        Want("Fermi", "SubGRB", "External", "7_bn260301500", 0, 3.0 / SIXTY_EIGHT)),
    "Fermi targeted on a burst": (
        targeted(follow_up_type="GRB"), Want("Fermi", "SubGRBTargeted", "External", "7", 2.0)),
    "mock by event name": (svom(event_name=["MDC-Test_event9"]), Want("SVOM", "MDC", "External", "sb26030100")),
    "Fermi JSON flight": (
        gbm("FLIGHT_POSITION", classification={"GRB": 0.9, "SGR": 0.1}),
        Want("Fermi", "GRB", "External", "7_bn260301500", 0, 3.0 / SIXTY_EIGHT)),
    "Fermi JSON below horizon": (
        gbm("FLIGHT_POSITION", classification={"BELOW_HORIZON": 1}),
        Want("Fermi", "GRB", "External", "7_bn260301500", veto="probability 0")),
    "Fermi JSON unsure": (
        gbm("GROUND_POSITION", classification={"GRB": 0.49}),
        Want("Fermi", "GRB", "External", "7_bn260301500", veto="probability 0.49")),
    "Fermi JSON final, words": (
        gbm("final position"), Want("Fermi", "GRB", "External", "7_bn260301500", 0, 3.0 / SIXTY_EIGHT)),
    "Fermi JSON sub-threshold": (
        gbm("", reliability="HIGH"), Want("Fermi", "SubGRB", "External", "7_bn260301500", 0, 3.0 / SIXTY_EIGHT)),
    "Fermi JSON too frequent": (
        gbm("FINAL_POSITION", far=1.1e-4), Want("Fermi", "GRB", "External", "7_bn260301500", veto="above the limit")),
    "Fermi JSON retraction": (
        gbm("FINAL_POSITION", alert_type="Retraction"), Want("Fermi", "GRB", "External", "7_bn260301500", veto="retracted")),
    "Fermi JSON test": (
        gbm("FINAL_POSITION", alert_tense="Test"), Want("Fermi", "GRB", "Test", "7_bn260301500", 0, 3.0 / SIXTY_EIGHT)),
    "Fermi JSON commanded": (
        gbm("FINAL_POSITION", alert_tense="commanded"), Want("Fermi", "GRB", "Test", "7_bn260301500", 0, 3.0 / SIXTY_EIGHT)),
    "Fermi targeted": (
        targeted(ra_dec_error=5.0), Want("Fermi", "SubGRBTargeted", "External", "7", 2.0, 5.0 / NINETY)),
    "Fermi targeted, too frequent": (
        targeted(far=2e-4), Want("Fermi", "SubGRBTargeted", "External", "7", 2.0, veto="above the limit")),
    "Fermi targeted, mock": (targeted(is_mdc=True), Want("Fermi", "MDC", "External", "7", 2.0)),
    "Fermi targeted, mock by id": (
        targeted(id=["MDC-Test_Event7"]), Want("Fermi", "MDC", "External", "MDC-Test_Event7", 2.0)),
    # ---- JSON, others
    "GUANO": (guano(ra_dec_error=0.5), Want("Swift", "SubGRBTargeted", "External", "7", 1.0, 0.5 / NINETY)),
    "GUANO, image only": (
        guano(rate_duration=None, image_duration=6.0), Want("Swift", "SubGRBTargeted", "External", "7", 3.0)),
    "GUANO on a burst": (guano(follow_up_type="grb"), Want("Swift", "GRB", "External", "7", 0.0)),
    "GUANO too frequent": (
        guano(far=1.1e-3), Want("Swift", "SubGRBTargeted", "External", "7", 1.0, veto="above the limit")),
    "GUANO retraction in capitals": (
        guano(alert_type="RETRACTION"), Want("Swift", "SubGRBTargeted", "External", "7", 1.0, veto="retracted")),
    "GUANO injected": (guano(alert_type="Injected"), Want("Swift", "SubGRBTargeted", "Test", "7", 1.0)),
    "GUANO injection": (guano(alert_tense="injection"), Want("Swift", "SubGRBTargeted", "Test", "7", 1.0)),
    "GUANO mock tense": (guano(alert_tense="mock"), Want("Swift", "SubGRBTargeted", "Test", "7", 1.0)),
    "GUANO planned": (guano(alert_tense="planned"), Want("Swift", "SubGRBTargeted", "Test", "7", 1.0)),
    "GUANO archival": (guano(alert_tense="ARCHIVAL"), Want("Swift", "SubGRBTargeted", "External", "7", 1.0)),
    "SVOM JSON": (svom(), Want("SVOM", "GRB", "External", "sb26030100", 0, 0.2 / NINETY)),
    "SVOM JSON without mission": (svom(mission=None), Want("SVOM", "GRB", "External", "sb26030100", 0, 0.2 / NINETY)),
    "Einstein Probe": (wxt(), Want("EinsteinProbe", "GRB", "External", "0170", 0, 0.08)),
    "IceCube": (icecube(), Want("IceCube", "HEN", "External", "1_2", 0, 1.0 / NINETY)),
    "IceCube, background": (icecube(p_astro=0.34), Want("IceCube", "HEN", "External", "1_2", veto="probability 0.34")),
    "CHIME": (chime(), Want("CHIME", "FRB", "External", "4273", 0, 0.3)),
    "CHIME, noise": (chime(importance=0.4), Want("CHIME", "FRB", "External", "4273", veto="importance 0.4")),
    "CHIME repeater": (
        chime(known_source="FRB 20180916B"), Want("CHIME", "FRB", "External", "4273", veto="known source FRB 20180916B")),
    "a circle by its sides": (
        svom(ra_dec_error=None, ra_uncertainty=0.4, dec_uncertainty=[0.5]),
        Want("SVOM", "GRB", "External", "sb26030100", 0, 0.5 / NINETY)),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("topic", ["", "gcn.notices.of.something.else", "a.private.topic"])
def test_a_notice_is_read_by_its_content(name: str, topic: str) -> None:
    payload, want = GOLDEN[name]
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    notice = parse_notice(FERMI if isinstance(payload, bytes) and not topic else topic, raw)
    group = "Test" if notice.test else "External"
    assert (notice.observatory, notice.search, group, notice.trigger_id) == want[:4]
    assert notice.time == pytest.approx(T + want.after, abs=1e-6)
    if want.sigma is not None:
        assert (notice.ra, notice.dec) == (100.0, 20.0)
        assert sigma(notice, RULES) == pytest.approx(want.sigma, rel=1e-5)
    reasons = vetoes(notice, RULES)
    assert any(want.veto in reason for reason in reasons) if want.veto else reasons == ()
    assert not ignored(notice, RULES)


def read(payload: dict[str, Any]) -> Notice:
    return parse_notice("", json.dumps(payload).encode())


@pytest.mark.parametrize(("subtype", "kind", "core"), [
    ("FLIGHT_POSITION", "FERMI_GBM_FLT_POS", 7.52), ("GROUND_POSITION", "FERMI_GBM_GND_POS", 3.72),
    ("FINAL_POSITION", "FERMI_GBM_FIN_POS", 3.71),
])  # fmt: skip
def test_systematic_errors_of_fermi_go_by_the_kind_of_notice(subtype: str, kind: str, core: float) -> None:
    notice = read(gbm(subtype))
    circle = model(notice, RULES)
    assert notice.kind == kind
    assert circle is not None
    assert circle["mixture"][0][1] == core


def test_a_targeted_search_has_a_plain_circle() -> None:
    circle = model(read(targeted(subtype="FINAL_POSITION", ra_dec_error=5.0)), RULES)
    assert circle is not None
    assert circle["mixture"] == [[1.0, 0.0]]


def test_fermis_own_map_of_a_final_position() -> None:
    folder = "https://heasarc.gsfc.nasa.gov/FTP/fermi/data/gbm/triggers/2026/bn260301500"
    light_curve = folder.replace("https", "http") + "/quicklook/glg_lc_medres34_bn260301500.gif"
    wanted = f"{folder.replace('https', 'http')}/current/glg_healpix_all_bn260301500_v00.fit"
    assert read(gbm("FINAL_POSITION", light_curve_url=light_curve)).official_map == wanted
    assert parse_notice(FERMI, classic(GBM_VOEVENT, 115, LightCurve_URL=light_curve)).official_map == wanted
    assert read(gbm("GROUND_POSITION", light_curve_url=light_curve)).official_map == ""
    assert parse_notice(FERMI, classic(GBM_VOEVENT, 115, LightCurve_URL="http://elsewhere/x.gif")).official_map == ""


def test_a_map_inside_the_notice_goes_before_a_link() -> None:
    assert read(guano(healpix_url="http://gcn.nasa.gov/a.fits")).skymap == "http://gcn.nasa.gov/a.fits"
    assert read(guano(healpix_url="http://gcn.nasa.gov/a.fits", healpix_file="U0lNUExF")).skymap == "U0lNUExF"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"is_mdc": "yes"}, "is_mdc"), ({"alert_tense": 1}, "alert_tense"), ({"far": "often"}, "far"),
        ({"alert_type": ["initial"]}, "alert_type"), ({"healpix_url": 5}, "healpix_url"),
        ({"instrument": {}}, "instrument"),
        ({"ra_dec_error": "wide"}, "ra_dec_error"), ({"rate_duration": [1]}, "rate_duration"), ({"id": [True]}, "id"),
        ({"record_number": "first"}, "record_number"), ({"ra": None, "dec": "north"}, "dec"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Exception, match=rf"\b{field} is"):
        read(guano(**changes))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_number_slips_past_no_veto(value: float) -> None:
    for notice in (
        icecube(p_astro=value),
        gbm("FINAL_POSITION", classification={"GRB": value}),
        chime(importance=value),
    ):
        with pytest.raises(BadInput):
            read(notice)
    for name in ("Most_Likely_Prob", "Reliability"):
        with pytest.raises(BadInput):
            parse_notice(FERMI, classic(GBM_VOEVENT, 115, **{name: value}))


def test_flares_of_galaxies_are_no_triggers() -> None:
    assert ignored(read(gbm("", instrument="LAT")), RULES)


def test_a_notice_of_nobody_is_refused() -> None:
    with pytest.raises(Exception, match="Cannot tell the mission"):
        read(json_notice(id="1"))


def test_of_two_updates_the_one_that_counts_more_counts() -> None:
    first, second = read(guano(alert_type="update", record_number=2)), read(guano(alert_type="update", record_number=3))
    assert (first.sequence, second.sequence) == (2.0, 3.0)
