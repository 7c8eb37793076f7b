"""A VOEvent of what a JSON notice says: the form in which GraceDB reads external triggers."""

from __future__ import annotations

from lxml import etree

from gwbatch.external.notices import Notice
from gwbatch.gpstime import gps_to_utc

_NAMESPACE = "http://www.ivoa.net/xml/VOEvent/v2.0"


def event_file(notice: Notice) -> bytes:
    """The VOEvent (version 2.0, IVOA 2011) of a notice: trigger id, duration, time, position."""
    stream = f"{notice.observatory}#{notice.search}_{notice.trigger_id}_{notice.stage}"
    root = etree.Element(f"{{{_NAMESPACE}}}VOEvent", nsmap={"voe": _NAMESPACE})
    root.set("ivorn", f"ivo://gwbatch/{stream}")
    root.set("role", "test" if notice.test else "observation")
    root.set("version", "2.0")
    who = etree.SubElement(root, "Who")
    etree.SubElement(who, "AuthorIVORN").text = "ivo://gwbatch"
    etree.SubElement(etree.SubElement(who, "Author"), "shortName").text = "gwbatch"
    what = etree.SubElement(root, "What")
    for name, said in (("TrigID", notice.trigger_id), ("Trig_Timescale", f"{notice.duration!r}"), ("Far", notice.far)):
        if said is not None:
            etree.SubElement(what, "Param", name=name, value=str(said))
    data = etree.SubElement(etree.SubElement(root, "WhereWhen"), "ObsDataLocation")
    etree.SubElement(data, "ObservatoryLocation", id=notice.observatory)
    place = etree.SubElement(etree.SubElement(data, "ObservationLocation"), "AstroCoords")
    place.set("coord_system_id", "UTC-FK5-GEO")
    instant = etree.SubElement(etree.SubElement(place, "Time"), "TimeInstant")
    etree.SubElement(instant, "ISOTime").text = gps_to_utc(notice.time).strftime("%Y-%m-%dT%H:%M:%S.%f")
    if notice.ra is not None and notice.dec is not None:
        position = etree.SubElement(place, "Position2D", unit="deg")
        value = etree.SubElement(position, "Value2")
        etree.SubElement(value, "C1").text = repr(notice.ra)
        etree.SubElement(value, "C2").text = repr(notice.dec)
        etree.SubElement(position, "Error2Radius").text = repr(notice.error or 0.0)
    how = etree.SubElement(root, "How")
    etree.SubElement(how, "Description").text = f"{notice.observatory} notice {notice.kind}"
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))
