"""The demonstration: the real thing on simulated events, and a verdict that looks at what GraceDB got.

`processes` starts the sandbox and the dispatcher as processes, `pipelines` plays the search pipelines with the
unmodified ``ligo-gracedb`` client, `verdict` checks the end state.
"""

from __future__ import annotations

from gwbatch.ledger import queries

query = queries("gwbatch.demo")
