"""Mock data: a simulated event that comes with gwbatch, as if it had just been detected, and a burst beside it."""

from __future__ import annotations

import json
import re
from typing import Any

from gwbatch.config.resources import demo_event
from gwbatch.errors import BadInput
from gwbatch.gpstime import gps_to_utc

EVENTS = ("bns_hlv", "nsbh_hl", "bbh_hlv")
FAR = 1.0e-13  # Hz: what the field's own mock events have
REACH = 2  # s around the end time within which every number is one of the event's times

AFTER_MERGER = 1.7  # s
BESIDE = 3.0  # deg that a burst is placed beside its event
MOCK_TRIGGER = "123456789"

_NOTICE = """<?xml version="1.0" encoding="UTF-8"?>
<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" version="2.0" role="observation"
  ivorn="ivo://nasa.gsfc.gcn/Fermi#GBM_Fin_Pos_{time}_{trigger_id}_0-{mark}">
  <Who>
    <AuthorIVORN>ivo://nasa.gsfc.tan/gcn</AuthorIVORN>
    <Author><shortName>Fermi (simulated)</shortName></Author>
  </Who>
  <What>
    <Param name="Packet_Type" value="115"/>
    <Param name="TrigID" value="{trigger_id}"/>
    <Param name="Trig_Timescale" value="0.256" unit="sec"/>
    <Param name="Most_Likely_Index" value="4"/>
    <Param name="Most_Likely_Prob" value="93"/>
  </What>
  <WhereWhen>
    <ObsDataLocation>
      <ObservatoryLocation id="GEOLUN"/>
      <ObservationLocation>
        <AstroCoordSystem id="UTC-FK5-GEO"/>
        <AstroCoords coord_system_id="UTC-FK5-GEO">
          <Time unit="s"><TimeInstant><ISOTime>{time}</ISOTime></TimeInstant></Time>
          <Position2D unit="deg">
            <Name1>RA</Name1>
            <Name2>Dec</Name2>
            <Value2><C1>{ra:.4f}</C1><C2>{dec:.4f}</C2></Value2>
            <Error2Radius>3.2000</Error2Radius>
          </Position2D>
        </AstroCoords>
      </ObservationLocation>
    </ObsDataLocation>
  </WhereWhen>
  <How><Description>Fermi Satellite, GBM Instrument (simulated)</Description></How>
</voe:VOEvent>
"""

_END_TIME = re.compile(rb'Name="coinc_inspiral:table"[^>]*>\s*\d+,[^,]+,(\d+),')
_SECONDS = re.compile(rb"(?<![\d.])\d{9,10}(?=[.,<])")
_FAR = re.compile(rb'(Name="coinc_inspiral:table"[^>]*>\s*\d+,)([^,]+)(,)')


def mock_event(number: int, gps: float, far: float = FAR) -> bytes:
    """Return a coincidence file of one of the simulated events, detected in the second of a GPS time (s).

    Parameters
    ----------
    number : int
        Which one; they take turns.
    """
    content = demo_event(EVENTS[number % len(EVENTS)]).read_bytes()
    return _FAR.sub(lambda match: match[1] + repr(far).encode() + match[3], shifted(content, gps), count=1)


def shifted(coinc: bytes, gps: float) -> bytes:
    """Return a coincidence file with all its times moved by whole seconds, so that it ends in the second of `gps`.

    Raises
    ------
    BadInput
        If it has no coincidence table of the kind that the simulated events have.
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
    """Return a notice of Fermi about a burst that goes with the mock event of that number.

    The sky has turned since the event was simulated, by 360.98564736629 deg a day (IERS): so has its place.
    """
    truth = json.loads((demo_event(EVENTS[number % len(EVENTS)]).parent / "truth.json").read_text())
    turned = (gps - truth["gps"]) / 86400.0 * 360.98564736629
    ra, dec = (truth["ra_deg"] + turned) % 360.0, max(-89.0, truth["dec_deg"] - BESIDE)
    return fermi_notice(gps + AFTER_MERGER, MOCK_TRIGGER, ra, dec, mark="MDC-test_event")


def fermi_notice(gps: float, trigger_id: str, ra: float, dec: float, mark: str = "simulated") -> bytes:
    """Return a final position of Fermi GBM as GCN sends it (VOEvent); GPS s and deg."""
    time = gps_to_utc(gps).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return _NOTICE.format(time=time, trigger_id=trigger_id, ra=ra, dec=dec, mark=mark).encode()


def upload_burst(client: Any, number: int, gps: float) -> str:
    """Upload the burst that goes with a mock event to GraceDB; return its GraceDB ID."""
    content = mock_burst(number, gps)
    answer = client.create_event("External", "Fermi", "burst.xml", search="MDC", filecontents=content)
    return str(answer.json()["graceid"])


def upload(client: Any, number: int, gps: float) -> str:
    """Upload a mock event to GraceDB, as the pipeline gstlal does; return its GraceDB ID."""
    answer = client.create_event("CBC", "gstlal", "coinc.xml", search="MDC", filecontents=mock_event(number, gps))
    return str(answer.json()["graceid"])
