"""The ledger: one SQLite file with everything that must survive a crash.

It holds messages and the lanes that must see them, effects, timers, leases, jobs, the mirror of GraceDB, and the
offsets of the listeners.  `Ledger` opens the file and provides transactions. One module per family of tables does the
rest, on the connection of the caller's transaction.  Nothing here knows what a message means.
"""

from __future__ import annotations

from gwbatch.ledger.database import Ledger, Transaction, queries, query

__all__ = ["Ledger", "Transaction", "queries", "query"]
