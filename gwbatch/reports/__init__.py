"""Reports from the ledger: status, findings, lists, and single superevents with their stories.

This package only reads the ledger, except that it also records the results of checks. Its queries are in
``queries.sql``.
"""

from __future__ import annotations

from gwbatch.ledger import queries

query = queries("gwbatch.reports")
