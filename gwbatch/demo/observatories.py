"""Playing Fermi: a burst two seconds after the simulated merger, sent over Kafka as GCN sends it."""

from __future__ import annotations

from confluent_kafka import Producer

from gwbatch.errors import GwbatchError
from gwbatch.gpstime import gps_to_utc

TOPIC = "gcn.classic.voevent.FERMI_GBM_FIN_POS"
TRIGGER_ID = "367640054"
AFTER_MERGER = 2.0  # s
PATIENCE = 10.0  # s

# Near the simulated binary neutron star, as Fermi would place it: some degrees away.
_NOTICE = """<?xml version="1.0" encoding="UTF-8"?>
<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" version="2.0" role="observation"
  ivorn="ivo://nasa.gsfc.gcn/Fermi#GBM_Fin_Pos_{time}_{trigger_id}_0-simulated">
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
            <Value2><C1>278.2000</C1><C2>26.1000</C2></Value2>
            <Error2Radius>3.2000</Error2Radius>
          </Position2D>
        </AstroCoords>
      </ObservationLocation>
    </ObsDataLocation>
  </WhereWhen>
  <How><Description>Fermi Satellite, GBM Instrument (simulated)</Description></How>
</voe:VOEvent>
"""


def burst(merger: float) -> bytes:
    """The notice of a burst that follows a merger at the GPS time `merger` (s)."""
    time = gps_to_utc(merger + AFTER_MERGER).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return _NOTICE.format(time=time, trigger_id=TRIGGER_ID).encode()


def send(bootstrap: str, notice: bytes) -> None:
    """Publish a notice on the broker."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    producer.produce(TOPIC, notice, partition=0)
    if producer.flush(PATIENCE):
        raise GwbatchError(f"The notice was not taken by the broker at {bootstrap} within {PATIENCE:g} s.")
