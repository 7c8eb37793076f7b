"""The mirror of GraceDB: superevents, events, products, external events and public notices that decisions need.

Its tables are in the ledger; its queries are in ``queries.sql``.
"""

from __future__ import annotations

from gwbatch.ledger import queries

query = queries("gwbatch.mirror")
