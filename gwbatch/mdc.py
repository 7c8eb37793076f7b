"""Mock data: simulated events that come with gwbatch, as if just detected, and bursts close to them."""

from __future__ import annotations

import json
import re
from typing import Any

from gwbatch.config.resources import example_event
from gwbatch.errors import BadInput
from gwbatch.external.notice_types import NoticeType
from gwbatch.external.voevent import write_voevent
from gwbatch.gpstime import gps_to_utc

EVENTS = ("bns_hlv", "nsbh_hl", "bbh_hlv")
FAR = 1.0e-13  # Hz, as in the field's own mock events
REACH = 2  # s around the end time within which every number is one of the event's times

AFTER_MERGER = 1.7  # s
BESIDE = 3.0  # deg between a burst and its event
MOCK_TRIGGER = "123456789"
FERMI_RADIUS = 3.2  # deg

_END_TIME = re.compile(rb'Name="coinc_inspiral:table"[^>]*>\s*\d+,[^,]+,(\d+),')
_SECONDS = re.compile(rb"(?<![\d.])\d{9,10}(?=[.,<])")
_FAR = re.compile(rb'(Name="coinc_inspiral:table"[^>]*>\s*\d+,)([^,]+)(,)')


def mock_event(number: int, gps: float, far: float = FAR) -> bytes:
    """Return the coincidence file of a simulated event, as if detected in the second of a GPS time (s).

    Parameters
    ----------
    number : int
        Selects the event; successive numbers cycle through all of them.
    """
    content = example_event(EVENTS[number % len(EVENTS)]).read_bytes()
    return _FAR.sub(lambda match: match[1] + repr(far).encode() + match[3], shifted(content, gps), count=1)


def shifted(coinc: bytes, gps: float) -> bytes:
    """Return a coincidence file with all times moved by whole seconds, so that the event ends in the second of `gps`.

    Raises
    ------
    BadInput
        If it has no coincidence table like that of the simulated events.
    """
    found = _END_TIME.search(coinc)
    if found is None:
        raise BadInput("Cannot shift the event in time: it is not one of the simulated coincidences.")
    end = int(found[1])
    move = int(gps) - end

    def moved(match: re.Match[bytes]) -> bytes:
        seconds = int(match[0])
        return str(seconds + move).encode() if abs(seconds - end) <= REACH else match[0]

    return _SECONDS.sub(moved, coinc)


def mock_burst(number: int, gps: float) -> bytes:
    """Return a Fermi notice about a burst that accompanies the mock event of that number.

    The Earth has turned since the simulated time, by 360.98564736629 deg a day (IERS), so the right ascension moves.
    """
    truth = json.loads((example_event(EVENTS[number % len(EVENTS)]).parent / "truth.json").read_text())
    turned = (gps - truth["gps"]) / 86400.0 * 360.98564736629
    ra, dec = (truth["ra_deg"] + turned) % 360.0, max(-89.0, truth["dec_deg"] - BESIDE)
    return fermi_notice(gps + AFTER_MERGER, MOCK_TRIGGER, ra, dec, mark="MDC-test_event")


def fermi_notice(gps: float, trigger_id: str, ra: float, dec: float, mark: str = "simulated") -> bytes:
    """Return the notice of a final position of Fermi GBM as GCN sends it (VOEvent), for GPS s and deg."""
    time = gps_to_utc(gps).strftime("%Y-%m-%dT%H:%M:%S.%f")
    ivorn = f"ivo://nasa.gsfc.gcn/Fermi#GBM_Fin_Pos_{time}_{trigger_id}_0-{mark}"
    params = {
        "Packet_Type": NoticeType.FERMI_GBM_FIN_POS.value, "TrigID": trigger_id, "Trig_Timescale": 0.256,
        "Most_Likely_Index": 4, "Most_Likely_Prob": 93,
    }  # fmt: skip
    return write_voevent(ivorn, "Fermi (simulated)", gps, (ra, dec, FERMI_RADIUS), params)


def upload_burst(client: Any, number: int, gps: float) -> str:
    """Upload the burst that accompanies a mock event to GraceDB; return its GraceDB ID."""
    content = mock_burst(number, gps)
    answer = client.create_event("External", "Fermi", "burst.xml", search="MDC", filecontents=content)
    return str(answer.json()["graceid"])


def upload(client: Any, number: int, gps: float) -> str:
    """Upload a mock event to GraceDB, as the pipeline gstlal does; return its GraceDB ID."""
    answer = client.create_event("CBC", "gstlal", "coinc.xml", search="MDC", filecontents=mock_event(number, gps))
    return str(answer.json()["graceid"])
