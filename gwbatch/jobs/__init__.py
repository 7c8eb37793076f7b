"""What runs on a node: computations from files to one file, with a ``result.json`` written last.

`catalogue` registers them (`job`), one module each holds one computation, `runner` executes a job directory,
`result` writes and checks ``result.json``.  Jobs never open the ledger and hold no credentials.
"""

from __future__ import annotations

from gwbatch.jobs.by_hand import ByHand, Input, Parameter
from gwbatch.jobs.catalogue import Work, computation, job

__all__ = ["ByHand", "Input", "Parameter", "Work", "computation", "job"]
