"""The pure science rules of superevents: which alerts count, clustering, preferred events and labels.

`Manager.decide` is the entry point, which turns an alert and a view of what is known into decisions.  The rules use no
I/O, no clock and no globals; thresholds, windows and trials factors come from the policy.
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
