"""One shape for every notice, whoever sends it: VOEvents of GCN Classic, JSON notices of GCN over Kafka."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.external.json_notices import JSON_TOPICS, read_json
from gwbatch.external.voevents import VOEVENT_TYPES, read_voevent
from gwbatch.voevent import is_voevent

_TRIGGER_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")  # it becomes part of keys, paths and queries

LATEST_GPS = 4.0e9  # s, the year 2106
LARGEST = 16 * 2**20
"""Bytes of a notice with an inline sky map; larger ones are refused."""


@dataclass(frozen=True)
class Notice:
    """What one notice says of one external trigger.

    Attributes
    ----------
    observatory : str
        ``Fermi``, ``Swift``, ``SVOM``, ``SNEWS``, ``IceCube``, ``CHIME`` or ``EinsteinProbe``; in GraceDB the pipeline.
    trigger_id : str
        The observatory's own name of the trigger.
    kind : str
        Notice type (``FERMI_GBM_FIN_POS``) or topic.
    stage : int
        How far the analysis has come: of two notices of one trigger the later stage counts.
    time : float
        GPS s.
    duration : float
        Seconds over which the trigger was found.
    ra, dec, error : float or None
        Position and its 1-sigma radius in degrees.
    search : str
        ``GRB``, ``SubGRB``, ``SubGRBTargeted``, ``MDC``, ``Supernova``, ``FRB`` or ``HEN``.
    far : float or None
        The observatory's own false alarm rate in Hz.
    test : bool
        Nothing that happened in the sky.
    grb : bool
        Whether it is what its search looks for; else `reasons` say why not.
    retracted : bool
        The observatory takes the trigger back.
    drop : str
        Why the notice does not count at all; empty when it does.
    skymap : str
        A linked sky map (``https://...``) or an inline one (base64).
    """

    observatory: str
    trigger_id: str
    kind: str
    stage: int
    time: float
    duration: float = 0.0
    ra: float | None = None
    dec: float | None = None
    error: float | None = None
    search: str = "GRB"
    far: float | None = None
    test: bool = False
    grb: bool = True
    retracted: bool = False
    drop: str = ""
    reasons: tuple[str, ...] = ()
    skymap: str = ""

    @property
    def key(self) -> str:
        """Names the trigger: one external event for one of these."""
        return external_key(self.observatory, self.trigger_id, test=self.test, mdc=self.search == "MDC", time=self.time)


def external_key(observatory: str, trigger_id: str, *, test: bool, mdc: bool, time: float) -> str:
    """The key of a trigger's event: categories never mix, and mock triggers all bear the same id."""
    if mdc:
        return f"E@{observatory}.mdc-{trigger_id}-{int(time)}"
    return f"E@{observatory}{'.test' if test else ''}-{trigger_id}"


def is_external(key: str) -> bool:
    """Whether a key names an external event, or one together with a superevent."""
    return key.startswith("E@")


def parse_notice(topic: str, payload: bytes | Mapping[str, Any]) -> Notice:
    """Read a notice.

    Raises
    ------
    BadInput
        When it cannot be read, comes from an unknown mission, or lacks what makes a trigger.
    """
    if isinstance(payload, bytes) and len(payload) > LARGEST:
        raise BadInput(f"a notice of {len(payload)} bytes: refused (the limit is {LARGEST})")
    if isinstance(payload, bytes) and is_voevent(payload):
        values = read_voevent(payload)
        if topic in JSON_TOPICS and values["observatory"] != JSON_TOPICS[topic][0]:
            raise BadInput(f"a VOEvent of {values['observatory']} on the topic {topic}")
    elif topic in JSON_TOPICS:
        values = read_json(topic, _object(payload))
    elif isinstance(payload, bytes):
        values = read_voevent(payload)  # says what is wrong with it
    else:
        raise BadInput(f"a JSON notice on the topic {topic}, which nobody here knows")
    notice = Notice(**values)
    _check(notice)
    return notice


def _object(payload: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(payload, bytes):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"not JSON: {error}") from error
    if not isinstance(payload, Mapping):
        raise BadInput("a JSON notice that is no object")
    return payload


def _check(notice: Notice) -> None:
    """Refuse what no sky and no clock can have."""
    for name in ("time", "duration", "ra", "dec", "error", "far"):
        value = getattr(notice, name)
        if value is not None and not math.isfinite(value):
            raise BadInput(f"{name} is {value!r}")
    if not 0 < notice.time < LATEST_GPS:
        raise BadInput(f"the time GPS {notice.time!r} s")
    if not notice.trigger_id:
        raise BadInput("the notice has no trigger id")
    if not _TRIGGER_ID.fullmatch(notice.trigger_id):
        raise BadInput(f"the trigger id {notice.trigger_id[:80]!r}")
    if notice.ra is not None and not 0 <= notice.ra <= 360:
        raise BadInput(f"right ascension {notice.ra:g} deg")
    if notice.dec is not None and not -90 <= notice.dec <= 90:
        raise BadInput(f"declination {notice.dec:g} deg")
    if notice.duration < 0 or (notice.far is not None and notice.far < 0):
        raise BadInput("a negative duration or false alarm rate")


__all__ = ["JSON_TOPICS", "VOEVENT_TYPES", "Notice", "parse_notice"]
