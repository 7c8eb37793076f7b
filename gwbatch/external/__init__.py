"""The pure science rules of external triggers: what a notice says, which one counts, and what coincides.

`missions` lists the senders of notices, `notices` parses them, and `vetoes` lists what speaks against a trigger.
`triggers` merges the notices of one trigger into an `event`, which `coincidence` compares with superevents.  The rules
use no I/O, no clock and no globals; windows, rates and thresholds come from the policy.
"""

from __future__ import annotations

from gwbatch.external.coincidence import (
    GWCandidate,
    Match,
    best_match,
    coincide,
    preferred_external,
    raven_alert,
)
from gwbatch.external.event import ExternalEvent
from gwbatch.external.missions import MISSIONS, Mission, NoticeKind, alert_topics, declare, own_topics, voevent_topics
from gwbatch.external.notices import Evidence, Notice, parse_notice
from gwbatch.external.triggers import Trigger, merge_notices
from gwbatch.external.vetoes import ignored, vetoes

__all__ = [
    "MISSIONS",
    "Evidence",
    "ExternalEvent",
    "GWCandidate",
    "Match",
    "Mission",
    "Notice",
    "NoticeKind",
    "Trigger",
    "alert_topics",
    "best_match",
    "coincide",
    "declare",
    "ignored",
    "merge_notices",
    "own_topics",
    "parse_notice",
    "preferred_external",
    "raven_alert",
    "vetoes",
    "voevent_topics",
]
