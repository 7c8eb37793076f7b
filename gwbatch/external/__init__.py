"""The science rules of external triggers, pure: what a notice says, which one counts, what coincides with what.

`notices` reads, `triggers` chooses among the notices of one trigger, `coincidence` compares with superevents.
No I/O, no clock, no globals; windows, rates and thresholds come from the policy.
"""

from __future__ import annotations

from gwbatch.external.coincidence import (
    ExternalEvent,
    Match,
    Partner,
    best_match,
    coincide,
    preferred_external,
    raven_alert,
)
from gwbatch.external.notices import JSON_TOPICS, VOEVENT_TYPES, Notice, parse_notice
from gwbatch.external.triggers import Trigger, combine

__all__ = [
    "JSON_TOPICS",
    "VOEVENT_TYPES",
    "ExternalEvent",
    "Match",
    "Notice",
    "Partner",
    "Trigger",
    "best_match",
    "coincide",
    "combine",
    "parse_notice",
    "preferred_external",
    "raven_alert",
]
