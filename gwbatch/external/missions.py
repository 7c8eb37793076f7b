"""The one table of missions: who sends notices of external triggers, and how to recognize each of them.

A mission more is a row here, or `declare` in a plug-in.  Topics, names of pipelines and the kinds of its notices all
follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gwbatch.errors import ConfigError

VOEVENT_PREFIX = "gcn.classic.voevent."

Reader = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class NoticeKind:
    """One kind of notice.

    Attributes
    ----------
    name : str
        Name of the GCN Classic notice type; the policy's table of systematic errors goes by it.
    packet : int
        Its number in ``Packet_Type``.
    stage : int
        How far the analysis has come: of two notices of one trigger the later stage counts.
    subtypes : tuple of str
        How JSON notices of the mission name it, in lower case with spaces; GCN's schemas differ, and misspell one.
    positioned : bool
        Whether it has a position that can be trusted.
    """

    name: str
    packet: int
    stage: int
    subtypes: tuple[str, ...] = ()
    positioned: bool = True


@dataclass(frozen=True)
class Mission:
    """One sender of notices.

    Attributes
    ----------
    observatory : str
        GraceDB's name of the pipeline, and the middle of every key.
    names : tuple of str
        Values of ``mission`` in JSON notices, in lower case.
    ivorn : str
        How a part of the IVORN begins in its VOEvents, in lower case; empty where it sends none.
    instruments : tuple of str
        Instruments that tell the mission where a JSON notice does not name it, in lower case.
    schema : str
        Its folder among GCN's schemas, for notices that name neither mission nor instrument.
    search : str
        What its ordinary triggers are in GraceDB.
    kinds : tuple of NoticeKind
        Its kinds of notices; VOEvents of any other packet type are ignored.
    trigger_id : tuple of str
        VOEvent parameters to look for the trigger's id in, ``Group/Param`` for one within a group.
    classified : bool
        Whether ``classification`` of its JSON notices tells bursts from everything else.
    topics : tuple of str
        Topics that bring nothing but its JSON notices, in shapes of their own that `read` understands.
    read : callable or None
        Gets topic and content of such a notice, returns the fields of a `Notice` (``trigger_id``, ``time``, ...).
    """

    observatory: str
    names: tuple[str, ...]
    ivorn: str = ""
    instruments: tuple[str, ...] = ()
    schema: str = ""
    search: str = "GRB"
    kinds: tuple[NoticeKind, ...] = ()
    trigger_id: tuple[str, ...] = ("TrigID", "Trans_Num")
    classified: bool = False
    topics: tuple[str, ...] = ()
    read: Reader | None = field(default=None, compare=False)

    def kind_of_packet(self, packet: int) -> NoticeKind | None:
        """Return the kind with this ``Packet_Type``."""
        return next((kind for kind in self.kinds if kind.packet == packet), None)

    def kind_of_subtype(self, subtype: str) -> NoticeKind | None:
        """Return the kind that JSON notices call `subtype`."""
        words = subtype.lower().replace("_", " ").strip().removeprefix("fermi gbm ")
        return next((kind for kind in self.kinds if words in kind.subtypes), None)


MISSIONS: list[Mission] = [
    Mission(
        "Fermi", ("fermi",), "fermi", schema="fermi", classified=True,
        kinds=(
            NoticeKind("FERMI_GBM_ALERT", 110, 0, ("initial alert", "inital alert", "alert"), positioned=False),
            NoticeKind("FERMI_GBM_FLT_POS", 111, 1, ("flight position", "flight pos", "flt pos")),
            NoticeKind("FERMI_GBM_GND_POS", 112, 2, ("ground position", "ground pos", "gnd pos")),
            NoticeKind("FERMI_GBM_FIN_POS", 115, 3, ("final position", "final pos", "fin pos")),
            NoticeKind("FERMI_GBM_SUBTHRESH", 131, 1, ("subthreshold", "subthresh")),
        ),
    ),
    Mission(
        "Swift", ("swift",), "swift", schema="swift",
        kinds=(NoticeKind("SWIFT_BAT_GRB_ALERT", 60, 0), NoticeKind("SWIFT_BAT_GRB_POS_ACK", 61, 2)),
    ),
    Mission(
        "SVOM", ("svom",), "fsc", ("eclairs",), "svom",
        kinds=(NoticeKind("SVOM_ECLAIRS", 202, 2),), trigger_id=("Svom_Identifiers/Burst_Id",),
    ),
    Mission("SNEWS", ("snews",), "snews", search="Supernova", kinds=(NoticeKind("SNEWS", 149, 1),)),
    Mission("IceCube", ("icecube",), schema="icecube", search="HEN"),
    Mission("CHIME", ("chime",), schema="chime", search="FRB"),
    Mission("EinsteinProbe", ("einstein probe", "einsteinprobe"), instruments=("wxt",), schema="einstein_probe"),
]  # fmt: skip
"""Every mission, plug-ins' among them."""


def declare(mission: Mission) -> Mission:
    """Add a mission.

    Raises
    ------
    ConfigError
        If another one has the same observatory, name, topic or beginning of the IVORN.
    """
    for known in MISSIONS:
        is_taken = known.observatory == mission.observatory or bool(
            {*known.names} & {*mission.names} or {*known.topics} & {*mission.topics}
        )
        if known != mission and (is_taken or (mission.ivorn and known.ivorn == mission.ivorn)):
            raise ConfigError(
                f"Cannot declare the mission {mission.observatory!r}: its observatory, a name, a topic or its IVORN is "
                f"that of {known.observatory!r}."
            )
    if mission not in MISSIONS:
        MISSIONS.append(mission)
    return mission


RETRACTION_PACKET = 164
TEST_PACKETS = frozenset({82, 109, 119, 124, 136, 153})
"""Notice types that are tests whatever else they say."""


def voevent_topics() -> tuple[str, ...]:
    """Return the topics of GCN Classic's notices, as VOEvents."""
    return tuple(f"{VOEVENT_PREFIX}{kind.name}" for mission in MISSIONS for kind in mission.kinds)


def own_topics() -> tuple[str, ...]:
    """Return the topics of missions whose JSON notices have shapes of their own."""
    return tuple(topic for mission in MISSIONS for topic in mission.topics)


def mission_of_topic(topic: str) -> Mission | None:
    """Return the mission that alone sends on a topic, and reads what comes there by itself."""
    return next((one for one in MISSIONS if one.read is not None and topic in one.topics), None)


def alert_topics() -> tuple[str, ...]:
    """Return the topics of GraceDB's alerts about external events."""
    return tuple(f"{group}_{one.observatory.lower()}" for group in ("external", "test") for one in MISSIONS)


def mission_of_ivorn(ivorn: str) -> Mission | None:
    """Return the mission whose VOEvents have this IVORN."""
    parts = ivorn.partition("://")[2].lower().replace("#", "/").split("/")
    return next((one for part in parts for one in MISSIONS if one.ivorn and part.startswith(one.ivorn)), None)


def mission_of_json(mission: str, instrument: str, schema: str) -> Mission | None:
    """Return the mission that a JSON notice names, by itself, by its instrument, or by its schema."""
    name = mission.lower().replace("_", " ").strip()
    if name:
        return next((one for one in MISSIONS if name in one.names), None)
    if found := next((one for one in MISSIONS if instrument.lower().strip() in one.instruments), None):
        return found
    folder = schema.lower().partition("/notices/")[2].partition("/")[0]
    return next((one for one in MISSIONS if one.schema and one.schema == folder), None)
