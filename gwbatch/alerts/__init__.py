"""Public alerts, as pure rules: which notices a superevent gets, what stops one, and what it says."""

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
