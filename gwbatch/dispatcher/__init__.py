"""The resident process: supervisor of the listeners, lanes, effect workers, timers, job watcher.

`service.Dispatcher` puts them together; each part does one `step` at a time on the ledger and keeps nothing
in memory that a crash could lose.
"""

from __future__ import annotations
