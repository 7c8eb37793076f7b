"""A web page over the ledger: its own process, on loopback.

`app` answers requests, `static/` is what the browser gets: no build step, nothing from the network.
"""

from __future__ import annotations
