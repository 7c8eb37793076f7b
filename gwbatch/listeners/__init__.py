"""Connections that stay open: one module a transport, one process a connection.

A listener writes each message and the next offset in one transaction and knows nothing of what they mean;
`process.run_listener` is what ``gwbatch listen NAME`` does.
"""

from __future__ import annotations
