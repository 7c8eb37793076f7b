"""The resident process: listener supervisor, lanes, effect workers, timers and job watcher.

`service.Dispatcher` assembles them. Each part works on the ledger one `step` at a time and keeps nothing in memory
that must survive a crash.
"""

from __future__ import annotations
