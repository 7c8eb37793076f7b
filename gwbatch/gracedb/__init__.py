"""Carrying out GraceDB effects with the ``ligo-gracedb`` client, idempotently and with timeouts.

`client` makes the client behave (timeouts, no blind re-sending); `writer` does the writes, asking the server
first whenever an earlier attempt's outcome is unknown.
"""

from __future__ import annotations
