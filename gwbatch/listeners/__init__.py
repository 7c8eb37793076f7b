"""Listeners, which hold connections open: one module per transport, one process per connection.

A listener stores messages and their next offsets in one transaction, and knows nothing about what they mean.
`process.run_listener` implements ``gwbatch listen NAME``.
"""

from __future__ import annotations
