"""Events and superevents as the rules see them, and the parsing of events from alerts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gwbatch.errors import BadInput

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_@-]{0,63}")  # names become parts of keys, paths and addresses
LONGEST_BURST = 1.0e4  # s
LATEST_GPS = 4.0e9  # s, the year 2106; any later trigger time is a mistake


@dataclass(frozen=True)
class Event:
    """One upload of one search pipeline, as its newest alert describes it.

    Attributes
    ----------
    group, pipeline, search : str
        In lower case.
    gpstime : float
        GPS s.
    far : float or None
        False alarm rate in Hz.
    instruments, ranking_instruments : frozenset of str
        Detectors that took part, and those whose trigger entered the ranking statistic.
    snr : float or None
        Network signal-to-noise ratio, if the pipeline reports one.
    duration : float or None
        Duration of a burst in s.
    quality_over_frequency : float or None
        Quality factor of an oLIB burst over its frequency, in s.
    superevent_id : str or None
        The superevent that the server has put it into.
    """

    graceid: str
    group: str
    pipeline: str
    search: str
    gpstime: float
    far: float | None
    offline: bool
    labels: frozenset[str]
    instruments: frozenset[str]
    ranking_instruments: frozenset[str]
    snr: float | None = None
    duration: float | None = None
    quality_over_frequency: float | None = None
    superevent_id: str | None = None
    reserved: bool = False

    @property
    def kind(self) -> str:
        """``group.search``, the key of the policy's tables."""
        return f"{self.group}.{self.search}"


@dataclass(frozen=True)
class Superevent:
    """A set of events that describe one astrophysical candidate.

    Attributes
    ----------
    key : str
        Local key, assigned when the superevent was decided on, or the GraceDB id of one that was adopted.
    superevent_id : str or None
        GraceDB's id, once it is known.
    t_start, t_0, t_end : float
        GPS s.
    """

    key: str
    category: str
    t_start: float
    t_0: float
    t_end: float
    preferred: str
    events: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    superevent_id: str | None = None


def category_of(event: Event) -> str:
    """Return ``mdc``, ``test`` or ``production``; categories never mix."""
    if event.search == "mdc":
        return "mdc"
    return "test" if event.group == "test" else "production"


def parse_event(data: Mapping[str, Any]) -> Event:
    """Read the ``object`` of an alert about an event.

    Raises
    ------
    BadInput
        If a required field is missing, or a field is invalid.
    """
    graceid = data.get("graceid")
    if not graceid:
        raise BadInput("The alert's object has no graceid: it cannot be said which event it is about.")
    require_name(graceid)
    if data.get("superevent"):
        require_name(data["superevent"])
    extra = _mapping(data.get("extra_attributes"))
    singles = [_mapping(single) for single in _list(extra.get("SingleInspiral"))]
    coinc, multi, mly, olib = (
        _mapping(extra.get(table)) for table in ("CoincInspiral", "MultiBurst", "MLyBurst", "LalInferenceBurst")
    )
    gpstime = _number(graceid, "gpstime", data.get("gpstime"))
    if gpstime is None or not 0 < gpstime < LATEST_GPS:
        raise BadInput(f"Event {graceid} has the gpstime {data.get('gpstime')!r}: no GPS time in seconds.")
    far = _number(graceid, "far", data.get("far"))
    if far is not None and far < 0:
        raise BadInput(f"Event {graceid} has the negative far {far!r} Hz.")
    listed = frozenset(str(single["ifo"]) for single in singles if single.get("ifo"))
    named = frozenset(name.strip() for name in str(data.get("instruments") or "").split(",") if name.strip())
    quality, frequency = (_number(graceid, field, olib.get(field)) for field in ("quality_mean", "frequency_mean"))
    snrs = (coinc.get("snr"), multi.get("snr"), mly.get("SNR"), olib.get("omicron_snr_network"))
    durations = (multi.get("duration"), mly.get("duration"))
    duration = next((_number(graceid, "duration", value) for value in durations if value is not None), None)
    olib_span = quality / frequency if quality is not None and frequency else None
    return Event(
        graceid=graceid,
        group=_word(graceid, "group", data.get("group")),
        pipeline=_word(graceid, "pipeline", data.get("pipeline")),
        search=str(data.get("search") or "").lower(),
        gpstime=gpstime,
        far=far,
        offline=data.get("offline") is True,
        labels=frozenset(str(label) for label in _list(data.get("labels"))),
        instruments=listed or named,
        ranking_instruments=frozenset(str(s["ifo"]) for s in singles if s.get("ifo") and s.get("chisq") is not None),
        snr=next((_number(graceid, "snr", value) for value in snrs if value is not None), None),
        duration=_span(graceid, "duration", duration),
        quality_over_frequency=_span(graceid, "quality over frequency", olib_span),
        superevent_id=data.get("superevent") or None,
        reserved=data.get("processing_status") == "reserved",
    )


def require_name(value: Any) -> None:
    """Raise `BadInput` unless `value` can be the id of an event or superevent."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise BadInput(f"{str(value)[:80]!r} cannot be the id of an event or superevent.")


def _number(graceid: str, field: str, value: Any) -> float | None:
    if value is None:
        return None
    number = finite(value)
    if number is None:
        raise BadInput(f"Event {graceid} has {field} = {str(value)[:40]}: not a finite number.")
    return number


def finite(value: Any) -> float | None:
    """Return `value` as a finite number, or None if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer of hundreds of digits
        return None


def _span(graceid: str, field: str, value: float | None) -> float | None:
    if value is not None and not 0 <= value <= LONGEST_BURST:
        raise BadInput(f"Event {graceid} has {field} = {value!r} s: no burst is like that.")
    return value


def _word(graceid: str, field: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise BadInput(f"Event {graceid} has no {field}.")
    return value.lower()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
