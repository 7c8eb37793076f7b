"""The console: a web page over the ledger, served by its own process, by default on loopback only.

`app` answers requests. `static/` is what the browser gets, with no build step and nothing from other servers.
"""

from __future__ import annotations
