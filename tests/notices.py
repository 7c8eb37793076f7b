"""Notices like those that observatories send, with the contents that a test needs."""

from __future__ import annotations

from typing import Any

FERMI = "gcn.classic.voevent.FERMI_GBM_FIN_POS"
GUANO = "gcn.notices.swift.bat.guano"


def voevent(
    ivorn: str = "ivo://nasa.gsfc.gcn/Fermi#GBM_Fin_Pos_2017-08-17T12:41:06.47_524666471_0-431",
    role: str = "observation",
    time: str = "2017-08-17T12:41:06.47",
    position: tuple[float, float, float] | None = (172.0, -34.8, 17.45),
    group: str = "",
    **params: object,
) -> bytes:
    listed = "".join(f'<Param name="{name}" value="{value}"/>' for name, value in params.items())
    place = ""
    if position is not None:
        ra, dec, error = position
        place = (
            f"<Position2D unit='deg'><Value2><C1>{ra}</C1><C2>{dec}</C2></Value2>"
            f"<Error2Radius>{error}</Error2Radius></Position2D>"
        )
    return (
        f"<?xml version='1.0'?><voe:VOEvent xmlns:voe='http://www.ivoa.net/xml/VOEvent/v2.0' ivorn='{ivorn}' "
        f"role='{role}'><What>{listed}{group}</What><WhereWhen><ObsDataLocation><ObservationLocation><AstroCoords>"
        f"<Time><TimeInstant><ISOTime>{time}</ISOTime></TimeInstant></Time>{place}"
        "</AstroCoords></ObservationLocation></ObsDataLocation></WhereWhen></voe:VOEvent>"
    ).encode()


def fermi(packet: int = 115, **params: Any) -> bytes:
    return voevent(Packet_Type=packet, TrigID=524666471, **params)


def guano(**changes: Any) -> dict[str, Any]:
    notice = {
        "mission": "Swift", "instrument": "BAT-GUANO", "alert_type": "initial", "alert_tense": "current",
        "id": ["694215995"], "trigger_time": "2022-12-31T21:46:05.13Z", "rate_duration": 0.256, "far": 1e-5,
        "follow_up_type": "GW",
    }  # fmt: skip
    return {name: value for name, value in {**notice, **changes}.items() if value is not None}
