"""One format for the notices of all senders: VOEvents of GCN Classic, and JSON notices of GCN over Kafka."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.external.json_notices import read_json
from gwbatch.external.missions import VOEVENT_PREFIX, Mission, mission_of_topic
from gwbatch.external.voevent import is_voevent
from gwbatch.external.voevent_notices import read_voevent
from gwbatch.keys import external_key

_TRIGGER_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")  # it becomes part of keys, paths and queries

LATEST_GPS = 4.0e9  # s, the year 2106
LARGEST_RADIUS = 180.0  # deg
LARGEST = 16 * 2**20
"""Size limit in bytes, sufficient for a notice with an inline sky map; larger notices are refused."""


@dataclass(frozen=True)
class Evidence:
    """What a notice says for and against its trigger; None or empty if it says nothing.

    Attributes
    ----------
    grb_probability : float or None
        Probability of a gamma-ray burst; 0 if only other classes are listed.
    most_likely : int or None
        GCN Classic's index of the most likely source.
    most_likely_percent : float or None
        Its probability in per cent.
    reliability : float or None
        GCN Classic's grade of a sub-threshold trigger.
    importance, p_astro : float or None
        Probability of an astrophysical origin, for a fast radio burst and for a neutrino, respectively.
    known_source : str
        The repeating source that it came from.
    unpositioned : bool
        Whether it was sent before there was a position.
    flags : tuple of str
        Flags that speak against it: GCN Classic's, or the veto of a notice that gwbatch built from GraceDB's data.
    foreign : str
        Why notices of this kind have nothing to do with external triggers; empty if they do.
    """

    grb_probability: float | None = None
    most_likely: int | None = None
    most_likely_percent: float | None = None
    reliability: float | None = None
    importance: float | None = None
    p_astro: float | None = None
    known_source: str = ""
    unpositioned: bool = False
    flags: tuple[str, ...] = ()
    foreign: str = ""


@dataclass(frozen=True)
class Notice:
    """What one notice says about one external trigger.

    Attributes
    ----------
    observatory : str
        ``Fermi``, ``Swift``, ``SVOM``, ``SNEWS``, ``IceCube``, ``CHIME`` or ``EinsteinProbe``; in GraceDB the pipeline.
    trigger_id : str
        The observatory's own name for the trigger.
    kind : str
        Notice type (``FERMI_GBM_FIN_POS``), or the topic if it names none.
    stage : int
        Stage of the analysis. Of two notices of one trigger, the one with the later stage counts.
    time : float
        GPS time in s; for a targeted search, the centre of the interval that was found.
    duration : float
        Seconds over which the trigger was found.
    ra, dec : float or None
        Position in deg.
    radius : float or None
        Error radius in deg, as given in the notice.
    contained : float or None
        Probability within `radius`; None if the notice does not say.
    form : str
        ``voevent`` or ``json``.
    search : str
        ``GRB``, ``SubGRB``, ``SubGRBTargeted``, ``MDC``, ``Supernova``, ``FRB`` or ``HEN``.
    far : float or None
        The observatory's own false alarm rate in Hz.
    test : bool
        Whether the notice is a test rather than a signal from the sky.
    retracted : bool
        Whether the observatory retracts the trigger.
    centred : bool
        Whether `time` was moved from the beginning to the centre of the interval.
    sequence : float
        Number of the notice among those of the trigger, if the observatory counts them.
    skymap : str
        A linked sky map (``https://...``) or an inline one (base64).
    official_map : str
        Address at which the observatory publishes its own map some minutes later.
    described : bool
        Whether it is not a real notice, but GraceDB's data on an event whose file cannot be read.
    ivorn : str
        Its VO identifier, if it has one.
    """

    observatory: str
    trigger_id: str
    kind: str
    stage: int
    time: float
    duration: float = 0.0
    ra: float | None = None
    dec: float | None = None
    radius: float | None = None
    contained: float | None = None
    form: str = "voevent"
    search: str = "GRB"
    far: float | None = None
    test: bool = False
    retracted: bool = False
    centred: bool = False
    sequence: float = 0.0
    skymap: str = ""
    official_map: str = ""
    described: bool = False
    ivorn: str = ""
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def key(self) -> str:
        """The key of the trigger, which has one external event."""
        return external_key(self.observatory, self.trigger_id, test=self.test, mdc=self.search == "MDC", time=self.time)


def parse_notice(topic: str, payload: bytes | Mapping[str, Any]) -> Notice:
    """Parse a notice.

    Its content determines the format, except on the topics of GCN Classic and of missions with their own reader.

    Parameters
    ----------
    topic : str
        Topic on which it came, which also serves as the kind of a notice that names none.

    Raises
    ------
    BadInput
        If it cannot be read, comes from an unknown mission, or lacks what defines a trigger.
    """
    if isinstance(payload, bytes) and len(payload) > LARGEST:
        raise BadInput(f"Cannot read a notice of {len(payload)} bytes: the limit is {LARGEST}.")
    if isinstance(payload, bytes) and (is_voevent(payload) or topic.startswith(VOEVENT_PREFIX)):
        values = read_voevent(payload)
    elif (mission := mission_of_topic(topic)) is not None:
        return _read_by_mission(mission, topic, _object(payload))
    else:
        values = read_json(topic, _object(payload))
    return _notice(values)


def _notice(values: Mapping[str, Any]) -> Notice:
    notice = Notice(**{**values, "evidence": Evidence(**values.get("evidence", {}))})
    _check(notice)
    return notice


def _read_by_mission(mission: Mission, topic: str, content: Mapping[str, Any]) -> Notice:
    """Parse a notice with the mission's own reader; if the reader fails, refuse the notice and name the error."""
    assert mission.read is not None
    usual = {
        "observatory": mission.observatory, "kind": topic, "stage": 0, "form": "json", "search": mission.search
    }  # fmt: skip
    try:
        return _notice({**usual, **mission.read(topic, content)})
    except BadInput:
        raise
    except Exception as error:
        what = f"the reader of {mission.observatory} failed with {type(error).__name__}: {error}"
        raise BadInput(f"Cannot read the notice: {what}.") from error


def _object(payload: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(payload, bytes):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"Cannot read the notice: it is not JSON ({error}).") from error
    if not isinstance(payload, Mapping):
        raise BadInput("Cannot read the notice: it is JSON, but not an object.")
    return payload


def _check(notice: Notice) -> None:
    """Refuse a notice with physically impossible values, or with an invalid trigger id."""
    for name in ("time", "duration", "ra", "dec", "radius", "far", "sequence"):
        value = getattr(notice, name)
        if value is not None and not math.isfinite(value):
            raise BadInput(f"Invalid notice: {name} is {value!r}.")
    if not 0 < notice.time < LATEST_GPS:
        raise BadInput(f"Invalid notice: the time is GPS {notice.time!r} s.")
    if not notice.trigger_id:
        raise BadInput("Invalid notice: it has no trigger id.")
    if not _TRIGGER_ID.fullmatch(notice.trigger_id):
        raise BadInput(f"Invalid notice: the trigger id is {notice.trigger_id[:80]!r}.")
    if notice.ra is not None and not 0 <= notice.ra <= 360:
        raise BadInput(f"Invalid notice: right ascension (ra) is {notice.ra:g} deg.")
    if notice.dec is not None and not -90 <= notice.dec <= 90:
        raise BadInput(f"Invalid notice: declination (dec) is {notice.dec:g} deg.")
    if notice.radius is not None and not 0 <= notice.radius <= LARGEST_RADIUS:
        raise BadInput(f"Invalid notice: the error radius is {notice.radius:g} deg.")
    if notice.duration < 0 or (notice.far is not None and notice.far < 0):
        raise BadInput("Invalid notice: a negative duration or false alarm rate (far).")


__all__ = ["Evidence", "Notice", "parse_notice"]
