"""The pure rules of public alerts: which notices a superevent gets, what stops a notice, and what it says."""

from __future__ import annotations

from gwbatch.alerts.judgement import Seen, refusal
from gwbatch.alerts.kinds import KINDS, AlertKind, declare, kind_named, kind_of
from gwbatch.alerts.products import EXPECTED, Contents, expected_products

__all__ = [
    "EXPECTED",
    "KINDS",
    "AlertKind",
    "Contents",
    "Seen",
    "declare",
    "expected_products",
    "kind_named",
    "kind_of",
    "refusal",
]
