"""What the ledger shows to people and machines: status, findings, lists, one superevent with its story.

It only reads (but for the results of checks, which it keeps); its queries stand in ``queries.sql`` beside it.
"""

from __future__ import annotations

from gwbatch.ledger import queries

query = queries("gwbatch.reports")
