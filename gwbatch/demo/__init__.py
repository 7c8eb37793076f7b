"""The demo: the real system on simulated events, and a check of what arrived in GraceDB.

`processes` starts the sandbox and the dispatcher. `pipelines` stands in for the search pipelines, with the unmodified
``ligo-gracedb`` client, `observatories` for Fermi, and `astronomer` for the readers of public notices. `verdict` checks
the end state.
"""

from __future__ import annotations

from gwbatch.ledger import queries

query = queries("gwbatch.demo")
