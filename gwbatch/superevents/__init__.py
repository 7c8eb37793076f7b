"""The science rules of superevents, pure: which alerts count, who belongs together, who is preferred, which labels.

`Manager.decide` is the one entry: an alert and a view of what is known go in, decisions come out.  No I/O,
no clock, no globals; thresholds, windows and trials factors come from the policy.
"""

from __future__ import annotations

from gwbatch.superevents.alert import Alert
from gwbatch.superevents.candidate import Event, Superevent, category_of, parse_event
from gwbatch.superevents.manager import Manager, View
from gwbatch.superevents.ranking import is_complete, preference, publishable

__all__ = [
    "Alert",
    "Event",
    "Manager",
    "Superevent",
    "View",
    "category_of",
    "is_complete",
    "parse_event",
    "preference",
    "publishable",
]
