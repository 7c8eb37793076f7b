"""Comparison of the ledger with GraceDB: what differs, which side is right and why, and how to make them agree.

A lost alert, a failed write or a manual change to GraceDB's database all show up as differences. No difference is
repaired unless the user asks for it.
"""

from __future__ import annotations

from gwbatch.reconcile.difference import Difference, LostAlert, Remedy
from gwbatch.reconcile.looking import differences, lasting
from gwbatch.reconcile.repair import repair

__all__ = ["Difference", "LostAlert", "Remedy", "differences", "lasting", "repair"]
