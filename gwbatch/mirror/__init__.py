"""The mirror of GraceDB: superevents, events, products, external events and public notices that decisions need.

Its tables are the ledger's; its queries stand in ``queries.sql`` beside it.
"""

from __future__ import annotations

from gwbatch.ledger import queries

query = queries("gwbatch.mirror")
