"""The ledger: one SQLite file with everything that must survive a crash.

Messages and the lanes that must see them, effects, timers, leases, jobs, the mirror of GraceDB, and where
each listener stands.  `Ledger` opens the file and gives transactions; one module a table family does the
rest, on the connection of the transaction it is called in.  Nothing here knows what a message means.
"""

from __future__ import annotations

from gwbatch.ledger.database import Ledger, Transaction, queries, query

__all__ = ["Ledger", "Transaction", "queries", "query"]
