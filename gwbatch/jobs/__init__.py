"""Computations that run on a node, each from input files to one output file and a ``result.json`` written last.

`catalogue` registers them (`job`) and imports the module of a computation when it is needed.  `runner` executes a job
directory, and `result` writes and checks ``result.json``.  Jobs never open the ledger and hold no credentials.
"""

from __future__ import annotations

from gwbatch.jobs.by_hand import ByHand, Input, Parameter
from gwbatch.jobs.catalogue import Work, computation, job

__all__ = ["ByHand", "Input", "Parameter", "Work", "computation", "job"]
