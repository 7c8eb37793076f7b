"""The ledger beside GraceDB: what differs, who is right and why, and what makes them agree.

An alert that never came, a write that failed, a hand in GraceDB's database: whatever the cause, it shows as a
difference. None is repaired unasked.
"""

from __future__ import annotations

from gwbatch.reconcile.difference import Difference, LostAlert, Remedy
from gwbatch.reconcile.looking import differences, lasting
from gwbatch.reconcile.repair import repair

__all__ = ["Difference", "LostAlert", "Remedy", "differences", "lasting", "repair"]
