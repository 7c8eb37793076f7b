"""Reading and writing of GCN Classic's VOEvents; parsing follows no links and expands no entities."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import isfinite
from typing import Any

from lxml import etree
from lxml.builder import E, ElementMaker

from gwbatch.errors import BadInput
from gwbatch.external.missions import VOEVENT_PREFIX
from gwbatch.external.notice_types import NoticeType
from gwbatch.gpstime import gps_of, gps_to_utc

_NAMESPACE = "http://www.ivoa.net/xml/VOEvent/v2.0"
_COORDINATES = "UTC-FK5-GEO"


def is_voevent(payload: bytes) -> bool:
    """Return whether a notice is XML rather than JSON; some observatories send VOEvents on topics of JSON notices."""
    return payload[:100].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


class VOEvent:
    """One VOEvent.

    Raises
    ------
    BadInput
        If the document is not well-formed, or declares entities (which no notice does).
    """

    def __init__(self, document: bytes) -> None:
        self._root = _parse(document)

    @property
    def ivorn(self) -> str:
        """Its identifier."""
        return str(self._root.get("ivorn") or "")

    @property
    def role(self) -> str:
        """Its purpose, in lower case: ``observation``, ``test``, ``utility``."""
        return str(self._root.get("role") or "observation").lower()

    @property
    def packet(self) -> int | None:
        """Its ``Packet_Type``."""
        return self.integer("Packet_Type")

    @property
    def notice_type(self) -> NoticeType:
        """The notice type that its ``Packet_Type`` gives.

        Raises
        ------
        BadInput
            When there is no such type.
        """
        params = self._root.iterfind("./What/Param")
        value = next((param.get("value") for param in params if param.get("name") == "Packet_Type"), None)
        try:
            return NoticeType(int(str(value)))
        except ValueError as error:
            raise BadInput(f"a VOEvent of the unknown Packet_Type {value!r}") from error

    @property
    def topic(self) -> str:
        """The topic on which GCN sends it."""
        return VOEVENT_PREFIX + self.notice_type.name

    @property
    def time(self) -> float:
        """The GPS time of what it reports, in s."""
        return gps_of((self._root.findtext(".//WhereWhen//ISOTime") or "").strip())

    @property
    def position(self) -> tuple[float | None, float | None, float | None]:
        """Right ascension, declination and error radius (deg); None for the zeros of a notice without a position."""
        place = self._root.find(".//WhereWhen//Position2D")
        if place is None:
            return None, None, None
        ra, dec = _number(place.findtext("./Value2/C1")), _number(place.findtext("./Value2/C2"))
        error = _number(place.findtext("./Error2Radius"))
        if ra is None or dec is None or (ra == 0 and dec == 0 and not error):
            return None, None, None
        return ra, dec, error

    @cached_property
    def params(self) -> dict[str, str]:
        """All parameters by name; the first one counts if a name occurs more than once."""
        found: dict[str, str] = {}
        for param in self._root.iterfind(".//What//Param"):
            found.setdefault(str(param.get("name") or ""), str(param.get("value") or ""))
        return found

    def param(self, name: str) -> str | None:
        """Return a parameter by its name, or by ``Group/Param`` within a group."""
        group, _, own = name.rpartition("/")
        if not group:
            return self.params.get(own)
        for found in self._root.iterfind(".//What//Group"):
            if found.get("name") == group:
                for param in found.iterfind("./Param"):
                    if param.get("name") == own:
                        return str(param.get("value") or "")
        return None

    def flag(self, name: str) -> bool:
        """Return whether a parameter is present and true."""
        return (self.param(name) or "").lower() in ("true", "1")

    def number(self, *names: str) -> float | None:
        """Return the first number that some parameters hold.

        Raises
        ------
        BadInput
            If one holds something else.
        """
        return next((value for name in names if (value := _number(self.param(name))) is not None), None)

    def integer(self, name: str) -> int | None:
        """Return a parameter as an integer code.

        Raises
        ------
        BadInput
            If the parameter is not a number, or its absolute value exceeds 1e9.
        """
        value = self.number(name)
        if value is not None and abs(value) > 1e9:
            raise BadInput(f"Invalid VOEvent: {self.param(name)!r} is not the number of a kind.")
        return None if value is None else int(value)


def check_topic(topic: str, document: bytes) -> None:
    """Raise `BadInput` unless the document is a VOEvent of the type that its topic names."""
    found = VOEvent(document)
    if topic.startswith(VOEVENT_PREFIX) and found.topic != topic:
        raise BadInput(f"a VOEvent of type {found.topic.removeprefix(VOEVENT_PREFIX)} on the topic {topic}")


def write_voevent(
    ivorn: str, author: str, gps: float, place: tuple[float, float, float], params: Mapping[str, object]
) -> bytes:
    """Return a notice as GCN Classic sends it.

    Parameters
    ----------
    author : str
        Short name of the sender.
    gps : float
        GPS time of what it reports, in s.
    place : tuple of float
        Right ascension, declination and error radius, deg.
    """
    ra, dec, radius = (f"{value:.4f}" for value in place)
    coordinates = E.AstroCoords(
        E.Time(E.TimeInstant(E.ISOTime(gps_to_utc(gps).strftime("%Y-%m-%dT%H:%M:%S.%f"))), unit="s"),
        E.Position2D(E.Name1("RA"), E.Name2("Dec"), E.Value2(E.C1(ra), E.C2(dec)), E.Error2Radius(radius), unit="deg"),
        coord_system_id=_COORDINATES,
    )
    observation = E.ObservationLocation(E.AstroCoordSystem(id=_COORDINATES), coordinates)
    root = ElementMaker(namespace=_NAMESPACE, nsmap={"voe": _NAMESPACE}).VOEvent(
        E.Who(E.AuthorIVORN("ivo://nasa.gsfc.tan/gcn"), E.Author(E.shortName(author))),
        E.What(*(E.Param(name=name, value=str(value)) for name, value in params.items())),
        E.WhereWhen(E.ObsDataLocation(E.ObservatoryLocation(id="GEOLUN"), observation)),
        E.How(E.Description(author)),
        version="2.0", role="observation", ivorn=ivorn,
    )  # fmt: skip
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def _parse(document: bytes) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadInput(f"not XML: {error}") from error
    doctype: Any = root.getroottree().docinfo.internalDTD
    if doctype is not None and any(True for _ in doctype.iterentities()):
        raise BadInput("a VOEvent that declares entities: refused")
    return root


def _number(text: str | None) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise BadInput(f"Invalid VOEvent: {text[:40]!r} is not a number.") from error
    if not isfinite(value):
        raise BadInput(f"Invalid VOEvent: {text[:40]!r} is not a finite number.")
    return value
