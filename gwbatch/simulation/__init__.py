"""Simulation of a trigger stream, a pool and a policy in virtual time, with the real lanes and ledger.

`scenario` holds the input, `stream` makes the triggers, `pool` is the batch system, `world` runs the dispatcher as
virtual time passes, and `outcome` summarizes the result.  `measured` takes durations from a real ledger.  Decisions,
jobs and effects are handled by the dispatcher's own code; GraceDB is the sandbox.
"""

from __future__ import annotations

from gwbatch.ledger import queries

query = queries("gwbatch.simulation")
