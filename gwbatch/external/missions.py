"""The table of missions that send notices of external triggers, with how to recognize each of them.

To add a mission, add a row here or call `declare` in a plug-in.  Its topics, the name of its pipeline and the kinds of
its notices all follow from that row.
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
        Name of the GCN Classic notice type, and key in the policy's table of systematic errors.
    packet : int
        Its number in ``Packet_Type``.
    stage : int
        Stage of the analysis. Of two notices of one trigger, the one with the later stage counts.
    subtypes : tuple of str
        Its names in the mission's JSON notices, in lower case with spaces. GCN's schemas differ, and misspell one.
    positioned : bool
        Whether it has a reliable position.
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
        Name of the pipeline in GraceDB, and the middle part of every key.
    names : tuple of str
        Values of ``mission`` in JSON notices, in lower case.
    ivorn : str
        Beginning of a part of its VOEvents' IVORN, in lower case; empty if it sends no VOEvents.
    instruments : tuple of str
        Instruments that identify the mission if a JSON notice does not name it, in lower case.
    schema : str
        Its folder among GCN's schemas, for notices that name neither mission nor instrument.
    search : str
        Search of its ordinary triggers in GraceDB.
    kinds : tuple of NoticeKind
        Its kinds of notices; VOEvents of any other packet type are ignored.
    trigger_id : tuple of str
        VOEvent parameters that may hold the trigger's id, with ``Group/Param`` for one within a group.
    classified : bool
        Whether ``classification`` in its JSON notices distinguishes bursts from everything else.
    topics : tuple of str
        Topics that carry only its JSON notices, in a format of their own that `read` parses.
    read : callable or None
        Takes topic and content of such a notice, and returns fields of a `Notice` (``trigger_id``, ``time``, ...).
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
"""Every mission, including those of plug-ins."""


def declare(mission: Mission) -> Mission:
    """Add a mission.

    Raises
    ------
    ConfigError
        If another mission has the same observatory, name, topic or IVORN.
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
"""Packet types of notices that are tests, whatever else they say."""


def voevent_topics() -> tuple[str, ...]:
    """Return the topics on which GCN Classic's notices arrive as VOEvents."""
    return tuple(f"{VOEVENT_PREFIX}{kind.name}" for mission in MISSIONS for kind in mission.kinds)


def own_topics() -> tuple[str, ...]:
    """Return the topics of missions whose JSON notices have formats of their own."""
    return tuple(topic for mission in MISSIONS for topic in mission.topics)


def mission_of_topic(topic: str) -> Mission | None:
    """Return the mission that owns a topic and has its own reader; None if there is none."""
    return next((one for one in MISSIONS if one.read is not None and topic in one.topics), None)


def alert_topics() -> tuple[str, ...]:
    """Return the topics of GraceDB's alerts about external events."""
    return tuple(f"{group}_{one.observatory.lower()}" for group in ("external", "test") for one in MISSIONS)


def mission_of_ivorn(ivorn: str) -> Mission | None:
    """Return the mission whose VOEvents have this IVORN."""
    parts = ivorn.partition("://")[2].lower().replace("#", "/").split("/")
    return next((one for part in parts for one in MISSIONS if one.ivorn and part.startswith(one.ivorn)), None)


def mission_of_json(mission: str, instrument: str, schema: str) -> Mission | None:
    """Return the mission of a JSON notice, as identified by its mission, its instrument or its schema."""
    name = mission.lower().replace("_", " ").strip()
    if name:
        return next((one for one in MISSIONS if name in one.names), None)
    if found := next((one for one in MISSIONS if instrument.lower().strip() in one.instruments), None):
        return found
    folder = schema.lower().partition("/notices/")[2].partition("/")[0]
    return next((one for one in MISSIONS if one.schema and one.schema == folder), None)
