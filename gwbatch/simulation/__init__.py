"""What would happen: a stream of triggers, a pool and a policy in virtual time, through the real lanes and ledger.

`scenario` is what one asks for, `pool` the batch system, `stream` the triggers, `world` lets time pass, and `outcome`
says what became of it.  Decisions, jobs and effects are the dispatcher's own; GraceDB is the sandbox.
"""

from __future__ import annotations

from gwbatch.ledger import queries

query = queries("gwbatch.simulation")
